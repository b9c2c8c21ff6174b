"""A native, non-blocking socket, and a greenlet's wait for it in gevent's loop."""

from __future__ import annotations

import os
import socket
import weakref
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from gevent import getcurrent
from gevent.hub import get_hub
from gevent.lock import BoundedSemaphore

from ..driver_info import UNSET as _UNSET
from .alarm import Alarm
from .tls_socket import TlsSocket

if TYPE_CHECKING:
    import ssl

T = TypeVar("T")

READ, WRITE = 1, 2  # libev's events
UNSET: Any = _UNSET
TURN = 0.003  # seconds that a loop may go on before the hub gets a turn; a few may meet in one round


class Wire:
    """A socket and one greenlet's wait for it, while another one may wait to write.

    The only switch points are in `wait` and `_wait_to_write`.
    """

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
        self._writer: Any = None
        self._watchers: dict[int, Any] = {e: hub.loop.io(self.fileno, e) for e in (READ, WRITE)}
        self._readable = self._watchers[READ]
        self._alarm = Alarm(hub.loop, self._on_alarm)
        _wires.add(self)
        _sockets.add(sock)

    def own_watcher(self) -> Any:
        """A watcher for reading that the caller starts; the wire closes it, and the loop can end."""
        watcher = self._watchers[0] = self.hub.loop.io(self.fileno, READ, ref=False)
        return watcher

    def let_loop_end(self) -> None:
        """From now on waiting for it does not keep the loop running."""
        for watcher in self._watchers.values():
            watcher.ref = False

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

    def send_all(self, data: bytes | memoryview, until: float | None = UNSET) -> None:
        """Write all of `data` by `until`, unless given by `deadline`.

        `unsent` of the error tells how much was not taken.
        """
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
                    self._wait_to_write(self.deadline if until is UNSET else until)
                    turn = monotonic() + TURN
                else:
                    turn = self._give_turn(turn) if left else turn
        except OSError as error:
            error.unsent = len(left)  # type: ignore[attr-defined]
            raise

    def _wait_to_write(self, until: float | None) -> None:
        """As `wait`, and leaves alone whoever waits to read, with his deadline."""
        if self.closed:
            raise ConnectionAbortedError("closed by its owner")
        self._writer = caller = getcurrent()
        watcher, loop = self._watchers[WRITE], self.hub.loop
        timer = None if until is None else loop.timer(max(0.0, until - monotonic()))
        watcher.start(caller.switch, watcher)
        try:
            if timer is not None:
                timer.start(caller.switch, _EXPIRED)
            woken = self.hub.switch()
        finally:
            self._writer = None
            watcher.stop()
            if timer is not None:
                timer.stop()
                timer.close()
        if woken is _EXPIRED:
            raise TimeoutError("timed out")
        if woken is not watcher:
            raise ConnectionAbortedError("closed by its owner")

    def _give_turn(self, turn: float) -> float:
        if monotonic() < turn:
            return turn
        give_turn(self.hub)
        return monotonic() + TURN

    def start_tls(self, context: ssl.SSLContext, server_hostname: str | None) -> None:
        """Do the handshake by `deadline`; from then on the socket is the encrypted one."""
        secure = TlsSocket(self.sock, context, server_hostname)
        done = False
        while not done:
            try:
                done = self._advance(secure)
            except BlockingIOError:
                self.wait(WRITE if secure.has_pending_writes() else READ)
        self.sock, self.tls = secure, True

    def _advance(self, secure: TlsSocket) -> bool:
        """One step of the handshake, about a millisecond: one at a time in each hub, with turns between."""
        gate = _gates.get(self.hub) or _gates.setdefault(self.hub, BoundedSemaphore(1))
        with gate:
            try:
                return secure.handshake()
            finally:
                give_turn(self.hub)

    def looks_idle(self) -> bool:
        """Whether the server has neither closed nor sent anything since the last reply."""
        found = self._peek()
        return found is None or (self.tls and bool(found) and self._tls_is_alive())

    def is_cut(self) -> bool:
        """Whether the server has closed, and nothing is left to read."""
        return self._peek() == b""

    def _peek(self) -> bytes | None:
        """The next byte that came, b"" at the end, None if there is nothing yet."""
        if self.closed:
            return b""
        try:
            return self.native.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        except OSError:
            return b""

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
        for who in ("_waiter", "_writer"):
            if getattr(self, who) is not None:
                self.hub.loop.run_callback(self._wake, who)

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

    def _wake(self, who: str) -> None:
        waiter = getattr(self, who)
        if waiter is not None:
            waiter.switch(_CLOSED)

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
_gates: weakref.WeakKeyDictionary[Any, BoundedSemaphore] = weakref.WeakKeyDictionary()
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


def in_turns(items: Iterable[T]) -> Iterator[T]:
    """The same items; between two of them the hub gets a turn when it is due, the only switch point."""
    share = TURN / 2  # loops follow one another: the end of one and the start of the next are in one turn
    turn = monotonic() + share
    for item in items:
        if monotonic() > turn:
            give_turn(get_hub())
            turn = monotonic() + share
        yield item
