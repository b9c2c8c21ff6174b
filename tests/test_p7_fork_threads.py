"""P7: forks, native threads, finalizers."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import urllib.request
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path

import gevent
import gevent.monkey
import gevent.os
import pytest
from scripted_sentinels import NAME, group, wait_for_subscribers  # type: ignore[import-not-found]

from greenredis import ConnectionError, Redis
from greenredis.backoff import NoBackoff
from greenredis.retry import Retry
from greenredis.sentinel import Sentinel
from greenredis.testing import Server, free_port, open_descriptors, wait_until
from greenredis.testing.process import Child, module_environment
from greenredis.transport.link import Link
from greenredis.transport.pool import ConnectionPool
from greenredis.transport.wire import Wire

start_native_thread = gevent.monkey.get_original("_thread", "start_new_thread")


def in_native_thread(work: Callable[[], object]) -> list[bool]:
    """A list that gets an entry when `work` has ended in a thread that gevent does not know of."""
    ended: list[bool] = []

    def run() -> None:
        try:
            work()
        finally:
            ended.append(True)

    start_native_thread(run, ())
    return ended


def ask(client: Redis, who: str, count: int = 100) -> None:
    for number in range(count):
        token = f"{who}:{number}".encode()
        assert client.execute_command("ECHO", token) == token


def run(program: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


FORK = """
    import os, sys, gevent, gevent.os, greenredis
    port, fork = int(sys.argv[1]), sys.argv[2]
    touches, multiplex = (argument == "True" for argument in sys.argv[3:])
    client = greenredis.Redis(port=port, multiplex=multiplex)

    def ask(who, count):
        for number in range(count):
            token = f"{who}:{number}".encode()
            assert client.execute_command("ECHO", token) == token

    callers = [gevent.spawn(ask, f"before {n}", 100) for n in range(20)]
    while client.connection_pool.stats()["lent"] == 0 or not any(c.started for c in callers):
        gevent.sleep(0.001)
    module = {"os": os, "gevent": gevent.os}[fork]
    pid = module.fork()
    if pid == 0:
        failed = 1
        try:
            if touches:
                ask("child", 2000)
            gevent.sleep(0.2)  # the copies of the parent's greenlets go on too
            failed = 0
        finally:
            os._exit(failed)
    ask("parent", 2000)
    gevent.joinall(callers, raise_error=True)
    print(module.waitpid(pid, 0)[1])
"""


@pytest.mark.parametrize("fork", ["os", "gevent"])
@pytest.mark.parametrize("touches", [True, False])
@pytest.mark.parametrize("multiplex", [True, False])
def test_parent_and_child_both_go_on(server: Server, fork: str, touches: bool, multiplex: bool) -> None:
    assert run(FORK, server.port, fork, touches, multiplex) == "0\n"


APPLICATION = """
    import os
    import greenredis
    client = greenredis.Redis(port={port})
    client.set("loaded", 1)

    def app(environ, start_response):
        token = environ["QUERY_STRING"].encode()
        body = client.execute_command("ECHO", token) + b" " + client.get("loaded")
        start_response("200 OK", [("Content-Type", "text/plain"), ("Worker", str(os.getpid()))])
        return [body]
"""


def test_gunicorn_with_a_client_used_before_the_fork(server: Server, tmp_path: os.PathLike[str]) -> None:
    pytest.importorskip("gunicorn", reason="pip install gunicorn") if not os.environ.get("CI") else None
    path = os.path.join(tmp_path, "application.py")
    with open(path, "w", encoding="utf-8") as file:
        file.write(textwrap.dedent(APPLICATION).format(port=server.port))
    port = free_port()
    words = ["-k", "gevent", "-w", "2", "--preload", "-b", f"127.0.0.1:{port}", "--chdir", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "gunicorn", *words, "application:app"]
    master = subprocess.Popen(command, env=environment, start_new_session=True)
    workers: set[str] = set()

    def fetch(token: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/?{token}", timeout=5) as answer:
            workers.add(answer.headers["Worker"])
            return bytes(answer.read())

    def both_are_up() -> bool:
        try:
            return fetch("up") == b"up 1" and len(workers) == 2
        except OSError:
            return False

    try:
        wait_until(both_are_up, 20)
        for number in range(100):
            assert fetch(f"token{number}") == b"token%d 1" % number
    finally:
        os.killpg(master.pid, signal.SIGKILL)  # a worker that is just starting misses a SIGTERM
        master.wait()


def test_threads_with_a_hub_each(server: Server) -> None:
    with Redis(port=server.port, max_connections=4) as client:
        ask(client, "main")
        before = {where for where in open_descriptors().values() if where.startswith("socket:")}
        failures: list[BaseException] = []

        def ping() -> None:
            client.execute_command("PING", multiplex=False)

        def work(number: int) -> None:
            try:
                callers = [gevent.spawn(ask, client, f"{number}:{each}") for each in range(10)]
                pings = [gevent.spawn(ping) for _ in range(10)]
                gevent.joinall(callers, raise_error=True)
                gevent.joinall(pings, raise_error=True)
            except BaseException as error:
                failures.append(error)

        threads = [in_native_thread(partial(work, number)) for number in range(4)]
        while not all(threads):
            ask(client, "main", 1)
            gevent.sleep(0.001)  # or the other threads hardly ever get the interpreter's lock
        assert not failures
        wait_until(lambda: len(client.connection_pool._shares) == 1)

        def all_closed() -> bool:
            return {each for each in open_descriptors().values() if each.startswith("socket:")} <= before

        wait_until(all_closed)


def test_each_thread_watches_sentinels_for_itself_until_it_ends() -> None:
    with group() as (nodes, sentinels):
        places = [(each.host, each.port) for each in sentinels]
        sentinel = Sentinel(places)
        with sentinel.master_for(NAME) as client:
            client.echo("main")
            wait_for_subscribers(sentinels)
            seen: list[int] = []

            def work() -> None:
                client.echo("thread")
                gevent.sleep(0.1)  # so that its watchers subscribe
                seen.append(len(sentinel.watch(NAME).watchers))

            ended = in_native_thread(work)
            wait_until(lambda: ended)
            assert seen == [3]
            wait_until(lambda: {len(each.subscribers) for each in sentinels} == {1})
            nodes[0].role = "slave"
            sentinels[0].switch(nodes[1], 1)
            wait_until(lambda: int(client.get("where")) == nodes[1].port)


WATCHING = """
    import os, sys, gevent, greenredis
    from greenredis.sentinel import Sentinel
    places = [("127.0.0.1", int(port)) for port in sys.argv[1:4]]
    client = Sentinel(places).master_for("mymaster")

    def follow():
        with gevent.Timeout(20):
            while int(client.get("where")) != int(sys.argv[4]):
                gevent.sleep(0.01)

    client.echo("parent")
    while not all(each.is_subscribed for each in client.connection_pool.locator.watchers):
        gevent.sleep(0.01)
    children = []
    for _ in range(2):
        pid = os.fork()
        if not pid:
            failed = 1
            try:
                follow()
                failed = 0
            finally:
                os._exit(failed)
        children.append(pid)
    follow()
    print(sum(os.waitpid(pid, 0)[1] for pid in children))
"""


def test_each_child_hears_of_a_switch_by_itself(tmp_path: Path) -> None:
    with group() as (nodes, sentinels):
        ports = [str(each.port) for each in (*sentinels, nodes[1])]
        output = tmp_path / "output"
        with output.open("wb") as file:
            words = [sys.executable, "-c", textwrap.dedent(WATCHING), *ports]
            parent = Child(words, file.fileno(), environment=module_environment())
        wait_until(lambda: {len(each.subscribers) for each in sentinels} == {3}, 20)
        nodes[0].role = "slave"
        for each in sentinels:
            each.switch(nodes[1], 1)
        wait_until(lambda: parent.ended, 25)
        assert output.read_text().endswith("0\n"), output.read_text()


def alive(*kinds: type) -> int:
    return sum(isinstance(each, kinds) for each in gc.get_objects())


def abandon(port: int, count: int) -> None:
    for _ in range(count):
        shared, own = Redis(port=port), Redis(port=port, multiplex=False)
        shared.ping()
        own.ping()


@pytest.mark.parametrize("collect", ["here", "in another thread"])
def test_abandoned_clients_go_with_all_they_had(server: Server, collect: str) -> None:
    gc.collect()
    gevent.sleep(0)
    kinds = (Redis, ConnectionPool, Link, Wire)
    before, objects = len(open_descriptors()), alive(*kinds)
    for _ in range(10):
        abandon(server.port, 50)
        if collect == "here":
            gc.collect()
        else:
            thread = in_native_thread(gc.collect)
            wait_until(lambda: thread)  # noqa: B023
        gevent.sleep(0)

    def is_gone() -> bool:
        gc.collect()
        gevent.sleep(0)
        return len(open_descriptors()) <= before and alive(*kinds) <= objects

    wait_until(is_gone, 10)


def test_kept_log_record_keeps_no_client_alive(caplog: pytest.LogCaptureFixture) -> None:
    """Handlers keep records, of which the arguments are a part."""
    client = Redis(port=free_port(), retry=Retry(NoBackoff(), 0))
    with pytest.raises(ConnectionError):
        client.ping()
    assert "cannot connect" in caplog.text
    pool = weakref.ref(client.connection_pool)
    del client

    def is_gone() -> bool:
        gc.collect()
        return pool() is None

    wait_until(is_gone)
