"""P6: nothing here keeps other greenlets waiting for more than 10 ms at a time, and the loop may end."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
from collections.abc import Callable
from time import perf_counter
from typing import Any

import gevent
import gevent.socket
import pytest
from gevent.exceptions import BlockingSwitchOutError
from gevent.resolver import AbstractResolver

from greenredis import Redis
from greenredis.exceptions import ConnectionError
from greenredis.testing import Certificates, Server, Ticker, TlsTerminator, on_quiet_machine, wait_until

BOUND = 0.010
MEGABYTE = 1 << 20

# It needs the machine for itself, and says little about the Python.
pytestmark = [pytest.mark.usefixtures("leaks"), pytest.mark.slow]


def assert_never_late(work: Callable[..., object], own: float = 0.0, preparing: bool = False) -> None:
    """Runs `work`, and again where the machine itself was late; a ticker must get its turns meanwhile.

    `own`: seconds at a time that the test's own code needs, which do not count. `preparing`: `work` is
    given the ticker, to reset it when all is prepared.
    """
    bound = BOUND + own

    def test() -> None:
        gc.collect()
        gc.disable()  # or its pauses count, which grow with what the test holds
        try:
            with Ticker() as ticker:
                work(*((ticker,) if preparing else ()))
                gevent.sleep(0.002)
        finally:
            gc.enable()
        assert ticker.worst <= bound, f"{ticker.worst * 1000:.1f} ms late, {own * 1000:.1f} of its own"

    on_quiet_machine(test, BOUND)


class Idle:
    def execute_command(self, *words: Any) -> None:
        pass


def own_time(work: Callable[[], object]) -> float:
    """How long Python itself takes for what a test hands over or lets go of at a time, in seconds."""
    best = 1.0
    for _ in range(3):
        begun = perf_counter()
        work()
        best = min(best, perf_counter() - begun)
    return best


@pytest.fixture(params=[True, False], ids=["link", "pool"])
def client(request: pytest.FixtureRequest, server: Server) -> Any:
    with Redis(port=server.port, multiplex=request.param, max_connections=10, socket_timeout=30) as client:
        client.execute_command("PING")
        yield client


# -- while much comes and goes


@pytest.mark.time_limit(240)
def test_a_million_replies_on_link(server: Server) -> None:
    """Half to greenlets of their own, half in batches."""
    with Redis(port=server.port, socket_timeout=30) as client:
        link = client.connection_pool.multiplexer.link()
        pings = b"*1\r\n$4\r\nPING\r\n" * 1000

        def work(number: int) -> None:
            for turn in range(500):
                assert client.execute_command("ECHO", turn) == b"%d" % turn

        def batches() -> None:
            for _ in range(10):
                assert len(link.execute_many(pings, 1000)) == 1000

        assert_never_late(lambda: run([gevent.spawn(work, number) for number in range(1000)]))
        assert_never_late(lambda: run([gevent.spawn(batches) for _ in range(50)]))


@pytest.mark.parametrize("transaction", [True, False])
def test_pipeline_of_many_commands(client: Redis, transaction: bool) -> None:
    def work(ticker: Ticker) -> None:
        pipe = client.pipeline(transaction)
        for number in range(40_000):
            pipe.echo(str(number))
        stack = pipe.command_stack
        ticker.reset()
        replies = pipe.execute()
        ticker.__exit__(None, None, None)
        assert len(replies) == len(stack)

    assert_never_late(work, preparing=True)


def run(greenlets: list[Any]) -> None:
    gevent.joinall(greenlets, raise_error=True)


def test_all_at_once_in_one_turn(server: Server) -> None:
    """100,000 replies that are there at the same time, each for a greenlet of its own."""
    with Redis(port=server.port, socket_timeout=30) as client:
        client.execute_command("PING")

        def work(ticker: Ticker) -> None:
            link = client.connection_pool.multiplexer.link()
            done: list[Any] = []
            server.suspend()
            callers = [
                gevent.spawn(lambda: done.append(client.execute_command("PING"))) for _ in range(100_000)
            ]
            wait_until(lambda: len(link.waiting) + len(link.unsent) + len(link.outside) == 100_000)
            ticker.reset()
            server.resume()
            wait_until(lambda: len(done) == 100_000)
            ticker.__exit__(None, None, None)
            run(callers)

        assert_never_late(work, preparing=True)


@pytest.mark.parametrize("end", ["close", "kill"])
def test_link_breaks_under_many(fresh_server: Server, end: str) -> None:
    """Telling 20,000 callers of it is work for more than one turn."""
    told: list[ConnectionError] = []

    def work(ticker: Ticker) -> None:
        with Redis(port=fresh_server.port, retry=None, socket_timeout=30) as client:
            link = client.connection_pool.multiplexer.link()

            def call() -> None:
                try:
                    link.execute(PING)
                except ConnectionError as error:
                    told.append(error)

            fresh_server.suspend()
            callers = [gevent.spawn(call) for _ in range(20_000)]
            wait_until(lambda: len(link.waiting) + len(link.unsent) + len(link.outside) == 20_000)
            expected = len(told) + 20_000
            ticker.reset()
            if end == "close":
                client.close()
            else:
                fresh_server.kill()
            wait_until(lambda: len(told) == expected)
            ticker.__exit__(None, None, None)
            run(callers)
        fresh_server.restart()

    assert_never_late(work, preparing=True)
    assert len(told) >= 20_000


PING = b"*1\r\n$4\r\nPING\r\n"


def test_reply_of_10_mb(server: Server, client: Redis) -> None:
    server.ask("SET", "big", b"x" * (10 * MEGABYTE))

    kept: list[Any] = []

    def get() -> None:
        for _ in range(5):
            kept.append(client.execute_command("GET", "big"))
            gevent.sleep(0)
        assert len(kept[-1]) == 10 * MEGABYTE

    assert_never_late(get)


def test_reply_of_a_million_words(server: Server, client: Redis) -> None:
    script = "for i = 1, 1000 do redis.call('RPUSH', 'words', unpack(ARGV)) end"
    server.ask("EVAL", script, 0, *(f"word{number}" for number in range(1000)), timeout=10)
    kept: list[Any] = []  # letting go of a million words takes long
    assert_never_late(lambda: kept.append(client.execute_command("LRANGE", "words", 0, -1)))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, str])
def test_set_of_64_mb(server: Server, client: Redis, kind: Any) -> None:
    word: Any = "x" * (64 * MEGABYTE)
    if kind is not str:
        word = kind(word.encode())
    assert_never_late(lambda: client.execute_command("SET", "big", word))
    assert server.ask("STRLEN", "big") == 64 * MEGABYTE


def test_rpush_of_a_million_words(server: Server, client: Redis) -> None:
    command = ("RPUSH", "list", *(f"word{number}" for number in range(1_000_000)))

    def push() -> None:
        client.execute_command("DEL", "list")
        gevent.sleep(0)
        assert client.execute_command(*command) == 1_000_000

    assert_never_late(push, own_time(lambda: Idle().execute_command(*command)))


@pytest.mark.parametrize(("count", "size"), [(1500, 60_000), (150_000, 500), (1900, 65_532)])
def test_rpush_of_long_words(client: Redis, count: int, size: int) -> None:
    """Neither many nor big by themselves, but 75 MB and more together."""
    command: tuple[Any, ...] = (
        "RPUSH",
        "list",
        *(b"%d" % number * (size // 6) for number in range(10**5, 10**5 + count)),
    )
    assert_never_late(
        lambda: client.execute_command(*command), own_time(lambda: Idle().execute_command(*command))
    )


def test_many_long_commands_at_once(server: Server) -> None:
    """Each may share the link, and together they are 120 MB."""
    with Redis(port=server.port, socket_timeout=30) as client:
        client.execute_command("PING")
        word = b"x" * 60_000

        def work(ticker: Ticker) -> None:
            callers = [gevent.spawn(client.execute_command, "SET", f"key{n}", word) for n in range(2000)]
            ticker.reset()
            run(callers)

        assert_never_late(work, preparing=True)


@pytest.mark.parametrize("multiplex", [True, False])
def test_tls(tls_server: Server | TlsTerminator, certificates: Certificates, multiplex: bool) -> None:
    options: dict[str, Any] = {"ssl": True, "ssl_ca_certs": certificates.ca, "socket_timeout": 30}

    def work() -> None:
        with Redis(
            "127.0.0.1", tls_server.port, multiplex=multiplex, max_connections=10, **options
        ) as client:
            run([gevent.spawn(client.execute_command, "BLPOP", "nothing", 0.01) for _ in range(10)])
            client.execute_command("SET", "big", b"x" * (10 * MEGABYTE))
            for _ in range(3):
                assert len(client.execute_command("GET", "big")) == 10 * MEGABYTE

    assert_never_late(work)


# -- names


class Recording(AbstractResolver):
    """Answers as slowly as it is told to, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def getaddrinfo(self, host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        self.asked.append(host)
        gevent.sleep(0.05)
        family, kind = gevent.socket.AF_INET, gevent.socket.SOCK_STREAM
        return [(family, kind, 0, "", ("127.0.0.1", int(port)))]

    def close(self) -> None:
        pass


@pytest.mark.parametrize("multiplex", [True, False])
def test_names_are_looked_up_by_gevent(
    server: Server, monkeypatch: pytest.MonkeyPatch, multiplex: bool
) -> None:
    resolver = Recording()
    monkeypatch.setattr(gevent.get_hub(), "resolver", resolver)
    with Redis("cache.greenredis.test", server.port, multiplex=multiplex) as client:
        assert_never_late(lambda: client.execute_command("PING"))
        assert resolver.asked and set(resolver.asked) <= {"cache.greenredis.test", b"cache.greenredis.test"}


# -- the hub itself


class Overriding(Redis):
    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        return super().parse_response(connection, command_name, **options)


@pytest.mark.parametrize("used", [False, True], ids=["first", "later"])
@pytest.mark.parametrize("kind", ["link", "pool", "single", "subclass", "batch", "big", "client"])
def test_command_in_the_hubs_own_callback(server: Server, kind: str, used: bool) -> None:
    """It cannot wait there, so it raises at once, and costs nothing."""
    options: dict[str, Any] = {"multiplex": kind != "pool", "single_connection_client": kind == "single"}
    outcome: list[Any] = []
    with (Overriding if kind == "subclass" else Redis)(port=server.port, **options) as client:
        calls: dict[str, Callable[[], Any]] = {
            "batch": lambda: client.connection_pool.multiplexer.execute_many(PING, 1),
            "big": lambda: client.execute_command("ECHO", b"x" * 100_000),
            "client": client.client,
        }
        call = calls.get(kind, lambda: client.execute_command("ECHO", "x"))

        def callback() -> None:
            try:
                outcome.append(call())
            except BaseException as error:
                outcome.append(error)

        if used:
            client.execute_command("PING")
        gevent.get_hub().loop.run_callback(callback)
        wait_until(lambda: outcome)
        assert isinstance(outcome[0], (RuntimeError, BlockingSwitchOutError)), outcome
        assert client.execute_command("ECHO", "after") == b"after"
        assert client.connection_pool.stats()["dialed"] == 1


# -- the end of a program


def program(source: str, *words: object) -> str:
    command = [sys.executable, "-c", textwrap.dedent(source), *map(str, words)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert not ran.returncode, ran.stderr[-3000:]
    return ran.stdout.strip()


def test_idle_client_does_not_keep_the_loop_alive(server: Server) -> None:
    source = """
        import sys, time, gevent, greenredis
        clients = [
            greenredis.Redis(port=int(sys.argv[1]), multiplex=multiplex, min_idle=2, max_idle_time=60,
                             max_lifetime=60, health_check_interval=30)
            for multiplex in (True, False)
        ]
        for client in clients:
            gevent.joinall([gevent.spawn(client.execute_command, "ECHO", n) for n in range(50)])
            assert client.execute_command("BLPOP", "nothing", 0.01) is None
            with greenredis.deadline(60):
                client.execute_command("PING")
        begun = time.monotonic()
        assert gevent.wait() is not False
        assert time.monotonic() - begun < 5
        for client in clients:
            assert client.execute_command("ECHO", "still open") == b"still open"
            assert client.connection_pool.stats()["dialed"] <= 55
        print("good")
    """
    assert program(source, server.port) == "good"


def test_who_waits_keeps_the_loop_alive(server: Server) -> None:
    """For a reply on the link and on a connection, for a dial, for a slot."""
    source = """
        import sys, gevent, greenredis
        from greenredis.exceptions import MaxConnectionsError
        port = int(sys.argv[1])
        options = dict(port=port, socket_timeout=None, socket_connect_timeout=None, retry=None)
        linked, pooled = greenredis.Redis(**options), greenredis.Redis(multiplex=False, **options)
        boss = greenredis.Redis(multiplex=False, **options)
        for client in (linked, pooled):
            for turn in range(2):  # in the first, it connects too
                boss.execute_command("CLIENT", "PAUSE", 200, "ALL")
                assert client.execute_command("ECHO", "x") == b"x"
            assert client.execute_command("BLPOP", "nothing", 0.2) is None
        boss.execute_command("CLIENT", "PAUSE", 200, "ALL")
        batch = linked.connection_pool.multiplexer.execute_many(b"*1\\r\\n$4\\r\\nPING\\r\\n" * 2, 2)
        assert batch == [b"PONG"] * 2 or batch == ["PONG"] * 2, batch
        small = greenredis.Redis(max_connections=1, timeout=0.2, **options)
        with small.connection_pool.lend():
            try:
                small.execute_command("PING")
            except MaxConnectionsError:
                print("good")
    """
    assert program(source, server.port) == "good"
