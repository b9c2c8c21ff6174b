"""P6: the hub is never held up, and an idle client never holds the program."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import gevent
import pytest
from gevent.hub import get_hub

from greenredis import Redis
from greenredis.testing import Server, Ticker, on_quiet_machine

BOUND = 0.010


def check_turns(work: Callable[[], object]) -> None:
    def once() -> None:
        with Ticker() as ticker:
            work()
            worst = ticker.worst
        assert worst <= BOUND, f"{worst * 1000:.1f} ms late"

    on_quiet_machine(once, BOUND)


@pytest.mark.time_limit(120)
def test_while_a_million_replies_are_handed_out(server: Server) -> None:
    with Redis(port=server.port) as client:
        client.ping()

        def get() -> None:
            for _ in range(2500):
                client.get("key")

        def crowd() -> None:
            # Started in turns: starting 400 greenlets at once is the application's own time.
            greenlets = []
            for _ in range(400):
                greenlets.append(gevent.spawn(get))
                gevent.sleep(0)
            gevent.joinall(greenlets, raise_error=True)

        check_turns(crowd)


@pytest.mark.parametrize("multiplex", [True, False])
def test_while_long_values_are_read_and_written(server: Server, multiplex: bool) -> None:
    with Redis(port=server.port, multiplex=multiplex) as client:
        value = bytes(10_000_000)
        check_turns(lambda: client.set("key", value))
        check_turns(lambda: client.get("key"))


def test_while_64_megabytes_are_written(server: Server) -> None:
    with Redis(port=server.port) as client:
        value = bytes(64_000_000)
        check_turns(lambda: client.set("key", value))


def test_while_many_words_are_packed(server: Server) -> None:
    with Redis(port=server.port) as client, client.connection_pool.lend() as connection:
        words = ("RPUSH", "list", *range(1_000_000))
        check_turns(lambda: connection.execute(connection.encoder.pack(words)))


def test_an_idle_client_lets_the_loop_end(server: Server) -> None:
    program = (
        f"import gevent, greenredis; client = greenredis.Redis(port={server.port}, min_idle=1,"
        " health_check_interval=30); client.ping(); client.execute_command('PING', multiplex=False);"
        "print(gevent.wait(timeout=20))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=15)
    assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.parametrize("multiplex", [True, False])
def test_a_caller_who_waits_keeps_the_loop(server: Server, multiplex: bool) -> None:
    with Redis(port=server.port, multiplex=multiplex) as client:
        client.ping()
        server.ask("CLIENT", "PAUSE", 100, "ALL")
        assert client.ping()  # no LoopExit


@pytest.mark.parametrize("multiplex", [True, False])
@pytest.mark.parametrize("warm", [True, False])
def test_a_command_in_the_hub_says_so_at_once(server: Server, multiplex: bool, warm: bool) -> None:
    with Redis(port=server.port, multiplex=multiplex) as client:
        if warm:
            client.ping()
        told = []

        def callback() -> None:
            try:
                client.ping()
            except RuntimeError as error:
                told.append(str(error))

        get_hub().loop.run_callback(callback)
        gevent.sleep(0.01)
        assert told == ["a command cannot wait in the hub: spawn a greenlet for it"]
        assert client.ping()
