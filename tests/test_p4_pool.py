"""P4: the pool never exceeds its maximum, never loses a slot, and serves in order."""

from __future__ import annotations

import queue
from time import monotonic
from typing import Any

import gevent
import pytest
from gevent.queue import Queue

import greenredis
from greenredis import BlockingConnectionPool, ConnectionPool, MaxConnectionsError, Redis
from greenredis.testing import FullListener, ScriptedServer, Server, wait_until


def pool_of(server: Server, **options: Any) -> BlockingConnectionPool:
    return BlockingConnectionPool(port=server.port, **{"max_connections": 2, "timeout": 5, **options})


def test_looping_greenlets_are_served_alike(server: Server) -> None:
    with pool_of(server) as pool:
        client = Redis(connection_pool=pool, multiplex=False)
        served = [0] * 10
        until = monotonic() + 0.5

        def loop(number: int) -> None:
            while monotonic() < until:
                client.get("key")
                served[number] += 1

        gevent.joinall([gevent.spawn(loop, number) for number in range(10)], raise_error=True)
        assert max(served) <= 1.5 * min(served), served
        assert pool.stats()["dialed"] == 2


def test_waiters_are_served_in_the_order_they_came(server: Server) -> None:
    with pool_of(server, max_connections=1) as pool:
        held, order = pool.get_connection(), []

        def wait(number: int) -> None:
            with pool.lend():
                order.append(number)

        waiters = [gevent.spawn(wait, number) for number in range(20)]
        wait_until(lambda: pool.stats()["waiting"] == 20)
        waiters[4].kill()
        pool.release(held)
        gevent.joinall(waiters, timeout=5)
        assert order == [number for number in range(20) if number != 4]


def test_a_waiter_killed_as_it_is_served_passes_its_turn_on(server: Server) -> None:
    with pool_of(server, max_connections=1) as pool:
        held = pool.get_connection()
        waiters = [gevent.spawn(pool.get_connection) for _ in range(3)]
        wait_until(lambda: pool.stats()["waiting"] == 3)
        waiters[0].kill(block=False)  # takes effect in the hub's next turn
        pool.release(held)  # on its way to the first, who will be gone
        waiters[1].join(timeout=5)
        assert waiters[1].value is held and pool.stats()["waiting"] == 1
        pool.release(held)
        waiters[2].join(timeout=5)
        pool.release(waiters[2].value)
        assert pool.stats() == {"idle": 1, "lent": 0, "waiting": 0, "dialing": 0, "dialed": 1}


def test_a_crowd_gets_no_error(server: Server) -> None:
    with pool_of(server, max_connections=50, timeout=20) as pool:
        client = Redis(connection_pool=pool, multiplex=False)
        gevent.joinall([gevent.spawn(client.get, "key") for _ in range(5000)], raise_error=True)
        assert pool.stats()["dialed"] <= 50 and int(server.info("clients")["connected_clients"]) <= 51


def test_the_pool_that_does_not_wait_says_so_at_once(server: Server) -> None:
    with ConnectionPool(port=server.port, max_connections=1) as pool:
        held = pool.get_connection()
        with pytest.raises(MaxConnectionsError, match="1 connections"):
            pool.get_connection()
        pool.release(held)


def test_the_wait_ends(server: Server) -> None:
    with pool_of(server, max_connections=1, timeout=0.05) as pool:
        held = pool.get_connection()
        with pytest.raises(MaxConnectionsError, match="No connection available"):
            pool.get_connection()
        with pytest.raises(greenredis.TimeoutError), greenredis.deadline(0.01):
            pool.get_connection()
        pool.release(held)
        pool.release(pool.get_connection())


def test_no_wait_at_all_still_connects(server: Server) -> None:
    with pool_of(server, timeout=0) as pool:
        pool.release(pool.get_connection())


def test_failing_dials_cost_no_slot() -> None:
    with ScriptedServer(lambda words, client: client.reset(), handshake=False) as server:
        pool = BlockingConnectionPool(port=server.port, max_connections=2, timeout=1)
        for _ in range(5):
            with pytest.raises(greenredis.ConnectionError):
                pool.get_connection()
        assert pool.stats() == {"idle": 0, "lent": 0, "waiting": 0, "dialing": 0, "dialed": 5}


def test_a_dial_is_kept_though_its_caller_left() -> None:
    released = gevent.event.Event()

    def slow(words: list[bytes], client: Any) -> bytes | None:
        released.wait()
        return b"-ERR unknown command\r\n" if words[0] == b"HELLO" else b"+OK\r\n"

    with ScriptedServer(slow, handshake=False) as server:
        pool = BlockingConnectionPool(port=server.port, max_connections=1, timeout=5)
        with pytest.raises(greenredis.TimeoutError), greenredis.deadline(0.02):
            pool.get_connection()
        released.set()
        wait_until(lambda: pool.stats()["idle"] == 1)
        pool.release(pool.get_connection())
        assert pool.stats()["dialed"] == 1
        pool.close()


def test_killed_while_dialing_costs_no_slot() -> None:
    with FullListener() as listener:
        pool = BlockingConnectionPool(
            port=listener.port, max_connections=1, timeout=5, socket_connect_timeout=0.1
        )
        caller = gevent.spawn(pool.get_connection)
        wait_until(lambda: pool.stats()["dialing"] == 1)
        caller.kill()
        wait_until(lambda: pool.stats()["dialing"] == 0 and pool.share().slots == 0)


@pytest.mark.parametrize("queue_class", [queue.LifoQueue, queue.Queue, Queue])
def test_the_queue_class_says_which_idle_one_is_next(server: Server, queue_class: type[Any]) -> None:
    with pool_of(server, queue_class=queue_class) as pool:
        first, second = pool.get_connection(), pool.get_connection()
        pool.release(first)
        pool.release(second)
        assert pool.get_connection() is (second if queue_class is queue.LifoQueue else first)


def test_ages_and_warmth(server: Server) -> None:
    with pool_of(server, max_idle_time=0.05) as pool:
        pool.release(pool.get_connection())
        wait_until(lambda: pool.stats()["idle"] == 0)
    with pool_of(server, max_lifetime=0.05) as pool:
        connection = pool.get_connection()
        wait_until(lambda: monotonic() > connection.expires)
        pool.release(connection)
        assert pool.stats()["idle"] == 0 and not connection.is_connected
    with pool_of(server, max_connections=4, min_idle=3) as pool:
        pool.share()
        wait_until(lambda: pool.stats()["idle"] == 3)


def test_an_idle_connection_must_answer(server: Server) -> None:
    with pool_of(server, max_connections=1, health_check_interval=0.01, socket_timeout=0.1) as pool:
        pool.release(pool.get_connection())
        before = int(
            server.info("commandstats").get("cmdstat_ping", "calls=0").split("calls=")[1].split(",")[0]
        )
        gevent.sleep(0.02)  # longer than the interval
        pool.release(pool.get_connection())
        after = int(server.info("commandstats")["cmdstat_ping"].split("calls=")[1].split(",")[0])
        assert after == before + 1


def test_a_connection_that_the_server_closed_is_not_lent(server: Server) -> None:
    with pool_of(server) as pool:
        connection = pool.get_connection()
        pool.release(connection)
        server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        wait_until(lambda: not connection.looks_idle() and monotonic() > connection.idle_since + 0.02)
        other = pool.get_connection()
        assert other is not connection and other.is_connected
        pool.release(other)


def test_one_connection_serves_all_kinds_in_turn(server: Server) -> None:
    with Redis(port=server.port, max_connections=1) as client:
        assert client.set("key", 1) and client.get("key") == b"1"
        client.execute_command("RPUSH", "list", "item")
        assert client.execute_command("BLPOP", "list", 1)
        with client.client() as own:
            own.execute_command("WATCH", "key")
            own.execute_command("MULTI")
            own.execute_command("INCR", "key")
            assert own.execute_command("EXEC") == [2]
        assert client.get("key") == b"2" and client.connection_pool.share().link is None


def test_the_repr_shows_the_state(server: Server) -> None:
    with BlockingConnectionPool(host="127.0.0.1", port=server.port, max_connections=50) as pool:
        held = [pool.get_connection() for _ in range(3)]
        pool.release(held.pop())
        where = f"127.0.0.1:{server.port}"
        assert repr(pool) == f"<BlockingConnectionPool {where} 1 idle, 2 lent, 0 waiting, max 50>"
        for connection in held:
            pool.release(connection)
