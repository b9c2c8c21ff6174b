"""Watches a link: is the oldest command overdue, has it been idle, has it lived long enough?"""

from __future__ import annotations

import weakref
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

from .alarm import Alarm

if TYPE_CHECKING:
    from .core import CoreConnection
    from .link import Link

GRAIN = 0.02  # seconds: what is written within it shares a mark
NEVER = float("inf")


class Watchdog:
    """One alarm for all commands of a link, instead of one timer each.

    A mark says how many commands had been written by when.  The oldest command is overdue
    `socket_timeout` after its mark, so it is noticed up to GRAIN late.
    """

    def __init__(self, link: Link, connection: CoreConnection) -> None:
        self._link = weakref.proxy(link)
        self._timeout = connection.socket_timeout
        self._interval = connection.health_check_interval
        self._expires = connection.expires
        self._idle = connection.max_idle_time
        self._marks: deque[tuple[float, int]] = deque()
        self._last_write = monotonic()
        self._alarm = Alarm(link.wire.hub.loop, self._on_alarm)
        if (first := self._next()) is not None:
            self._alarm.set(first)

    def wrote(self, count: int) -> None:
        """So many commands have been written, ever. Nothing here switches greenlets."""
        self._last_write = now = monotonic()
        if self._timeout is None:
            return
        marks = self._marks
        if marks and now < marks[-1][0]:
            marks[-1] = (marks[-1][0], count)
            return
        marks.append((now + GRAIN, count))
        if self._alarm.when > now + GRAIN + self._timeout:
            self._alarm.set(now + GRAIN + self._timeout)

    def cancel(self) -> None:
        """Watch no more."""
        self._alarm.cancel()

    def _on_alarm(self) -> float | None:
        now, marks, link = monotonic(), self._marks, self._link
        while marks and marks[0][1] <= link.answered:
            marks.popleft()
        if now >= self._expires or (not marks and now >= self._last_write + self._idle):
            self._expires = self._idle = NEVER
            link.retire()
        if marks and self._timeout is not None and now >= marks[0][0] + self._timeout:
            link.time_out(self._timeout)
        elif not marks and self._interval and now >= self._last_write + self._interval:
            link.ping()
        return None if link.error is not None else self._next()

    def _next(self) -> float | None:
        due = min(self._expires, max(self._last_write, monotonic()) + self._idle)
        if self._marks and self._timeout is not None:
            due = min(due, self._marks[0][0] + self._timeout)
        if self._interval:
            due = min(due, max(self._last_write, monotonic()) + self._interval)
        return due if due < NEVER else None
