"""Greenlets that write unique tokens through a failover, and what became of each."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import monotonic
from typing import Any, NamedTuple

import gevent

from greenredis import Redis, deadline
from greenredis.exceptions import MasterNotFoundError, ReadOnlyError, RedisError
from greenredis.testing import SentinelDeployment, wait_until

GREENLETS = 20
KEY = "writers:tokens"


class Write(NamedTuple):
    """One call: its caller and token, when it began and ended, and its error."""

    caller: int
    token: bytes
    began: float
    ended: float
    error: RedisError | None


class Writers:
    """20 greenlets that append tokens to a list, each call with a deadline; a context manager."""

    def __init__(self, client: Redis, seconds: float, pause: float = 0.001) -> None:
        self.client = client
        self.seconds = seconds
        self.pause = pause
        self.writes: list[Write] = []
        self._ended = False
        self._greenlets: list[gevent.Greenlet[..., None]] = []

    def __enter__(self) -> Writers:
        self._greenlets = [gevent.spawn(self._write, number) for number in range(GREENLETS)]
        wait_until(lambda: len({write.caller for write in self.writes}) == GREENLETS)
        return self

    def __exit__(self, *error: object) -> None:
        self._ended = True
        gevent.joinall(self._greenlets, timeout=self.seconds + 5, raise_error=error[0] is None)
        assert all(greenlet.ready() for greenlet in self._greenlets), "a caller hangs"

    def _write(self, caller: int) -> None:
        number = 0
        while not self._ended:
            number += 1
            token, error = b"%d:%d" % (caller, number), None
            began = monotonic()
            try:
                with deadline(self.seconds):
                    self.client.rpush(KEY, token)
            except RedisError as caught:
                error = caught
            self.writes.append(Write(caller, token, began, monotonic(), error))
            gevent.sleep(self.pause)

    def all_wrote_since(self, then: float) -> bool:
        """Whether each has a write that began after that time and was acknowledged."""
        done = {write.caller for write in self.writes if write.began > then and write.error is None}
        return len(done) == GREENLETS

    # -- what became of the writes

    def check(self, deployment: SentinelDeployment, switch: float) -> float:
        """Seconds from the switch to the first write on the new master; asserts what is promised of all."""
        survivors = survivors_of(deployment)
        lost = self.lost(survivors)
        late = [each.began - switch for each in lost if each.began > switch + 0.1]
        assert not late, f"{len(late)} acknowledged writes were lost that began {late[:5]} s after the switch"
        self._check_errors(survivors, switch)
        after = [each for each in self.writes if each.ended > switch and each.token in survivors]
        first = {each.caller: each.ended for each in reversed(after) if each.error is None}
        assert len(first) == GREENLETS, "some callers never wrote again"
        assert max(first.values()) - switch < 0.15, f"a caller waited {max(first.values()) - switch:.3f} s"
        print(f"{len(lost)} of {len(self.writes)} lost, {min(first.values()) - switch:.4f} s to the first")
        return min(first.values()) - switch

    def lost(self, survivors: set[bytes]) -> list[Write]:
        """The acknowledged writes that the master does not have."""
        return [each for each in self.writes if each.error is None and each.token not in survivors]

    def _check_errors(self, survivors: set[bytes], switch: float) -> None:
        failed = [each for each in self.writes if each.error is not None]
        for each in failed:
            assert not isinstance(each.error, ReadOnlyError), each.error
            assert each.error is not None and (each.error.maybe_executed or each.token not in survivors)
            if isinstance(each.error, MasterNotFoundError):
                assert not each.error.maybe_executed and " says " in str(each.error)
        good = [each.ended for each in self.writes if each.error is None and each.ended <= switch]
        outage = switch + 0.15 - max(good)
        most = GREENLETS * (1 + math.ceil(outage / self.seconds))
        assert len(failed) <= most, f"{len(failed)} errors in an outage of {outage:.2f} s"
        assert all(each.ended - each.began < self.seconds + 0.1 for each in self.writes), "a call was late"


def survivors_of(deployment: SentinelDeployment) -> set[bytes]:
    """The tokens that the master has, each once."""
    kept: list[bytes] = deployment.node().ask("LRANGE", KEY, 0, -1, timeout=10)
    assert len(kept) == len(set(kept)), "a write was executed twice"
    return set(kept)


def through(writers: Writers, deployment: SentinelDeployment, fault: Callable[[], Any]) -> float:
    """When the first switch was announced that the fault led to; the writers write on after it."""
    with deployment.observer() as observer:
        began = monotonic()
        fault()
        switch = observer.first_after(began)
        wait_until(lambda: writers.all_wrote_since(switch + 0.15), 10)
    return switch
