"""The command `bench`: what a server of the user's and this client reach together."""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

import gevent

from . import Redis, RedisError, workloads
from .deadlines import deadline


def bench(url: str, greenlets: int, seconds: float) -> int:
    """Print a line for the link, the pool and one greenlet; 0, or 1 if the server cannot be used."""
    ways: dict[str, tuple[int, dict[str, Any]]] = {
        "shared connection": (greenlets, {}),
        "pool of 50": (greenlets, {"multiplex": False, "max_connections": 50}),
        "one greenlet": (1, {"multiplex": False}),
    }
    title_line = f"{'':18} {'commands/s':>12} {'CPU for one':>12} {'p50':>9} {'p99':>9} {'longest':>9}\n"
    try:
        for title, (crowd, options) in ways.items():
            with connect(url, options) as client:
                client.ping()
                print(title_line, end="", flush=True)
                print(f"{title:18} {cleaned_line(client, crowd, seconds)}", flush=True)
                title_line = ""
    except (RedisError, ValueError) as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 1
    return 0


def connect(url: str, options: dict[str, Any]) -> Redis:
    """A client; ValueError also for an option in the URL that there is not."""
    try:
        return Redis.from_url(url, **options)
    except TypeError as error:
        raise ValueError(str(error)) from error


def cleaned_line(client: Any, crowd: int, seconds: float) -> str:
    """As `line`; its keys are deleted however it ends, and what it raised is what counts."""
    try:
        figures = line(client, crowd, seconds)
    except BaseException:
        try:
            with deadline(2):
                workloads.clean_up(client, crowd)
        except RedisError:
            print(f"keys {workloads.PREFIX}* may be left", file=sys.stderr)
        raise
    workloads.clean_up(client, crowd)
    return figures


def line(client: Any, crowd: int, seconds: float) -> str:
    """The figures of `crowd` greenlets that set and get for so many seconds, and at least once."""
    workers = Crowd(client, seconds)
    cost = workloads.measured(lambda: workers.run(crowd))
    times = workers.times
    # It takes two values to interpolate between.
    percentiles = statistics.quantiles(times if len(times) > 1 else times * 2, n=100, method="inclusive")
    shown = [percentiles[49], percentiles[98], max(times)]
    latencies = " ".join(f"{each * 1000:6.2f} ms" for each in shown)
    return f"{cost.per_second:12,.0f} {cost.cpu_us:9,.2f} us {latencies}"


class Crowd:
    """Greenlets that set and get, each a key of its own, until the time is over or one of them fails."""

    def __init__(self, client: Any, seconds: float) -> None:
        self.client = client
        self.until = time.perf_counter() + seconds  # each greenlet works at least once
        self.times: list[float] = []  # seconds for a command, the mean of two
        self.error: RedisError | None = None

    def run(self, number: int) -> int:
        """How many commands `number` greenlets gave; raises the first error of one."""
        workers = [gevent.spawn(self._work, each) for each in range(number)]
        try:
            gevent.joinall(workers, raise_error=True)
        finally:
            self.until = 0.0
            gevent.joinall(workers, timeout=1)  # a SET under way would outlive the deletion of its key
            gevent.killall(workers)
        if self.error is not None:
            raise self.error
        return 2 * len(self.times)

    def _work(self, number: int) -> None:
        key, now = f"{workloads.PREFIX}{number}", 0.0
        try:
            while now < self.until and self.error is None:
                start = time.perf_counter()
                self.client.set(key, workloads.VALUE)
                self.client.get(key)
                now = time.perf_counter()
                self.times.append((now - start) / 2)
        except RedisError as error:
            self.error = self.error or error
