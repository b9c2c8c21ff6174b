"""What the pool's options do, and how it looks."""

from __future__ import annotations

import queue
import re
from collections.abc import Callable
from time import monotonic
from typing import Any

import gevent
import gevent.queue
import pytest
from test_p4_pool import assert_all_slots, lent, names, pool_of  # type: ignore[import-not-found]

from greenredis import Redis
from greenredis.exceptions import (
    ConnectionError,
    MaxConnectionsError,
)
from greenredis.testing import ScriptedClient, ScriptedServer, Server, free_port, wait_until
from greenredis.transport.pool import BlockingConnectionPool, ConnectionPool

pytestmark = pytest.mark.usefixtures("leaks")


def test_max_idle_time(server: Server) -> None:
    with pool_of(server, 3, max_idle_time=0.1, client_name="idle") as pool:
        with lent(pool, 3):
            assert names(server, "idle") == 3
        wait_until(lambda: names(server, "idle") == 0)
        assert pool.share().slots == 0
        assert_all_slots(pool)


@pytest.mark.parametrize("multiplex", [True, False])
def test_max_lifetime(server: Server, multiplex: bool) -> None:
    """Nobody notices, and each connection's end comes at a time of its own."""
    options: dict[str, Any] = {"multiplex": multiplex, "client_name": "mortal"}
    with Redis(port=server.port, max_connections=4, max_lifetime=0.1, retry=None, **options) as client:
        seen: set[int] = set()

        def use() -> bool:
            seen.update(
                gevent.get(timeout=5) for gevent in spawned(10, client.execute_command, "CLIENT", "ID")
            )
            assert names(server, "mortal") <= 4
            return len(seen) >= 12

        wait_until(use)
        with lent(client.connection_pool, 3) as connections:
            assert len({round(connection.expires, 9) for connection in connections}) == 3


def spawned(count: int, work: Callable[..., Any], *words: Any) -> list[Any]:
    return [gevent.spawn(work, *words) for _ in range(count)]


def test_min_idle_is_kept_warm(server: Server) -> None:
    with pool_of(server, 5, min_idle=3, client_name="warm") as pool:
        pool.get_encoder()
        with pool.lend():
            wait_until(lambda: names(server, "warm") == 4)
        server.ask("CLIENT", "KILL", "TYPE", "normal")
        wait_until(lambda: names(server, "warm") >= 3 and pool.stats()["idle"] >= 3)
        assert pool.share().slots <= 5
        assert_all_slots(pool)


@pytest.mark.parametrize(
    ("queue_class", "last_first"),
    [
        (gevent.queue.LifoQueue, True),
        (gevent.queue.Queue, False),
        (queue.LifoQueue, True),
        (queue.Queue, False),
        (gevent.queue.SimpleQueue, False),
        (queue.SimpleQueue, False),
    ],
)
def test_queue_class(server: Server, queue_class: Any, last_first: bool) -> None:
    with pool_of(server, 3, queue_class=queue_class) as pool:
        first, second, third = (pool.get_connection() for _ in range(3))
        for connection in (first, second, third):
            pool.release(connection)
        with lent(pool, 3) as connections:
            assert connections == ([third, second, first] if last_first else [first, second, third])
        assert_all_slots(pool)


@pytest.mark.parametrize("answers", ["PONG", "nothing", "an error", "a cut"])
def test_health_check(answers: str) -> None:
    """An old idle connection must answer a PING in time; if it does not, another is used."""
    state = {"broken": False}

    def answer(words: list[bytes], client: ScriptedClient) -> bytes | None:
        if words[0] != b"PING" or client.number or not state["broken"] or answers == "PONG":
            return b"+PONG\r\n" if words[0] == b"PING" else b"$1\r\n1\r\n"
        if answers == "a cut":
            client.close()
        return b"-ERR no\r\n" if answers == "an error" else None

    greeting = ScriptedServer._greet

    def greet(self: Any, words: list[bytes], client: ScriptedClient) -> bytes | None:
        return None if words[0] == b"PING" else greeting(self, words, client)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptedServer, "_greet", greet)
        with (
            ScriptedServer(answer) as server,
            Redis(port=server.port, multiplex=False, health_check_interval=60, socket_timeout=0.2) as client,
        ):
            assert client.execute_command("ECHO", "1") == b"1" and not server.sent("PING")
            with client.connection_pool.lend() as connection:
                pass
            connection.idle_since = connection.next_health_check = monotonic() - 100
            state["broken"] = True
            assert client.execute_command("ECHO", "1") == b"1"
            assert len(server.sent("PING")) == 1 and server.sent("ECHO")[0]
            assert server.total_connections == (1 if answers == "PONG" else 2)
            assert client.connection_pool.share().slots == 1


def test_non_blocking_pool_refuses_at_once(server: Server) -> None:
    with ConnectionPool(max_connections=2, host=server.host, port=server.port) as pool:
        with lent(pool, 2):
            begun = monotonic()
            with pytest.raises(MaxConnectionsError, match=f"{server.port}") as caught:
                pool.get_connection()
            assert monotonic() - begun < 0.5 and not caught.value.maybe_executed
            client = Redis(connection_pool=pool)
            with pytest.raises(MaxConnectionsError):
                client.execute_command("BLPOP", "nothing", 1)
        assert_all_slots(pool)


def test_timeout_bounds_the_wait_and_none_does_not(server: Server) -> None:
    with pool_of(server, 1, timeout=0.05) as pool, lent(pool, 1):
        with pytest.raises(MaxConnectionsError, match=f"127.0.0.1:{server.port}"):
            pool.get_connection()
        assert pool.stats()["waiting"] == 0
    with pool_of(server, 1, timeout=None) as pool:
        connection = pool.get_connection()
        waiter = gevent.spawn(pool.get_connection)
        wait_until(lambda: pool.stats()["waiting"] == 1)
        assert pool.share().waiting[0].until == float("inf")
        gevent.sleep(0.1)
        pool.release(connection)
        pool.release(waiter.get(timeout=5))


@pytest.mark.parametrize("kind", [BlockingConnectionPool, ConnectionPool])
def test_repr_shows_the_state(server: Server, kind: Any) -> None:
    with kind(max_connections=50, host=server.host, port=server.port) as pool:
        address = re.escape(f"127.0.0.1:{server.port}")
        pattern = rf"<{kind.__name__} {address} (\d+) idle, (\d+) lent, (\d+) waiting, max 50>"

        def counts() -> tuple[str, ...]:
            found = re.fullmatch(pattern, repr(pool))
            assert found, repr(pool)
            return found.groups()

        assert counts() == ("0", "0", "0")
        with lent(pool, 3):
            with lent(pool, 2):
                pass
            assert counts() == ("2", "3", "0")
        assert counts() == ("5", "0", "0")


def test_one_connection_serves_all_in_turn(server: Server) -> None:
    with Redis(port=server.port, max_connections=1, client_name="alone") as client:

        def get(number: int) -> None:
            assert client.execute_command("ECHO", number) == b"%d" % number

        def pop(number: int) -> None:
            assert client.execute_command("BLPOP", f"empty{number}", 0.01) is None

        def watch(number: int) -> None:
            with client.client() as own:
                assert own.execute_command("WATCH", "watched") in (b"OK", True)
                own.execute_command("MULTI")
                own.execute_command("INCR", f"count{number}")
                assert own.execute_command("EXEC") == [1]

        work = [get, pop, watch]
        greenlets = [gevent.spawn(work[number % 3], number) for number in range(60)]
        while not all(each.ready() for each in greenlets):
            assert names(server, "alone") <= 1
            gevent.sleep(0.01)
        gevent.joinall(greenlets, raise_error=True)
        assert_all_slots(client.connection_pool)


def test_link_never_takes_the_last_slot(server: Server) -> None:
    with Redis(port=server.port, max_connections=2) as client:
        client.execute_command("PING")
        popper = gevent.spawn(client.execute_command, "BLPOP", "late", 5)
        wait_until(lambda: client.connection_pool.stats()["lent"] == 2)
        client.execute_command("RPUSH", "late", "word")
        assert popper.get(timeout=5) == (b"late", b"word")
    with Redis(port=server.port, max_connections=1) as client:
        client.execute_command("PING")
        assert client.connection_pool.stats()["lent"] == 0


def test_link_comes_back_where_all_slots_were_taken(server: Server) -> None:
    """It waits for its turn like anybody, and callers share that wait."""
    with Redis(port=server.port, max_connections=2, timeout=5) as client:
        with lent(client.connection_pool, 2) as connections:
            callers = spawned(20, client.execute_command, "ECHO", "x")
            wait_until(lambda: client.connection_pool.stats()["waiting"] == 1)
            client.connection_pool.release(connections[0])
            gevent.joinall(callers, timeout=5, raise_error=True)
            assert [caller.value for caller in callers] == [b"x"] * 20


def test_refused_port_without_retry_is_told_at_once() -> None:
    with Redis(port=free_port(), retry=None, multiplex=False, max_connections=3) as client:
        callers = spawned(100, client.execute_command, "PING")
        gevent.joinall(callers, timeout=5)
        assert {type(caller.exception) for caller in callers} == {ConnectionError}
        wait_until(lambda: client.connection_pool.share().slots == 0)
