"""PubSub when connections are lost, servers fall silent, and greenlets are killed in the middle."""

from __future__ import annotations

from time import monotonic
from typing import Any

import gevent
import pytest
from test_pubsub import drained, pubsub_of  # type: ignore[import-not-found]

import greenredis
from greenredis import Redis
from greenredis.backoff import ConstantBackoff
from greenredis.config import Address, Fixed
from greenredis.exceptions import ConnectionError, InvalidResponse, MaxConnectionsError, TimeoutError
from greenredis.pubsub import PubSub
from greenredis.retry import Retry
from greenredis.testing import (
    FullListener,
    ScriptedClient,
    ScriptedServer,
    Server,
    client_list,
    free_port,
    wait_until,
)

pytestmark = pytest.mark.usefixtures("leaks")


def cut(server: Server) -> None:
    """Closes all subscribed connections."""
    server.ask("CLIENT", "KILL", "TYPE", "pubsub")


def subscribed(server: Server) -> int:
    return sum(int(each["sub"]) + int(each["psub"]) > 0 for each in client_list(server))


def bulk(*words: str) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(f"${len(word)}\r\n{word}\r\n".encode() for word in words)


def confirmed(words: list[bytes]) -> bytes:
    """Answers to SUBSCRIBE in RESP2, with the message `NAME` of each channel behind."""
    found = b""
    for count, name in enumerate(words[1:], 1):
        found += b"*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:%d\r\n" % (len(name), name, count)
    return found


# -- coming back


@pytest.mark.parametrize("protocol", [2, 3])
def test_all_subscriptions_come_back(server: Server, protocol: int) -> None:
    handled: list[Any] = []
    with pubsub_of(server, protocol=protocol) as pubsub:
        pubsub.subscribe("a", b"b\xff\x00", handled=handled.append)
        pubsub.psubscribe("p*")
        pubsub.ssubscribe("s")
        drained(pubsub, 5)
        before = pubsub.connection
        cut(server)
        assert len(drained(pubsub, 5)) == 5 and pubsub.reconnects == 1
        for channel in (b"a", b"b\xff\x00", b"handled", b"p1"):
            server.ask("PUBLISH", channel, "1")
        server.ask("SPUBLISH", "s", "1")
        wait_until(lambda: pubsub.get_message() is None and handled)
        assert pubsub.connection is before
        assert subscribed(server) == 1 and len(client_list(server)) == 1


def test_many_subscriptions_come_back(server: Server) -> None:
    with pubsub_of(server) as pubsub:
        pubsub.subscribe([f"{number}" for number in range(3500)])
        drained(pubsub, 3500)
        cut(server)
        drained(pubsub, 3500)
        assert len(server.ask("PUBSUB", "CHANNELS")) == 3500


def test_what_was_to_end_does_not_come_back(server: Server) -> None:
    with pubsub_of(server) as pubsub:
        pubsub.subscribe("stays", "leaves")
        drained(pubsub, 2)
        cut(server)
        gevent.sleep(0.01)
        pubsub.unsubscribe("leaves")
        pubsub.subscribe("comes")
        server.ask("PUBLISH", "stays", "1")
        kinds = []
        while len(pubsub.channels) != 2 or not pubsub.reconnects or pubsub.pending_unsubscribe_channels:
            kinds.append(drained(pubsub, 1)[0]["type"])
        assert set(pubsub.channels) == {b"stays", b"comes"}
        wait_until(lambda: server.ask("PUBSUB", "NUMSUB", "stays", "leaves", "comes")[1::2] == [1, 0, 1])
        server.ask("PUBLISH", "stays", "last")
        while drained(pubsub, 1)[0]["data"] != b"last":
            pass
        pubsub.unsubscribe()
        pubsub.connection.disconnect()
        assert [each["type"] for each in pubsub.listen()] == ["unsubscribe", "unsubscribe"]
        assert not pubsub.channels and pubsub.get_message() is None


@pytest.mark.parametrize("protocol", [2, 3])
def test_gap_is_told_when_the_subscriptions_are_in_force(server: Server, protocol: int) -> None:
    told: list[Any] = []

    def on_gap(of: Any) -> None:
        told.append((of, of.reconnects, server.ask("PUBLISH", "a", "after the gap")))

    with pubsub_of(server, protocol=protocol) as pubsub:
        pubsub.on_gap = on_gap
        pubsub.subscribe("a")
        drained(pubsub, 1)
        assert told == []
        cut(server)
        found = drained(pubsub, 2)
        assert [found[0]["type"], found[1]["data"]] == ["subscribe", b"after the gap"]
        assert told == [(pubsub, 1, 1)]


class Watcher:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def called(self, connection: Any) -> None:
        self.seen.append(connection)


def test_callbacks_of_the_connection(server: Server) -> None:
    watcher = Watcher()
    with pubsub_of(server) as pubsub:
        pubsub.subscribe("a")
        pubsub.connection.register_connect_callback(watcher.called)
        drained(pubsub, 1)
        cut(server)
        drained(pubsub, 1)
        assert watcher.seen == [pubsub.connection]


def test_connection_closed_by_its_owner_comes_back(server: Server) -> None:
    """As Kombu does, and a pool's disconnect."""
    with pubsub_of(server) as pubsub:
        pubsub.subscribe("a")
        drained(pubsub, 1)
        pubsub.connection.disconnect()
        pubsub.connection.connect()
        drained(pubsub, 1)
        pubsub.connection.disconnect()
        pubsub.subscribe("b")
        assert [each["channel"] for each in drained(pubsub, 2)] == [b"a", b"b"]
        reader = gevent.spawn(drained, pubsub, 2)
        gevent.sleep(0.01)
        pubsub.connection_pool.disconnect()
        assert len(reader.get(timeout=5)) == 2
        assert pubsub.reconnects == 3


def test_outage_bounds_every_call(fresh_server: Server) -> None:
    with pubsub_of(fresh_server) as pubsub:
        pubsub.subscribe("a")
        drained(pubsub, 1)
        fresh_server.stop()
        start = monotonic()
        assert pubsub.get_message(timeout=0.05) is None and pubsub.get_message() is None
        with pytest.raises(TimeoutError), greenredis.deadline(0.05):
            pubsub.subscribe("b")
        with pytest.raises(TimeoutError), greenredis.deadline(0.05):
            pubsub.get_message(timeout=None)
        assert monotonic() - start < 2
        reader = gevent.spawn(pubsub.get_message, timeout=None)
        fresh_server.start()
        assert reader.get(timeout=10)["channel"] == b"a" and set(pubsub.channels) == {b"a"}


@pytest.mark.parametrize("read", ["waiting", "polling"])
def test_attempts_run_out_and_begin_anew(fresh_server: Server, read: str) -> None:
    retry = Retry(ConstantBackoff(0.001), 3)
    with pubsub_of(fresh_server, retry=retry) as pubsub:
        pubsub.subscribe("a")
        drained(pubsub, 1)
        fresh_server.stop()
        for _ in range(2):
            with pytest.raises(ConnectionError):
                wait_until(lambda: pubsub.get_message(timeout=None if read == "waiting" else 0), 20)
        fresh_server.start()
        assert pubsub.get_message(timeout=10)["channel"] == b"a"


def test_each_reply_begins_the_count_anew(server: Server) -> None:
    with pubsub_of(server, retry=Retry(ConstantBackoff(0.001), 1)) as pubsub:
        pubsub.subscribe("a")
        for number in range(4):
            drained(pubsub, 1)
            assert pubsub.reconnects == number
            cut(server)


def test_closing_breaks_off_the_attempt(server: Server) -> None:
    with pubsub_of(server) as pubsub, FullListener() as silent:
        pubsub.subscribe("a")
        drained(pubsub, 1)
        pubsub.connection_pool.share().locator = Fixed(Address(silent.host, silent.port))
        cut(server)
        wait_until(lambda: pubsub.get_message(timeout=0.05) is None and pubsub._line._dial)
        attempt = pubsub._line._dial
        pubsub.close()
        wait_until(attempt.ready, 2)


class ClosesItself(PubSub):
    def on_connect(self, connection: Any) -> None:
        self.close()


def test_closed_in_the_middle_of_connecting(server: Server) -> None:
    with pubsub_of(server, kind=ClosesItself) as pubsub:
        pubsub.subscribe("a")
        drained(pubsub, 1)
        cut(server)
        assert pubsub.get_message(timeout=5) is None and not pubsub.subscribed
        wait_until(lambda: client_list(server) == [])


def test_server_that_accepts_and_breaks_off_is_not_stormed() -> None:
    def refuse(words: list[bytes], client: ScriptedClient) -> bytes | None:
        client.close()
        return None

    with (
        ScriptedServer(refuse) as server,
        pubsub_of(server, retry=Retry(ConstantBackoff(0.001), 5)) as pubsub,
    ):
        pubsub.subscribe("a")
        with pytest.raises(ConnectionError):
            pubsub.get_message(timeout=None)
        assert server.total_connections <= 7


def test_hostile_bytes_close_the_connection() -> None:
    def answer(words: list[bytes], client: ScriptedClient) -> bytes:
        return confirmed(words) if client.number else b"?what\r\n"

    with ScriptedServer(answer, resp3=False) as server, pubsub_of(server) as pubsub:
        pubsub.subscribe("a")
        with pytest.raises(InvalidResponse):
            pubsub.get_message(timeout=5)
        assert drained(pubsub, 1)[0]["channel"] == b"a"


def test_first_connection_is_bounded_and_costs_no_slot() -> None:
    options: dict[str, Any] = {
        "retry": Retry(ConstantBackoff(0.001), 2),
        "max_connections": 1,
        "timeout": 0.01,
    }
    with Redis(port=free_port(), **options) as client:
        pubsub = PubSub(client.connection_pool)
        for _ in range(2):
            with pytest.raises(ConnectionError):
                pubsub.subscribe("a")
        assert client.connection_pool.share().slots == 0 and not pubsub.channels


def test_greenlets_that_subscribe_first_share_the_attempts() -> None:
    retry = Retry(ConstantBackoff(0.05), 2)
    with ScriptedServer(lambda words, client: client.close(), handshake=False) as server:
        with pubsub_of(server, retry=retry) as pubsub:
            callers = [gevent.spawn(pubsub.subscribe, f"{number}") for number in range(60)]
            gevent.joinall(callers, timeout=10)
            assert {type(each.exception) for each in callers} == {ConnectionError}
            assert server.total_connections == 3


def test_attempt_killed_before_it_began(server: Server) -> None:
    with pubsub_of(server) as pubsub:
        pubsub.subscribe("a")
        drained(pubsub, 1)
        pubsub.connection.disconnect()
        pubsub._line._dial = attempt = gevent.Greenlet(lambda: None)
        attempt.kill()
        assert len(drained(pubsub, 1)) == 1


def test_no_slot_is_told(server: Server) -> None:
    with pubsub_of(server, max_connections=1, timeout=0.01) as pubsub:
        with pubsub.connection_pool.lend(), pytest.raises(MaxConnectionsError):
            pubsub.subscribe("a")
        pubsub.subscribe("a")
        assert len(drained(pubsub, 1)) == 1


# -- silence


@pytest.mark.parametrize("waits", ["for ever", "in short polls"])
def test_silent_connection_is_found(waits: str) -> None:
    def answer(words: list[bytes], client: ScriptedClient) -> bytes | None:
        return confirmed(words) if words[0] == b"SUBSCRIBE" else None

    options: dict[str, Any] = {"health_check_interval": 0.1, "socket_timeout": 0.15}
    with ScriptedServer(answer, resp3=False) as server, pubsub_of(server, **options) as pubsub:
        pubsub.subscribe("a")
        drained(pubsub, 1)
        start, message = monotonic(), None
        while message is None:
            message = pubsub.get_message(timeout=None if waits == "for ever" else 0.01)
        assert message["type"] == "subscribe" and pubsub.reconnects == 1
        assert 0.25 <= monotonic() - start < 2
        assert len(server.sent("PING")) >= 1


@pytest.mark.parametrize("protocol", [2, 3])
def test_answered_pings_are_no_messages(server: Server, protocol: int) -> None:
    options: dict[str, Any] = {"health_check_interval": 0.02, "socket_timeout": 0.3, "protocol": protocol}
    with pubsub_of(server, **options) as pubsub:
        pubsub.subscribe("a")
        drained(pubsub, 1)
        start = monotonic()
        assert pubsub.get_message(timeout=0.5) is None
        assert monotonic() - start >= 0.5 and pubsub.reconnects == 0
        gevent.spawn_later(0.1, server.ask, "PUBLISH", "a", "1")
        assert pubsub.get_message(timeout=None)["data"] == b"1"
        unanswered = pubsub.health_check_response_counter  # one that was sent as the message came
        gevent.sleep(0.1)
        pubsub.check_health()
        assert pubsub.health_check_response_counter == unanswered + 1

        def is_clean() -> bool:
            pubsub.clean_health_check_responses()
            return int(pubsub.health_check_response_counter) == 0

        wait_until(is_clean)


def test_reader_that_was_away_finds_its_answer(server: Server) -> None:
    """An answer that came in time counts, however late it is read."""
    with pubsub_of(server, health_check_interval=0.02, socket_timeout=0.05) as pubsub:
        pubsub.subscribe("a")
        drained(pubsub, 1)
        for _ in range(3):
            gevent.sleep(0.03)
            pubsub.check_health()
            gevent.sleep(0.1)
            pubsub.get_message(timeout=0.001)
        assert pubsub.reconnects == 0
