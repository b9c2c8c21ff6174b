"""PubSub over lost and silent connections, by many greenlets: nothing is forgotten, nobody sees an error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import gevent
import pytest

from greenredis import Redis
from greenredis.pubsub import PubSub
from greenredis.testing import Proxy, Server, client_list, wait_until

pytestmark = pytest.mark.usefixtures("leaks")
RECONNECTS = 5


@contextmanager
def pubsubs_of(at: Any, count: int, **options: Any) -> Iterator[list[PubSub]]:
    with Redis(port=at.port, max_connections=count, **options) as client:
        pubsubs = [PubSub(client.connection_pool) for _ in range(count)]
        try:
            yield pubsubs
        finally:
            for each in pubsubs:
                each.close()
    wait_until(lambda: client.connection_pool.share().slots == 0, message="a slot is lost")


def subscribed(server: Server) -> list[dict[str, str]]:
    return [each for each in client_list(server) if int(each["sub"]) + int(each["psub"])]


def cut(server: Server, proxy: Proxy, number: int) -> None:
    """Closes all subscribed connections, in turn by the server and by the network."""
    if number % 2:
        server.ask("CLIENT", "KILL", "TYPE", "pubsub")
    else:
        with proxy.down():
            wait_until(lambda: not subscribed(server))


class Crowd:
    """Greenlets that come and go on some PubSubs, each of which one greenlet listens to."""

    def __init__(self, pubsubs: list[PubSub], greenlets: int) -> None:
        self.heard: set[bytes] = set()
        self.wanted: list[set[bytes]] = [set() for _ in pubsubs]
        self.ended = False
        self.turns = 0
        self.pubsubs = pubsubs
        self.greenlets: list[Any] = [gevent.spawn(self._listen, each) for each in pubsubs]
        for number in range(greenlets):
            self.greenlets.append(gevent.spawn(self._work, number))

    def _listen(self, pubsub: PubSub) -> None:
        while not self.ended:
            message = pubsub.get_message(timeout=0.5)
            if message is not None and message["type"] == "message":
                self.heard.add(message["data"])

    def _work(self, number: int) -> None:
        """Subscribes and unsubscribes, and ends subscribed to one channel, or to none."""
        at = number % len(self.pubsubs)
        pubsub, turn = self.pubsubs[at], 0
        while not self.ended:
            name = b"%d:%d" % (number, turn)
            pubsub.subscribe(name)
            self.wanted[at].add(name)
            gevent.sleep(0.05 + number % 7 * 0.01)
            pubsub.unsubscribe(name)
            self.wanted[at].discard(name)
            turn += 1
            self.turns += 1
        if number % 3:
            name = b"last:%d" % number
            pubsub.subscribe(name)
            self.wanted[at].add(name)

    def end(self) -> None:
        """Raises what any of them raised."""
        self.ended = True
        gevent.joinall(self.greenlets, timeout=30, raise_error=True)
        assert all(each.ready() for each in self.greenlets)


@pytest.mark.time_limit(120)
@pytest.mark.parametrize("count", [1, 20])
def test_subscriptions_that_come_and_go_over_reconnects(server: Server, proxy: Proxy, count: int) -> None:
    with pubsubs_of(proxy, count) as pubsubs:
        crowd = Crowd(pubsubs, 1000)
        for number in range(RECONNECTS):
            wait_until(lambda: len(subscribed(server)) == count, 20)
            turns = crowd.turns
            wait_until(lambda: crowd.turns > turns + 1000, 20)  # noqa: B023
            cut(server, proxy, number)
            wait_until(lambda: all(each.reconnects > number for each in pubsubs), 20)  # noqa: B023
            assert len(subscribed(server)) <= count
        crowd.end()
        names = [name for wanted in crowd.wanted for name in wanted]
        assert len(names) > 500

        def is_settled() -> bool:
            for each in pubsubs:
                each.get_message()
            found = server.ask("PUBSUB", "NUMSUB", *names)
            return set(found[1::2]) == {1} and set(server.ask("PUBSUB", "CHANNELS")) == set(names)

        wait_until(is_settled, 20)
        assert [set(each.channels) - each.pending_unsubscribe_channels for each in pubsubs] == crowd.wanted
        assert len(subscribed(server)) == len(client_list(server)) == count
        for name in names:
            server.ask("PUBLISH", name, name)

        def all_are_heard() -> bool:
            for each in pubsubs:
                while (message := each.get_message()) is not None:
                    crowd.heard.add(message["data"])
            return set(names) <= crowd.heard

        wait_until(all_are_heard, 20)


@pytest.mark.parametrize("stream", ["upstream", "downstream"])
def test_blackhole_is_found_in_time(server: Server, proxy: Proxy, stream: str) -> None:
    """Within the interval and the time for the answer, though the listener waits for ever."""
    options: dict[str, Any] = {"health_check_interval": 0.3, "socket_timeout": 0.5}
    with pubsubs_of(proxy, 1, **options) as [pubsub]:
        pubsub.subscribe("a")
        assert pubsub.get_message(timeout=5)["type"] == "subscribe"
        listener = gevent.spawn(pubsub.get_message, timeout=None)
        gevent.sleep(0.4)
        assert pubsub.reconnects == 0
        start = monotonic()
        proxy.add("timeout", stream, timeout=0)
        wait_until(lambda: pubsub._line._is_down, 5)
        assert 0.2 < monotonic() - start < 3
        proxy.reset()
        assert listener.get(timeout=10)["type"] == "subscribe"
        wait_until(lambda: len(subscribed(server)) == 1)


def test_messages_in_single_bytes_under_timeouts(server: Server, proxy: Proxy) -> None:
    """A greenlet that gives up in the middle of a message leaves the rest of it to the next."""
    with (
        pubsubs_of(proxy, 1) as [pubsub],
        proxy.toxic("slicer", average_size=1, size_variation=0, delay=2000),
    ):
        pubsub.subscribe("a")
        found: list[Any] = []
        gave_up = 0
        wait_until(lambda: subscribed(server))
        for number in range(20):
            server.ask("PUBLISH", "a", number)
        while len(found) < 21:
            message = None
            with gevent.Timeout(0.005, False):  # type: ignore[arg-type]
                message = pubsub.get_message(timeout=None)
            gave_up += message is None
            found += [message] if message else []
        assert [each["data"] for each in found[1:]] == [b"%d" % number for number in range(20)]
        assert gave_up and pubsub.reconnects == 0
