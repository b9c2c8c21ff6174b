"""The command `bench`: what a server of the user's and this client reach together."""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

import gevent

from . import Redis, RedisError, workloads


def bench(url: str, greenlets: int, seconds: float) -> int:
    """Print a line for the link, the pool and one greenlet; 0, or 1 if the server cannot be used."""
    ways: dict[str, tuple[int, dict[str, Any]]] = {
        "shared connection": (greenlets, {}),
        "pool of 50": (greenlets, {"multiplex": False, "max_connections": 50}),
        "one greenlet": (1, {"multiplex": False}),
    }
    try:
        print(f"{'':18} {'commands/s':>12} {'CPU for one':>12} {'p50':>9} {'p99':>9} {'longest':>9}")
        for title, (crowd, options) in ways.items():
            with Redis.from_url(url, **options) as client:
                client.ping()
                print(f"{title:18} {line(client, crowd, seconds)}", flush=True)
                workloads.clean_up(client)
    except (RedisError, ValueError) as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 1
    return 0


def line(client: Any, crowd: int, seconds: float) -> str:
    """The figures of `crowd` greenlets that set and get for so many seconds."""
    times: list[float] = []
    until = time.perf_counter() + seconds

    def call(number: int) -> None:
        key = f"{workloads.PREFIX}{number}"
        while (start := time.perf_counter()) < until:
            client.set(key, workloads.VALUE)
            client.get(key)
            times.append((time.perf_counter() - start) / 2)

    def work() -> int:
        gevent.joinall([gevent.spawn(call, number) for number in range(crowd)], raise_error=True)
        return 2 * len(times)

    cost = workloads.measured(work)
    percentiles = statistics.quantiles(times, n=100)
    shown = [percentiles[49], percentiles[98], max(times)]
    latencies = " ".join(f"{each * 1000:6.2f} ms" for each in shown)
    return f"{cost.per_second:12,.0f} {cost.cpu_us:9,.2f} us {latencies}"
