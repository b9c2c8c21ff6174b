"""How often a failed attempt is repeated, and after how long."""

from __future__ import annotations

import copy
import socket
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import gevent

from .backoff import AbstractBackoff, ExponentialWithJitterBackoff, NoBackoff
from .exceptions import ConnectionError, TimeoutError

T = TypeVar("T")

# redis-py's for Redis(): seconds and attempts after the first.
DEFAULT_RETRY_COUNT = 10
DEFAULT_RETRY_BASE = 0.01
DEFAULT_RETRY_CAP = 1


class Retry:
    """Up to `retries` attempts after the first, forever if negative, for failures of the supported classes.

    Mutable, so whoever keeps one takes a copy.deepcopy(); equal when backoff, retries and classes are.
    """

    def __init__(
        self,
        backoff: AbstractBackoff,
        retries: int,
        supported_errors: tuple[type[Exception], ...] = (ConnectionError, TimeoutError, socket.timeout),
    ) -> None:
        self._backoff = backoff
        self._retries = retries
        self._supported_errors = tuple(supported_errors)

    @property
    def supported_errors(self) -> tuple[type[Exception], ...]:
        """The classes of error after which there is another attempt."""
        return self._supported_errors

    def update_supported_errors(self, specified_errors: Iterable[type[Exception]]) -> None:
        """Add these classes to the supported ones."""
        self._supported_errors = tuple(dict.fromkeys((*self._supported_errors, *specified_errors)))

    def get_retries(self) -> int:
        """The attempts allowed after the first; negative for any number."""
        return self._retries

    def update_retries(self, value: int) -> None:
        """Allow `value` attempts after the first."""
        self._retries = value

    def reset(self) -> None:
        """Start the backoff anew, before a first attempt."""
        self._backoff.reset()

    def allows(self, failures: int) -> bool:
        """Whether another attempt may follow after so many failures."""
        return self._retries < 0 or failures <= self._retries

    def backoff_seconds(self, failures: int) -> float:
        """Seconds to wait after the `failures`-th failure (from 1), never negative; does not wait itself."""
        return max(0.0, self._backoff.compute(failures))

    def call_with_retry(
        self,
        do: Callable[[], T],
        fail: Callable[..., Any],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> T:
        """What `do()` returns at its first success; otherwise the last failure is raised.

        `fail(error)`, or `fail(error, failures)` with `with_failure_count`, is called after each supported
        failure, also the last. Errors that `is_retryable` refuses are raised at once. Waits in between let
        other greenlets run, at least once around the loop.
        """
        self.reset()
        failures = 0
        while True:
            try:
                return do()
            except self._supported_errors as error:
                if is_retryable is not None and not is_retryable(error):
                    raise
                failures += 1
                fail(error, failures) if with_failure_count else fail(error)
                if not self.allows(failures):
                    raise
            # Outside the handler, so that a sleeping greenlet keeps no traceback and its frames alive.
            gevent.sleep(self.backoff_seconds(failures))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Retry):
            return NotImplemented
        return (self._backoff, self._retries, frozenset(self._supported_errors)) == (
            other._backoff,
            other._retries,
            frozenset(other._supported_errors),
        )

    def __hash__(self) -> int:
        return hash((self._backoff, self._retries, frozenset(self._supported_errors)))

    def __repr__(self) -> str:
        names = ", ".join(error.__name__ for error in self._supported_errors)
        return f"<{type(self).__name__} {self._retries} times, {self._backoff!r}, on {names}>"


def default_retry() -> Retry:
    """A new one as Redis() has without `retry`: 10 attempts more, 10 ms doubling up to 1 s, jittered."""
    backoff = ExponentialWithJitterBackoff(cap=DEFAULT_RETRY_CAP, base=DEFAULT_RETRY_BASE)
    return Retry(backoff, DEFAULT_RETRY_COUNT)


def retry_policy(
    retry: Retry | None,
    retry_on_error: Iterable[type[Exception]] = (),
    retry_on_timeout: bool = False,
) -> Retry:
    """A Retry of the caller's own from the three options, by redis-py's rule.

    A given `retry` is copied; without one there is one attempt more if errors are named, otherwise none.
    The named errors, and TimeoutError with `retry_on_timeout`, are added to the supported ones.
    """
    errors = [*retry_on_error, TimeoutError] if retry_on_timeout else list(retry_on_error)
    policy = Retry(NoBackoff(), 1 if errors else 0) if retry is None else copy.deepcopy(retry)
    policy.update_supported_errors(errors)
    return policy
