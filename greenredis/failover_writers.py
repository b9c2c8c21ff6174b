"""Greenlets that write through a failover, as a program of its own, with greenredis or with redis-py."""

from __future__ import annotations

import argparse
import importlib
import sys
from contextlib import AbstractContextManager, nullcontext
from time import monotonic
from typing import Any, NamedTuple

KEY = "demo:tokens"
GREENLETS = 20
DEADLINE = 1.0  # seconds for a call, where the client has such a thing; redis-py's socket_timeout
PAUSE = 0.001


class Write(NamedTuple):
    """One call: its caller and token, when it began and ended; its error, and whether it may be executed."""

    caller: int
    token: str
    began: float
    ended: float
    error: str
    sent: str


def parsed(output: str) -> list[Write]:
    """The writes that the program has told of so far."""
    rows = [line.split(" ") for line in output.splitlines() if line.count(" ") == 5]
    return [Write(int(row[0]), row[1], float(row[2]), float(row[3]), row[4], row[5]) for row in rows]


def make_client(library: str, name: str, places: list[tuple[str, int]]) -> Any:
    """A client of the master as a user would make it."""
    module = importlib.import_module(f"{library}.sentinel")
    return module.Sentinel(places, socket_timeout=DEADLINE).master_for(name)


def limit(library: str) -> AbstractContextManager[Any]:
    """The bound of one call."""
    return (
        importlib.import_module("greenredis").deadline(DEADLINE) if library == "greenredis" else nullcontext()
    )


def write(client: Any, library: str, caller: int) -> None:
    """Append tokens, and tell of each, until killed."""
    import gevent

    errors = importlib.import_module(library).RedisError
    number = 0
    while True:
        number += 1
        token, error, sent = f"{caller}:{number}", "-", "-"
        began = monotonic()
        try:
            with limit(library):
                client.rpush(KEY, token)
        except errors as caught:
            maybe = getattr(caught, "maybe_executed", None)
            error, sent = type(caught).__name__, "?" if maybe is None else str(maybe)
        sys.stdout.write(f"{caller} {token} {began!r} {monotonic()!r} {error} {sent}\n")
        gevent.sleep(PAUSE)


def main() -> None:
    """Write until standard input ends or the process is killed."""
    parser = argparse.ArgumentParser(description="write through a failover, and tell of each write")
    parser.add_argument("library", choices=["greenredis", "redis"])
    parser.add_argument("name")
    parser.add_argument("places", nargs="+")
    options = parser.parse_args()
    if options.library == "redis":
        importlib.import_module("gevent.monkey").patch_all()
    import gevent

    places = [(place.split(":")[0], int(place.split(":")[1])) for place in options.places]
    client = make_client(options.library, options.name, places)
    callers = [gevent.spawn(write, client, options.library, number) for number in range(GREENLETS)]
    while not any(caller.ready() for caller in callers):
        gevent.sleep(0.05)
        sys.stdout.flush()
    gevent.joinall(callers, raise_error=True)


if __name__ == "__main__":
    main()
