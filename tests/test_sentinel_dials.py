"""Connections under way to a master that moves: what is dialed, shaken hands with, or refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from scripted_sentinels import (  # type: ignore[import-not-found]
    NAME,
    ScriptedNode,
    ScriptedSentinel,
    group,
    wait_for_subscribers,
)

from greenredis import Redis, deadline
from greenredis.exceptions import AuthenticationError, MasterNotFoundError
from greenredis.sentinel import Sentinel
from greenredis.testing import FullListener, ScriptedServer, wait_until

pytestmark = pytest.mark.usefixtures("leaks")


def client_of(sentinels: list[ScriptedSentinel], **options: Any) -> Redis:
    made: Redis = Sentinel([(each.host, each.port) for each in sentinels]).master_for(NAME, **options)
    return made


@pytest.fixture(params=["connecting hangs", "shaking hands hangs"])
def stuck(request: pytest.FixtureRequest) -> Iterator[FullListener | ScriptedServer]:
    """A server that lets nobody finish connecting."""
    if request.param == "connecting hangs":
        with FullListener() as listener:
            yield listener
    else:
        with ScriptedServer(lambda words, client: None, handshake=False) as server:
            yield server


@pytest.mark.parametrize("multiplex", [True, False], ids=["link", "pool"])
def test_dials_to_the_old_master_are_cut(stuck: FullListener | ScriptedServer, multiplex: bool) -> None:
    """Those who wait for them get connections to the new one; nobody sees an error."""
    with group(nodes=1) as (nodes, sentinels):
        for each in sentinels:
            each.place = (stuck.host, stuck.port)
        with client_of(sentinels, multiplex=multiplex, socket_connect_timeout=30) as client:
            calls = [gevent.spawn(client.get, "where") for _ in range(20)]
            wait_until(lambda: client.connection_pool.stats()["dialing"])
            wait_for_subscribers(sentinels)
            sentinels[0].switch(nodes[0], 1)
            assert [call.get(timeout=2) for call in calls] == [b"%d" % nodes[0].port] * 20
            wait_until(lambda: not client.connection_pool.stats()["dialing"])
            stats = client.connection_pool.stats()
            assert stats["waiting"] == 0
            assert client.connection_pool.share().slots == stats["idle"] + stats["lent"]


def test_pubsub_that_reconnects_to_the_old_master_is_cut(stuck: FullListener | ScriptedServer) -> None:
    with group() as (nodes, sentinels), client_of(sentinels, socket_connect_timeout=30) as client:
        pubsub = client.pubsub()
        client.get("where")
        pubsub.subscribe("news")
        wait_for_subscribers(sentinels)
        reader = gevent.spawn(list, pubsub.listen())
        wait_until(lambda: nodes[0].sent("SUBSCRIBE"))
        for each in sentinels:
            each.place = (stuck.host, stuck.port)
        sentinels[0].epoch = 1
        sentinels[0].publish("+switch-master", f"{NAME} 127.0.0.1 1 {stuck.host} {stuck.port}")
        wait_until(lambda: pubsub._line._dial is not None)
        sentinels[0].switch(nodes[1], 2)
        wait_until(lambda: nodes[1].sent("SUBSCRIBE"), 3)
        reader.kill()
        pubsub.close()


def test_server_of_the_wrong_role_is_refused() -> None:
    """The sentinels are late: what they name says that it is a replica."""
    with group() as (nodes, sentinels), client_of(sentinels) as client:
        nodes[0].role = "slave"
        with deadline(0.3), pytest.raises(MasterNotFoundError, match="is a slave and no master") as caught:
            client.set("key", 1)
        assert not caught.value.maybe_executed and not nodes[0].sent("SET")
        nodes[0].role = "master"
        with deadline(5):
            assert client.set("key", 1)


def test_user_who_may_not_ask_for_the_role_is_not_refused() -> None:
    with group() as (nodes, sentinels), client_of(sentinels) as client:
        nodes[0].role = ""
        assert client.set("key", 1) and nodes[0].sent("ROLE")


def test_wrong_password_is_told_at_once() -> None:
    def refuse(words: list[bytes], client: Any) -> bytes:
        return b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"

    with ScriptedServer(refuse, handshake=False) as node, group() as (_, sentinels):
        for each in sentinels:
            each.place = (node.host, node.port)
        with client_of(sentinels, password="secret") as client, pytest.raises(AuthenticationError) as caught:
            client.get("where")
        assert "secret" not in str(caught.value)


def test_sentinel_whose_words_cannot_be_read_is_left_and_asked_again() -> None:
    with group() as (nodes, sentinels), client_of(sentinels) as client:
        client.get("where")
        wait_for_subscribers(sentinels)
        watch: Any = client.connection_pool.locator
        watcher = next(each for each in watch.watchers if each.place[1] == sentinels[0].port)
        for words in ("mymaster", "mymaster 127.0.0.1 1 127.0.0.1 port", ""):
            subscribed = len(sentinels[0].sent("SUBSCRIBE"))
            sentinels[0].publish("+switch-master", words)
            wait_until(lambda: len(sentinels[0].sent("SUBSCRIBE")) > subscribed)  # noqa: B023
            wait_until(lambda: watcher.is_subscribed)
        sentinels[0].flags, flags = None, sentinels[0].flags
        sentinels[0].epoch = "none"
        sentinels[0].publish("+monitor", f"master {NAME} {nodes[0].host} {nodes[0].port} quorum 2")
        wait_until(lambda: "cannot be read" in watcher.said)
        sentinels[0].flags = flags
        sentinels[0].switch(nodes[1], 1)
        wait_until(lambda: int(client.get("where")) == nodes[1].port)


def test_reprs_show_the_state() -> None:
    with group() as (nodes, sentinels), client_of(sentinels, password="secret") as client:
        client.get("where")
        wait_for_subscribers(sentinels)
        watch: Any = client.connection_pool.locator
        wait_until(lambda: "3 of 3 sentinels" in repr(watch))
        assert f"<Watch of '{NAME}' at {nodes[0].host}:{nodes[0].port}, 3 of 3 sentinels>" == repr(watch)
        wait_until(lambda: "says" in watch.watchers[0].said)
        assert "subscribed: says 127.0.0.1:" in repr(watch.watchers[0])
        shown = repr([client, client.connection_pool, watch, watch.view, watch.watchers])
        assert "secret" not in shown and isinstance(nodes[0], ScriptedNode)
