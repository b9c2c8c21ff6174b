"""P1: nobody gets a reply that was meant for somebody else."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
import greenlet
import pytest
from gevent.hub import get_hub

import greenredis
from greenredis import Redis
from greenredis.testing import Server, wait_until

CALLERS = 60
CONNECTIONS = 8
OPERATIONS = 100_000
Ask = Callable[[bytes], tuple[Any, Any]]


class Storm:
    """Callers that ask for tokens of their own, under timeouts and kills, and what became of them."""

    def __init__(self, server: Server, ask: Ask, operations: int) -> None:
        self.server = server
        self.seed = random.randrange(10**6)
        self.random = random.Random(self.seed)
        self.ask = ask
        self.left = operations
        self.counts: Counter[str] = Counter()
        self.wrong: list[Any] = []

    def run(self) -> None:
        callers = [gevent.spawn(self._call, number) for number in range(CALLERS)]
        while self.left > 0:
            gevent.sleep(self.random.random() * 0.004)
            number = self.random.randrange(CALLERS)
            callers[number].kill(block=self.random.random() < 0.5)
            self.counts["killed"] += 1
            if self.counts["killed"] % 20 == 0:
                self.server.ask("CLIENT", "PAUSE", 8, "ALL")  # so that timeouts get through
            callers[number] = gevent.spawn(self._call, number)
        gevent.joinall(callers, timeout=10)
        assert all(caller.dead for caller in callers), f"hung, seed {self.seed}"
        assert not self.wrong, f"seed {self.seed}: {self.wrong[:3]}"
        assert self.counts["right"] > 0.5 * sum(self.counts.values()) and self.counts["left early"] > 20

    def _call(self, number: int) -> None:
        while self.left > 0:
            self.left -= 1
            token = b"%d:%d:%d" % (number, self.left, self.random.getrandbits(64))
            limit = self.random.random() * 0.01 if self.random.random() < 0.3 else 5
            with gevent.Timeout(limit, False):  # type: ignore[arg-type]
                got, wanted = self.ask(token)
                self.counts["right"] += 1
                if got != wanted:
                    self.wrong.append((got, wanted))
                continue
            self.counts["left early"] += 1


def echo(client: Redis, token: bytes) -> tuple[Any, Any]:
    return client.execute_command("ECHO", token), token


def echo_pair(client: Redis, token: bytes) -> tuple[Any, Any]:
    pool = client.connection_pool
    transport = pool.multiplexer if client._transport is not pool else pool
    tokens = [token, token + b"+"]
    packed = b"".join(bytes(pool.packer.pack(("ECHO", each))) for each in tokens)  # type: ignore[arg-type]
    return transport.execute_many(packed, 2), tokens


def check_slots(client: Redis) -> None:
    pool = client.connection_pool
    wait_until(lambda: pool.stats()["lent"] == (1 if pool.share().link else 0))
    held = [pool.get_connection() for _ in range(CONNECTIONS - pool.stats()["lent"])]
    for connection in held:
        pool.release(connection)


@pytest.mark.time_limit(120)
@pytest.mark.parametrize("ask", [echo, echo_pair])
def test_storm_on_the_link(server: Server, ask: Callable[..., tuple[Any, Any]], leaks: None) -> None:
    with Redis(port=server.port, max_connections=CONNECTIONS) as client:
        client.ping()
        link = client.connection_pool.multiplexer.link()
        Storm(server, partial(ask, client), OPERATIONS).run()
        assert client.connection_pool.multiplexer.link() is link, "a timeout cost the link"
        assert client.connection_pool.stats()["dialed"] == 1
        check_slots(client)


@pytest.mark.time_limit(120)
@pytest.mark.parametrize(("ask", "operations"), [(echo, OPERATIONS // 2), (echo_pair, OPERATIONS // 2)])
def test_storm_on_the_pool(
    server: Server, ask: Callable[..., tuple[Any, Any]], operations: int, leaks: None
) -> None:
    with Redis(port=server.port, max_connections=CONNECTIONS, multiplex=False) as client:
        Storm(server, partial(ask, client), operations).run()
        check_slots(client)


def test_storm_on_a_single_connection(server: Server) -> None:
    with Redis(port=server.port, single_connection_client=True) as client:
        Storm(server, partial(echo, client), 1_000).run()


def many(count: int, work: Callable[[int], None]) -> list[gevent.Greenlet[..., None]]:
    return [gevent.spawn(work, number) for number in range(count)]


def test_what_a_waiter_does_leaves_the_replies_to_their_owners(server: Server) -> None:
    """Waiters that raise in a raw greenlet, kill others, issue commands and close the client."""
    client = Redis(port=server.port)
    client.ping()
    replies: dict[int, Any] = {}

    def work(number: int) -> None:
        try:
            replies[number] = client.execute_command("ECHO", b"%d" % number)
        except greenredis.ConnectionError as error:
            replies[number] = error
            return
        if number == 3:
            greenlets[7].kill(block=False)
        if number == 5:
            assert client.execute_command("ECHO", b"more") == b"more"
        if number == 9:
            client.close()

    raw_error: list[Any] = []

    def raw() -> None:
        client.execute_command("ECHO", b"raw")
        raise ValueError("raised in the hub's callback")

    hub = get_hub()
    handle, hub.handle_error = hub.handle_error, lambda *args: raw_error.append(args[1])  # type: ignore[method-assign]
    try:
        greenlets = many(12, work)
        hub.loop.run_callback(greenlet.greenlet(raw, hub).switch)
        gevent.joinall(greenlets, timeout=5)
        wait_until(lambda: raw_error == [ValueError])
    finally:
        hub.handle_error = handle  # type: ignore[method-assign]
    assert all(each.dead for each in greenlets)
    for number, reply in replies.items():
        assert reply == b"%d" % number or isinstance(reply, greenredis.ConnectionError), (number, reply)
    assert [replies[number] for number in range(6)] == [b"%d" % number for number in range(6)]
    assert client.ping()
    client.close()


def test_only_the_caller_of_an_undecodable_reply_gets_an_error(server: Server) -> None:
    server.ask("SET", "bad", b"\xff")
    with Redis(port=server.port, decode_responses=True) as client:
        found: list[Any] = [None] * 20

        def work(number: int) -> None:
            try:
                found[number] = (
                    client.get("bad") if number == 9 else client.execute_command("ECHO", str(number))
                )
            except UnicodeDecodeError as error:
                found[number] = error

        gevent.joinall(many(20, work), raise_error=True)
        assert isinstance(found.pop(9), UnicodeDecodeError)
        assert found == [str(number) for number in range(20) if number != 9]


class Parsing(Redis):
    """A subclass that expects to see a connection."""

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        return ("seen", super().parse_response(connection, command_name, **options))


def test_a_subclass_that_parses_sees_every_reply(server: Server) -> None:
    with Parsing(port=server.port) as client:
        Storm(server, lambda token: (client.execute_command("ECHO", token), ("seen", token)), 3_000).run()
        assert client.connection_pool.share().link is None
