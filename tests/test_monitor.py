"""Monitor: redis-py's contract, and greenlets that leave in the middle."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest

import greenredis
from greenredis import Redis
from greenredis.exceptions import ConnectionError, RedisError, ResponseError, TimeoutError
from greenredis.monitor import Monitor
from greenredis.testing import ScriptedClient, ScriptedServer, Server, client_list, wait_until

pytestmark = pytest.mark.usefixtures("leaks")


@contextmanager
def monitor_of(server: Any, **options: Any) -> Iterator[Monitor]:
    with Redis(port=server.port, **options) as client, Monitor(client.connection_pool) as monitor:
        yield monitor
    wait_until(lambda: client.connection_pool.stats()["lent"] == 0, message="a slot is lost")
    assert client.connection_pool.share().slots == 0


def test_signatures() -> None:
    theirs: Any = pytest.importorskip("redis.client").Monitor
    for name in ("__init__", "next_command", "listen"):
        own = inspect.signature(getattr(Monitor, name)).parameters
        assert list(own) == list(inspect.signature(getattr(theirs, name)).parameters)


@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize("protocol", [2, 3])
def test_commands_are_those_of_redis_py(server: Server, protocol: int, decode: bool) -> None:
    redis_py = pytest.importorskip("redis")
    options: dict[str, Any] = {"protocol": protocol, "decode_responses": decode}
    commands: list[tuple[Any, ...]] = [
        ("SET", "key", 'with "quotes" and blanks'),
        ("ECHO", b"\xff\x00\r\n"),
        ("ECHO", ""),
        ("EVAL", "return redis.call('GET', 'key')", 0),
    ]
    with redis_py.Redis(port=server.port, **options) as client, client.monitor() as theirs:
        with monitor_of(server, **options) as own:
            for words in commands:
                server.ask(*words)
            wanted: list[Any] = []
            while not wanted or wanted[-1]["client_type"] != "lua":
                wanted.append(theirs.next_command())
            wanted = [each for each in wanted if each["command"].split()[0] in ("SET", "ECHO", "EVAL", "GET")]
            assert [own.next_command() for _ in wanted] == wanted
            assert {each["client_type"] for each in wanted} == {"tcp", "lua"}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b'+1.5 [3 unix:/a b.sock] "GET" "a"\r\n', (1.5, 3, "unix", "/a b.sock", "unix", "GET a")),
        (b'+1.5 [0 [::1]:7] "GET" "a"\r\n', (1.5, 0, "[::1]", "7", "tcp", "GET a")),
        (b'+1.5 [0 ] "GET" "a]"\r\n', (1.5, 0, "", "", "unknown", "GET a]")),
        (b'+1.5 [0 lua] "SET" "a\\\\" "b\\"c"\r\n', (1.5, 0, "lua", "", "lua", 'SET a\\\\ b"c')),
    ],
)
def test_kinds_of_clients_and_quoting(line: bytes, found: tuple[Any, ...]) -> None:
    def answer(words: list[bytes], client: ScriptedClient) -> bytes:
        return b"+OK\r\n" + line

    names = ("time", "db", "client_address", "client_port", "client_type", "command")
    with ScriptedServer(answer) as server, monitor_of(server) as monitor:
        assert monitor.next_command() == dict(zip(names, found, strict=True))


def test_waits_as_long_as_it_takes(server: Server) -> None:
    with monitor_of(server, socket_timeout=0.05) as monitor:
        gevent.spawn_later(0.3, server.ask, "ECHO", "late")
        assert next(monitor.listen())["command"] == "ECHO late"
        with pytest.raises(TimeoutError), greenredis.deadline(0.05):
            monitor.next_command()
        server.ask("ECHO", "next")
        assert monitor.next_command()["command"] == "ECHO next"


def test_greenlets_that_leave_cost_only_themselves(server: Server) -> None:
    with monitor_of(server) as monitor:
        for number in range(30):
            victim = gevent.spawn(monitor.next_command)
            for _ in range(number % 5):
                gevent.sleep(0)
            with gevent.Timeout(0.001, False):  # type: ignore[arg-type]
                victim.join()
            victim.kill()
            if not victim.ready() or isinstance(victim.value, gevent.GreenletExit):
                server.ask("ECHO", number)
                assert monitor.next_command()["command"] == f"ECHO {number}"
    assert client_list(server) == []


def test_kill_while_it_begins(server: Server) -> None:
    def work() -> None:
        with Monitor(client.connection_pool) as monitor:
            monitor.next_command()

    with Redis(port=server.port, max_connections=2) as client:
        for turns in range(20):
            victim = gevent.spawn(work)
            for _ in range(turns):
                gevent.sleep(0)
            victim.kill()
            wait_until(lambda: client.connection_pool.stats()["lent"] == 0)
        wait_until(lambda: client.connection_pool.share().slots <= 1)


def test_refusal_gives_the_slot_back(server: Server) -> None:
    server.ask("ACL", "SETUSER", "weak", "on", ">secret", "+@all", "-monitor")
    try:
        with pytest.raises(ResponseError), monitor_of(server, username="weak", password="secret"):
            raise AssertionError
    finally:
        server.ask("ACL", "DELUSER", "weak")


def test_lost_connection_is_told(server: Server) -> None:
    with monitor_of(server) as monitor:
        waiting = gevent.spawn(monitor.next_command)
        gevent.sleep(0.01)
        server.ask("CLIENT", "KILL", "SKIPME", "yes")
        with pytest.raises(ConnectionError):
            waiting.get(timeout=5)
    with pytest.raises(RedisError):
        monitor.next_command()


def test_abandoned_one_frees_its_slot(server: Server) -> None:
    with Redis(port=server.port) as client:
        for _ in range(3):
            Monitor(client.connection_pool)
            gc.collect()
        wait_until(lambda: client.connection_pool.stats()["lent"] == 0)
        wait_until(lambda: len(client_list(server)) <= client.connection_pool.stats()["idle"])
