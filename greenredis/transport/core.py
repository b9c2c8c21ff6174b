"""One socket: handshake, send, read, and what is owed."""

from __future__ import annotations

import builtins
import os
import weakref
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from gevent import getcurrent
from gevent.hub import get_hub
from gevent.monkey import get_original

from .. import deadlines
from ..config import CONNECTION_OPTIONS, UNSUPPORTED_OPTIONS, Address, Locator, check_options, validate
from ..credentials import UsernamePasswordCredentialProvider
from ..driver_info import UNSET as _UNSET
from ..exceptions import ConnectionError, InvalidResponse, RedisError, TimeoutError
from ..protocol import NOT_ENOUGH, Packed, Packer, Parser, Push, Word
from ..retry import Retry
from .handshake import shake_hands
from .own_socket import OwnSocket
from .own_socket import ask as ask_one_by_one
from .socket import connect
from .wire import TURN, Wire, give_turn

if TYPE_CHECKING:
    import ssl

UNSET: Any = _UNSET
_KNOWN = frozenset((*CONNECTION_OPTIONS, *UNSUPPORTED_OPTIONS))
_local = get_original("threading", "local")()


def shared_buffer(size: int) -> bytearray:
    """The thread's buffer of `size` bytes: what is read goes on to the parser before any switch."""
    buffers: dict[int, bytearray] | None = getattr(_local, "buffers", None)
    if buffers is None:
        buffers = _local.buffers = {}
    return buffers.get(size) or buffers.setdefault(size, bytearray(size))


class CoreConnection:
    """One connection to a server: connect, one command and one reply, close.

    `owed` counts the replies that have not been read whole.  It goes up before the first byte of a
    command is written, so a connection that owes nothing is clean whatever was thrown.
    """

    address: Address | None

    def __init__(self, **options: Any) -> None:
        """The options are those of `Redis()`; see the reference of options."""
        check_options(options, _KNOWN, type(self).__name__)
        self.options = options = validate(options)
        self.pid = os.getpid()
        self.db: int = options["db"]
        self.username: str | None = options["username"]
        self.password: str | None = options["password"]
        self.client_name: str | None = options["client_name"]
        self.credential_provider: Any = options["credential_provider"]
        self.driver_info: Any = options["driver_info"]
        self.socket_timeout: float | None = options["socket_timeout"]
        self.socket_connect_timeout: float | None = options["socket_connect_timeout"]
        self.health_check_interval: float = options["health_check_interval"]
        self.redis_connect_func: Callable[..., Any] | None = options["redis_connect_func"]
        self.retry: Retry = options["retry"]
        self.legacy_responses: bool = options["legacy_responses"]
        self.must_be_resp3 = options["protocol"] in (3, "3")
        self.protocol = int(options["protocol"] or 3)
        self.read_from_replica = False
        self.locator: Locator | None = None  # asked for the address whenever it connects again
        self.role: str | None = None  # what the server must be, by its ROLE
        decodes = options["decode_responses"]
        self.encoder = Packer(options["encoding"], options["encoding_errors"], decodes)
        self.handshake_metadata: Any = None
        self.next_health_check = 0.0
        self.owed = 0
        self.tainted = False  # it was sent a command that changes its state
        self.expires = float("inf")
        self.max_idle_time = float("inf")  # while nothing is written, where it is shared
        self.idle_since = 0.0
        self._wire: Wire | None = None
        self._opener: Any = None  # the greenlet that opens the wire
        self._parser: Parser | None = None
        self._eager = False  # whether to read before waiting
        self._turn = 0.0
        self._taken = False
        self._connect_callbacks: list[weakref.WeakMethod[Any]] = []
        self._re_auth_token: Any = None
        self._marked = False

    # -- where it is

    def __repr__(self) -> str:
        pieces = ",".join(f"{name}={value}" for name, value in self.repr_pieces())
        state = f"{self.owed} owed" if self.is_connected else "not connected"
        return f"<{type(self).__module__}.{type(self).__qualname__}({pieces}) {state}>"

    def repr_pieces(self) -> list[tuple[str, Any]]:
        """Name and value of what identifies the connection; nothing secret."""
        pieces: list[tuple[str, Any]] = [("address", self.address), ("db", self.db)]
        if self.client_name:
            pieces.append(("client_name", self.client_name))
        return pieces

    @property
    def is_connected(self) -> bool:
        return self._wire is not None and not self._wire.closed

    @property
    def _sock(self) -> Any:
        """The native, non-blocking socket; None while not connected."""
        return self._wire.sock if self._wire is not None else None

    @_sock.setter
    def _sock(self, sock: Any) -> None:
        self._wire = OwnSocket(sock) if sock is not None else None  # type: ignore[assignment]

    def get_protocol(self) -> int:
        """2 or 3: the protocol that is spoken."""
        return self.protocol

    # -- connecting

    def connect(self) -> None:
        """Connect and shake hands, unless it is connected: one attempt."""
        if self.is_connected:
            return
        locator, done = self.locator, False
        if locator is not None:
            self.address = locator.locate(self.socket_timeout)
            self.role = locator.role
        try:
            self._open(deadlines.after(self.socket_connect_timeout))
            done = True
        except RedisError as error:
            if locator is not None and self.address is not None:
                locator.unreached(self.address, error)
            raise
        finally:
            if not done:
                self.disconnect()

    def _open(self, until: float | None) -> None:
        self.owed, self.tainted, self._marked = 0, False, False
        self.pid = os.getpid()
        if self.must_be_resp3 or self.options["protocol"] is None:
            self.protocol = 3
        try:
            self._wire = self._dial(until)
            self._wire.deadline = until
            self._start_parser()
            (self.redis_connect_func or type(self).on_connect)(self)
        except OSError as error:
            raise self._translated(error, "connecting") from error
        except RedisError as error:
            error.maybe_executed = False
            error.address = error.address or self.address
            raise
        self._call_back()

    def _dial(self, until: float | None) -> Wire:
        bring: Callable[[], Any] | None = getattr(self, "_connect", None)
        if bring is not None:  # a subclass's
            return OwnSocket(bring())  # type: ignore[return-value]
        self._opener = getcurrent()
        try:
            return connect(self._target(), self.options, self._context(), until)
        finally:
            self._opener = None

    def _start_parser(self) -> None:
        options = self.options
        encoding = options["encoding"] if options["decode_responses"] else None
        self._parser = Parser(encoding, options["encoding_errors"], self.address)
        self._eager = bool(self._wire and self._wire.tls)
        self._buffer = shared_buffer(options["socket_read_size"])

    def _call_back(self) -> None:
        self._connect_callbacks = [method for method in self._connect_callbacks if method()]
        for method in self._connect_callbacks:
            callback = method()
            if callback is not None:
                callback(self)

    def _target(self) -> Address:
        if self.address is None:
            raise ConnectionError("the address of the server is not known")
        return self.address

    def _context(self) -> ssl.SSLContext | None:
        return None

    def on_connect(self) -> None:
        """Shake hands: log in, protocol, names, database."""
        shake_hands(self)

    def credentials(self) -> Sequence[str]:
        """(username, password), (password,) or nothing, from the options or the provider."""
        provider = self.credential_provider
        if provider is None and (self.username or self.password):
            provider = UsernamePasswordCredentialProvider(self.username, self.password)
        return () if provider is None else tuple(provider.get_credentials() or ())

    def ask(self, commands: Sequence[Sequence[Word]]) -> list[Any]:
        """The replies to `commands`, errors among them, written as one batch."""
        wire = self._live_wire()
        if isinstance(wire, OwnSocket):
            return ask_one_by_one(self, commands)
        until = wire.deadline
        if self.socket_timeout is not None:
            own = monotonic() + self.socket_timeout
            wire.deadline = own if until is None else min(own, until)
        self.owed += len(commands)
        packed = [self.encoder.pack(command) for command in commands]
        replies: list[Any] = []
        try:
            # In one piece: to a second one, a server that has refused us answers with a reset only.
            self._write(b"".join(each if isinstance(each, bytes) else b"".join(each) for each in packed))
            for _ in commands:
                replies.append(self._read())
                self.owed -= 1
            return replies
        except OSError as error:
            if replies and isinstance(replies[0], ConnectionError):  # why the server then closed it
                raise replies[0] from error
            raise self._translated(error, "shaking hands with") from error
        finally:
            wire.deadline = until

    def disconnect(self, *args: Any, **kwargs: Any) -> None:
        """Close; whoever waits for a reply gets a ConnectionError. Never switches greenlets."""
        wire, self._wire = self._wire, None
        self._parser = None
        if wire is not None:
            wire.close()

    def shut(self) -> None:
        """Wake whoever uses it or opens it, with an error; that one closes it. For others than its holder."""
        if self._wire is not None:
            self._wire.shut()
        elif self._opener is not None:
            get_hub().loop.run_callback(self._break_off, self._opener)

    def _break_off(self, opener: Any) -> None:
        if self._opener is opener:
            opener.throw(ConnectionAbortedError("closed by its owner"))

    def mark_for_reconnect(self) -> None:
        """Close it when it is released."""
        self._marked = True

    def should_reconnect(self) -> bool:
        return self._marked

    def reset_should_reconnect(self) -> None:
        self._marked = False

    # -- one command, one reply

    def execute(self, packed: Packed, seconds: float | None = UNSET, decode: bool = True) -> Any:
        """The reply to one packed command; an error reply is returned, not raised.

        `seconds`: from the write to the whole reply; by default `socket_timeout`.  Raises
        ConnectionError or TimeoutError with `maybe_executed`: whether all of it was written.
        """
        wire = self._wire
        if wire is None or wire.closed:
            self.connect()
            wire = self._live_wire()
        wire.deadline = deadlines.after(self.socket_timeout if seconds is UNSET else seconds)
        written = False
        self._eager = wire.tls
        self.owed += 1
        try:
            if packed.__class__ is bytes:
                wire.send_all(packed)
            else:
                self._write(packed)
            written = True
            reply = self._read(decode)
        except OSError as error:
            raise self._lost(error, written) from error
        except InvalidResponse as error:
            raise self._lost(error, True) from None
        except UnicodeDecodeError:  # the reply was read whole
            self.owed -= 1
            raise
        self.owed -= 1
        return reply

    def execute_many(
        self, packed: Packed, count: int, seconds: float | None = UNSET, decode: bool = True
    ) -> list[Any]:
        """The replies to `count` packed commands, in `seconds`; error replies are among them."""
        if not self.is_connected:
            self.connect()
        self._live_wire().deadline = deadlines.after(self.socket_timeout if seconds is UNSET else seconds)
        self.owed += count
        self._taken = False
        replies: list[Any] = []
        try:
            self._write(packed)
            self._read_many(replies, count, decode)
            return replies
        except OSError as error:
            raise self._lost(error, self._taken) from error
        except InvalidResponse as error:
            raise self._lost(error, True) from None

    def _read_many(self, replies: list[Any], count: int, decode: bool) -> None:
        """Append so many replies; what cannot be decoded is an error among them."""
        gets: Any = self._parser.gets if self._parser is not None else None
        while len(replies) < count:
            try:
                reply = gets() if decode and gets else NOT_ENOUGH
                if reply is NOT_ENOUGH or reply.__class__ is Push:
                    reply = self._read(decode)
            except UnicodeDecodeError as error:  # the reply was read whole
                reply = error
            except (TypeError, MemoryError) as error:
                raise _no_value(error) from error
            replies.append(reply)
            self.owed -= 1

    def _write(self, packed: Packed, until: float | None = UNSET) -> None:
        """Write all, by `until` or the wire's deadline; `_taken` tells whether the kernel took any of it."""
        wire = self._live_wire()
        turn = monotonic() + TURN
        for piece in (packed,) if isinstance(packed, bytes) else packed:
            if piece:
                try:
                    wire.send_all(piece, until)
                except OSError as error:
                    self._taken = self._taken or getattr(error, "unsent", 0) < len(piece)
                    raise
                self._taken = True
            if monotonic() > turn:
                give_turn(wire.hub)
                turn = monotonic() + TURN

    def _read(self, decode: bool = True, pushes: bool = False) -> Any:
        parser = self._parser
        if parser is None:
            raise ConnectionAbortedError("closed by its owner")
        gets = parser.gets
        try:
            while True:
                reply = gets() if decode else gets(False)
                if reply is NOT_ENOUGH:
                    if not parser.rest or not parser.resume():
                        self._fill(parser)
                    elif monotonic() > self._turn:
                        self._give_turn(self._live_wire())
                elif reply.__class__ is not Push or pushes:
                    return reply
        except (TypeError, MemoryError) as error:  # a map of what Python cannot hash, or too much
            raise _no_value(error) from error

    def _fill(self, parser: Parser) -> None:
        """Feed the parser what comes next, or wait for it. One switch point, two where the reply is long."""
        wire = self._wire
        if wire is None:
            raise ConnectionAbortedError("closed by its owner")
        if not self._eager:
            wire.wait()
            self._turn = monotonic() + TURN
        elif monotonic() > self._turn:
            self._give_turn(wire)
        buffer = self._buffer
        try:
            count = wire.sock.recv_into(buffer)
        except BlockingIOError:
            self._eager = False
            return
        if not count:
            if self._marked:
                raise ConnectionAbortedError("closed by its owner")
            raise ConnectionResetError("the server closed the connection")
        parser.feed(buffer, count)
        self._eager = wire.tls or count == len(buffer)

    def _give_turn(self, wire: Wire) -> None:
        """Between the chunks of a long reply. A switch point; TimeoutError at the deadline."""
        give_turn(wire.hub)
        self._turn = now = monotonic()
        self._turn += TURN
        if wire.deadline is not None and now > wire.deadline:
            raise builtins.TimeoutError("timed out")

    def _live_wire(self) -> Wire:
        if self._wire is None:
            raise ConnectionAbortedError("closed by its owner")
        return self._wire

    def _lost(self, error: Exception, written: bool) -> RedisError:
        """The error to raise, with the connection closed."""
        self.disconnect()
        translated = error if isinstance(error, RedisError) else self._translated(error, "talking to")
        translated.maybe_executed = written
        if translated.address is None:
            translated.address = self.address
        return translated

    def _translated(self, error: Exception, doing: str) -> RedisError:
        if isinstance(error, RedisError):
            return error
        kind: type[RedisError] = ConnectionError
        if isinstance(error, builtins.TimeoutError):
            kind = TimeoutError
        found = kind(f"{type(error).__name__} while {doing} {self.address}: {error}")
        found.address = self.address
        return found

    # -- for the pool

    def is_reusable(self) -> bool:
        """Whether the next caller may have it. Nothing here switches greenlets."""
        return (
            self.owed == 0
            and not self.tainted
            and not self._marked
            and self._wire is not None
            and not self._wire.closed
            and self._parser is not None
            and not self._parser.has_data()
            and not self._parser.rest
            and self.expires > monotonic()
        )

    def looks_idle(self) -> bool:
        """Whether the server has neither closed it nor sent what nobody asked for."""
        return self._wire is not None and not self._wire.closed and self._wire.looks_idle()

    def is_cut(self) -> bool:
        """Whether the server has closed it and left nothing to read."""
        return self._wire is None or self._wire.is_cut()

    def hand_over(self) -> tuple[Wire, Parser]:
        """Wire and parser, for somebody who reads and writes in this connection's stead."""
        wire, parser = self._live_wire(), self._parser
        assert parser is not None
        return wire, parser


def _no_value(error: Exception) -> InvalidResponse:
    return InvalidResponse(f"a reply that is no Python value: {error}")
