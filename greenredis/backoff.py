"""How long to wait before the next attempt: redis-py's backoffs."""

from __future__ import annotations

import abc
import random

# Seconds.
DEFAULT_CAP = 0.512
DEFAULT_BASE = 0.008


class AbstractBackoff(abc.ABC):
    """Seconds to wait, given how many attempts have failed."""

    def reset(self) -> None:
        """Forget earlier failures; called before the first attempt."""
        return

    @abc.abstractmethod
    def compute(self, failures: int) -> float:
        """Seconds to wait after the `failures`-th failure, counted from 1."""


class ConstantBackoff(AbstractBackoff):
    """`backoff` seconds every time."""

    def __init__(self, backoff: float) -> None:
        self._backoff = backoff

    def compute(self, failures: int) -> float:
        return self._backoff

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ConstantBackoff):
            return NotImplemented
        return self._backoff == other._backoff

    def __hash__(self) -> int:
        return hash(self._backoff)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._backoff})"


class NoBackoff(ConstantBackoff):
    """The next attempt follows at once."""

    def __init__(self) -> None:
        super().__init__(0)

    def __repr__(self) -> str:
        return "NoBackoff()"


class _Growing(AbstractBackoff):
    """Doubles from `base` seconds with each failure, up to `cap` seconds; equal to its own kind by both."""

    def __init__(self, cap: float = DEFAULT_CAP, base: float = DEFAULT_BASE) -> None:
        self._cap = cap
        self._base = base

    def _doubled(self, failures: int) -> float:
        # 2.0**1024 overflows, and whoever retries forever gets there.
        return self._base * 2.0 ** min(failures, 1000)

    def _ceiling(self, failures: int) -> float:
        return min(self._cap, self._doubled(failures))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Growing) or not isinstance(other, type(self)):
            return NotImplemented
        return (self._base, self._cap) == (other._base, other._cap)

    def __hash__(self) -> int:
        return hash((self._base, self._cap))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(cap={self._cap}, base={self._base})"


class ExponentialBackoff(_Growing):
    """min(cap, base * 2**failures), without jitter: many callers then come back together."""

    def compute(self, failures: int) -> float:
        return self._ceiling(failures)


class FullJitterBackoff(_Growing):
    """Anything from 0 to what ExponentialBackoff gives."""

    def compute(self, failures: int) -> float:
        return random.uniform(0, self._ceiling(failures))


class EqualJitterBackoff(_Growing):
    """At least half of what ExponentialBackoff gives, and at most all of it."""

    def compute(self, failures: int) -> float:
        half = self._ceiling(failures) / 2
        return half + random.uniform(0, half)


class DecorrelatedJitterBackoff(_Growing):
    """From base to three times the wait before, up to the cap; remembers that wait until reset()."""

    def __init__(self, cap: float = DEFAULT_CAP, base: float = DEFAULT_BASE) -> None:
        super().__init__(cap, base)
        self._previous = 0.0

    def reset(self) -> None:
        self._previous = 0.0

    def compute(self, failures: int) -> float:
        wait = random.uniform(self._base, max(self._base, self._previous * 3))
        self._previous = min(self._cap, wait)
        return self._previous


class ExponentialWithJitterBackoff(_Growing):
    """A random part of base * 2**failures, up to the cap: unlike FullJitterBackoff's it piles up there."""

    def compute(self, failures: int) -> float:
        return min(self._cap, random.random() * self._doubled(failures))


def default_backoff() -> AbstractBackoff:
    """A new EqualJitterBackoff with the default cap and base."""
    return EqualJitterBackoff()
