"""Greenlets that are killed and timed out at random while they do operations."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import gevent

from greenredis import Redis
from greenredis.testing import Server, client_list, wait_until

GREENLETS = 60
REPEAT = float(os.environ.get("GREENREDIS_REPEAT") or 1)
Operation = Callable[[Redis, "Storm"], None]


class Storm:
    """Greenlets that do operations, each under a random timeout, while others are killed at random."""

    def __init__(self, client: Redis, operation: Operation, count: int, seed: int) -> None:
        self.client = client
        self.operation = operation
        self.random = random.Random(seed)
        self.left = int(count * REPEAT)
        self.tokens = 0
        self.seen: Counter[str] = Counter()
        self.workers: list[gevent.Greenlet[..., None]] = []

    def token(self) -> bytes:
        """One that no other call has, sometimes of many bytes."""
        self.tokens += 1
        return b"%d:" % self.tokens + b"x" * (self.random.randrange(2000) if not self.tokens % 50 else 0)

    def expect(self, replies: Any, wanted: Any) -> None:
        assert replies == wanted, f"{str(replies)[:100]} for {str(wanted)[:100]}"
        self.seen["replies"] += 1

    def bound(self) -> float:
        """Seconds for an operation. Most replies come within a millisecond, so half of them are as short."""
        return 0.01 * self.random.random() ** self.random.choice((1, 4))

    def _work(self) -> None:
        while self.left > 0:
            self.left -= 1
            try:
                with gevent.Timeout(self.bound()):
                    self.operation(self.client, self)
            except gevent.Timeout:
                self.seen["timeouts"] += 1

    def _kill(self) -> None:
        while self.left > 0:
            gevent.sleep(self.random.random() * 0.002)
            number = self.random.randrange(GREENLETS)
            self.workers[number].kill(block=False)
            self.seen["kills"] += 1
            self.workers[number] = self._spawn()

    def _spawn(self) -> gevent.Greenlet[..., None]:
        worker = gevent.spawn(self._work)
        self.spawned.append(worker)
        return worker

    def run(self) -> Counter[str]:
        """Does all operations; raises what any greenlet raised, or if one hangs."""
        self.spawned: list[gevent.Greenlet[..., None]] = []
        self.workers = [self._spawn() for _ in range(GREENLETS)]
        self.spawned.append(gevent.spawn(self._kill))
        while self.left > 0:
            gevent.sleep(0.02)
            for worker in self.spawned:
                if worker.exception is not None:
                    self.left = 0
                    raise worker.exception
            self.spawned = [worker for worker in self.spawned if not worker.ready()]
        wait_until(lambda: all(worker.ready() for worker in self.spawned), 10, "a greenlet hangs")
        gevent.joinall(self.spawned, raise_error=True)
        print(dict(self.seen))
        assert self.seen["replies"] and self.seen["timeouts"] and self.seen["kills"]
        return self.seen


def connections_of(client: Redis, server: Server) -> int:
    """How many connections of this client the server knows."""
    name = client.get_connection_kwargs()["client_name"]
    return sum(row["name"] == name for row in client_list(server))


def assert_all_slots(client: Redis, server: Server) -> None:
    """All slots can be lent at once, to connections that owe nothing; the server knows no other ones."""
    pool = client.connection_pool
    wait_until(lambda: pool.stats()["dialing"] == pool.stats()["waiting"] == 0)
    share = pool.share()
    assert pool.stats()["lent"] == share.links and share.slots <= pool.max_connections
    lent = [pool.get_connection() for _ in range(pool.max_connections - share.links)]
    try:
        assert all(connection.owed == 0 for connection in lent)
        for number, connection in enumerate(lent):
            connection.send_command("ECHO", number)
        assert [int(connection.read_response()) for connection in lent] == list(range(len(lent)))
        wait_until(lambda: connections_of(client, server) == pool.max_connections)
    finally:
        for connection in lent:
            pool.release(connection)
