"""greenredis beside redis-py and the floor: in turn, in one run, each in a process of its own.

    python benchmarks/compare.py                 # all workloads, on a server of its own
    python benchmarks/compare.py mux --rounds 5

Prints the median of the rounds, and greenredis's ratios to the others: above 1.0 it is the better.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys

from greenredis.testing import Server
from greenredis.workloads import NAMES, Cost, in_a_process

FLOOR = os.path.join(os.path.dirname(os.path.abspath(__file__)), "floor.py")
# operations: of greenredis and the floor, of redis-py
OPERATIONS = {
    "mux": (200_000, 10_000),
    "pool": (40_000, 10_000),
    "one": (10_000, 5_000),
    "pipeline": (60_000, 20_000),
    "get10mb": (10, 10),
    "lrange": (10, 10),
}


def floor(name: str, port: int, greenlets: int, operations: int) -> Cost:
    words = [sys.executable, FLOOR, name, "--port", str(port)]
    words += ["--greenlets", str(greenlets), "--operations", str(operations)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=True)
    return Cost(*json.loads(done.stdout))


def compare(name: str, port: int, greenlets: int, rounds: int) -> None:
    many, few = OPERATIONS[name]
    costs: dict[str, list[Cost]] = {"greenredis": [], "redis-py": [], "floor": []}
    for _ in range(rounds):
        costs["greenredis"].append(in_a_process("greenredis", name, port, greenlets, many))
        costs["redis-py"].append(in_a_process("redis", name, port, greenlets, few))
        costs["floor"].append(floor(name, port, greenlets, many))
    speed = {who: statistics.median(cost.per_second for cost in each) for who, each in costs.items()}
    cpu = {who: statistics.median(cost.cpu_us for cost in each) for who, each in costs.items()}
    for who in costs:
        ratios = f"   ops {speed['greenredis'] / speed[who]:6.2f}   cpu {cpu[who] / cpu['greenredis']:6.2f}"
        shown = f"{name:8} {who:10} {speed[who]:12,.0f} ops/s {cpu[who]:10,.2f} us CPU"
        print(shown + (ratios if who != "greenredis" else ""), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="greenredis beside redis-py and the floor")
    parser.add_argument("names", nargs="*", metavar="workload", help=", ".join(NAMES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--greenlets", type=int, default=200)
    options = parser.parse_args()
    unknown = set(options.names) - set(NAMES)
    if unknown:
        parser.error(f"no such workload: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    with Server() as server:
        for name in options.names or NAMES:
            compare(name, server.port, options.greenlets, options.rounds)


if __name__ == "__main__":
    main()
