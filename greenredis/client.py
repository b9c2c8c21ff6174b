"""Redis: commands, a transport, and what is sent again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Any, TypeVar

import gevent
from gevent.lock import RLock

from . import deadlines
from .commands import CoreCommands
from .commands.callbacks import CaseInsensitiveDict
from .commands.replies import response_callbacks
from .config import UNSUPPORTED_OPTIONS, parse_url
from .driver_info import UNSET
from .exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    DataError,
    MaxConnectionsError,
    NoPermissionError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from .protocol import Packer, Word
from .retry import Retry, default_retry
from .traits import Traits, traits_of
from .transport.connection import split_name
from .transport.pool import ConnectionPool, make_pool
from .transport.single import SingleConnection

R = TypeVar("R", bound="Redis")

EMPTY_RESPONSE = "EMPTY_RESPONSE"
NEVER_DECODE = "NEVER_DECODE"
_PASSING = (TryAgainError, ClusterDownError)  # refused for now: wait and repeat
_WAIT_CHANNEL = b"greenredis:wait"


class Plan:
    """What a client knows of a command before it has seen its words."""

    __slots__ = ("callback", "name", "traits")

    def __init__(self, traits: Traits, callback: Callable[..., Any] | None, name: tuple[Word, ...]) -> None:
        self.traits = traits
        self.callback = callback
        self.name = name


class Redis(CoreCommands):
    """A client of one server, with redis-py's API.

    Any number of greenlets may use it at the same time.  Ordinary commands share one connection
    (`multiplex=False` turns that off, per client or per call); what blocks or changes a
    connection's state takes one of its own, of which there are `max_connections` (100), and waits
    up to `timeout` seconds (20) for it.

    `socket_timeout` (5 s) bounds one attempt, from the write to the whole reply;
    `socket_connect_timeout` (5 s) connecting.  `retry` repeats attempts that failed; what may have
    been executed only if it just reads (`resend="safe"`), never or always.  The other options are
    redis-py's.  An unknown one raises TypeError; one whose feature does not exist ValueError.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 6379,
        db: int = 0,
        password: str | None = None,
        socket_timeout: float | None = 5,
        socket_connect_timeout: float | None = 5,
        socket_read_size: int = 65536,
        socket_keepalive: bool | None = True,
        socket_keepalive_options: Mapping[int, int | bytes] | Any = UNSET,
        connection_pool: ConnectionPool | None = None,
        unix_socket_path: str | None = None,
        encoding: str = "utf-8",
        encoding_errors: str = "strict",
        decode_responses: bool = False,
        retry_on_timeout: bool = False,
        retry: Retry | Any | None = UNSET,
        retry_on_error: list[type[Exception]] | None = None,
        ssl: bool = False,
        single_connection_client: bool = False,
        multiplex: bool = True,
        max_connections: int | None = None,
        timeout: float | None = 20,
        **options: Any,
    ) -> None:
        given = dict(locals())
        given.update(given.pop("options"))
        for name in ("self", "connection_pool", "single_connection_client", "multiplex", "__class__"):
            given.pop(name, None)
        self.auto_close_connection_pool = connection_pool is None
        if connection_pool is None:
            connection_pool = make_pool(given)
        else:
            _refuse_pool_options(given)
        self._set_up(connection_pool, multiplex, single_connection_client)

    def _set_up(self, pool: ConnectionPool, multiplex: bool, single: bool) -> None:
        self.connection_pool = pool
        self.connection: Any = None
        self._single_connection_client = single
        self.single_connection_lock = RLock()
        options = pool.options if pool.is_native else {}
        self.response_callbacks = CaseInsensitiveDict(
            response_callbacks(options.get("protocol"), options.get("legacy_responses", True))
        )
        self._plans: dict[Any, Plan] = {}
        self.response_callbacks.changed = self._plans.clear
        self._resend: str = options.get("resend", "safe")
        self._by_hand = pool.sees_replies or type(self).parse_response is not Redis.parse_response
        self._decodes: bool = options.get("decode_responses", False)
        self._transport: Any = pool.multiplexer if multiplex and pool.can_share and not single else pool
        if single:
            self.connection = pool.get_connection()
            self._transport = SingleConnection(self.connection, pool, self.single_connection_lock)

    @classmethod
    def from_url(cls: type[R], url: str, **kwargs: Any) -> R:
        """A client for `redis://`, `rediss://` or `unix://`; options in the URL win, as in redis-py."""
        single = kwargs.pop("single_connection_client", False)
        options = {**kwargs, **parse_url(url)}
        multiplex = options.pop("multiplex", True)
        scheme = options.pop("scheme")
        if scheme == "rediss":
            options["ssl"] = True
        if "path" in options:
            options["unix_socket_path"] = options.pop("path")
        if options.get("retry", UNSET) is UNSET:
            options["retry"] = default_retry()
        client = cls(connection_pool=make_pool(options), single_connection_client=single, multiplex=multiplex)
        client.auto_close_connection_pool = True
        return client

    @classmethod
    def from_pool(cls: type[R], connection_pool: ConnectionPool) -> R:
        """A client that owns `connection_pool`, and closes it when it is closed."""
        client = cls(connection_pool=connection_pool)
        client.auto_close_connection_pool = True
        return client

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__}({self.connection_pool!r})>"

    # -- executing

    def execute_command(self, *words: Word, **options: Any) -> Any:
        """The converted reply to any command, known or not: `execute_command("SET", "key", 1)`.

        Raises ResponseError for an error reply; ConnectionError or TimeoutError, whose
        `maybe_executed` tells whether the command was sent.
        """
        plan = self._plans.get(words[0]) if words else None
        if plan is None or options or self._by_hand:
            return self._execute_slowly(words, options)
        try:
            reply = self._transport.execute(words, plan.traits)
        except RedisError as error:
            reply = error
        if isinstance(reply, Exception):
            reply = self._repeat(reply, partial(self._transport.execute, words, plan.traits), plan.traits)
        callback = plan.callback
        return reply if callback is None else callback(reply)

    def _execute_slowly(self, words: Sequence[Word], options: dict[str, Any]) -> Any:
        """As `execute_command`, for options, first uses and whatever is not plain."""
        if not words:
            raise DataError("a command needs at least its name")
        shared = options.pop("multiplex", True) and not (NEVER_DECODE in options and self._decodes)
        plan = self._plan(words)
        sent = words if len(plan.name) == 1 else (*plan.name, *words[1:])
        traits = plan.traits if plan.traits.is_fixed else traits_of(sent)
        if traits.refused and not self._single_connection_client:
            raise DataError(
                f"{_shown(sent, traits)} cannot go to a connection that others use: {traits.refused}"
            )
        if self._by_hand:
            return self._complete(lambda: self._execute_by_hand(sent, words[0], traits, options), traits)
        transport = self._transport if shared or self.connection else self.connection_pool
        decode = options.pop(NEVER_DECODE, UNSET) is UNSET
        empty = options.pop(EMPTY_RESPONSE, UNSET)
        if sent[0] in ("WAIT", b"WAIT") and not self._single_connection_client:
            reply = self._complete(lambda: self._wait_for_replicas(sent), traits)
        else:
            try:
                reply = self._complete(lambda: transport.execute(sent, traits, decode), traits)
            except ResponseError:
                if empty is UNSET:
                    raise
                return empty
        return reply if plan.callback is None else plan.callback(reply, **options)

    def _plan(self, words: Sequence[Word]) -> Plan:
        name = words[0]
        plan = self._plans.get(name) if isinstance(name, (str, bytes)) else None
        if plan is None:
            text = str(name, "utf-8", "replace") if isinstance(name, (bytes, bytearray)) else str(name)
            parts = split_name((name,))
            traits = traits_of(words if len(parts) == 1 else (*parts, *words[1:]))
            plan = Plan(traits, self.response_callbacks.get(text), tuple(parts))
            plain = len(parts) == 1 and not traits.refused and traits.is_fixed and len(self._plans) < 1000
            if plain and isinstance(name, (str, bytes)) and text.upper() != "WAIT":
                self._plans[name] = plan
        return plan

    def _complete(self, attempt: Callable[[], Any], traits: Traits) -> Any:
        try:
            reply = attempt()
        except RedisError as error:
            return self._repeat(error, attempt, traits)
        return self._repeat(reply, attempt, traits) if isinstance(reply, Exception) else reply

    def _repeat(self, error: Exception, attempt: Callable[[], Any], traits: Traits) -> Any:
        """What a later attempt gives; raises the last error when there may be no other."""
        policy, locator = self.connection_pool.retry, self.connection_pool.locator
        failures, maybe = 0, False
        policy.reset()
        while True:
            failures += 1
            if isinstance(error, RedisError):
                maybe = error.maybe_executed = maybe or error.maybe_executed  # in any attempt
                if error.address is not None:
                    locator.failed(error.address, error)  # type: ignore[arg-type]
            if not self._may_repeat(error, traits, policy, failures):
                raise error
            self._back_off(policy.backoff_seconds(failures), error)
            try:
                reply = attempt()
            except RedisError as again:
                error = again
                continue
            if not isinstance(reply, Exception):
                return reply
            error = reply

    def _may_repeat(self, error: Exception, traits: Traits, policy: Retry, failures: int) -> bool:
        if not policy.allows(failures) or not isinstance(error, (*policy.supported_errors, *_PASSING)):
            return False
        if isinstance(error, (MaxConnectionsError, AuthenticationError, AuthorizationError)):
            return False
        if getattr(error, "maybe_executed", False):
            return self._resend == "always" or (self._resend == "safe" and traits.read_only)
        return True

    def _back_off(self, seconds: float, error: Exception) -> None:
        until = deadlines.current()
        if until is not None and monotonic() + seconds >= until:
            raise error
        gevent.sleep(seconds)

    def _wait_for_replicas(self, words: Sequence[Word]) -> Any:
        """WAIT counts its own connection's writes: send one first, which does nothing."""
        pack = self.connection_pool.packer.pack
        packed = b"".join((_joined(pack(("PUBLISH", _WAIT_CHANNEL, b""))), _joined(pack(words))))
        seconds = self.connection_pool.block_time(words, traits_of(words))
        with self.connection_pool.lend() as connection:
            published, reply = connection.execute_many(packed, 2, seconds)
        if isinstance(published, NoPermissionError):
            raise NoPermissionError(f"WAIT needs the right to PUBLISH to greenredis:wait: {published}")
        return published if isinstance(published, Exception) else reply

    def _execute_by_hand(
        self, words: Sequence[Word], name: Word, traits: Traits, options: dict[str, Any]
    ) -> Any:
        """For subclasses that parse replies themselves, and connections of the user's own class."""
        with self._transport.lend() as connection:
            done = False
            try:
                if traits.state:
                    connection.tainted = True
                    if connection is self.connection:
                        self._transport.note(words)
                connection.send_command(*words)
                reply = self.parse_response(connection, name, **options)  # type: ignore[arg-type]
                done = True
                return reply
            except ResponseError:
                done = True
                raise
            finally:
                if not done:
                    connection.disconnect()

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        """The converted reply that `connection` reads next. A subclass that overrides it sees every reply."""
        try:
            reply = connection.read_response(disable_decoding=options.pop(NEVER_DECODE, UNSET) is not UNSET)
        except ResponseError:
            if EMPTY_RESPONSE in options:
                return options[EMPTY_RESPONSE]
            raise
        options.pop(EMPTY_RESPONSE, None)
        callback = self.response_callbacks.get(command_name)
        return reply if callback is None else callback(reply, **options)

    # -- settings

    def get_encoder(self) -> Packer:
        """What encodes words and decodes replies."""
        return self.connection_pool.get_encoder()

    def get_connection_kwargs(self) -> dict[str, Any]:
        """The options of the pool's connections."""
        return self.connection_pool.connection_kwargs

    def get_retry(self) -> Retry:
        """The policy of repeated attempts."""
        return self.connection_pool.retry

    def set_retry(self, retry: Retry) -> None:
        """Use `retry` from now on, for all clients of this pool."""
        self.connection_pool.set_retry(retry)

    def set_response_callback(self, command: str, callback: Callable[..., Any]) -> None:
        """Convert replies to `command` with `callback(reply, **options)`."""
        self.response_callbacks[command] = callback

    def load_external_module(self, funcname: str, func: Any) -> None:
        """Make `func` an attribute of this client."""
        setattr(self, funcname, func)

    # -- closing

    def client(self: R) -> R:
        """A client of the same pool with a connection of its own; close it to give that back."""
        return type(self)(connection_pool=self.connection_pool, single_connection_client=True)

    def close(self) -> None:
        """Close the connections, unless the pool was given. The client can be used again."""
        connection, self.connection = getattr(self, "connection", None), None
        if connection is not None:
            self.connection_pool.release(connection)
            self._single_connection_client = False
            self._transport = self.connection_pool
        if getattr(self, "auto_close_connection_pool", False) and hasattr(self, "connection_pool"):
            self.connection_pool.close()

    def __enter__(self: R) -> R:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


StrictRedis = Redis


def from_url(url: str, **kwargs: Any) -> Redis:
    """A client for `redis://`, `rediss://` or `unix://`."""
    return Redis.from_url(url, **kwargs)


def _refuse_pool_options(given: dict[str, Any]) -> None:
    """Options that a given pool has already decided would be ignored: refuse them."""
    defaults = Redis.__init__.__kwdefaults__ or {}
    names = Redis.__init__.__code__.co_varnames[1 : 1 + len(Redis.__init__.__defaults__ or ())]
    defaults = dict(zip(names, Redis.__init__.__defaults__ or (), strict=True), **defaults)
    extra = [
        name
        for name, value in given.items()
        if name in UNSUPPORTED_OPTIONS or name not in defaults or value != defaults[name]
    ]
    extra = [name for name in extra if not (name in UNSUPPORTED_OPTIONS and given[name] is None)]
    if extra:
        raise TypeError(f"{', '.join(extra)}: given to Redis() beside connection_pool; give it to the pool")


def _joined(packed: Any) -> bytes:
    return packed if isinstance(packed, bytes) else b"".join(packed)


def _shown(words: Sequence[Word], traits: Traits) -> str:
    """The command's name, of one word or two."""
    shown = words[: 1 if traits.is_fixed else 2]
    return " ".join(str(word, "utf-8", "replace") if isinstance(word, bytes) else str(word) for word in shown)
