"""redis-py's exceptions by name and descent, and one table from a server's error code to its class.

`ConnectionError` and `TimeoutError` shadow Python's own on purpose, as redis-py's do.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, TypeVar


class ExceptionType(Enum):
    """What kind of trouble an exception tells of."""

    NETWORK = "network"
    TLS = "tls"
    AUTH = "auth"
    SERVER = "server"


class RedisError(Exception):
    """The base of nearly everything raised here; `str()` is the message and where it happened."""

    error_type: ExceptionType = ExceptionType.SERVER
    status_code: str | None = None  # the code with which the server's reply began, such as "WRONGPASS"
    maybe_executed: bool = False  # whether the command may have reached the server
    address: object = None  # of the server that it concerns; `str()` of it is shown

    def __init__(self, *args: Any, status_code: str | None = None) -> None:
        super().__init__(*args)
        if status_code is not None:
            self.status_code = status_code

    def __str__(self) -> str:
        message = super().__str__()
        if self.address is None or (where := str(self.address)) in message:
            return message
        return f"{message} ({where})" if message else f"({where})"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class ConnectionError(RedisError):
    """The server cannot be reached, refused the connection, or broke it."""

    error_type = ExceptionType.NETWORK


class TimeoutError(RedisError):
    """Something took longer than its time allowed."""

    error_type = ExceptionType.NETWORK


class AuthenticationError(ConnectionError):
    """Wrong or missing credentials."""

    error_type = ExceptionType.AUTH


class AuthorizationError(ConnectionError):
    """The user may not connect."""

    error_type = ExceptionType.AUTH


class BusyLoadingError(ConnectionError):
    """The server still loads its data set."""


class InvalidResponse(RedisError):
    """Bytes that are no reply; the connection is closed."""


class ResponseError(RedisError):
    """The server's error reply to a command."""


class DataError(RedisError):
    """A word or a combination of options that cannot be sent."""


class PubSubError(RedisError):
    """A misuse of pub/sub."""


class WatchError(RedisError):
    """A watched key changed, so the transaction was not executed."""


class NoScriptError(ResponseError):
    """The server does not hold the script."""


class OutOfMemoryError(ResponseError):
    """The server is at `maxmemory` and has nothing that it may evict."""


class ExecAbortError(ResponseError):
    """EXEC found a command that had been refused while queuing, and executed none."""


class ReadOnlyError(ConnectionError, ResponseError):
    """The server is a replica. Not executed; a ConnectionError since rediscovery cures it."""

    error_type = ExceptionType.SERVER


class NoPermissionError(ResponseError):
    """The user lacks the right to this command, key or channel."""

    error_type = ExceptionType.AUTH


class ModuleError(ResponseError):
    """A module could not be loaded or unloaded."""


class NoSuchFieldsetError(ResponseError):
    """HIMPORT SET named a fieldset that this connection has not prepared."""


class LockError(RedisError, ValueError):
    """A lock could not be acquired or released; a ValueError too, as in redis-py."""

    def __init__(self, message: str | None = None, lock_name: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.lock_name = lock_name


class LockNotOwnedError(LockError):
    """The lock to extend or release is not, or no longer, ours."""


class ChildDeadlockedError(Exception):
    """A forked child would wait for ever on its parent's lock."""


class AuthenticationWrongNumberOfArgsError(ResponseError):
    """AUTH was sent with a user name to a server that knows only passwords."""

    error_type = ExceptionType.AUTH


class RedisClusterException(Exception):
    """A misuse or a bad state of a cluster client; no RedisError, as in redis-py."""

    error_type: ExceptionType = ExceptionType.SERVER


class ClusterError(RedisError):
    """A cluster did not execute the command, after all attempts."""


class ClusterDownError(ClusterError, ResponseError):
    """The cluster does not serve this slot now. Not executed."""

    def __init__(self, resp: str = "", status_code: str | None = None) -> None:
        super().__init__(resp, status_code=status_code)
        self.message = resp


class AskError(ResponseError):
    """This once, ask the node `host`:`port`, with ASKING. Not executed.

    `slot_id` is -1, `host` "" and `port` 0 where the text does not say; an empty `host` beside a
    port is the host of the node that answered (the cluster specification's rule).
    """

    def __init__(self, resp: str = "", status_code: str | None = None) -> None:
        super().__init__(resp, status_code=status_code)
        self.message = resp
        self.slot_id, self.host, self.port = _redirection(resp)
        self.node_addr = self.host, self.port


class TryAgainError(ResponseError):
    """The keys of this command are split between two nodes while their slot moves. Not executed."""

    def __init__(self, *args: Any, status_code: str | None = None, **kwargs: Any) -> None:
        super().__init__(*args, status_code=status_code)


class ClusterCrossSlotError(ResponseError):
    """The keys of one command belong to different slots."""

    message = "Keys in request don't hash to the same slot"


class MovedError(AskError):
    """The slot belongs to the node `host`:`port` now. Not executed."""


class MasterDownError(ClusterDownError, ConnectionError):
    """A replica without its master, which serves no stale data. Not executed; rediscovery cures it."""

    error_type = ExceptionType.SERVER


class SlotNotCoveredError(RedisClusterException):
    """No known node serves the slot."""


class MasterNotFoundError(ConnectionError):
    """No sentinel knows a master that can be reached; the message tells what each of them answered."""


class SlaveNotFoundError(ConnectionError):
    """Neither a replica nor the master can be reached."""


ReplicaNotFoundError = SlaveNotFoundError


class MaxConnectionsError(ConnectionError):
    """All connections of the pool are lent."""


class CrossSlotTransactionError(RedisClusterException):
    """A transaction over keys of different slots."""


class InvalidPipelineStack(RedisClusterException):
    """A pipeline got another number of replies than it has commands."""


class ExternalAuthProviderError(ConnectionError):
    """The server's external authentication provider failed."""


class IncorrectPolicyType(Exception):
    """A request or response policy that is not known."""


_BY_CODE: dict[str, type[RedisError]] = {
    "ERR": ResponseError,
    "ASK": AskError,
    "CLUSTERDOWN": ClusterDownError,
    "CROSSSLOT": ClusterCrossSlotError,
    "EXECABORT": ExecAbortError,
    "LOADING": BusyLoadingError,
    "MASTERDOWN": MasterDownError,
    "MOVED": MovedError,
    "NOAUTH": AuthenticationError,
    "NOPERM": NoPermissionError,
    "NOSCRIPT": NoScriptError,
    "OOM": OutOfMemoryError,
    "READONLY": ReadOnlyError,
    "TRYAGAIN": TryAgainError,
    "WRONGPASS": AuthenticationError,
}

_BY_ERR_MESSAGE: dict[str, type[RedisError]] = {
    "max number of clients reached": ConnectionError,
    "invalid password": AuthenticationError,
    "Client sent AUTH, but no password is set": AuthenticationError,
    "AUTH <password> called without any password configured for the default user. "
    "Are you sure your configuration is correct?": AuthenticationError,
    "wrong number of arguments for 'auth' command": AuthenticationWrongNumberOfArgsError,
    "wrong number of arguments for 'AUTH' command": AuthenticationWrongNumberOfArgsError,
    "problem with LDAP service": ExternalAuthProviderError,
    "no such fieldset": NoSuchFieldsetError,
    "Error loading the extension. Please check the server logs.": ModuleError,
    "Error unloading module: no such module with that name": ModuleError,
    "Error unloading module: operation not possible.": ModuleError,
    "Error unloading module: the module exports one or more module-side data types, "
    "can't unload": ModuleError,
}

# Replies that say "not executed; try elsewhere or later".
REFUSED: tuple[type[RedisError], ...] = (
    ReadOnlyError,
    MasterDownError,
    BusyLoadingError,
    TryAgainError,
    MovedError,
    AskError,
    ClusterDownError,
)

_Error = TypeVar("_Error", bound=Exception)


def parse_error(text: str | bytes, address: object = None) -> RedisError:
    """The exception for an error reply, not raised; ResponseError with the whole text for an unknown code."""
    if not isinstance(text, str):
        text = str(text, "utf-8", "replace")
    code, _, message = text.partition(" ")
    found = _BY_CODE.get(code)
    if found is None:
        error: RedisError = ResponseError(text)
    else:
        if found is ResponseError:
            found = _BY_ERR_MESSAGE.get(message, ResponseError)
        error = found(message, status_code=code)
    if address is not None:
        error.address = address
    return error


def fresh(error: _Error) -> _Error:
    """A new exception of the same class, arguments, attributes and cause, without the traceback."""
    # Not by calling the class: the initializers of users' subclasses take what they like.
    kind = type(error)
    other = kind.__new__(kind, *error.args)
    other.args = error.args
    other.__dict__.update(error.__dict__)
    other.__cause__ = error.__cause__
    other.__suppress_context__ = error.__suppress_context__
    return other


def _redirection(text: object) -> tuple[int, str, int]:
    """Slot, host and port of "SLOT HOST:PORT", in which each may be missing or garbage."""
    words = str(text).split()
    slot = _number(words[0], 16383) if words else -1
    if len(words) < 2 or slot < 0:
        return -1, "", 0
    host, colon, digits = words[1].rpartition(":")
    port = _number(digits, 65535)
    if not colon or port < 0:
        return slot, "", 0
    return slot, host[1:-1] if host[:1] == "[" and host[-1:] == "]" else host, port


def _number(text: str, most: int) -> int:
    is_number = len(text) < 10 and text.isascii() and text.isdigit()
    return int(text) if is_number and int(text) <= most else -1
