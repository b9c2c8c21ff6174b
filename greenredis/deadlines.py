"""`with deadline(seconds)`: bounds everything that a greenlet does in a block."""

from __future__ import annotations

from time import monotonic
from types import TracebackType

import greenlet
from gevent import getcurrent

# When each greenlet's block ends. Only the greenlet itself writes its entry, and takes it out again.
bounded: dict[greenlet.greenlet, float] = {}


class deadline:  # a context manager, named as a function is
    """Bound every call of this greenlet in the block, all attempts and waits included.

    `seconds`: from the start of the block.  Nested blocks: the nearer end counts.  A call that is
    not done by then raises TimeoutError, whose `maybe_executed` says whether it was sent, or the
    error of its last attempt where there is no time for another.  One object may be used again.
    Greenlets that the block spawns are not bound by it.
    """

    __slots__ = ("_outer", "seconds")  # what counted outside of each block that is open now

    def __init__(self, seconds: float) -> None:
        if not seconds >= 0:
            raise ValueError(f"deadline({seconds!r}): give a number of seconds, 0 or more")
        self.seconds = seconds
        self._outer: dict[greenlet.greenlet, list[float | None]] = {}

    def __enter__(self) -> deadline:
        caller = getcurrent()
        outer = bounded.get(caller)
        self._outer.setdefault(caller, []).append(outer)
        end = monotonic() + self.seconds
        bounded[caller] = end if outer is None else min(end, outer)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        caller = getcurrent()
        outers = self._outer[caller]
        outer = outers.pop()
        if not outers:
            del self._outer[caller]
        if outer is None:
            bounded.pop(caller, None)
        else:
            bounded[caller] = outer


def current() -> float | None:
    """When this greenlet's block ends, on the monotonic clock; None outside any block."""
    return bounded.get(getcurrent()) if bounded else None


def after(seconds: float | None) -> float | None:
    """The time `seconds` from now (None: never), or the end of this greenlet's block if that is nearer."""
    when = None if seconds is None else monotonic() + seconds
    if bounded:
        end = bounded.get(getcurrent())
        if end is not None and (when is None or end < when):
            return end
    return when
