"""One connection shared by many greenlets of one hub.

A slot stands for one reply that is owed: `[waiter, packed command]`.  The waiter is what is switched
to with the reply: a greenlet, or a Batch; None once nobody wants the reply.
"""

from __future__ import annotations

import sys
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any

from gevent import getcurrent

from .. import deadlines
from ..deadlines import bounded
from ..exceptions import ConnectionError, InvalidResponse, RedisError, TimeoutError, fresh
from ..protocol import NOT_ENOUGH, Push
from .batch import Batch
from .core import CoreConnection, shared_buffer
from .watchdog import Watchdog
from .wire import TURN, WRITE

Slot = list[Any]

MOST_COMMANDS = 16_384  # written and unanswered; more callers wait
MOST_BYTES = 1_048_576  # in one write; what does not fit stays unsent


class Link:
    """Greenlets append commands; replies are parsed in the hub and handed to who waits for each.

    A caller who leaves before his command is written takes it with him; after that his slot stays
    and its reply is dropped: no timeout costs a connection.  When the oldest command has had no
    reply for `socket_timeout`, the link is dead and everybody who waits is told.
    """

    def __init__(self, connection: CoreConnection, on_death: Callable[[Link], None]) -> None:
        self.connection = connection
        self.address: Any = connection.address  # None once it is retired: nobody finds it any more
        self.where = connection.address
        self.wire, self._parser = connection.hand_over()
        self._hub = self.wire.hub
        self._switch = self._hub.switch
        self._loop = self._hub.loop
        self._buffer = shared_buffer(connection.options["socket_read_size"])
        self._on_death = on_death
        self.unsent: list[Slot] = []
        self.waiting: deque[Slot] = deque()  # written, in order
        self._backlog: memoryview | None = None  # the rest of a write that the kernel did not take whole
        self._outside: deque[Any] = deque()  # callers who wait for room
        self.crowded = False
        self._flush_due = False
        self._handing = False
        self._unasked = False  # the reply that has come in part is nobody's
        self.error: RedisError | None = None
        self.is_expected = False  # its death
        self._untaken = 0  # commands in `waiting` that cannot have been executed
        self._written = 0  # commands, ever
        self._watchdog = Watchdog(self, connection)
        self._writable: Any = None
        self._pause: Any = None
        self._readable = self.wire.own_watcher()
        self._readable.start(partial(_on_readable, weakref.ref(self)))
        self.wire.on_abandon = weakref.WeakMethod(self._on_fork)

    def __repr__(self) -> str:
        state = (
            f"dead: {self.error}" if self.error else f"{len(self.unsent)} unsent, {len(self.waiting)} owed"
        )
        return f"<Link {self.where} {state}>"

    # -- callers

    def execute(self, packed: bytes) -> Any:
        """The reply to a packed command; an error reply is returned, not raised.

        Switch points: the wait for room where there is none, and the wait for the reply.  Raises
        ConnectionError or TimeoutError, whose `maybe_executed` says whether it was written.
        """
        caller = getcurrent()
        slot = [caller, packed]
        if self.crowded or bounded or caller is self._hub:
            return self._execute_carefully(slot, [slot])
        self.unsent.append(slot)
        if not self._handing:  # else it is written when the replies at hand have been handed over
            if not self.waiting:
                self._flush()
            elif not self._flush_due:
                self._flush_due = True
                self._loop.run_callback(self._flush)
        try:
            reply = self._switch()
            if slot[0] is None:
                return reply
        finally:
            if slot[0] is not None:
                self._leave([slot])
        raise _misled()

    def execute_many(self, packed: bytes, count: int) -> list[Any]:
        """The replies to `count` commands that are written as one piece; errors among them."""
        batch = Batch(getcurrent(), count)
        slots: list[Slot] = [[batch, packed], *([batch, b""] for _ in range(count - 1))]
        try:
            replies: list[Any] = self._execute_carefully(slots[-1], slots)
            return replies
        finally:
            batch.caller = None

    def _execute_carefully(self, last: Slot, slots: list[Slot]) -> Any:
        """As `execute`, where there may be no room or the caller has a deadline."""
        caller = getcurrent()
        if caller is self._hub:
            raise RuntimeError("a command cannot wait in the hub: spawn a greenlet for it")
        until = deadlines.current()
        timer = None if until is None else self._start_timer(caller, slots[0], until)
        try:
            if self.crowded:
                self._wait_for_room(caller)
            if self.error is not None:
                raise fresh(self.error)
            self.unsent.extend(slots)
            if not self._handing:
                self._flush()
            reply = self._switch()
            if last[0] is None:
                return reply
        finally:
            if timer is not None:
                timer.stop()
                timer.close()
            if last[0] is not None:
                self._leave(slots)
        raise _misled()

    def _start_timer(self, caller: Any, first: Slot, until: float) -> Any:
        def expire() -> None:
            error = TimeoutError(f"no reply from {self.where} by the deadline")
            error.address = self.where
            error.maybe_executed = first[0] is None or any(slot is first for slot in self.waiting)
            caller.throw(error)

        timer = self._loop.timer(max(0.0, until - monotonic()))
        timer.start(expire)
        return timer

    def _wait_for_room(self, caller: Any) -> None:
        self._outside.append(caller)
        try:
            while self.crowded and self.error is None:
                self._switch()
        finally:
            if caller in self._outside:
                self._outside.remove(caller)

    def _leave(self, slots: list[Slot]) -> None:
        """The caller has gone: drop his commands, or else their replies. Nothing here switches greenlets."""
        for index, slot in enumerate(self.unsent):
            if slot is slots[0]:
                del self.unsent[index : index + len(slots)]
                break
        for slot in slots:
            slot[0] = None

    # -- writing

    def _flush(self) -> None:
        """Write what is unsent in one piece, or more where it is long. Nothing here switches greenlets."""
        self._flush_due = False
        unsent, waiting = self.unsent, self.waiting
        while unsent and self._writable is None and self.error is None:
            data = unsent[0][1] if len(unsent) == 1 else b"".join([slot[1] for slot in unsent])
            now = unsent
            if len(data) > MOST_BYTES:
                now = self._first_of(unsent)
                data = b"".join([slot[1] for slot in now])
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
                self._wait_until_writable()
            elif len(waiting) > MOST_COMMANDS:
                self.crowded = True

    @staticmethod
    def _first_of(unsent: list[Slot]) -> list[Slot]:
        """As many slots as fit into one write, or one; the slots of a batch stay together."""
        size = end = 0
        for slot in unsent:
            size += len(slot[1])
            if size > MOST_BYTES and end and slot[1]:
                break
            end += 1
        return unsent[:end]

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

    def _make_room(self) -> None:
        """Let in those who wait, in order, once half of the bound is free."""
        if self.crowded and self._writable is None and len(self.waiting) <= MOST_COMMANDS // 2:
            self.crowded = False
            self._let_in()

    def _let_in(self) -> None:
        for caller in self._outside:
            self._loop.run_callback(_switch_if, self._outside, caller)

    # -- reading

    def _read(self) -> None:
        """In the hub: read, parse, hand over. TLS may have decrypted what no event announces."""
        until = monotonic() + TURN
        while self.error is None and self._pause is None:
            try:
                count = self.wire.sock.recv_into(self._buffer)
                if not count:
                    raise ConnectionResetError("the server closed the connection")
                self._parser.feed(self._buffer, count)
            except BlockingIOError:
                return
            except OSError as error:
                self.die(self._broken(error))
                return
            self._hand_over(until)
            if not self.wire.tls:
                return

    def _hand_over(self, until: float) -> None:
        """Give each reply to its owner; at `until` the loop gets a turn first.

        A switch runs the owner's own code until it waits.  Whatever that raises or does, the
        other replies go to their owners.
        """
        parser, waiting = self._parser, self.waiting
        gets, unasked, partial = parser.gets, self._unasked or not waiting, True
        self._handing = True
        try:
            while True:
                try:
                    while (reply := gets()) is not NOT_ENOUGH:
                        if reply.__class__ is Push:
                            unasked, partial = not waiting, parser.has_data()
                            continue
                        if unasked:
                            raise InvalidResponse("a reply to nothing that was asked")
                        slot = waiting.popleft()
                        if not waiting:
                            unasked, partial = True, parser.has_data()
                        waiter = slot[0]
                        if waiter is not None:
                            slot[0] = None
                            try:
                                waiter.switch(reply)
                            except BaseException:
                                self._hub.handle_error(waiter, *sys.exc_info())
                            if monotonic() > until:
                                self._pause_reading()
                                return
                except UnicodeDecodeError as error:
                    self._hand_error(error)
                    continue
                if not parser.rest or not parser.resume():
                    return
                if monotonic() > until:
                    self._pause_reading()
                    return
        except Exception as error:  # also what hiredis could not make a Python value of
            self.die(self._broken(error))
        finally:
            self._handing = False
            self._unasked = unasked and partial
            if not waiting:
                self._readable.ref = False
            if self.unsent:
                self._flush()
            if self.crowded or self.error is not None or self.address is None:
                self._after_handing()

    def _hand_error(self, error: Exception) -> None:
        """The reply was whole, but could not be decoded."""
        slot = self.waiting.popleft()
        waiter, slot[0] = slot[0], None
        if waiter is not None:
            try:
                waiter.switch(error)
            except BaseException:
                self._hub.handle_error(waiter, *sys.exc_info())

    def _after_handing(self) -> None:
        if self.error is not None:
            self._tell_soon()
        elif self.address is None and not self.waiting and not self.unsent:
            self.close("is not used any more")
        else:
            self._make_room()

    def _pause_reading(self) -> None:
        """Go on in the loop's next round."""
        if self.error is None:
            self._readable.stop()
        self._pause = self._loop.timer(0.0)
        self._pause.start(self._on_pause_end)

    def _on_pause_end(self) -> None:
        self._pause.close()
        self._pause = None
        if self.error is None:
            self._readable.start(partial(_on_readable, weakref.ref(self)))
        self._hand_over(monotonic() + TURN)
        if self.wire.tls:
            self._read()

    # -- the end

    def re_authenticate(self) -> None:
        """Log in with the connection's new token; the link dies if the server refuses it."""
        token, self.connection._re_auth_token = self.connection._re_auth_token, None
        if token is None:
            return
        words = ("AUTH", token.try_get("oid"), token.get_value())
        try:
            reply = self.execute(self.connection.encoder.pack(words))  # type: ignore[arg-type]
        except RedisError as error:
            reply = error
        if isinstance(reply, Exception):
            self.die(ConnectionError(f"{self.where} refused the new credentials: {reply}"))

    def retire(self) -> None:
        """Take no more commands; close when all replies have come. Nothing here switches greenlets."""
        self.address = None
        if not self._handing and not self.waiting and not self.unsent:
            self._after_handing()

    def close(self, why: str) -> None:
        """Close on purpose; who waits gets a ConnectionError. Nothing here switches greenlets."""
        self.is_expected = True
        self.die(ConnectionError(f"the link to {self.where} {why}"))

    def die(self, error: RedisError) -> None:
        """Close, and tell everybody who waits, in the hub's next turn. Nothing here switches greenlets."""
        if self.error is not None:
            return
        self.error = error
        self._untaken = self._count_untaken()
        self._watchdog.cancel()
        self._stop_writable()
        self.connection.disconnect()
        self._on_death(self)
        if not self._handing:
            self._tell_soon()

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

    def _tell_soon(self) -> None:
        if self._pause is None:
            self._loop.run_callback(self._tell_all)

    def _tell_all(self) -> None:
        """In the hub: an error of his own for each who waits, and whether his command was written."""
        until = monotonic() + TURN
        while self.waiting or self.unsent:
            written = len(self.waiting) > self._untaken
            waiter = (self.waiting.popleft() if self.waiting else self.unsent.pop(0))[0]
            if waiter is None or self.error is None:
                continue
            error = fresh(self.error)
            error.maybe_executed = written
            try:
                waiter.throw(error)
            except BaseException:
                self._hub.handle_error(waiter, *sys.exc_info())
            if monotonic() > until:
                timer = self._loop.timer(0.0)
                timer.start(self._tell_all)
                return
        self._let_in()

    # -- for the watchdog

    @property
    def answered(self) -> int:
        """How many of the commands written have been answered, ever."""
        return self._written - len(self.waiting)

    def ping(self) -> None:
        """Write a PING whose reply nobody wants. Nothing here switches greenlets."""
        if self.error is None:
            self.unsent.append([None, b"*1\r\n$4\r\nPING\r\n"])
            self._flush()

    def time_out(self, seconds: float) -> None:
        """The oldest command has waited too long."""
        error = TimeoutError(f"no reply from {self.where} for {seconds} s")
        error.address = self.where
        self.die(error)

    def _on_fork(self) -> None:
        self.close("belongs to the parent process")


def _on_readable(reference: weakref.ref[Link]) -> None:
    link = reference()
    if link is not None:
        link._read()


def _switch_if(waiting: deque[Any], caller: Any) -> None:
    if caller in waiting:
        caller.switch()


def _misled() -> RuntimeError:
    return RuntimeError("a greenlet that waited for a reply was switched to by somebody else")
