"""Connections with redis-py's contract, send now and read later: TCP, TLS, Unix."""

from __future__ import annotations

import builtins
import weakref
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from .. import deadlines
from ..config import Address
from ..exceptions import AuthenticationError, ConnectionError, InvalidResponse, RedisError
from ..protocol import Parser, Push, Word
from ..retry import retry_policy
from ..traits import traits_of
from .core import UNSET, CoreConnection
from .tls_context import TlsContext
from .wire import TURN

if TYPE_CHECKING:
    import ssl


class PackedCommands(list[bytes | memoryview]):
    """Pieces to write, and how many commands they hold."""

    commands = 1


class AbstractConnection(CoreConnection):
    """The methods that Kombu and others call on a connection; its state is AbstractConnection's."""

    def connect(self) -> None:
        """Connect and shake hands, unless it is connected; try again as `retry` says.

        Each attempt is bounded by `socket_connect_timeout`: name, TCP, TLS and handshake together;
        each reply of the handshake by `socket_timeout` too.  Raises ConnectionError, TimeoutError or
        AuthenticationError, none of which may have executed a command.
        """
        options = self.options
        policy = retry_policy(options["retry"], options["retry_on_error"], options["retry_on_timeout"])
        policy.call_with_retry(super().connect, lambda error: None)

    def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        """As `connect`; without `retry_socket_connect` one attempt."""
        self.connect() if retry_socket_connect else super().connect()

    def on_connect_check_health(self, check_health: bool = True) -> None:
        """As `on_connect`."""
        self.on_connect()

    def getpeername(self) -> str | None:
        """The server's IP address, or a socket's path; None while not connected."""
        name = self._sock.getpeername() if self.is_connected else None
        return str(name[0]) if isinstance(name, tuple) else name

    def get_resolved_ip(self) -> str | None:
        """As `getpeername`."""
        return self.getpeername()

    def register_connect_callback(self, callback: Callable[[Any], Any]) -> None:
        """`callback(connection)` is called after each (re)connection; a method, held weakly."""
        method = weakref.WeakMethod(callback)
        if method not in self._connect_callbacks:
            self._connect_callbacks.append(method)

    def deregister_connect_callback(self, callback: Callable[[Any], Any]) -> None:
        """Call `callback` no more; an unknown one is no error."""
        try:
            self._connect_callbacks.remove(weakref.WeakMethod(callback))
        except ValueError:
            pass

    def pack_command(self, *words: Word) -> PackedCommands:
        """The command as a list of pieces for `send_packed_command`."""
        packed = self.encoder.pack(split_name(words))
        return PackedCommands((packed,) if isinstance(packed, bytes) else filter(len, packed))

    def pack_commands(self, commands: Iterable[Sequence[Word]]) -> PackedCommands:
        """Commands as a list of pieces for `send_packed_command`."""
        commands = list(commands)
        pieces = PackedCommands(piece for command in commands for piece in self.pack_command(*command))
        pieces.commands = len(commands)
        return pieces

    def send_command(self, *words: Word, check_health: bool = True, **_: Any) -> None:
        """Write a command; `read_response` must be called for its reply."""
        if traits_of(words).state:
            self.tainted = True
        self.send_packed_command(self.pack_command(*words), check_health=check_health)

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """Write what `pack_command` or `pack_commands` gave."""
        if not self.is_connected:
            self.connect()
        if check_health:
            self.check_health()
        until = deadlines.after(self.socket_timeout)  # not the wire's: another greenlet may be reading
        if isinstance(command, str):
            command = command.encode()
        pieces = [command] if isinstance(command, (bytes, memoryview)) else command
        count = getattr(command, "commands", 1)
        self.owed += count
        self._taken = False
        try:
            self._write(pieces, until)
        except OSError as error:
            raise self._lost(error, self._taken and count > 1) from error

    def read_response(
        self,
        disable_decoding: bool = False,
        *,
        timeout: float | None = UNSET,
        disconnect_on_error: bool = True,
        push_request: bool = False,
    ) -> Any:
        """The next reply; an error reply is raised.

        `timeout`: seconds; by default `socket_timeout`; 0 takes what has come.  `push_request`: give push
        messages too.
        On a ConnectionError or TimeoutError the connection closes, unless `disconnect_on_error` is
        False and nothing of the reply was read.
        """
        if not self.is_connected:
            raise ConnectionError(f"not connected to {self.address}; send a command first")
        wire = self._live_wire()
        wire.deadline = deadlines.after(self.socket_timeout if timeout is UNSET else timeout)
        done = False
        if timeout == 0:
            self._eager, self._turn = True, monotonic() + TURN
        try:
            reply = self._read(not disable_decoding, push_request)
            if reply.__class__ is not Push:
                self.owed = max(0, self.owed - 1)
            done = True
        except OSError as error:
            found = self._translated(error, "reading from")
            found.maybe_executed = self.owed > 0
            raise found from error
        except InvalidResponse as error:
            raise self._lost(error, self.owed > 0) from None
        finally:
            if not done and disconnect_on_error:
                self.disconnect()
        self.next_health_check = monotonic() + self.health_check_interval
        if isinstance(reply, RedisError):
            raise reply
        return reply

    def can_read(self, timeout: float | None = 0) -> bool:
        """Whether there is something to read within `timeout` seconds; None waits for ever."""
        if not self.is_connected:
            self.connect()
        wire, parser = self._live_wire(), self._parser
        assert parser is not None
        if not parser.is_clean() or (not wire.tls and not wire.looks_idle()):
            return True
        if timeout == 0 and not wire.tls:
            return False
        wire.deadline = deadlines.after(timeout)
        try:
            self._fill_some(parser) if wire.tls else wire.wait()
            return True
        except builtins.TimeoutError:
            return False
        except OSError as error:
            self.disconnect()
            raise self._translated(error, "waiting for") from error

    def _fill_some(self, parser: Parser) -> None:
        """Wait for a part of a reply. Only by taking it can one tell whether TLS has decrypted any."""
        self._eager, self._turn = True, monotonic() + TURN
        while parser.is_clean():
            self._fill(parser)

    def check_health(self) -> None:
        """PING and demand the answer, if nothing was read for `health_check_interval` seconds."""
        if self.health_check_interval and monotonic() > self.next_health_check:
            reply = self.execute(self.encoder.pack(("PING",)))
            if reply not in (b"PONG", "PONG"):
                self.disconnect()
                raise ConnectionError(f"{self.address} answered a PING with {str(reply)[:40]!r}")
            self.next_health_check = monotonic() + self.health_check_interval

    def make_ready(self) -> None:
        """Log in again and check its health, where that is due, before a command that is not sent yet."""
        try:
            self.re_auth()
            self.check_health()
        except RedisError as error:
            error.maybe_executed = False
            raise

    def set_re_auth_token(self, token: Any) -> None:
        """Log in with `token` before the next command (credentials that rotate)."""
        self._re_auth_token = token

    def re_auth(self) -> None:
        """Log in with the token that was set, if one was."""
        token, self._re_auth_token = self._re_auth_token, None
        if token is None:
            return
        reply = self.execute(self.encoder.pack(("AUTH", token.try_get("oid"), token.get_value())))
        if isinstance(reply, RedisError):
            self.disconnect()
            refused = AuthenticationError(*reply.args)
            refused.address = self.address
            raise refused from reply


class Connection(AbstractConnection):
    """A TCP connection."""

    def __init__(self, host: str = "localhost", port: int = 6379, **options: Any) -> None:
        super().__init__(**options)
        self.address = Address(host, int(port))

    @property
    def host(self) -> str | None:
        return self.address.host if self.address else None

    @property
    def port(self) -> int | None:
        return self.address.port if self.address else None


class SSLConnection(Connection):
    """A TCP connection with TLS. `context`: made once and shared by the pool; else from the options."""

    def __init__(self, context: ssl.SSLContext | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._ssl_context = context

    def _context(self) -> ssl.SSLContext:
        if self._ssl_context is None:
            self._ssl_context = TlsContext(self.options).get()
        return self._ssl_context


class UnixDomainSocketConnection(AbstractConnection):
    """A connection over a Unix socket at `path`."""

    def __init__(self, path: str = "", **options: Any) -> None:
        super().__init__(**options)
        self.path = path
        self.address = Address(path=path)


def split_name(words: Sequence[Word]) -> Sequence[Word]:
    """`("CONFIG GET", x)` as `("CONFIG", "GET", x)`, which is how the server wants it."""
    name = words[0]
    if isinstance(name, str) and " " in name:
        return (*name.split(), *words[1:])
    if isinstance(name, bytes) and b" " in name:
        return (*name.split(), *words[1:])
    return words
