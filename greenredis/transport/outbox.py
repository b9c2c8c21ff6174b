"""What greenlets want written on a link they share: in order, in few pieces, and not too much of it."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..exceptions import ConnectionError, InvalidResponse, RedisError
from .batch import Batch
from .wire import TURN, WRITE

if TYPE_CHECKING:
    from .core import CoreConnection
    from .watchdog import Watchdog

Slot = list[Any]

MOST_COMMANDS = 16_384  # written and unanswered; more callers wait
MOST_BYTES = 1_048_576  # in one write; what does not fit stays unsent
_ROOM = object()  # what a caller who waits for room is switched to with


class Outbox(ABC):
    """The writing half of a link.

    A slot stands for one reply that is owed: `[waiter, packed command]`.  The waiter is what is
    switched to with the reply: a greenlet, or a Batch; None once nobody wants the reply.
    """

    _watchdog: Watchdog

    def __init__(self, connection: CoreConnection) -> None:
        self.connection = connection
        self.where = connection.address
        self.wire, self._parser = connection.hand_over()
        self.error: RedisError | None = None
        self.unsent: list[Slot] = []
        self.waiting: deque[Slot] = deque()  # written, in order
        self.outside: OrderedDict[Any, None] = OrderedDict()  # callers who wait for room
        self.crowded = False  # callers have to wait, or to hear that the link is dead
        self._hub = self.wire.hub
        self._loop = self._hub.loop
        self._backlog: memoryview | None = None  # the rest of a write that the kernel did not take whole
        self._flush_due = False
        self._handing = False  # callers are being switched to: what they append is written afterwards
        self._written = 0  # commands, ever
        self._writable: Any = None
        self._admission: Any = None
        self._readable = self.wire.own_watcher()

    @abstractmethod
    def die(self, error: RedisError) -> None:
        """The link is broken."""

    @abstractmethod
    def _after_handing(self) -> None:
        """Callers have been switched to: what they did is seen to."""

    # -- writing

    def _flush(self) -> None:
        """Write what is unsent, a megabyte at most. Nothing here switches greenlets."""
        self._flush_due = False
        unsent, waiting = self.unsent, self.waiting
        if not unsent or self._writable is not None or self.error is not None:
            return
        now, data = unsent, unsent[0][1]
        if len(unsent) > 1:
            pieces = [slot[1] for slot in unsent]
            if sum(map(len, pieces)) > MOST_BYTES:
                now = _first_of(unsent)
                pieces = pieces[: len(now)]
            data = b"".join(pieces)
        try:
            count = self.wire.sock.send(data)
        except BlockingIOError:
            self._wait_until_writable()
            if not self.wire.tls:  # which may have taken a part, and wants the same bytes again
                return
            count = 0
        except OSError as error:
            self.die(self._broken(error))
            return
        if not waiting:
            self._readable.ref = True
        waiting.extend(now)
        self._written += len(now)
        del unsent[: len(now)]
        self._watchdog.wrote(self._written)
        if count < len(data):
            self._backlog = memoryview(data)[count:]
        if unsent or self._backlog:
            self._wait_until_writable()
        elif len(waiting) > MOST_COMMANDS:
            self.crowded = True

    def _wait_until_writable(self) -> None:
        self.crowded = True
        if self._writable is None:
            self._writable = self._loop.io(self.wire.fileno, WRITE)
            self._writable.start(self._on_writable)

    def _on_writable(self) -> None:
        """In the hub: go on with the write that did not fit. Reads go on meanwhile."""
        try:
            while self._backlog:
                self._backlog = self._backlog[self.wire.sock.send(self._backlog) :]
        except BlockingIOError:
            return
        except OSError as error:
            self.die(self._broken(error))
            return
        self._backlog = None
        self._stop_writable()
        self._flush()
        self._make_room()

    def _stop_writable(self) -> None:
        watcher, self._writable = self._writable, None
        if watcher is not None:
            watcher.stop()
            watcher.close()

    def _count_untaken(self) -> int:
        """How many of the last commands the kernel did not take whole; of a batch it may have taken some."""
        left, count = len(self._backlog or b""), 0
        for slot in reversed(self.waiting):
            if left <= 0 or not slot[1] or isinstance(slot[0], Batch):
                break
            left -= len(slot[1])
            count += 1
        return count

    def _broken(self, error: Exception) -> RedisError:
        if isinstance(error, RedisError):
            broken = error
        elif isinstance(error, OSError):
            broken = ConnectionError(f"{type(error).__name__} on the link to {self.where}: {error}")
        else:
            broken = InvalidResponse(f"{type(error).__name__} in a reply from {self.where}: {error}")
        broken.address = self.where
        return broken

    # -- room

    def _wait_for_room(self, caller: Any) -> None:
        """A switch point. Callers are let in in the order in which they came."""
        self.outside[caller] = None
        try:
            while self.error is None and self._hub.switch() is not _ROOM:
                pass
        finally:
            self.outside.pop(caller, None)

    def _make_room(self) -> None:
        """Let in those who wait, once half of the bound is free. Nothing here switches greenlets."""
        if self.crowded and self._writable is None and len(self.waiting) <= MOST_COMMANDS // 2:
            if self.outside:
                self._admit_soon()
            else:
                self.crowded = self.error is not None

    def _admit_soon(self) -> None:
        if self._admission is None:
            self._admission = self._loop.timer(0.0)
            self._admission.start(self._admit)

    def _admit(self) -> None:
        """In the hub: switch to as many as there is room for, and write all that they append."""
        self._admission.close()
        self._admission = None
        until = monotonic() + TURN
        self._handing = True
        try:
            while self.outside and (self.error is not None or self._has_room()):
                caller = self.outside.popitem(last=False)[0]
                try:
                    caller.switch(_ROOM)
                except BaseException:
                    self._hub.handle_error(caller, *sys.exc_info())
                if monotonic() > until:
                    break
        finally:
            self._handing = False
            self._flush()
            self._after_handing()

    def _has_room(self) -> bool:
        return self._writable is None and len(self.waiting) + len(self.unsent) < MOST_COMMANDS


def _first_of(unsent: list[Slot]) -> list[Slot]:
    """As many slots as fit into one write, or one; the slots of a batch stay together."""
    size = end = 0
    for slot in unsent:
        size += len(slot[1])
        if size > MOST_BYTES and end and slot[1]:
            break
        end += 1
    return unsent[:end]
