"""Workloads that the demo, the command `bench` and the benchmarks share, and what they cost.

Run as a program it measures one workload of one client in a process of its own, and prints JSON:
`python -m greenredis.workloads greenredis mux --port 6379`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import gevent

VALUE = b"x" * 64
PREFIX = "greenredis:bench:"
NAMES = ("mux", "pool", "one", "pipeline", "get10mb", "lrange")
BATCH = 1000


class Cost(NamedTuple):
    """What a workload cost."""

    operations: int
    seconds: float
    cpu_seconds: float

    @property
    def per_second(self) -> float:
        return self.operations / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of this process's CPU for one operation."""
        return self.cpu_seconds / self.operations * 1e6


def measured(work: Callable[[], int]) -> Cost:
    """What `work`, which returns the number of its operations, cost."""
    wall, cpu = time.perf_counter(), time.process_time()
    operations = work()
    return Cost(operations, time.perf_counter() - wall, time.process_time() - cpu)


def set_and_get(client: Any, greenlets: int, operations: int) -> int:
    """Each greenlet sets a key of its own to 64 bytes and gets it, in turn."""
    rounds = max(1, operations // greenlets // 2)

    def work(number: int) -> None:
        key = f"{PREFIX}{number}"
        for _ in range(rounds):
            client.set(key, VALUE)
            if client.get(key) != VALUE:
                raise AssertionError("a reply that was not asked for")

    gevent.joinall([gevent.spawn(work, number) for number in range(greenlets)], raise_error=True)
    return rounds * greenlets * 2


def pipelines(client: Any, operations: int) -> int:
    """SETs of 64 bytes, a thousand together."""
    for _ in range(operations // BATCH):
        pipe = client.pipeline(transaction=False)
        for number in range(BATCH):
            pipe.set(f"{PREFIX}{number}", VALUE)
        if pipe.execute() != [True] * BATCH:
            raise AssertionError("a reply that was not asked for")
    return operations


def long_values(client: Any, operations: int) -> int:
    """GET of 10 MB."""
    for _ in range(operations):
        if len(client.get(PREFIX + "long")) != 10_000_000:
            raise AssertionError("a part of a reply")
    return operations


def long_lists(client: Any, operations: int) -> int:
    """LRANGE of 100,000 integers."""
    for _ in range(operations):
        if len(client.lrange(PREFIX + "list", 0, -1)) != 100_000:
            raise AssertionError("a part of a reply")
    return operations


def prepare(client: Any, name: str) -> None:
    """What the workload reads."""
    if name == "get10mb":
        client.set(PREFIX + "long", b"x" * 10_000_000)
    if name == "lrange":
        client.delete(PREFIX + "list")
        client.rpush(PREFIX + "list", *range(100_000))


def clean_up(client: Any, greenlets: int) -> None:
    """Delete the keys of so many greenlets."""
    for start in range(0, greenlets, 1000):
        client.delete(*(f"{PREFIX}{number}" for number in range(start, min(start + 1000, greenlets))))


def make_client(library: str, name: str, **options: Any) -> Any:
    """A client as a user would make it for that workload; the pool has 50 connections."""
    module = importlib.import_module(library)
    if library == "greenredis" and name == "mux":
        return module.Redis(**options)
    own = {"multiplex": False} if library == "greenredis" else {}
    pool = module.BlockingConnectionPool(max_connections=50, timeout=20, **options)
    return module.Redis(connection_pool=pool, **own)


def run(client: Any, name: str, greenlets: int, operations: int) -> Cost:
    """Run a workload once to warm up, briefly, and once to measure."""
    alone: dict[str, tuple[Callable[[Any, int], int], int]] = {
        "pipeline": (pipelines, BATCH),
        "get10mb": (long_values, 1),
        "lrange": (long_lists, 1),
    }
    if name in alone:
        work, least = alone[name]
        work(client, least)
        return measured(lambda: work(client, operations))
    crowd = 1 if name == "one" else greenlets
    set_and_get(client, crowd, min(operations, 1000))
    return measured(lambda: set_and_get(client, crowd, operations))


def in_a_process(library: str, name: str, port: int, greenlets: int, operations: int) -> Cost:
    """The same in a process of its own, where redis-py can be monkey patched."""
    words = [sys.executable, "-m", "greenredis.workloads", library, name, "--port", str(port)]
    words += ["--greenlets", str(greenlets), "--operations", str(operations)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr[-1000:]}")
    return Cost(*json.loads(done.stdout))


def main() -> None:
    """One workload of one client, for other programs."""
    parser = argparse.ArgumentParser(description="measure one workload of one client")
    parser.add_argument("library", choices=["greenredis", "redis"])
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--port", type=int, default=6379)
    parser.add_argument("--greenlets", type=int, default=200)
    parser.add_argument("--operations", type=int, default=20_000)
    options = parser.parse_args()
    if options.library == "redis":
        importlib.import_module("gevent.monkey").patch_all()
    client = make_client(options.library, options.name, host="127.0.0.1", port=options.port)
    prepare(client, options.name)
    json.dump(run(client, options.name, options.greenlets, options.operations), sys.stdout)


if __name__ == "__main__":
    main()
