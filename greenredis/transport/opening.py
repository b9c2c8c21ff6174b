"""A connection's state, and how it is opened and closed."""

from __future__ import annotations

import builtins
import os
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gevent import getcurrent
from gevent.hub import get_hub
from gevent.monkey import get_original

from .. import deadlines
from ..config import CONNECTION_OPTIONS, UNSUPPORTED_OPTIONS, Address, Locator, check_options, validate
from ..credentials import UsernamePasswordCredentialProvider
from ..exceptions import ConnectionError, RedisError, TimeoutError
from ..protocol import Packer, Parser
from ..retry import Retry
from .handshake import shake_hands
from .own_socket import OwnSocket
from .socket import connect
from .wire import Wire

if TYPE_CHECKING:
    import ssl

_KNOWN = frozenset((*CONNECTION_OPTIONS, *UNSUPPORTED_OPTIONS))
_local = get_original("threading", "local")()


def shared_buffer(size: int) -> bytearray:
    """The thread's buffer of `size` bytes: what is read goes on to the parser before any switch."""
    buffers: dict[int, bytearray] | None = getattr(_local, "buffers", None)
    if buffers is None:
        buffers = _local.buffers = {}
    return buffers.get(size) or buffers.setdefault(size, bytearray(size))


class OpeningConnection:
    """One connection to a server: where it goes, connecting, closing."""

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
        shake_hands(self)  # type: ignore[arg-type]  # all of them are CoreConnections

    def credentials(self) -> Sequence[str]:
        """(username, password), (password,) or nothing, from the options or the provider."""
        provider = self.credential_provider
        if provider is None and (self.username or self.password):
            provider = UsernamePasswordCredentialProvider(self.username, self.password)
        return () if provider is None else tuple(provider.get_credentials() or ())

    # -- closing

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

    def _live_wire(self) -> Wire:
        if self._wire is None:
            raise ConnectionAbortedError("closed by its owner")
        return self._wire

    def _translated(self, error: Exception, doing: str) -> RedisError:
        if isinstance(error, RedisError):
            return error
        kind: type[RedisError] = ConnectionError
        if isinstance(error, builtins.TimeoutError):
            kind = TimeoutError
        found = kind(f"{type(error).__name__} while {doing} {self.address}: {error}")
        found.address = self.address
        return found
