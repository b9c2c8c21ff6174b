"""A timer that costs next to nothing to push back."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from time import monotonic
from typing import Any


class Alarm:
    """Calls `ring()` in the hub at the time asked for, or earlier; `ring` answers when to ring next.

    `ring()` returns the next time (monotonic clock), or None to stay silent until `set`.  So
    whoever has a deadline for each of many waits sets the alarm once and looks, when it rings,
    whether anything is due.  It holds its owner weakly and never keeps the loop alive.
    """

    __slots__ = ("_loop", "_ring", "_timer", "when")

    def __init__(self, loop: Any, ring: Callable[[], float | None]) -> None:
        self._loop = loop
        self._ring = weakref.WeakMethod(ring)
        self._timer: Any = None
        self.when = float("inf")  # nothing rings before

    def set(self, when: float) -> None:
        """Ring at `when` at the latest. Nothing here switches greenlets."""
        if when < self.when:
            self.cancel()
            self.when = when
            self._timer = self._loop.timer(max(0.0, when - monotonic()), ref=False)
            self._timer.start(self._on_timer)

    def cancel(self) -> None:
        """Ring no more. Nothing here switches greenlets."""
        timer, self._timer = self._timer, None
        self.when = float("inf")
        if timer is not None:
            timer.stop()
            timer.close()

    def _on_timer(self) -> None:
        self.cancel()
        ring = self._ring()
        when = ring() if ring is not None else None
        if when is not None:
            self.set(when)
