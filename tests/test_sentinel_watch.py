"""What watchers make of sentinels that say anything in any order; scripted, since real ones do not."""

from __future__ import annotations

import gc
import weakref
from time import monotonic
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
from greenredis.exceptions import ConnectionError, MasterNotFoundError, TimeoutError
from greenredis.sentinel import Sentinel, Switch
from greenredis.sentinel.watch import Watch
from greenredis.testing import FullListener, on_quiet_machine, wait_until

pytestmark = pytest.mark.usefixtures("leaks")


def sentinel_of(sentinels: list[Any], **options: Any) -> Sentinel:
    return Sentinel([(each.host, each.port) for each in sentinels], **options)


def where(client: Redis) -> int:
    return int(client.get("where"))


def watch_of(client: Redis) -> Watch:
    watch = client.connection_pool.locator
    assert isinstance(watch, Watch)
    return watch


def settle(client: Redis, sentinels: list[ScriptedSentinel]) -> None:
    """Return when each watcher has heard what its sentinel has to say."""
    where(client)
    wait_for_subscribers(sentinels)
    wait_until(lambda: all("says" in watcher.said for watcher in watch_of(client).watchers))


# -- switches


@pytest.mark.parametrize("resp3", [True, False])
def test_switch_is_followed_at_once_and_told(resp3: bool) -> None:
    with group(resp3=resp3) as (nodes, sentinels), sentinel_of(sentinels) as sentinel:
        with sentinel.master_for(NAME) as client:
            events = sentinel.events(NAME)
            assert where(client) == nodes[0].port
            settle(client, sentinels)
            blocked = gevent.spawn(client.execute_command, "BLPOP", "never", 0)
            nodes[0].role = "slave"
            sentinels[1].switch(nodes[1], 1)
            wait_until(lambda: where(client) == nodes[1].port)
            with pytest.raises(Exception, match="unknown command"):
                blocked.get(timeout=5)
            switch = events.get(5)
            assert isinstance(switch, Switch)
            assert switch[:4] == (NAME, nodes[0].place, nodes[1].place, 1)
            sentinels[0].switch(nodes[1], 1)
            sentinels[2].switch(nodes[1], 1)
            assert where(client) == nodes[1].port and events.get(0) is None
            wait_until(lambda: not nodes[0].connections, message="something stays connected to the old one")


def test_news_that_is_late_leads_back_to_nobody() -> None:
    """A, B, A, then the first switch again, by a sentinel that believes it or by one that does not."""
    with group() as (nodes, sentinels), sentinel_of(sentinels).master_for(NAME) as client:
        first, second = nodes
        assert where(client) == first.port
        settle(client, sentinels)
        sentinels[0].switch(second, 1)
        wait_until(lambda: where(client) == second.port)
        sentinels[0].switch(first, 2)
        wait_until(lambda: where(client) == first.port)
        for late in (sentinels[1], sentinels[2]):
            late.switch(second, 1)
        sentinels[0].switch(second, 1, believes=False)
        asked = [each.questions().count("MASTER") for each in sentinels]
        assert min(asked) >= 1
        for _ in range(20):
            assert where(client) == first.port
            gevent.sleep(0.005)
        believed = watch_of(client).view.believed
        assert believed is not None and believed.epoch == 2


def test_address_does_not_count_while_the_sentinel_fails_over() -> None:
    """The leader pairs the old address with the new epoch until it has announced the switch."""
    with group() as (nodes, sentinels), sentinel_of(sentinels).master_for(NAME) as client:
        leader = sentinels[0]
        leader.flags, leader.epoch, leader.by_name = "master,failover_in_progress", 5, nodes[1].place
        settle(client, sentinels)
        wait_until(lambda: where(client) == nodes[1].port)
        leader.switch(nodes[1], 5, believes=False)
        gevent.sleep(0)
        assert where(client) == nodes[1].port


def test_events_of_other_masters_do_nothing() -> None:
    with group() as (nodes, sentinels), sentinel_of(sentinels).master_for(NAME) as client:
        assert where(client) == nodes[0].port
        settle(client, sentinels)
        asked = [each.questions() for each in sentinels]
        for each in sentinels:
            each.switch(nodes[1], 9, name="other", believes=False)
            each.publish("+failover-state-send-slaveof-noone", "slave x 10.0.0.9 1 @ other 10.0.0.8 2")
            each.publish("+monitor", "master other 10.0.0.8 2 quorum 2")
            each.publish("+sentinel", "sentinel f00 10.0.0.7 26379 @ other 10.0.0.8 2")
            each.publish("+switch-master", f"{NAME}x 127.0.0.1 1 {nodes[1].host} {nodes[1].port}")
        with pytest.raises(AssertionError):
            wait_until(lambda: where(client) == nodes[1].port, 0.2)
        assert [each.questions() for each in sentinels] == asked
        assert len(watch_of(client).watchers) == 3


def test_sentinels_that_begin_again_are_believed_when_all_agree() -> None:
    """SENTINEL REMOVE and MONITOR: the epoch is 0 again. The ROLE of the new address decides."""
    with group(epoch=7) as (nodes, sentinels), sentinel_of(sentinels).master_for(NAME) as client:
        assert where(client) == nodes[0].port
        settle(client, sentinels)
        nodes[1].role = "slave"
        for each in sentinels:
            each.place, each.epoch = nodes[1].place, 0
            each.publish("+monitor", f"master {NAME} {nodes[1].host} {nodes[1].port} quorum 2")
        wait_until(lambda: nodes[1].sent("ROLE"))
        assert where(client) == nodes[0].port, "it is no master"
        nodes[1].role = "master"
        sentinels[0].publish("+monitor", f"master {NAME} {nodes[1].host} {nodes[1].port} quorum 2")
        wait_until(lambda: where(client) == nodes[1].port)


def test_readonly_leads_to_one_question_and_a_wait() -> None:
    """A demoted master: the write waits until the switch is announced, and is sent once more."""
    with group() as (nodes, sentinels), sentinel_of(sentinels).master_for(NAME) as client:
        assert client.set("key", 1) is True
        settle(client, sentinels)
        asked = sum(len(each.questions()) for each in sentinels)
        nodes[0].role = "slave"
        writes = [gevent.spawn(client.set, "key", number) for number in range(20)]
        wait_until(lambda: sum(len(each.questions()) for each in sentinels) == asked + 6)
        assert not any(write.ready() for write in writes)
        sentinels[2].switch(nodes[1], 1)
        assert all(write.get(timeout=5) for write in writes)
        assert sum(len(each.questions()) for each in sentinels) <= asked + 10
        assert len(nodes[1].sent("SET")) == 20


def test_readonly_in_pipelines_and_transactions() -> None:
    with group() as (nodes, sentinels), sentinel_of(sentinels).master_for(NAME) as client:
        assert client.set("key", 1) is True
        settle(client, sentinels)
        asked = sum(len(each.questions()) for each in sentinels)
        nodes[0].role = "slave"
        pipe = client.pipeline(transaction=False).set("a", 1).set("b", 2)
        done = gevent.spawn(pipe.execute)
        wait_until(lambda: sum(len(each.questions()) for each in sentinels) == asked + 6)
        sentinels[2].switch(nodes[1], 1)
        assert done.get(timeout=5) == [True, True]


def test_caller_learns_why_there_is_no_master() -> None:
    with group() as (nodes, sentinels), sentinel_of(sentinels).master_for(NAME) as client:
        assert client.set("key", 1) is True
        settle(client, sentinels)
        nodes[0].role = "slave"

        def give_up() -> None:
            began = monotonic()
            with deadline(0.2), pytest.raises(MasterNotFoundError) as caught:
                client.set("key", 2)
            assert 0.15 < monotonic() - began < 0.3
            assert not caught.value.maybe_executed
            for each in sentinels:
                assert f"{each.host}:{each.port} says {nodes[0].host}:{nodes[0].port}, epoch 0" in str(
                    caught.value
                )

        on_quiet_machine(give_up, 0.1)
        nodes[0].role = "master"
        wait_until(lambda: client.set("key", 3))


# -- who is asked


def test_one_sentinel_that_answers_is_enough_and_quick() -> None:
    with FullListener() as silent, group(sentinels=1) as (nodes, sentinels):
        places = [("127.0.0.1", silent.port), ("127.0.0.1", 1), (sentinels[0].host, sentinels[0].port)]

        def start() -> None:
            began = monotonic()
            with Sentinel(places).master_for(NAME) as client:
                assert where(client) == nodes[0].port and monotonic() - began < 0.3
            assert Sentinel(places).discover_master(NAME) == nodes[0].place

        on_quiet_machine(start, 0.3)


def test_nobody_knows_the_master() -> None:
    with group() as (_, sentinels), sentinel_of([*sentinels, ScriptedNowhere()]) as sentinel:
        with sentinel.master_for("other", socket_timeout=0.3) as client:
            began = monotonic()
            with pytest.raises(MasterNotFoundError, match="No such master") as caught:
                client.ping()
            assert 0.2 < monotonic() - began < 2 and not caught.value.maybe_executed
            assert str(caught.value).count("No such master") == 3 and "127.0.0.1:1 ConnectionError" in str(
                caught.value
            )
            with pytest.raises(MasterNotFoundError, match="does not know it"):
                sentinel.discover_master("other")


class ScriptedNowhere:
    """A place where nothing listens."""

    host, port = "127.0.0.1", 1


def test_sentinels_that_see_too_few_others_are_not_believed() -> None:
    with group() as (nodes, sentinels):
        for each in sentinels:
            each.sees = 1
        with sentinel_of(sentinels, min_other_sentinels=2).master_for(NAME) as client:
            with deadline(0.2), pytest.raises(MasterNotFoundError, match="sees 1 other sentinels"):
                where(client)
            sentinels[1].sees = 2
            sentinels[1].switch(nodes[0], 0)
            assert where(client) == nodes[0].port


def test_others_are_found_and_each_is_watched_once() -> None:
    with group(sentinels=4) as (nodes, sentinels):
        for each in sentinels[:3]:
            each.others = [other for other in sentinels[:3] if other is not each]
        with Sentinel([("localhost", sentinels[0].port)]).master_for(NAME) as client:
            assert where(client) == nodes[0].port
            watch = watch_of(client)
            wait_until(lambda: [each.is_subscribed for each in watch.watchers] == [True] * 3)
            place = f"{sentinels[3].host} {sentinels[3].port}"
            sentinels[1].publish(
                "+sentinel", f"sentinel {sentinels[3].id} {place} @ {NAME} {nodes[0].host} {nodes[0].port}"
            )
            wait_until(lambda: [each.is_subscribed for each in watch.watchers] == [True] * 4)
            assert sum(each.is_seed for each in watch.watchers) == 1
            assert {len(each.subscribers) for each in sentinels} == {1}


def test_lost_sentinels_come_back() -> None:
    with group() as (nodes, sentinels), sentinel_of(sentinels).master_for(NAME) as client:
        settle(client, sentinels)
        for each in sentinels:
            for one in list(each.clients):
                one.reset()
        wait_until(lambda: not any(each.subscribers for each in sentinels))
        for each in sentinels:
            each.place, each.epoch = nodes[1].place, 1
        assert where(client) == nodes[0].port, "the pool goes on without any sentinel"
        wait_until(lambda: where(client) == nodes[1].port, 2)


def test_silent_sentinel_is_left_and_asked_again() -> None:
    with group(sentinels=1) as (_, sentinels), sentinel_of(sentinels).master_for(NAME) as client:
        settle(client, sentinels)
        watcher = watch_of(client).watchers[0]
        sentinels[0].is_silent = True
        silent = sentinels[0].subscribers[0]
        silent.protocol = 3
        sentinels[0]._handshake = False  # so that PING is not answered either
        wait_until(lambda: not watcher.is_subscribed, 5)
        sentinels[0]._handshake = True
        sentinels[0].is_silent = False
        wait_until(lambda: watcher.is_subscribed, 5)


def test_sentinels_that_forbid_to_subscribe_are_polled() -> None:
    with group() as (nodes, sentinels):
        for each in sentinels:
            each._subscribe = lambda *_: b"-NOPERM this user may not\r\n"
        with sentinel_of(sentinels).master_for(NAME) as client:
            assert where(client) == nodes[0].port
            for each in sentinels:
                each.place, each.epoch = nodes[1].place, 1
            wait_until(lambda: where(client) == nodes[1].port, 3)


# -- addresses


def test_addresses_are_translated() -> None:
    with group() as (nodes, sentinels):
        for each in sentinels:
            each.place = ("10.9.9.9", 7)
        remap = {("10.9.9.9", 7): nodes[0].place}
        with sentinel_of(sentinels, address_remap=remap).master_for(NAME) as client:
            assert where(client) == nodes[0].port
        with sentinel_of(sentinels, address_remap=remap.get) as sentinel:
            assert sentinel.discover_master(NAME) == nodes[0].place
        for each in sentinels:
            each.place = ("10.9.9.9", nodes[1].port)
        with sentinel_of(sentinels, force_master_ip="127.0.0.1") as sentinel:
            assert sentinel.discover_master(NAME) == nodes[1].place
            with sentinel.master_for(NAME) as client:
                assert where(client) == nodes[1].port


# -- holding writes


def test_writes_are_held_from_the_promotion_to_the_switch() -> None:
    with group() as (nodes, sentinels):
        with sentinel_of(sentinels).master_for(NAME, hold_writes=True) as client:
            assert client.set("key", 1) is True
            settle(client, sentinels)
            about = f"slave x {nodes[1].host} {nodes[1].port} @ {NAME} {nodes[0].host} {nodes[0].port}"
            sentinels[0].publish("+failover-state-send-slaveof-noone", about)
            watch = watch_of(client)
            wait_until(lambda: not watch._free.is_set())
            write = gevent.spawn(client.set, "key", 2)
            piped = gevent.spawn(client.pipeline(transaction=False).set("key", 3).execute)
            assert client.echo("read") == b"read", "reads go on"
            with deadline(0.05), pytest.raises(TimeoutError) as caught:
                client.set("key", 4)
            assert not caught.value.maybe_executed and not write.ready() and not piped.ready()
            sentinels[0].switch(nodes[1], 1)
            assert write.get(timeout=5) is True and piped.get(timeout=5) == [True]
            assert len(nodes[0].sent("SET")) == 1 and len(nodes[1].sent("SET")) == 2


@pytest.mark.parametrize("event", ["-failover-abort-no-good-slave", "-failover-abort-slave-timeout", ""])
def test_held_writes_go_on_after_an_abort_or_two_seconds(event: str) -> None:
    with group() as (nodes, sentinels):
        with sentinel_of(sentinels).master_for(NAME, hold_writes=True) as client:
            assert client.set("key", 1) is True
            settle(client, sentinels)
            about = f"slave x {nodes[1].host} {nodes[1].port} @ {NAME} {nodes[0].host} {nodes[0].port}"
            sentinels[0].publish("+failover-state-send-slaveof-noone", about)
            watch = watch_of(client)
            wait_until(lambda: not watch._free.is_set())
            began = monotonic()
            write = gevent.spawn(client.set, "key", 2)
            gevent.sleep(0)
            if event:
                sentinels[0].publish(event, f"master {NAME} {nodes[0].host} {nodes[0].port}")
            assert write.get(timeout=5) is True
            assert monotonic() - began < (1 if event else 3)
            assert event or monotonic() - began > 1.5


# -- lifetime


def test_abandoned_client_ends_its_watchers() -> None:
    with group() as (nodes, sentinels):
        client = sentinel_of(sentinels).master_for(NAME)
        assert where(client) == nodes[0].port
        settle(client, sentinels)
        watch = weakref.ref(watch_of(client))
        del client
        wait_until(lambda: gc.collect() >= 0 and watch() is None)
        wait_until(lambda: not any(each.connections for each in (*sentinels, *nodes)))


def test_clients_of_one_master_share_its_watchers() -> None:
    with group() as (nodes, sentinels), sentinel_of(sentinels) as sentinel:
        with sentinel.master_for(NAME) as one, sentinel.master_for(NAME, db=1) as other:
            assert where(one) == where(other) == nodes[0].port
            settle(one, sentinels)
            assert {len(each.subscribers) for each in sentinels} == {1}
            nodes[0].role = "slave"
            sentinels[0].switch(nodes[1], 1)
            wait_until(lambda: where(one) == where(other) == nodes[1].port)


def test_killed_callers_leave_nothing_behind() -> None:
    with group() as (nodes, sentinels), sentinel_of(sentinels).master_for(NAME) as client:
        for each in sentinels:
            each.is_silent = True
        waiting = [gevent.spawn(where, client) for _ in range(20)]
        wait_until(lambda: all(each.total_connections for each in sentinels))
        gevent.killall(waiting, timeout=5)
        for each in sentinels:
            each.is_silent = False
        wait_until(lambda: _answers(client, nodes[0]), 5)
        assert client.connection_pool.stats()["waiting"] == 0


def _answers(client: Redis, node: ScriptedNode) -> bool:
    try:
        with deadline(1):
            return bool(where(client) == node.port)
    except (ConnectionError, TimeoutError):
        return False
