"""Blocking commands under kills: what the server gave to nobody is counted, and nobody else gets it."""

from __future__ import annotations

import random
from collections.abc import Callable
from time import monotonic
from typing import Any

import gevent
import pytest

import greenredis
from greenredis import Redis
from greenredis.testing import ScriptedClient, ScriptedServer, Server, wait_until

ELEMENTS = 1_500
CONSUMERS = 20
Consume = Callable[[Redis], Any]

pytestmark = pytest.mark.usefixtures("leaks")


class Storm:
    """Consumers that are killed and timed out at random, while producers push elements that differ."""

    def __init__(self, server: Server, consume: Consume, produce: Callable[[Redis, int], Any]) -> None:
        self.server = server
        self.consume, self.produce = consume, produce
        self.got: list[int] = []
        self.left = 0  # consumers who left while they waited
        self.is_over = False

    def _take(self, client: Redis) -> None:
        waiting = True
        try:
            with gevent.Timeout(random.random() * 0.02):
                found = self.consume(client)
            waiting = False
            if found is not None:
                self.got.append(int(found))
        except gevent.Timeout:
            pass
        finally:
            self.left += waiting

    def _work(self, client: Redis) -> None:
        while not self.is_over:
            self._take(client)

    def run(self) -> None:
        with Redis(port=self.server.port, max_connections=CONSUMERS) as client:
            consumers = [gevent.spawn(self._work, client) for _ in range(CONSUMERS)]
            for number in range(ELEMENTS):
                self.produce(client, number)
                if not number % 3:
                    gevent.sleep(random.random() * 0.002)
                    index = random.randrange(CONSUMERS)
                    consumers[index].kill()
                    consumers[index] = gevent.spawn(self._work, client)
            self.is_over = True
            gevent.joinall(consumers, raise_error=True)
            assert client.connection_pool.stats()["lent"] <= 1  # the link
        # What a closed connection was given, the server has forgotten by now.
        wait_until(lambda: int(self.server.info("clients")["blocked_clients"]) == 0)
        assert len(set(self.got)) == len(self.got) and self.left > 10


@pytest.mark.slow
def test_blpop_loses_no_more_than_was_in_flight(server: Server) -> None:
    def consume(client: Redis) -> Any:
        found = client.blpop("list", 0)
        return found and found[1]

    storm = Storm(server, consume, lambda client, number: client.rpush("list", number))
    storm.run()
    rest = {int(element) for element in server.ask("LRANGE", "list", 0, -1)}
    lost = set(range(ELEMENTS)) - rest - set(storm.got)
    assert not rest & set(storm.got)
    assert len(storm.got) + len(rest) + len(lost) == ELEMENTS
    assert len(lost) <= storm.left  # each who left costs one at the most


@pytest.mark.slow
def test_blmove_loses_nothing(server: Server) -> None:
    storm = Storm(
        server,
        lambda client: client.blmove("list", "taken", 0, "LEFT", "RIGHT"),
        lambda client, number: client.rpush("list", number),
    )
    storm.run()
    kept = [int(each) for name in ("list", "taken") for each in server.ask("LRANGE", name, 0, -1)]
    assert sorted(kept) == list(range(ELEMENTS))
    assert set(storm.got) <= {int(each) for each in server.ask("LRANGE", "taken", 0, -1)}


@pytest.mark.slow
def test_streams_lose_nothing(server: Server) -> None:
    server.ask("XGROUP", "CREATE", "stream", "group", "$", "MKSTREAM")

    def consume(client: Redis) -> Any:
        [[_, [(entry, fields)]]] = client.xreadgroup("group", "consumer", {"stream": ">"}, count=1, block=0)
        client.xack("stream", "group", entry)
        return fields[b"n"]

    storm = Storm(server, consume, lambda client, number: client.xadd("stream", {"n": number}))
    storm.run()
    pending = {each[0] for each in server.ask("XPENDING", "stream", "group", "-", "+", ELEMENTS)}
    entries = {entry: int(fields[1]) for entry, fields in server.ask("XRANGE", "stream", "-", "+")}
    assert sorted(entries.values()) == list(range(ELEMENTS))
    unread = server.ask("XREADGROUP", "GROUP", "group", "last", "COUNT", ELEMENTS, "STREAMS", "stream", ">")
    rest = {entry for _, found in (dict(unread) if unread else {}).items() for entry, _ in found}
    # Each is acknowledged, pending for whoever claims it, or not yet read.
    acknowledged = set(entries) - pending - rest
    assert set(storm.got) <= {entries[entry] for entry in acknowledged}
    assert len(acknowledged) - len(storm.got) <= storm.left


def test_whoever_is_killed_takes_his_connection_with_him(server: Server) -> None:
    with Redis(port=server.port, max_connections=2) as client:
        left = gevent.spawn(client.blpop, "list", 0)
        wait_until(lambda: server.info("clients")["blocked_clients"] == "1")
        left.kill()
        wait_until(lambda: server.info("clients")["blocked_clients"] == "0")
        client.rpush("list", "mine")
        assert client.blpop("list", 1) == (b"list", b"mine")


@pytest.mark.parametrize("multiplex", [True, False])
def test_a_blocking_command_may_take_its_time_and_the_margin(server: Server, multiplex: bool) -> None:
    with Redis(port=server.port, socket_timeout=0.2, multiplex=multiplex) as client:
        start = monotonic()
        assert client.blpop("none", 0.5) is None
        assert monotonic() - start >= 0.5
        pushed = gevent.spawn_later(0.4, server.ask, "RPUSH", "list", "late")
        assert client.blpop("list", 0) == (b"list", b"late")
        pushed.get()


def test_a_silent_server_is_found_after_the_block_time(server: Server) -> None:
    def silent(words: list[bytes], client: ScriptedClient) -> None:
        return None

    with ScriptedServer(silent) as scripted, Redis(port=scripted.port, socket_timeout=0.2) as client:
        start = monotonic()
        with pytest.raises(greenredis.TimeoutError) as caught:
            client.blpop("list", 0.3)
        assert 0.5 <= monotonic() - start < 3 and caught.value.maybe_executed
        assert len(scripted.sent("BLPOP")) == 1


@pytest.mark.parametrize(
    "words", [("BLPOP", "a", 0), ("BLMOVE", "a", "b", "LEFT", "LEFT", 0), ("XREAD", "BLOCK", 0)]
)
def test_a_deadline_bounds_them(server: Server, words: Any) -> None:
    if words[0] == "XREAD":
        words = (*words, "STREAMS", "stream", "$")
    with Redis(port=server.port) as client:
        start = monotonic()
        with pytest.raises(greenredis.TimeoutError), greenredis.deadline(0.1):
            client.execute_command(*words)
        assert monotonic() - start < 2


@pytest.mark.parametrize(
    "words",
    [("BLPOP", "a", 0), ("BLMOVE", "a", "b", "LEFT", "LEFT", 0), ("BZPOPMIN", "a", 0), ("BRPOP", "a", 5)],
)
def test_they_are_never_sent_again_blindly(words: Any) -> None:
    def cut(words: list[bytes], client: ScriptedClient) -> None:
        client.close()

    with ScriptedServer(cut) as server, Redis(port=server.port) as client:
        with pytest.raises(greenredis.ConnectionError) as caught:
            client.execute_command(*words)
        assert caught.value.maybe_executed and len(server.sent(words[0])) == 1
