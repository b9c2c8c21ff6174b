"""P4: the pool never exceeds `max_connections`, loses no slot, and serves waiters in the order they came."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import gevent
import gevent.queue
import pytest
from gevent.event import Event

from greenredis import Redis
from greenredis.exceptions import (
    ConnectionError,
    RedisError,
    ResponseError,
    TimeoutError,
)
from greenredis.testing import ScriptedClient, ScriptedServer, Server, client_list, wait_until
from greenredis.transport.pool import BlockingConnectionPool, ConnectionPool

pytestmark = pytest.mark.usefixtures("leaks")


def pool_of(server: Any, most: int, **options: Any) -> BlockingConnectionPool:
    return BlockingConnectionPool(most, host=server.host, port=server.port, **options)


def names(server: Server, name: str) -> int:
    """How many connections of that name the server has; a closed one may be seen once more."""
    return min(sum(row["name"] == name for row in client_list(server)) for _ in range(2))


def assert_all_slots(pool: ConnectionPool) -> None:
    """Every slot can be lent at once, and what is lent answers its own question."""
    wait_until(lambda: pool.stats()["dialing"] == pool.stats()["waiting"] == pool.stats()["lent"] == 0)
    with lent(pool, pool.max_connections) as connections:
        assert pool.share().slots == pool.max_connections == len(set(connections))
        for number, connection in enumerate(connections):
            assert connection.owed == 0
            connection.send_command("ECHO", number)
        assert [int(each.read_response()) for each in connections] == list(range(len(connections)))


@contextmanager
def lent(pool: ConnectionPool, count: int) -> Iterator[list[Any]]:
    connections: list[Any] = []
    try:
        with gevent.Timeout(10):
            connections += [pool.get_connection() for _ in range(count)]
        yield connections
    finally:
        for connection in connections:
            pool.release(connection)


# -- who is served


def test_looping_greenlets_are_served_alike(server: Server) -> None:
    served: Counter[int] = Counter()
    with Redis(port=server.port, max_connections=2, multiplex=False) as client:

        def loop(number: int) -> None:
            while sum(served.values()) < 4000:
                client.execute_command("PING")
                served[number] += 1

        gevent.joinall([gevent.spawn(loop, number) for number in range(10)], raise_error=True)
    assert len(served) == 10 and max(served.values()) <= 1.5 * min(served.values()), served


@pytest.mark.parametrize("most", [1, 3])
def test_waiters_are_served_in_the_order_they_came(server: Server, most: int) -> None:
    with pool_of(server, most) as pool:
        order: list[int] = []

        def wait(number: int) -> None:
            with pool.lend():
                order.append(number)
                gevent.sleep(0)

        with lent(pool, most):
            waiters = []
            for number in range(60):
                waiters.append(gevent.spawn(wait, number))
                wait_until(lambda number=number: pool.stats()["waiting"] == number + 1)  # type: ignore[misc]
            left = random.Random(1).sample(range(60), 20)
            for number in left:
                waiters[number].kill()
            assert pool.stats()["waiting"] == 40
        gevent.joinall(waiters, raise_error=True)
        assert order == [number for number in range(60) if number not in left]
        assert_all_slots(pool)


def test_nobody_overtakes_those_who_wait(server: Server) -> None:
    """Not even who asks in the turn in which a connection came back."""
    with pool_of(server, 1) as pool:
        order: list[str] = []

        def take(name: str) -> None:
            with pool.lend():
                order.append(name)

        connection = pool.get_connection()
        first = gevent.spawn(take, "first")
        wait_until(lambda: pool.stats()["waiting"] == 1)
        pool.release(connection)
        take("second")
        first.get(timeout=5)
        assert order == ["first", "second"]


@pytest.mark.slow
@pytest.mark.parametrize("multiplex", [True, False])
def test_5000_greenlets_on_50_connections(server: Server, multiplex: bool) -> None:
    with Redis(port=server.port, max_connections=50, multiplex=multiplex, client_name="many") as client:
        most = 0

        def work(number: int) -> None:
            assert client.execute_command("ECHO", number) == b"%d" % number
            # Not for the link, so that it too waits for a connection.
            assert client.execute_command("BLPOP", "nothing", 0.001) is None

        workers = [gevent.spawn(work, number) for number in range(5000)]
        while not all(worker.ready() for worker in workers):
            most = max(most, names(server, "many"))
            gevent.sleep(0.02)
        gevent.joinall(workers, raise_error=True)
        assert 40 < most <= 50


def test_server_never_sees_too_many(server: Server) -> None:
    """While greenlets are killed, time out, and the server breaks connections off."""
    chance = random.Random(4)
    with Redis(
        port=server.port, max_connections=5, multiplex=False, client_name="few", max_lifetime=0.05
    ) as client:
        ended = False

        def work() -> None:
            while not ended:
                with suppress(gevent.Timeout, ConnectionError), gevent.Timeout(chance.random() * 0.01):
                    client.execute_command("PING")

        workers = [gevent.spawn(work) for _ in range(30)]
        for turn in range(100):
            number = chance.randrange(30)
            workers[number].kill(block=False)
            workers[number] = gevent.spawn(work)
            if turn % 10 == 0:
                server.ask("CLIENT", "KILL", "TYPE", "normal")
            assert names(server, "few") <= 5 and client.connection_pool.share().slots <= 5
            gevent.sleep(0.002)
        ended = True
        gevent.joinall(workers, timeout=10, raise_error=True)
        assert_all_slots(client.connection_pool)


# -- slots survive


def kill_after(turns: int, work: Callable[[], object]) -> None:
    """Kills a greenlet at the switch point that it has reached after so many turns of the loop."""
    victim = gevent.spawn(work)
    for _ in range(turns):
        gevent.sleep(0)
    victim.kill()


@pytest.mark.parametrize("situation", ["dialing", "idle", "health check", "waiting", "re-authentication"])
def test_kill_at_every_switch_point(server: Server, situation: str) -> None:
    with pool_of(server, 2, health_check_interval=1) as pool:

        def work() -> None:
            with pool.lend() as connection:
                connection.execute(pool.packer.pack(("PING",)))

        for turns in range(40):
            if situation == "dialing":
                pool.disconnect()
            elif situation == "health check":
                with lent(pool, 2) as connections:
                    pass
                for connection in connections:
                    connection.idle_since -= 100
            elif situation == "re-authentication":
                with lent(pool, 2) as connections:
                    for connection in connections:
                        connection.set_re_auth_token(Token("default", "any"))
            if situation == "waiting":
                with lent(pool, 2):
                    helper = gevent.spawn(kill_after, turns, work)
                    for _ in range(turns // 2):
                        gevent.sleep(0)
                helper.get(timeout=5)
            else:
                kill_after(turns, work)
            assert_all_slots(pool)


class Token:
    def __init__(self, user: str, password: str) -> None:
        self.user, self.password = user, password

    def try_get(self, name: str) -> str:
        return self.user

    def get_value(self) -> str:
        return self.password


@pytest.mark.parametrize("first", ["release", "kill"])
def test_waiter_killed_as_it_is_served_passes_its_turn_on(server: Server, first: str) -> None:
    with pool_of(server, 1) as pool:
        served: list[int] = []

        def wait(number: int) -> None:
            with pool.lend():
                served.append(number)

        for _ in range(20):
            connection = pool.get_connection()
            waiters = [gevent.spawn(wait, number) for number in range(5)]
            wait_until(lambda: pool.stats()["waiting"] == 5)
            steps: list[Callable[[], object]] = [
                lambda connection=connection: pool.release(connection),  # type: ignore[misc]
                lambda waiters=waiters: gevent.killall(waiters[:3], block=False),  # type: ignore[misc]
            ]
            for step in steps if first == "release" else reversed(steps):
                step()
            gevent.joinall(waiters, timeout=5)
            assert served[-2:] == [3, 4]
            assert_all_slots(pool)
        assert pool.stats()["dialed"] == 1


@pytest.mark.parametrize("silent", ["accepts only", "HELLO", "late"])
def test_kill_and_timeout_while_dialing(silent: str) -> None:
    """The dial goes on, is counted once, and its connection is kept if it comes to one."""
    go = Event()

    def answer(words: list[bytes], client: ScriptedClient) -> bytes | None:
        if words[0] == b"HELLO":
            go.wait()
            return None if silent == "accepts only" else b"%1\r\n+proto\r\n:3\r\n"
        return b"+OK\r\n" if words[0] == b"CLIENT" else b"$%d\r\n%s\r\n" % (len(words[-1]), words[-1])

    options: dict[str, Any] = {"socket_connect_timeout": 0.3 if silent == "accepts only" else 5}
    with ScriptedServer(answer, handshake=False) as server, pool_of(server, 3, **options) as pool:
        for _ in range(5):
            with suppress(gevent.Timeout, TimeoutError), gevent.Timeout(0.01), pool.lend():
                pass
            victim = gevent.spawn(pool.get_connection)
            wait_until(lambda: server.connections >= 1)
            victim.kill()
        assert pool.stats()["waiting"] == 0 and pool.share().slots == pool.stats()["dialing"] <= 3
        go.set()
        wait_until(lambda: pool.stats()["dialing"] == 0)
        dialed = pool.stats()["dialed"]
        if silent == "accepts only":
            assert pool.share().slots == 0
        else:
            assert pool.stats()["idle"] == dialed == server.connections
            with pool.lend() as connection:
                assert connection.execute(pool.packer.pack(("ECHO", "kept"))) == b"kept"
            assert pool.stats()["dialed"] == dialed
            assert_all_slots(pool)


def test_failed_dials_are_told_to_all_and_cost_no_slot(fresh_server: Server) -> None:
    fresh_server.kill()
    with pool_of(fresh_server, 3) as pool:
        for _ in range(3):
            callers = [gevent.spawn(pool.get_connection) for _ in range(20)]
            gevent.joinall(callers, timeout=5)
            assert all(isinstance(caller.exception, ConnectionError) for caller in callers)
            assert len({id(caller.exception) for caller in callers}) == 20
            assert pool.stats()["waiting"] == 0
            wait_until(lambda: pool.share().slots == 0)
        fresh_server.restart()
        assert_all_slots(pool)


class Refusing:
    """A connection class's function that fails in ways of its own."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error: type[BaseException] | None = error

    def __call__(self, connection: Any) -> None:
        if self.error is not None:
            raise self.error("by the application's own function")
        connection.on_connect()


@pytest.mark.parametrize("error", [ValueError, KeyError, OSError, ResponseError, MemoryError])
def test_whatever_a_dial_raises_costs_no_slot(server: Server, error: type[Exception]) -> None:
    connect = Refusing(error)
    with pool_of(server, 2, redis_connect_func=connect) as pool:
        for _ in range(5):
            with pytest.raises((RedisError, error)), pool.lend():
                pass
        wait_until(lambda: pool.share().slots == 0)
        connect.error = None
        assert_all_slots(pool)


def test_server_restarts_under_greenlets(fresh_server: Server) -> None:
    with Redis(port=fresh_server.port, max_connections=5, multiplex=False) as client:
        ended = False

        def work() -> None:
            while not ended:
                with suppress(ConnectionError, TimeoutError):
                    client.execute_command("PING")

        workers = [gevent.spawn(work) for _ in range(20)]
        for _ in range(3):
            fresh_server.restart()
            wait_until(lambda: client.connection_pool.stats()["lent"] == 5)
        ended = True
        gevent.joinall(workers, timeout=15, raise_error=True)
        assert_all_slots(client.connection_pool)


def test_disconnect_under_waiters_and_double_release(server: Server) -> None:
    with pool_of(server, 2) as pool, pool_of(server, 1) as other:
        connections = [pool.get_connection(), pool.get_connection()]
        waiters = [gevent.spawn(pool.get_connection) for _ in range(2)]
        wait_until(lambda: pool.stats()["waiting"] == 2)
        pool.disconnect()
        for connection in connections * 2:
            pool.release(connection)
        new = [waiter.get(timeout=5) for waiter in waiters]
        assert not set(new) & set(connections)
        with other.lend() as foreign:
            pool.release(foreign)
            assert pool.stats()["idle"] == 0 and other.stats()["lent"] == 1
        for connection in new * 2:
            pool.release(connection)
        assert pool.stats()["idle"] == 2
        assert_all_slots(pool)
