"""Slow, stalled, cut off, dead: every call ends in its time with a typed error, and then it works again."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from time import monotonic
from typing import Any

import gevent
import pytest

import greenredis
from greenredis import Redis
from greenredis.exceptions import ConnectionError, OutOfMemoryError, RedisError, ResponseError, TimeoutError
from greenredis.testing import (
    Proxy,
    Server,
    Toxiproxy,
    client_list,
    on_quiet_machine,
    open_descriptors,
    wait_until,
)
from greenredis.testing.pytest_plugin import heal

DEADLINE = 0.3
SLACK = 0.1
BROKEN = (ConnectionError, TimeoutError)
HUGE = memoryview(bytes(64 << 20))


def both(test: Callable[..., None]) -> Callable[..., None]:
    """The test on the link and on the pool, and again where it failed while the machine was late."""

    @wraps(test)
    def on_quiet(**fixtures: Any) -> None:
        def run() -> None:
            for server in [each for each in fixtures.values() if isinstance(each, Server)]:
                heal(server)
            test(**fixtures)

        on_quiet_machine(run, SLACK)

    mark = pytest.mark.parametrize("multiplex", [True, False], ids=["link", "pool"])
    marked: Callable[..., None] = mark(on_quiet)
    return marked


@contextmanager
def client_of(at: Proxy | Server, multiplex: bool, **options: Any) -> Iterator[Redis]:
    with Redis(at.host, at.port, multiplex=multiplex, **options) as client:
        assert client.execute_command("ECHO", "warm") == b"warm"
        yield client


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except RedisError as error:
        return error


def within_deadline(client: Redis, *words: Any, seconds: float = DEADLINE) -> Any:
    """The reply or error of a command in a deadline, which it must keep."""
    began = monotonic()
    with greenredis.deadline(seconds):
        found = outcome(lambda: client.execute_command(*words))
    assert monotonic() - began < seconds + SLACK
    return found


def check_recovery(client: Redis, seconds: float = 5.0) -> None:
    """Within that time commands work again, and each gets its own reply."""
    wait_until(lambda: within_deadline(client, "ECHO", "back", seconds=1) == b"back", seconds)
    calls = [gevent.spawn(client.execute_command, "ECHO", f"own-{each}") for each in range(20)]
    assert [call.get(timeout=5) for call in calls] == [b"own-%d" % each for each in range(20)]
    stats = client.connection_pool.stats()
    assert stats["waiting"] == 0 and stats["lent"] <= 1


def count_of(server: Server, key: str) -> int:
    return int(server.ask("GET", key) or 0)


# -- slow


@both
def test_late_replies_reach_nobody(server: Server, proxy: Proxy, multiplex: bool) -> None:
    """60 s of latency, past the deadline, and then all of them at once."""
    with client_of(proxy, multiplex, socket_timeout=10) as client:
        link = client.connection_pool.share().link
        with proxy.toxic("latency", latency=60_000):
            calls = [gevent.spawn(within_deadline, client, "ECHO", f"late-{each}") for each in range(50)]
            errors = [call.get(timeout=5) for call in calls]
            assert all(isinstance(error, TimeoutError) for error in errors)
            assert any(error.maybe_executed for error in errors)
        for each in range(100):
            assert client.execute_command("ECHO", f"token-{each}") == b"token-%d" % each
        assert client.connection_pool.share().link is link, "a timeout has cost the link"
        check_recovery(client)


@both
def test_replies_that_are_late_for_some_only(proxy: Proxy, multiplex: bool) -> None:
    """Latency around the deadlines: many in time, many not, none with another's reply."""
    with client_of(proxy, multiplex, socket_timeout=10, max_connections=20) as client:

        def run(number: int) -> int:
            good = 0
            for each in range(15):
                token = f"{number}-{each}"
                found = within_deadline(client, "ECHO", token, seconds=0.03 + number % 7 * 0.01)
                assert isinstance(found, TimeoutError) or found == token.encode(), (token, found)
                good += not isinstance(found, RedisError)
            return good

        calls: list[Any] = []
        try:
            with proxy.toxic("latency", latency=50, jitter=40):
                calls += [gevent.spawn(run, number) for number in range(20)]
                good = sum(call.get(timeout=20) for call in calls)
        finally:
            gevent.killall(calls)
        assert 0 < good < 300
        check_recovery(client)


@both
@pytest.mark.parametrize(
    "toxic", [("bandwidth", {"rate": 0}), ("timeout", {"timeout": 0})], ids=lambda each: each[0]
)
@pytest.mark.parametrize("stream", ["downstream", "upstream"])
def test_stall_and_blackhole(
    server: Server, proxy: Proxy, multiplex: bool, toxic: tuple[str, dict[str, int]], stream: str
) -> None:
    """What was lost on the way there was not executed, on the way back it was, once; both may have been."""
    kind, attributes = toxic
    with client_of(proxy, multiplex, socket_timeout=10) as client:
        with proxy.toxic(kind, stream, **attributes):
            found = within_deadline(client, "INCR", "slow:count")
            assert isinstance(found, TimeoutError) and found.maybe_executed and proxy.address in str(found)
            assert isinstance(within_deadline(client, "GET", "slow:count"), TimeoutError)
            assert count_of(server, "slow:count") == (stream == "downstream")
        check_recovery(client)
        assert count_of(server, "slow:count") == (kind == "bandwidth" or stream == "downstream")


@both
def test_silence_without_a_deadline_is_bounded(proxy: Proxy, multiplex: bool) -> None:
    with client_of(proxy, multiplex, socket_timeout=0.3, retry=None) as client:
        with proxy.toxic("timeout", timeout=0):
            began = monotonic()
            found = outcome(lambda: client.execute_command("GET", "key"))
            assert isinstance(found, TimeoutError) and monotonic() - began < 0.3 + SLACK
        check_recovery(client)


@both
def test_huge_write_into_a_stall(server: Server, proxy: Proxy, multiplex: bool) -> None:
    with client_of(proxy, multiplex, socket_timeout=10) as client:
        with proxy.toxic("bandwidth", "upstream", rate=0):
            found = within_deadline(client, "SET", "slow:huge", HUGE)
            assert isinstance(found, TimeoutError) and not found.maybe_executed
        check_recovery(client)
        assert server.ask("EXISTS", "slow:huge") == 0


@pytest.fixture
def trickling(toxiproxy: Toxiproxy, server: Server) -> Iterator[Proxy]:
    """1 KB/s, by a process of its own: it cannot remove the toxic from a connection that was closed."""
    with Toxiproxy(toxiproxy.binary) as own:
        proxy = own.proxy(server.port)
        proxy.add("bandwidth", rate=1)
        yield proxy


@both
@pytest.mark.parametrize("bounded_by", ["deadline", "socket_timeout"])
def test_bound_of_a_trickle_is_total(
    server: Server, trickling: Proxy, multiplex: bool, bounded_by: str
) -> None:
    """Something arrives all the time, and yet the whole takes too long."""
    server.ask("SET", "slow:big", "x" * 100_000)
    with client_of(trickling, multiplex, socket_timeout=0.8, retry=None) as client:
        if bounded_by == "deadline":
            found = within_deadline(client, "GET", "slow:big", seconds=0.5)
        else:
            began = monotonic()
            found = outcome(lambda: client.execute_command("GET", "slow:big"))
            assert monotonic() - began < 0.8 + SLACK
        assert isinstance(found, TimeoutError) and found.maybe_executed
        check_recovery(client)


@both
def test_bytes_in_packets_of_one(server: Server, proxy: Proxy, multiplex: bool) -> None:
    value = "\r\n$5\r\n" * 40
    server.ask_all(("RPUSH", "slow:list", *range(30)), ("HSET", "slow:hash", *"a 1 b 2 c 3 d 4".split()))
    with client_of(proxy, multiplex) as client:
        with proxy.toxic("slicer", average_size=1, size_variation=0, delay=0):
            with proxy.toxic("slicer", "upstream", average_size=1, size_variation=0, delay=0):
                calls = [gevent.spawn(client.execute_command, "ECHO", f"{each}{value}") for each in range(20)]
                lists = gevent.spawn(client.execute_command, "LRANGE", "slow:list", 0, -1)
                assert [call.get(timeout=10).decode() for call in calls] == [
                    f"{each}{value}" for each in range(20)
                ]
                assert lists.get(timeout=10) == [b"%d" % each for each in range(30)]
                assert len(client.execute_command("HGETALL", "slow:hash")) == 4
        check_recovery(client)


# -- cut off


@both
def test_reset_by_the_peer(server: Server, proxy: Proxy, multiplex: bool) -> None:
    with client_of(proxy, multiplex, retry=None) as client:
        client.close()
        with proxy.toxic("reset_peer", timeout=0):
            for _ in range(5):
                assert isinstance(within_deadline(client, "INCR", "slow:count"), ConnectionError)
        check_recovery(client)
        assert count_of(server, "slow:count") <= 5


@both
def test_fin_that_is_late(server: Server, proxy: Proxy, multiplex: bool) -> None:
    """The server closes, and its FIN comes 300 ms later: until then the connection looks alive."""
    with client_of(proxy, multiplex) as client:
        with proxy.toxic("slow_close", delay=300):
            server.ask("CLIENT", "KILL", "TYPE", "normal")
            found = within_deadline(client, "INCR", "slow:count", seconds=1)
            assert found == 1 or (isinstance(found, BROKEN) and found.maybe_executed)
        assert count_of(server, "slow:count") <= 1
        check_recovery(client)


@both
def test_proxy_down_and_up_again_and_again(server: Server, proxy: Proxy, multiplex: bool) -> None:
    """Each time at most pool + 2 new connections, and in the end as many descriptors as before."""
    size, stop = 10, False

    def work(number: int) -> None:
        while not stop:
            found = within_deadline(client, "ECHO", str(number), seconds=2)
            assert found == str(number).encode() or isinstance(found, BROKEN), found

    with client_of(proxy, multiplex, max_connections=size) as client:
        workers = [gevent.spawn(work, number) for number in range(100)]

        def is_settled() -> bool:
            stats = client.connection_pool.stats()
            return not stats["dialing"] and stats["lent"] + stats["idle"] == (1 if multiplex else size)

        wait_until(is_settled)
        before = len(open_descriptors())
        for _ in range(20):
            asked = int(server.info("stats")["total_connections_received"])
            with proxy.down():
                wait_until(lambda: not is_settled())
            wait_until(is_settled)
            assert within_deadline(client, "ECHO", "up", seconds=2) == b"up"
            new = int(server.info("stats")["total_connections_received"]) - asked - 1
            assert new <= size + 2
        stop = True
        gevent.joinall(workers, timeout=10, raise_error=True)
        assert all(worker.ready() for worker in workers)
        check_recovery(client)
    gc.collect()
    wait_until(lambda: len(open_descriptors()) <= before, message="descriptors stay open")
    wait_until(lambda: not client_list(server), message="connections stay open")


# -- dead


@contextmanager
def own_server(fresh_server: Server, toxiproxy: Toxiproxy) -> Iterator[Proxy]:
    with toxiproxy.proxy(fresh_server.port) as proxy:
        yield proxy


@both
@pytest.mark.parametrize("listening", [True, False], ids=["proxy up", "proxy down"])
def test_server_is_killed_and_restarted(
    fresh_server: Server, toxiproxy: Toxiproxy, multiplex: bool, listening: bool
) -> None:
    """Connecting succeeds and ends at once, or is refused."""
    with own_server(fresh_server, toxiproxy) as proxy, client_of(proxy, multiplex) as client:
        calls = [gevent.spawn(outcome, partial(client.execute_command, "BLPOP", "none", 0)) for _ in range(3)]
        wait_until(lambda: len(client_list(fresh_server)) >= 3 + multiplex)
        fresh_server.kill()
        if not listening:
            proxy.disable()
        assert all(isinstance(call.get(timeout=5), ConnectionError) for call in calls)
        for _ in range(5):
            assert isinstance(within_deadline(client, "INCR", "slow:count"), BROKEN)
        fresh_server.start()
        if not listening:
            proxy.enable()
        check_recovery(client)
        assert count_of(fresh_server, "slow:count") == 0


@both
def test_server_that_loads_its_data(fresh_server: Server, toxiproxy: Toxiproxy, multiplex: bool) -> None:
    """LOADING is waited out by the retries; the write is executed once."""
    with own_server(fresh_server, toxiproxy) as proxy, client_of(proxy, multiplex) as client:
        fresh_server.ask_all(("SET", "slow:kept", "kept"), *(("SET", f"slow:{n}", n) for n in range(2000)))
        fresh_server.ask_all(("SAVE",))
        last = monotonic()
        fresh_server.kill()
        wait_until(lambda: monotonic() > last + 0.02)  # the pool does not look at connections used just now
        # Microseconds for each key, in which it answers LOADING.
        fresh_server.config["key-load-delay"] = 300
        fresh_server.config["loading-process-events-interval-bytes"] = 1024
        fresh_server.start(wait=False)
        assert within_deadline(client, "INCR", "slow:count", seconds=10) == 1
        assert client.execute_command("GET", "slow:kept") == b"kept"
        assert "errorstat_LOADING" in fresh_server.info("errorstats")
        check_recovery(client)


@both
def test_suspended_server(fresh_server: Server, toxiproxy: Toxiproxy, multiplex: bool) -> None:
    """Its kernel goes on accepting; what it finds later in its sockets it executes, once."""
    with (
        own_server(fresh_server, toxiproxy) as proxy,
        client_of(proxy, multiplex, socket_timeout=10) as client,
    ):
        fresh_server.suspend()
        calls = [gevent.spawn(within_deadline, client, "INCR", f"slow:{each}") for each in range(20)]
        errors = [call.get(timeout=5) for call in calls]
        assert all(isinstance(error, BROKEN) for error in errors)
        fresh_server.resume()
        check_recovery(client)
        counts = [count_of(fresh_server, f"slow:{each}") for each in range(20)]
        assert all(count <= error.maybe_executed for count, error in zip(counts, errors, strict=True))


# -- refused by the server


@both
def test_connections_killed_by_the_server(server: Server, proxy: Proxy, multiplex: bool) -> None:
    with client_of(proxy, multiplex, retry=None) as client:
        blocked = gevent.spawn(outcome, lambda: client.execute_command("BLPOP", "none", 0))
        wait_until(lambda: any(row["cmd"] == "blpop" for row in client_list(server)))
        server.ask("CLIENT", "KILL", "TYPE", "normal")
        found = blocked.get(timeout=5)
        assert isinstance(found, ConnectionError) and found.maybe_executed
        check_recovery(client)


@both
def test_paused_server(server: Server, proxy: Proxy, multiplex: bool) -> None:
    with client_of(proxy, multiplex, socket_timeout=10) as client:
        server.ask("CLIENT", "PAUSE", 800, "ALL")
        found = within_deadline(client, "INCR", "slow:count")
        assert isinstance(found, TimeoutError) and found.maybe_executed
        check_recovery(client)
        # A server forgets what it has paused when the connection closes.
        assert multiplex <= count_of(server, "slow:count") <= 1


@both
def test_server_with_too_many_clients(server: Server, proxy: Proxy, multiplex: bool) -> None:
    with client_of(server, False, single_connection_client=True) as admin:
        most = admin.execute_command("CONFIG", "GET", "maxclients")
        most = most[b"maxclients"] if isinstance(most, dict) else most[1]
        admin.execute_command("CONFIG", "SET", "maxclients", 1)
        try:
            with Redis(proxy.host, proxy.port, multiplex=multiplex, retry=None) as client:
                for _ in range(3):
                    found = within_deadline(client, "INCR", "slow:count")
                    assert isinstance(found, ConnectionError) and not found.maybe_executed
                    assert proxy.address in str(found)
                admin.execute_command("CONFIG", "SET", "maxclients", most)
                check_recovery(client)
        finally:
            admin.execute_command("CONFIG", "SET", "maxclients", most)


@both
def test_server_busy_with_a_script(server: Server, proxy: Proxy, multiplex: bool) -> None:
    limit = server.ask("CONFIG", "GET", "lua-time-limit")[1]
    server.ask("CONFIG", "SET", "lua-time-limit", 20)
    try:
        with client_of(proxy, multiplex, socket_timeout=10) as client, client_of(proxy, False) as other:
            script = gevent.spawn(outcome, lambda: other.execute_command("EVAL", "while true do end", 0))
            wait_until(
                lambda: isinstance(within_deadline(client, "GET", "slow:key", seconds=1), ResponseError)
            )
            found = within_deadline(client, "INCR", "slow:count")
            assert isinstance(found, ResponseError) and "BUSY" in str(found) and not found.maybe_executed
            server.ask("SCRIPT", "KILL")
            assert isinstance(script.get(timeout=5), ResponseError)
            check_recovery(client)
            assert count_of(server, "slow:count") == 0
    finally:
        server.ask("CONFIG", "SET", "lua-time-limit", limit)


@both
def test_server_out_of_memory(server: Server, proxy: Proxy, multiplex: bool) -> None:
    server.ask("CONFIG", "SET", "maxmemory", 1)
    try:
        with Redis(proxy.host, proxy.port, multiplex=multiplex) as client:
            found = within_deadline(client, "SET", "slow:key", "value")
            assert isinstance(found, OutOfMemoryError) and not found.maybe_executed
            assert client.execute_command("GET", "slow:key") is None
            server.ask("CONFIG", "SET", "maxmemory", 0)
            assert client.execute_command("SET", "slow:key", "value")
            check_recovery(client)
    finally:
        server.ask("CONFIG", "SET", "maxmemory", 0)
