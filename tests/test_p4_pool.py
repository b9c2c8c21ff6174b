"""P4: the pool never exceeds `max_connections`, loses no slot, and serves waiters in the order they came."""

from __future__ import annotations

import queue
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any

import gevent
import gevent.queue
import pytest
from gevent.event import Event

from greenredis import Redis
from greenredis.exceptions import (
    ConnectionError,
    MaxConnectionsError,
    RedisError,
    ResponseError,
    TimeoutError,
)
from greenredis.testing import ScriptedClient, ScriptedServer, Server, client_list, free_port, wait_until
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


# -- options


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
