"""P1 and P7 for pub/sub: greenlets that are killed in the middle, what is abandoned, forks."""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
import textwrap
from collections.abc import Callable
from time import monotonic
from typing import Any

import gevent
import pytest
from gevent.event import Event
from storm import Storm  # type: ignore[import-not-found]
from test_pubsub import drained, pubsub_of  # type: ignore[import-not-found]
from test_pubsub_recovery import bulk, confirmed, cut, subscribed  # type: ignore[import-not-found]

import greenredis
from greenredis import Redis
from greenredis.exceptions import TimeoutError
from greenredis.pubsub import PubSub
from greenredis.testing import ScriptedClient, ScriptedServer, Server, wait_until

pytestmark = pytest.mark.usefixtures("leaks")


def test_timeout_in_the_middle_of_a_message_loses_nothing() -> None:
    def answer(words: list[bytes], client: ScriptedClient) -> None:
        data = confirmed(words) + b"".join(bulk("message", "a", str(number)) for number in range(10))
        gevent.spawn(client.send, data, piece=7, pause=0.004)

    with ScriptedServer(answer, resp3=False) as server, pubsub_of(server) as pubsub:
        pubsub.subscribe("a")
        found: list[Any] = []
        left = [0]
        while len(found) < 11:
            with gevent.Timeout(0.01, False):  # type: ignore[arg-type]
                found.append(next(pubsub.listen()) if left[0] % 2 else pubsub.get_message(timeout=None))
                continue
            left[0] += 1
        assert [each["data"] for each in found[1:]] == [b"%d" % number for number in range(10)]
        assert left[0] and pubsub.reconnects == 0 and server.total_connections == 1


def test_full_socket_keeps_no_reader_waiting() -> None:
    """A writer whom the server does not read blocks neither reads nor their timeouts."""
    silent = Event()

    def answer(words: list[bytes], client: ScriptedClient) -> bytes:
        if not client.number and len(words[1]) > 100:
            silent.wait()
        return bytes(confirmed(words))

    with ScriptedServer(answer, resp3=False) as server, pubsub_of(server, socket_timeout=20) as pubsub:
        pubsub.subscribe("a")
        drained(pubsub, 1)
        pubsub.subscribe(b"b" * 101)
        writer = gevent.spawn(pubsub.subscribe, *(b"%d" % number * 1000 for number in range(10_000)))
        wait_until(lambda: pubsub._line.connection._wire._writer is writer)
        start = monotonic()
        assert pubsub.get_message(timeout=0.1) is None
        with pytest.raises(TimeoutError), greenredis.deadline(0.05):
            pubsub.subscribe("c")
        assert monotonic() - start < 5
        reader = gevent.spawn(drained, pubsub, 2)
        gevent.sleep(0.01)
        server.clients[0].send(bulk("message", "a", "1"))
        gevent.sleep(0.05)
        writer.kill()
        silent.set()
        assert reader.get(timeout=5)[0]["data"] == b"1"
        assert set(pubsub.channels) == {b"a", b"b" * 101} and pubsub.reconnects == 1


def kill_after(turns: int, work: Callable[[], object]) -> None:
    victim = gevent.spawn(work)
    for _ in range(turns):
        gevent.sleep(0)
    victim.kill()


@pytest.mark.parametrize("situation", ["first", "subscribing", "reading", "opening again", "closing"])
def test_kill_at_every_switch_point(server: Server, situation: str) -> None:
    with pubsub_of(server, max_connections=1, timeout=5) as pubsub:

        def work() -> None:
            pubsub.subscribe("b")
            drained(pubsub, 1)
            pubsub.close() if situation == "closing" else pubsub.unsubscribe("b")

        for turns in range(25):
            if situation in ("first", "closing"):
                pubsub.close()
                pubsub.connection_pool.disconnect()
            else:
                pubsub.subscribe("a")
            if situation == "reading":
                server.ask("PUBLISH", "a", "1")
            elif situation == "opening again":
                cut(server)
            kill_after(turns, work)
            pubsub.subscribe("last")
            while drained(pubsub, 1)[0]["channel"] != b"last":
                pass
            server.ask("PUBLISH", "last", turns)
            while drained(pubsub, 1)[0]["data"] != b"%d" % turns:
                pass
            wanted = set(pubsub.channels) - pubsub.pending_unsubscribe_channels
            names = set(server.ask("PUBSUB", "CHANNELS"))
            assert names - {b"b"} == wanted - {b"b"} and (b"b" not in wanted or b"b" in names)
            pubsub.unsubscribe("last")
            assert pubsub.connection_pool.share().slots == 1


def own_channel(client: Redis, storm: Any) -> None:
    """A message through a PubSub of its own."""
    token = storm.token()
    name = token[:20]
    with PubSub(client.connection_pool) as pubsub:
        pubsub.subscribe(name)
        storm.expect(
            drained(pubsub, 1)[0], {"type": "subscribe", "pattern": None, "channel": name, "data": 1}
        )
        client.execute_command("PUBLISH", name, token)
        storm.expect(drained(pubsub, 1)[0]["data"], token)


@pytest.fixture
def seed() -> int:
    seed = int(os.environ.get("GREENREDIS_SEED") or random.randrange(1 << 32))
    print(f"GREENREDIS_SEED={seed}")
    return seed


def test_storm_of_own_ones(server: Server, seed: int) -> None:
    with Redis(port=server.port, max_connections=40) as client:
        Storm(client, own_channel, 6000, seed).run()
        pool = client.connection_pool
        wait_until(lambda: pool.stats()["lent"] <= pool.share().links and not pool.stats()["dialing"])
        assert pool.share().slots <= 40
        wait_until(lambda: subscribed(server) == 0)


def test_storm_on_a_shared_one(server: Server, seed: int) -> None:
    """Those who are killed while they subscribe cost the listener nothing."""
    with pubsub_of(server) as pubsub, Redis(port=server.port) as client:
        pubsub.subscribe("stable")
        drained(pubsub, 1)

        def listen() -> list[bytes]:
            found = []
            for message in pubsub.listen():
                if message["type"] == "message" and message["channel"] == b"stable":
                    found.append(message["data"])
                    if found[-1] == b"end":
                        return found
            return found

        def work(client: Redis, storm: Any) -> None:
            name = storm.token()[:20]
            pubsub.subscribe(name)
            client.execute_command("PING")
            storm.expect(name in pubsub.channels, True)
            pubsub.unsubscribe(name)
            sent.append(b"%d" % len(sent))
            server_client.execute_command("PUBLISH", "stable", sent[-1])

        sent: list[bytes] = []
        listener = gevent.spawn(listen)
        with Redis(port=server.port) as server_client:
            Storm(client, work, 5000, seed).run()
            server_client.execute_command("PUBLISH", "stable", "end")
            found = listener.get(timeout=20)
        assert len(set(found)) == len(found) and pubsub.reconnects == 0
        assert len(found) > 100
        pubsub.unsubscribe()
        assert drained(pubsub, 1) and list(pubsub.listen()) is not None
        wait_until(lambda: subscribed(server) == 0)


# -- what is left behind


@pytest.mark.parametrize("when", ["subscribed", "its server gone"])
def test_abandoned_ones_free_slot_and_socket(fresh_server: Server, when: str) -> None:
    with Redis(port=fresh_server.port, max_connections=3) as client:
        pool = client.connection_pool
        for _ in range(9):
            pubsub = PubSub(pool)
            pubsub.subscribe(a=lambda message: None)
            if when != "subscribed":
                fresh_server.restart()
                pubsub.get_message(timeout=0)
            del pubsub
            gc.collect()
            wait_until(lambda: pool.stats()["lent"] == 0 and pool.share().slots == 0)
        wait_until(lambda: subscribed(fresh_server) == 0)


FORK = """
    import os, sys, gevent, gevent.os, greenredis
    from greenredis.pubsub import PubSub
    client = greenredis.Redis(port=int(sys.argv[1]))
    pubsub = PubSub(client.connection_pool)
    pubsub.subscribe("a")
    pubsub.get_message(timeout=5)
    found = []
    listener = gevent.spawn(lambda: [found.append(each["data"]) or len(found) < 500 or pubsub.close()
        for each in pubsub.listen() if each["type"] == "message"])
    gevent.sleep(0.01)
    pid = gevent.os.fork()
    if pid == 0:
        failed = 1
        try:
            if sys.argv[2] == "listens":
                greenredis.Redis(port=int(sys.argv[1])).execute_command("PING")
                while not pubsub.reconnects:
                    gevent.sleep(0.001)
            else:
                pubsub.close()
            gevent.sleep(0.3)
            failed = 0
        finally:
            os._exit(failed)
    for number in range(500):
        client.execute_command("PUBLISH", "a", number)
    listener.get(timeout=10)
    print(found == [b"%d" % number for number in range(500)], gevent.os.waitpid(pid, 0)[1])
"""


@pytest.mark.parametrize("child", ["listens", "closes"])
def test_fork_leaves_the_parents_messages_to_the_parent(server: Server, child: str) -> None:
    program = [sys.executable, "-W", "error", "-c", textwrap.dedent(FORK), str(server.port), child]
    done = subprocess.run(program, capture_output=True, text=True, timeout=50)
    assert done.stdout == "True 0\n", done.stdout + done.stderr[-3000:]
