"""Retry and the backoffs: redis-py's contract, and what greenlets need of them."""

from __future__ import annotations

import copy
import random
import socket
from typing import Any

import gevent
import pytest
import redis.backoff

from greenredis import backoff
from greenredis.backoff import AbstractBackoff, ConstantBackoff, ExponentialBackoff, NoBackoff
from greenredis.exceptions import BusyLoadingError, ConnectionError, DataError, TimeoutError
from greenredis.retry import Retry, default_retry, retry_policy

GROWING = [
    "ExponentialBackoff",
    "FullJitterBackoff",
    "EqualJitterBackoff",
    "DecorrelatedJitterBackoff",
    "ExponentialWithJitterBackoff",
]


class Flaky:
    """Fails `times` times with `error`, then returns "done"."""

    def __init__(self, times: int, error: BaseException) -> None:
        self.times, self.error, self.calls = times, error, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return "done"


@pytest.mark.parametrize("name", GROWING)
def test_backoffs_give_what_redis_py_gives(name: str) -> None:
    ours = getattr(backoff, name)(cap=0.5, base=0.01)
    theirs = getattr(redis.backoff, name)(cap=0.5, base=0.01)
    for policy in (ours, theirs):
        policy.reset()
    for failures in range(1, 40):
        random.seed(failures)
        mine = ours.compute(failures)
        random.seed(failures)
        assert mine == pytest.approx(theirs.compute(failures))
        assert 0 <= mine <= 0.5


@pytest.mark.parametrize("name", GROWING)
def test_backoffs_last_for_ever(name: str) -> None:
    assert 0 <= getattr(backoff, name)().compute(100_000) <= backoff.DEFAULT_CAP


def test_backoff_constants_and_default() -> None:
    assert (backoff.DEFAULT_CAP, backoff.DEFAULT_BASE) == (
        redis.backoff.DEFAULT_CAP,
        redis.backoff.DEFAULT_BASE,
    )
    theirs: Any = redis.backoff
    theirs = theirs.default_backoff()
    assert type(backoff.default_backoff()).__name__ == type(theirs).__name__
    assert ConstantBackoff(3).compute(7) == 3
    assert NoBackoff().compute(7) == 0


@pytest.mark.parametrize("name", GROWING)
def test_backoffs_are_equal_by_value(name: str) -> None:
    kind = getattr(backoff, name)
    assert kind(1, 2) == kind(1, 2)
    assert hash(kind(1, 2)) == hash(kind(1, 2))
    assert kind(1, 2) != kind(1, 3)
    others = [getattr(backoff, other)(1, 2) for other in GROWING if other != name]
    assert all(kind(1, 2) != other for other in others)
    assert repr(kind(1, 2)) == f"{name}(cap=1, base=2)"


def test_constant_backoffs_are_equal_by_value() -> None:
    assert NoBackoff() == ConstantBackoff(0)
    assert ConstantBackoff(0) == NoBackoff()
    assert hash(NoBackoff()) == hash(ConstantBackoff(0))
    assert ConstantBackoff(1) != ConstantBackoff(2)
    assert ConstantBackoff(1) != ExponentialBackoff()
    assert (repr(NoBackoff()), repr(ConstantBackoff(1))) == ("NoBackoff()", "ConstantBackoff(1)")


def test_decorrelated_jitter_starts_anew_after_reset() -> None:
    policy = backoff.DecorrelatedJitterBackoff(cap=10, base=0.01)
    for failures in range(50):
        policy.compute(failures)
    policy.reset()
    assert policy.compute(1) == 0.01


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_attempts_are_one_more_than_retries(retries: int) -> None:
    failures: list[Exception] = []
    do = Flaky(99, ConnectionError("gone"))
    with pytest.raises(ConnectionError, match="gone"):
        Retry(NoBackoff(), retries).call_with_retry(do, failures.append)
    assert do.calls == retries + 1
    assert failures == [do.error] * (retries + 1)


def test_success_ends_the_attempts() -> None:
    do = Flaky(2, TimeoutError("slow"))
    assert Retry(NoBackoff(), 5).call_with_retry(do, lambda error: None) == "done"
    assert do.calls == 3


def test_negative_retries_go_on_for_ever() -> None:
    assert (
        Retry(NoBackoff(), -1).call_with_retry(Flaky(1500, ConnectionError("x")), lambda error: None)
        == "done"
    )


def test_unsupported_errors_and_refused_ones_are_raised_at_once() -> None:
    for error, retryable in ((DataError("bad"), None), (ConnectionError("no"), lambda error: False)):
        do = Flaky(9, error)
        with pytest.raises(type(error)):
            Retry(NoBackoff(), 5).call_with_retry(do, lambda error: None, is_retryable=retryable)
        assert do.calls == 1


def test_a_timeout_of_the_callers_own_is_not_retried() -> None:
    do = Flaky(9, gevent.Timeout(1))
    with pytest.raises(gevent.Timeout):
        Retry(NoBackoff(), 5).call_with_retry(do, lambda error: None)
    assert do.calls == 1


def test_failures_are_counted_for_the_handler() -> None:
    seen: list[tuple[str, int]] = []
    Retry(NoBackoff(), 5).call_with_retry(
        Flaky(2, ConnectionError("x")),
        lambda error, count: seen.append((str(error), count)),
        with_failure_count=True,
    )
    assert seen == [("x", 1), ("x", 2)]


@pytest.mark.parametrize("seconds", [0, 0.005])
def test_waits_let_other_greenlets_run(seconds: float) -> None:
    ran: list[int] = []
    other = gevent.spawn(lambda: ran.append(1))
    Retry(ConstantBackoff(seconds), 1).call_with_retry(Flaky(1, ConnectionError("x")), lambda error: None)
    assert ran == [1]
    other.join()


def test_backoff_is_reset_first_and_given_the_count() -> None:
    calls: list[object] = []

    class Recording(AbstractBackoff):
        def reset(self) -> None:
            calls.append("reset")

        def compute(self, failures: int) -> float:
            calls.append(failures)
            return -1

    retry = Retry(Recording(), 2)
    with pytest.raises(ConnectionError):
        retry.call_with_retry(Flaky(9, ConnectionError("x")), lambda error: None)
    assert calls == ["reset", 1, 2]
    assert retry.backoff_seconds(5) == 0


def test_settings_can_be_read_and_changed() -> None:
    retry = Retry(NoBackoff(), 3)
    assert retry.supported_errors == (ConnectionError, TimeoutError, socket.timeout)
    retry.update_supported_errors([BusyLoadingError, ConnectionError])
    assert BusyLoadingError in retry.supported_errors
    assert len(retry.supported_errors) == 4
    retry.update_retries(7)
    assert retry.get_retries() == 7
    assert retry.allows(7)
    assert not retry.allows(8)
    assert repr(Retry(NoBackoff(), 1, (DataError,))) == "<Retry 1 times, NoBackoff(), on DataError>"


def test_equality_hash_and_copies() -> None:
    one = Retry(ExponentialBackoff(1, 2), 3, (ConnectionError, TimeoutError))
    same = Retry(ExponentialBackoff(1, 2), 3, (TimeoutError, ConnectionError))
    assert one == same
    assert hash(one) == hash(same)
    assert one != Retry(ExponentialBackoff(1, 2), 4, (ConnectionError, TimeoutError))
    assert one != Retry(ExponentialBackoff(1, 3), 3, (ConnectionError, TimeoutError))
    assert one != Retry(ExponentialBackoff(1, 2), 3, (ConnectionError,))
    assert one != "something else"
    copied = copy.deepcopy(one)
    copied.update_retries(9)
    copied.update_supported_errors([DataError])
    assert one == same


def test_the_policy_of_the_options_is_redis_pys() -> None:
    given = Retry(NoBackoff(), 3)
    assert retry_policy(None) == Retry(NoBackoff(), 0)
    assert retry_policy(None, [DataError]).get_retries() == 1
    assert DataError in retry_policy(None, [DataError]).supported_errors
    assert retry_policy(None, retry_on_timeout=True).get_retries() == 1
    assert TimeoutError in retry_policy(Retry(NoBackoff(), 1, ()), retry_on_timeout=True).supported_errors
    copied = retry_policy(given, [DataError])
    assert copied is not given
    assert DataError in copied.supported_errors
    assert DataError not in given.supported_errors


def test_the_default_of_a_client_is_redis_pys() -> None:
    theirs = redis.Redis().get_retry()
    assert theirs is not None
    assert default_retry().get_retries() == theirs.get_retries()
    assert vars(default_retry()._backoff) == vars(theirs._backoff)
    assert default_retry() == default_retry()
    assert default_retry() is not default_retry()
