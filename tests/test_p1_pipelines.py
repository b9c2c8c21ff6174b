"""P1 for pipelines and transactions: who is killed or timed out in them costs nobody else anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import gevent
import pytest
from storm import Operation, Storm, assert_all_slots  # type: ignore[import-not-found]

from greenredis import Redis, WatchError
from greenredis.client import Pipeline
from greenredis.testing import Server, wait_until

pytestmark = pytest.mark.usefixtures("leaks")


class Parsing(Pipeline):
    """Sees every reply itself, as Kombu's does."""

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        return super().parse_response(connection, command_name, **options)


class ParsingClient(Redis):
    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return Parsing(self.connection_pool, self.response_callbacks, transaction, shard_hint)


def echoes(transaction: bool, most: int) -> Operation:
    def operation(client: Redis, storm: Storm) -> None:
        tokens = [storm.token() for _ in range(storm.random.randrange(1, most))]
        pipe = client.pipeline(transaction=transaction)
        for token in tokens:
            pipe.echo(token)
        storm.expect(pipe.execute(), tokens)

    return operation


def watched(client: Redis, storm: Storm) -> None:
    token = storm.token()
    with client.pipeline() as pipe:
        pipe.watch(token)
        storm.expect(pipe.echo(token), token)
        if storm.random.random() < 0.5:
            return
        pipe.multi()
        pipe.echo(token)
        pipe.echo(token)
        storm.expect(pipe.execute(), [token, token])


OPERATIONS = {
    "pipeline": echoes(False, 20),
    "transaction": echoes(True, 20),
    "large": echoes(False, 400),
    "watched": watched,
}


@pytest.fixture(params=[Redis, ParsingClient], ids=["parsed", "by-hand"])
def client(request: pytest.FixtureRequest, server: Server, name: str) -> Iterator[Redis]:
    with request.param(port=server.port, max_connections=10, client_name=name) as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.time_limit(120)
def test_storm(server: Server, client: Redis, seed: int, operation: str) -> None:
    count = {"large": 1_500, "watched": 5_000}.get(operation, 8_000)
    Storm(client, OPERATIONS[operation], count, seed).run()
    assert_all_slots(client, server)
    assert server.ask("PING") == b"PONG"


@pytest.mark.slow
@pytest.mark.parametrize("transaction", [False, True])
def test_small_ones_share_the_link_which_outlives_them(
    server: Server, seed: int, name: str, transaction: bool
) -> None:
    with Redis(port=server.port, max_connections=10, client_name=name) as client:
        Storm(client, echoes(transaction, 20), 5_000, seed).run()
        assert client.connection_pool.stats()["dialed"] == 1


def test_who_leaves_while_he_watches_takes_no_watch_with_him(server: Server, name: str) -> None:
    """The connection of a killed greenlet is closed, so that no other transaction fails for its keys."""
    with Redis(port=server.port, max_connections=2, client_name=name) as client:
        started: list[Any] = []

        def leave() -> None:
            with client.pipeline() as pipe:
                pipe.watch("key")
                started.append(pipe.connection)
                pipe.blpop("nothing", 0)

        left = gevent.spawn(leave)
        wait_until(lambda: bool(started) and started[0].owed)
        left.kill()
        assert not started[0].is_connected
        with client.pipeline() as pipe:
            pipe.watch("other")
            client.set("key", 1)
            pipe.multi()
            pipe.ping()
            assert pipe.execute() == [True]
        assert_all_slots(client, server)


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except WatchError as error:
        return type(error)


def test_a_watch_that_was_lost_to_a_timeout_is_not_forgotten(server: Server) -> None:
    """Whoever goes on after his own timeout must not believe that his keys are still watched."""
    with Redis(port=server.port) as client, client.pipeline() as pipe:
        pipe.watch("key")
        with suppress(gevent.Timeout), gevent.Timeout(0.01):
            pipe.blpop("nothing", 0)
        client.set("key", "changed")
        pipe.multi()
        pipe.set("key", "overwritten")
        assert outcome(pipe.execute) is WatchError
        assert client.get("key") == b"changed"


def test_an_abandoned_pipeline_gives_its_slot_back(server: Server) -> None:
    with Redis(port=server.port, max_connections=1) as client:
        pipe = client.pipeline()
        pipe.watch("key")
        assert client.connection_pool.stats()["lent"] == 1
        del pipe
        assert client.ping()
        assert client.connection_pool.stats()["lent"] == 0
