"""One connection shared by many greenlets of one hub."""

from __future__ import annotations

import sys
import weakref
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
from .core import CoreConnection
from .opening import shared_buffer
from .outbox import Outbox, Slot
from .watchdog import Watchdog
from .wire import TURN


class Link(Outbox):
    """Greenlets append commands; replies are parsed in the hub and handed to who waits for each.

    A caller who leaves before his command is written takes it with him; after that his slot stays
    and its reply is dropped: no timeout costs a connection.  When the oldest command has had no
    reply for `socket_timeout`, the link is dead and everybody who waits is told.
    """

    def __init__(self, connection: CoreConnection, on_death: Callable[[Link], None]) -> None:
        super().__init__(connection)
        self.address: Any = connection.address  # None once it is retired: nobody finds it any more
        self._buffer = shared_buffer(connection.options["socket_read_size"])
        self._on_death = on_death
        self._unasked = False  # the reply that has come in part is nobody's
        self.is_expected = False  # its death
        self._pause: Any = None
        self._switch = self._hub.switch
        self._untaken = 0  # commands in `waiting` that cannot have been executed
        self._watchdog = Watchdog(self, connection)
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

    def _leave(self, slots: list[Slot]) -> None:
        """The caller has gone: drop his commands, or else their replies. Nothing here switches greenlets."""
        if self.error is None:
            for index, slot in enumerate(self.unsent):
                if slot is slots[0]:
                    del self.unsent[index : index + len(slots)]
                    break
        for slot in slots:
            slot[0] = None

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
            except Exception as error:  # OSError, and MemoryError for what came
                self.die(self._broken(error))
                return
            self._hand_over(until)
            if not self.wire.tls:
                return
            if self._pause is None and monotonic() > until:
                self._pause_reading()

    def _hand_over(self, until: float, fed: bool = True) -> None:
        """Give each reply to its owner; at `until` the loop gets a turn first. `fed`: more has been read.

        A switch runs the owner's own code until it waits.  Whatever that raises or does, the
        other replies go to their owners.
        """
        parser, waiting = self._parser, self.waiting
        gets, unasked, partial = parser.gets, self._unasked or not waiting, fed or self._unasked
        self._handing = True
        try:
            while True:
                try:
                    reply = gets()
                except UnicodeDecodeError as error:  # the reply was whole
                    reply = error
                if reply is NOT_ENOUGH:
                    if not parser.rest or not parser.resume():
                        return
                elif reply.__class__ is Push:
                    unasked = not waiting
                    partial = unasked and bool(parser.has_data() or parser.rest)
                    continue
                elif unasked:
                    raise InvalidResponse("a reply to nothing that was asked")
                else:
                    slot = waiting.popleft()
                    unasked = not waiting
                    partial = unasked and bool(parser.has_data() or parser.rest)
                    waiter = slot[0]
                    if waiter is None:
                        continue
                    slot[0] = None
                    try:
                        waiter.switch(reply)
                    except BaseException:
                        self._hub.handle_error(waiter, *sys.exc_info())
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

    def _after_handing(self) -> None:
        if self.error is not None:
            self._tell_soon()
        elif self.address is None and not self.waiting and not self.unsent and not self.outside:
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
        self._hand_over(monotonic() + TURN, fed=False)
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
        self.error, self.crowded = error, True
        self._untaken = self._count_untaken()
        self.unsent.reverse()  # to be told from its end
        self._watchdog.cancel()
        self._stop_writable()
        self.connection.disconnect()
        self._on_death(self)
        if not self._handing:
            self._tell_soon()

    def _tell_soon(self) -> None:
        if self._pause is None:
            self._loop.run_callback(self._tell_all)

    def _tell_all(self) -> None:
        """In the hub: an error of his own for each who waits, and whether his command was written."""
        until = monotonic() + TURN
        while self.waiting or self.unsent:
            written = len(self.waiting) > self._untaken
            waiter = (self.waiting.popleft() if self.waiting else self.unsent.pop())[0]
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
        if self.outside:
            self._admit_soon()

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


def _misled() -> RuntimeError:
    return RuntimeError("a greenlet that waited for a reply was switched to by somebody else")
