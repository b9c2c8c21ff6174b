"""Open a cooperative socket: TCP, Unix, TLS.

The sockets are native and non-blocking, with `send` and `recv_into` that raise BlockingIOError
where they would have to wait; `Wire` waits, in gevent's loop.
"""

from __future__ import annotations

import os
import socket
import ssl
import sys
import weakref
from collections.abc import Iterator, Mapping
from time import monotonic
from typing import Any, Protocol

import gevent.socket
from gevent import getcurrent
from gevent.hub import get_hub
from gevent.monkey import get_original

from ..config import Address
from .alarm import Alarm

NativeSocket: type[socket.socket] = get_original("socket", "socket")
READ, WRITE = 1, 2  # libev's events
TURN = 0.005  # how long a loop may go on before the hub gets a turn, in seconds

_TLS_PIECE = 65_536


class Socket(Protocol):
    """What a Wire needs of a socket; BlockingIOError stands for "not now"."""

    def send(self, data: Any) -> int: ...
    def recv_into(self, buffer: Any) -> int: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...
    def shutdown(self, how: int) -> None: ...
    def detach(self) -> int: ...


class TlsSocket:
    """TLS over a native socket, through memory buffers: no I/O but send and recv.

    A `send` that raises BlockingIOError must be repeated with the same data, as in OpenSSL.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, server_hostname: str | None) -> None:
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
        self._backlog = b""
        self._accepted = 0
        self.fileno = sock.fileno
        self.shutdown = sock.shutdown
        self.close = sock.close
        self.detach = sock.detach
        self.getpeername = sock.getpeername
        self.getsockname = sock.getsockname

    def handshake(self) -> bool:
        """Go one step; whether the handshake is done. BlockingIOError: read, then call again."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            self._receive()
            return False
        except ssl.SSLError:
            self._flush_if_possible()  # the alert tells the server why
            raise
        self._flush()
        return True

    def send(self, data: Any) -> int:
        """How many bytes were taken; all of those have been handed to the kernel."""
        if not self._accepted:
            self._accepted = self._tls.write(memoryview(data)[:_TLS_PIECE])
        self._flush()
        taken, self._accepted = self._accepted, 0
        return taken

    def recv_into(self, buffer: Any) -> int:
        """How many decrypted bytes were read; 0 at the end. Call until BlockingIOError."""
        while True:
            try:
                return self._tls.read(len(buffer), buffer)  # type: ignore[return-value]
            except ssl.SSLWantReadError:
                self._flush_if_possible()
                self._receive()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return 0

    def has_pending_writes(self) -> bool:
        return bool(self._backlog or self._outgoing.pending)

    def version(self) -> str | None:
        return self._tls.version()

    def getpeercert(self, binary_form: bool = False) -> Any:
        return self._tls.getpeercert(binary_form)

    def _receive(self) -> None:
        data = self._sock.recv(_TLS_PIECE)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._backlog += self._outgoing.read()
        while self._backlog:
            self._backlog = self._backlog[self._sock.send(self._backlog) :]

    def _flush_if_possible(self) -> None:
        try:
            self._flush()
        except OSError:  # also BlockingIOError: the next send takes it along
            pass


class Wire:
    """A socket and one greenlet's wait for it. The only switch points are in `wait`."""

    def __init__(self, sock: socket.socket) -> None:
        self.hub = hub = get_hub()
        self.native = sock
        self.sock: Any = sock  # or TLS over it
        self.fileno: int = sock.fileno()
        self.closed = False
        self.deadline: float | None = None  # of the wait under way
        self.on_abandon: weakref.WeakMethod[Any] | None = None
        self.tls = False
        self._waiter: Any = None
        self._watchers: dict[int, Any] = {e: hub.loop.io(self.fileno, e) for e in (READ, WRITE)}
        self._readable = self._watchers[READ]
        self._alarm = Alarm(hub.loop, self._on_alarm)
        _wires.add(self)
        _sockets.add(sock)

    def own_watcher(self) -> Any:
        """A watcher for reading that the caller starts; the wire closes it, and the loop can end."""
        watcher = self._watchers[0] = self.hub.loop.io(self.fileno, READ, ref=False)
        return watcher

    def wait(self, event: int = READ) -> None:
        """Return when ready; TimeoutError (the built-in one) at `deadline`, OSError when closed."""
        if self.closed:
            raise ConnectionAbortedError("closed by its owner")
        if self.deadline is not None and self.deadline < self._alarm.when:
            self._alarm.set(self.deadline)
        watcher = self._readable if event == READ else self._watchers[event]
        self._waiter = caller = getcurrent()
        watcher.start(caller.switch, watcher)
        try:
            woken = self.hub.switch()
        finally:
            self._waiter = None
            watcher.stop()
        if woken is watcher:
            return
        if woken is _EXPIRED:
            raise TimeoutError("timed out")
        raise ConnectionAbortedError("closed by its owner")

    def send_all(self, data: bytes | memoryview) -> None:
        """Write all of `data` by `deadline`. `unsent` of the error tells how much was not taken."""
        try:
            count = self.sock.send(data)
            if count == len(data):
                return
        except BlockingIOError:
            count = 0
        except OSError as error:
            error.unsent = len(data)  # type: ignore[attr-defined]
            raise
        left = memoryview(data)[count:]
        turn = monotonic() + TURN
        try:
            while left:
                try:
                    left = left[self.sock.send(left) :]
                except BlockingIOError:
                    self.wait(WRITE)
                    turn = monotonic() + TURN
                else:
                    turn = self._give_turn(turn) if left else turn
        except OSError as error:
            error.unsent = len(left)  # type: ignore[attr-defined]
            raise

    def _give_turn(self, turn: float) -> float:
        if monotonic() < turn:
            return turn
        give_turn(self.hub)
        return monotonic() + TURN

    def start_tls(self, context: ssl.SSLContext, server_hostname: str | None) -> None:
        """Do the handshake by `deadline`; from then on the socket is the encrypted one."""
        secure = TlsSocket(self.sock, context, server_hostname)
        while True:
            try:
                if secure.handshake():
                    break
            except BlockingIOError:
                self.wait(WRITE if secure.has_pending_writes() else READ)
        self.sock, self.tls = secure, True

    def looks_idle(self) -> bool:
        """Whether the server has neither closed nor sent anything since the last reply."""
        try:
            self.native.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return self.tls and not self.closed and self._tls_is_alive()

    def _tls_is_alive(self) -> bool:
        probe = bytearray(1)  # a TLS 1.3 session ticket is readable, and is no data
        try:
            self.sock.recv_into(probe)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def shut(self) -> None:
        """Wake whoever waits, who then closes. Nothing here switches greenlets."""
        try:
            if not self.closed:
                self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self) -> None:
        """Close at once; whoever waits is told in the hub's next turn. Nothing here switches greenlets."""
        if not self.closed:
            self.closed = True
            _wires.discard(self)
            self._release_watchers()
            self.sock.close()
            _sockets.discard(self.native)

    def _release_watchers(self) -> None:
        self._alarm.cancel()
        for watcher in self._watchers.values():
            watcher.stop()
            watcher.close()
        if self._waiter is not None:
            self.hub.loop.run_callback(self._wake)

    def abandon(self) -> None:
        """In a forked child: let go of the parent's socket, without a byte or a shutdown."""
        self.closed = True
        self._release_watchers()
        try:
            os.close(self.sock.detach())
        except OSError:
            pass
        _sockets.discard(self.native)
        owner = self.on_abandon() if self.on_abandon is not None else None
        if owner is not None:
            owner()

    def _wake(self) -> None:
        if self._waiter is not None:
            self._waiter.switch(_CLOSED)

    def _on_alarm(self) -> float | None:
        if self._waiter is None or self.deadline is None:
            return None
        if monotonic() < self.deadline:
            return self.deadline
        self._waiter.switch(_EXPIRED)
        return None

    def __del__(self) -> None:
        if not self.closed:
            self.closed = True
            _dispose(self.hub, self.native, self._watchers.values(), self._alarm)


_EXPIRED, _CLOSED = object(), object()
_wires: weakref.WeakSet[Wire] = weakref.WeakSet()
_sockets: set[socket.socket] = set()  # so that no collector finalizes one before its wire


def _dispose(hub: Any, sock: Any, watchers: Any, alarm: Alarm) -> None:
    """Close in the hub's own thread, later: finalizers run anywhere."""

    def close() -> None:
        alarm.cancel()
        for watcher in watchers:
            watcher.stop()
            watcher.close()
        sock.close()
        _sockets.discard(sock)

    try:
        hub.loop.run_callback_threadsafe(close)
    except Exception:  # the loop has gone, and its watchers with it
        sock.close()
        _sockets.discard(sock)


def _abandon_in_child() -> None:
    for wire in list(_wires):
        wire.abandon()
    _wires.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_in_child)


def give_turn(hub: Any) -> None:
    """Let the loop go round once, timers included."""
    with hub.loop.timer(0.0) as timer:
        hub.wait(timer)


def connect(
    address: Address, options: Mapping[str, Any], context: ssl.SSLContext | None, deadline: float | None
) -> Wire:
    """A connected wire to `address`, over TLS if there is a `context`.

    The addresses of a name are tried in turn.  Raises OSError (the last one's), or the built-in
    TimeoutError at `deadline`.
    """
    failure: OSError = OSError(f"no address was found for {address}")
    for family, kind, proto, target in _targets(address, options, deadline):
        try:
            return _connect(family, kind, proto, target, options, context, address, deadline)
        except TimeoutError:
            raise
        except OSError as error:
            failure = error
    raise failure


def _targets(
    address: Address, options: Mapping[str, Any], deadline: float | None
) -> Iterator[tuple[Any, ...]]:
    if address.path is not None:
        yield socket.AF_UNIX, socket.SOCK_STREAM, 0, address.path
        return
    with limit(deadline):
        found = gevent.socket.getaddrinfo(
            address.host, address.port, options.get("socket_type", 0), socket.SOCK_STREAM
        )
    for family, kind, proto, _, target in found:
        yield family, kind, proto, target


def limit(deadline: float | None) -> gevent.Timeout:
    """A block that raises the built-in TimeoutError at `deadline`."""
    seconds = None if deadline is None else max(0.0, deadline - monotonic())
    return gevent.Timeout.start_new(seconds, TimeoutError("timed out"))


def _connect(
    family: int,
    kind: int,
    proto: int,
    target: Any,
    options: Mapping[str, Any],
    context: ssl.SSLContext | None,
    address: Address,
    deadline: float | None,
) -> Wire:
    sock = NativeSocket(family, kind, proto)
    try:
        sock.setblocking(False)
        if family != socket.AF_UNIX:
            _set_tcp_options(sock, options)
        wire = Wire(sock)
    except BaseException:
        sock.close()
        raise
    ready = False
    try:
        wire.deadline = deadline
        _finish_connect(wire, target)
        if context is not None:
            wire.start_tls(context, address.host)
        ready = True
        return wire
    finally:
        if not ready:
            wire.close()


def _finish_connect(wire: Wire, target: Any) -> None:
    sock = wire.sock
    try:
        sock.connect(target)
    except BlockingIOError as error:
        if sock.family == socket.AF_UNIX:
            raise ConnectionRefusedError(error.errno, "the listener's queue is full") from error
        wire.wait(WRITE)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code)) from None


def _set_tcp_options(sock: socket.socket, options: Mapping[str, Any]) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if options.get("socket_keepalive"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (options.get("socket_keepalive_options") or {}).items():
            sock.setsockopt(socket.IPPROTO_TCP, name, value)
    seconds = options.get("tcp_user_timeout")
    if seconds is None:
        seconds = options.get("socket_timeout")
    if seconds and sys.platform == "linux":
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
