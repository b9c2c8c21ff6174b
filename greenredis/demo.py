"""The demo: what greenredis is for, on an embedded server, in plain numbers."""

from __future__ import annotations

import importlib.util
import random
import sys
import time
from collections import Counter
from typing import Any

import gevent

from . import Redis, RedisError, workloads
from .deadlines import deadline
from .testing import Server, ServerNotFound

GREENLETS = 300
DEADLINE = 0.5
GRACE = 0.1  # of a call over its deadline, on a busy machine


class Screen:
    """Lines on standard output; progress is redrawn on a terminal and left out elsewhere."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty()

    def progress(self, text: str) -> None:
        if self._is_terminal:
            print(f"\r\x1b[K   {text}", end="", flush=True)

    def say(self, text: str = "") -> None:
        print(("\r\x1b[K" if self._is_terminal else "") + text, flush=True)


def demo() -> int:
    """Run the demo; 0 where all that was promised held, 1 otherwise, 2 without a server."""
    screen = Screen()
    try:
        with Server() as server:
            screen.say(f"A server of its own on port {server.port}. Three things, about 15 seconds.\n")
            broken = [show_speed(screen, server), show_patience(screen, server), show_replies(screen, server)]
    except ServerNotFound as error:
        print(error, file=sys.stderr)
        return 2
    screen.say("All of it held." if not any(broken) else "Something above did not hold.")
    return int(any(broken))


def show_speed(screen: Screen, server: Server) -> bool:
    """The same work over the link, through the pool, and by redis-py."""
    screen.say(f"1. {GREENLETS} greenlets set and get keys: one shared connection beside a pool of 50.")
    ways = {
        "one shared connection": ("greenredis", "mux", 120_000),
        "pool of 50": ("greenredis", "pool", 40_000),
    }
    if importlib.util.find_spec("redis") is not None:
        ways["redis-py, pool of 50"] = ("redis", "pool", 10_000)
    screen.say(f"   {'':22} {'commands/s':>12} {'CPU for one':>12} {'connections':>12}")
    for title, (library, name, operations) in ways.items():
        screen.progress(title + " ...")
        before = connections(server)
        cost = workloads.in_a_process(library, name, server.port, GREENLETS, operations)
        used = connections(server) - before - 1
        screen.say(f"   {title:22} {cost.per_second:12,.0f} {cost.cpu_us:9,.1f} us {used:12,}")
    screen.say()
    return False


def connections(server: Server) -> int:
    return int(server.info("stats")["total_connections_received"])


def show_patience(screen: Screen, server: Server) -> bool:
    """A server that stops and goes on; every call ends by its deadline."""
    screen.say(f"2. The server is stopped for 2 seconds. Every call has {DEADLINE:g} seconds.")
    ends: Counter[str] = Counter()
    longest = 0.0
    until = time.monotonic() + 4

    def call() -> None:
        nonlocal longest
        while time.monotonic() < until:
            start = time.monotonic()
            try:
                with deadline(DEADLINE):
                    client.incr("demo:counter")
                ends["answered"] += 1
            except RedisError as error:
                sent = "sent, no reply" if error.maybe_executed else "not sent"
                ends[f"{type(error).__name__} ({sent})"] += 1
            longest = max(longest, time.monotonic() - start)

    with Redis(port=server.port) as client:
        callers = [gevent.spawn(call) for _ in range(GREENLETS)]
        for what, act, seconds in (("stopped", server.suspend, 1), ("going on", server.resume, 2)):
            gevent.sleep(seconds)
            act()
            screen.progress(f"the server is {what}: {sum(ends.values()):,} calls so far")
        gevent.joinall(callers)
    for end, count in ends.most_common():
        screen.say(f"   {end:32} {count:12,}")
    screen.say(f"   the longest call took {longest:.3f} s, its limit was {DEADLINE:g} s\n")
    return longest > DEADLINE + GRACE or not ends["answered"]


def show_replies(screen: Screen, server: Server) -> bool:
    """Timeouts and kills at random; nobody gets another's reply, and the connection stays."""
    screen.say("3. Greenlets are timed out and killed at random. Whose reply does the next one get?")
    seen: Counter[str] = Counter()
    until = time.monotonic() + 4

    def call(number: int) -> None:
        while time.monotonic() < until:
            token = f"{number}:{random.getrandbits(64)}".encode()
            seen["left early"] += 1
            with gevent.Timeout(random.random() * 0.01, False):  # type: ignore[arg-type]
                seen["his own" if client.execute_command("ECHO", token) == token else "another's"] += 1
                seen["left early"] -= 1

    with Redis(port=server.port) as client:
        client.ping()
        link: Any = client.connection_pool.multiplexer.link()
        callers = [gevent.spawn(call, number) for number in range(GREENLETS)]
        while time.monotonic() < until:
            gevent.sleep(0.005)
            number = random.randrange(GREENLETS)
            callers[number].kill(block=False)
            callers[number] = gevent.spawn(call, number)
            screen.progress(f"{seen['his own']:,} replies, {seen['left early']:,} left early")
        gevent.joinall(callers)
        same = client.connection_pool.multiplexer.link() is link
    for what in ("his own", "another's", "left early"):
        screen.say(f"   {what:32} {seen[what]:12,}")
    screen.say(f"   the connection is {'still the same one' if same else 'another one'}\n")
    return bool(seen["another's"]) or not same
