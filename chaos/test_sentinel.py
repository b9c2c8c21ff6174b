"""Failovers by real sentinels: killed, stopped, demoted masters; sentinels cut off, killed and slow."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any

import gevent
import pytest
from celery_worker import worker  # type: ignore[import-not-found]
from processes import need  # type: ignore[import-not-found]
from storm import Storm  # type: ignore[import-not-found]
from writers import GREENLETS, KEY, Writers, survivors_of, through  # type: ignore[import-not-found]

from greenredis import Redis, WatchError, deadline
from greenredis.exceptions import ConnectionError, MasterNotFoundError, RedisError, TimeoutError
from greenredis.sentinel import Sentinel
from greenredis.sentinel.watcher import Watcher
from greenredis.testing import (
    Proxy,
    SentinelDeployment,
    Toxiproxy,
    client_list,
    find_server,
    on_quiet_machine,
    wait_until,
)
from greenredis.testing.pytest_plugin import found

SLACK = 0.1

pytestmark = pytest.mark.time_limit(120)


@pytest.fixture
def deployment(sentinel_deployment: SentinelDeployment) -> SentinelDeployment:
    return sentinel_deployment


def sentinel_of(deployment: SentinelDeployment, **options: Any) -> Sentinel:
    return Sentinel(deployment.places, **options)


def place_of(client: Redis) -> int:
    address = client.connection_pool.locator.address
    assert address is not None
    return int(address.port)


def in_time(deployment: SentinelDeployment, run: Callable[[], None]) -> None:
    """Runs a test of promised times, and again where the machine was late."""

    def on_a_whole_one() -> None:
        deployment.heal()
        deployment.node().ask("FLUSHALL")
        run()

    on_quiet_machine(on_a_whole_one, SLACK)


# -- failovers under writes


@pytest.mark.parametrize("fault", ["kill", "stop", "failover"])
def test_writers_follow_the_master(
    deployment: SentinelDeployment, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The promised times, nothing lost that began after the switch, few errors, few questions."""
    asked: list[Any] = []
    ask = Watcher._claim

    def claim(self: Watcher, told: Any) -> Any:
        asked.append(told)
        return ask(self, told)

    monkeypatch.setattr(Watcher, "_claim", claim)

    def run() -> None:
        asked.clear()
        with sentinel_of(deployment).master_for(deployment.name) as client:
            with Writers(client, seconds=1) as writers:
                wait_until(lambda: len(asked) >= 3)
                asked.clear()
                switch = through(writers, deployment, getattr(deployment, fault))
            assert writers.check(deployment, switch) < 0.1
            assert sum(1 if told else 2 for told in asked) <= 10, asked

    in_time(deployment, run)


@pytest.mark.parametrize("fault", ["kill", "failover"])
def test_no_error_at_all_if_all_may_be_sent_again(deployment: SentinelDeployment, fault: str) -> None:
    with sentinel_of(deployment).master_for(deployment.name, resend="always") as client:
        with Writers(client, seconds=20) as writers:
            through(writers, deployment, getattr(deployment, fault))
        errors = [write.error for write in writers.writes if write.error is not None]
        assert not errors, errors[:3]


def test_coordinated_failover_loses_nothing(deployment: SentinelDeployment) -> None:
    if b"valkey_version" not in deployment.node().ask("INFO", "server"):
        pytest.skip("Redis has no coordinated failover: GREENREDIS_TEST_SERVERS=valkey")
    with sentinel_of(deployment).master_for(deployment.name, resend="always") as client:
        with Writers(client, seconds=20) as writers:
            through(writers, deployment, lambda: deployment.failover(coordinated=True))
        assert not any(write.error for write in writers.writes)
        assert not writers.lost(survivors_of(deployment))


def test_held_writes_are_not_lost(deployment: SentinelDeployment) -> None:
    """Without it, a failover by hand loses thousands."""

    def run() -> None:
        with sentinel_of(deployment).master_for(deployment.name, hold_writes=True) as client:
            with Writers(client, seconds=5) as writers:
                switch = through(writers, deployment, deployment.failover)
            writers.check(deployment, switch)
            in_flight = GREENLETS  # as the promotion was announced
            assert len(writers.lost(survivors_of(deployment))) <= in_flight

    in_time(deployment, run)


def test_zombie_gets_no_write(deployment: SentinelDeployment) -> None:
    """The stopped master goes on as a master for some seconds: nobody is connected to it."""
    name = f"zombie-{random.getrandbits(32)}"

    def run() -> None:
        with sentinel_of(deployment).master_for(deployment.name, client_name=name) as client:
            with Writers(client, seconds=1) as writers:
                old = deployment.master
                switch = through(writers, deployment, deployment.stop)
                wait_until(lambda: deployment.master != old)
                deployment.cont(old)
                zombie = deployment.nodes[old]
                wait_until(lambda: not [row for row in client_list(zombie) if row["name"] == name])
                length, since = zombie.ask("LLEN", KEY), monotonic()
                wait_until(lambda: writers.all_wrote_since(since + 0.3), 10)
                longer = zombie.ask("LLEN", KEY) - length
                assert not longer or zombie.ask("ROLE")[0] == b"slave"  # it is in sync by now
                assert not [row for row in client_list(zombie) if row["name"] == name]
            writers.check(deployment, switch)

    in_time(deployment, run)


# -- what is under way when the master fails


def test_blocking_pubsub_and_watching_through_a_failover(deployment: SentinelDeployment) -> None:
    with sentinel_of(deployment).master_for(deployment.name) as client:
        client.set("watched", 1)
        blocked = gevent.spawn(_outcome, lambda: client.blpop(["none"], 0))
        pubsub = client.pubsub(ignore_subscribe_messages=True)
        pubsub.subscribe("news")
        pubsub.get_message(timeout=1)
        pipe = client.pipeline()
        pipe.watch("watched")
        pipe.multi()
        pipe.set("watched", 2)
        wait_until(lambda: any(row["cmd"] == "blpop" for row in client_list(deployment.node())))
        old = place_of(client)
        deployment.failover()
        wait_until(lambda: place_of(client) != old, 10)
        assert isinstance(blocked.get(timeout=1), ConnectionError)
        with pytest.raises((WatchError, ConnectionError)):
            pipe.execute()
        pipe.reset()

        def heard() -> bool:
            client.publish("news", "here")
            message = pubsub.get_message(timeout=0.1)
            return message is not None and message["data"] == b"here"

        wait_until(heard, 5)
        pubsub.close()
        assert client.set("watched", 3) and client.get("watched") == b"3"


def _outcome(call: Any) -> Any:
    try:
        return call()
    except RedisError as error:
        return error


def test_lock_through_a_failover(deployment: SentinelDeployment) -> None:
    """Its token is checked on the new master: it was replicated, so the lock is still held."""
    with sentinel_of(deployment).master_for(deployment.name) as client:
        lock = client.lock("mutex", timeout=30)
        assert lock.acquire()
        client.wait(2, 1000)
        old = place_of(client)
        deployment.failover()
        wait_until(lambda: place_of(client) != old, 10)
        assert lock.owned()
        other = client.lock("mutex", timeout=30, blocking=False)
        assert not other.acquire()
        lock.release()
        assert other.acquire()


def _agrees(deployment: SentinelDeployment) -> bool:
    words = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", deployment.name)
    return len({str(sentinel.ask(*words)) for sentinel in deployment.sentinels}) == 1


def test_celery_through_a_failover(toxiproxy: Toxiproxy, tmp_path: Path) -> None:
    """Broker and results are on the sentinels' master: the worker goes on with the new one."""
    need("celery")
    with SentinelDeployment(toxiproxy, found(find_server)) as deployment:
        url = ";".join(f"sentinel://{host}:{port}" for host, port in deployment.places)
        with worker(tmp_path, url, master_name=deployment.name) as celery:
            celery.produce(20)
            old = deployment.failover()
            wait_until(lambda: deployment.master != old and _agrees(deployment), 10)
            celery.produce(20)


# -- sentinels that are cut off, killed, slow


class OwnRoute:
    """Proxies before the sentinels of which only the client knows: faults that only it feels."""

    def __init__(self, deployment: SentinelDeployment, toxiproxy: Toxiproxy) -> None:
        self._stack = ExitStack()
        self.proxies: list[Proxy] = []
        self.remap = {}
        for sentinel, place in zip(deployment.sentinels, deployment.places, strict=True):
            proxy = self._stack.enter_context(toxiproxy.proxy(sentinel.port))
            self.proxies.append(proxy)
            self.remap[place] = (proxy.host, proxy.port)

    def client(self, deployment: SentinelDeployment, **options: Any) -> Redis:
        places = [(proxy.host, proxy.port) for proxy in self.proxies]
        made: Redis = Sentinel(places, address_remap=self.remap).master_for(deployment.name, **options)
        return made

    def __enter__(self) -> OwnRoute:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()


@pytest.mark.parametrize("how", ["blackholed", "refused"])
def test_switch_while_all_sentinels_are_cut_off(
    deployment: SentinelDeployment, toxiproxy: Toxiproxy, how: str
) -> None:
    """It is followed within a second of healing."""

    def run() -> None:
        with OwnRoute(deployment, toxiproxy) as route, route.client(deployment) as client:
            assert client.set("key", 1)
            watch: Any = client.connection_pool.locator
            wait_until(lambda: all(watcher.is_subscribed for watcher in watch.watchers))
            old = deployment.master
            with ExitStack() as stack:
                if how == "blackholed":
                    stack.enter_context(deployment.partition(*route.proxies))
                else:
                    for proxy in route.proxies:
                        stack.enter_context(proxy.down())
                deployment.failover()
                wait_until(lambda: deployment.master != old, 10)
                wait_until(lambda: not any(watcher.is_subscribed for watcher in watch.watchers), 10)
            healed = monotonic()
            new = deployment.proxies[deployment.master].port
            wait_until(lambda: place_of(client) == new, 5)
            assert monotonic() - healed < 1
            with deadline(5):
                assert client.set("key", 2)

    in_time(deployment, run)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("how", ["killed", "refused", "blackholed", "slow"])
def test_sentinels_that_fail(
    deployment: SentinelDeployment, toxiproxy: Toxiproxy, how: str, count: int
) -> None:
    """A client that runs goes on; a new one starts in less than a second while one answers."""
    with OwnRoute(deployment, toxiproxy) as route, route.client(deployment) as client:
        assert client.set("key", 1)
        with ExitStack() as stack:
            for sentinel, proxy in zip(deployment.sentinels[:count], route.proxies, strict=False):
                if how == "killed":
                    sentinel.kill()
                elif how == "refused":
                    stack.enter_context(proxy.down())
                elif how == "blackholed":
                    stack.enter_context(deployment.partition(proxy))
                else:
                    stack.enter_context(proxy.toxic("latency", latency=400))
            began = monotonic()
            while monotonic() < began + 0.5:
                with deadline(0.5):
                    assert client.set("key", 2)
            on_quiet_machine(lambda: _start_anew(route, deployment, how, count), 1)


def _start_anew(route: OwnRoute, deployment: SentinelDeployment, how: str, count: int) -> None:
    with route.client(deployment) as newcomer, deadline(1.5 if count < 3 else 0.5):
        began = monotonic()
        if count < 3:
            assert newcomer.set("key", 3) and monotonic() - began < 1
        else:
            with pytest.raises(MasterNotFoundError):
                newcomer.set("key", 3)


# -- replicas


def test_replicas_take_turns_and_the_master_stands_in(deployment: SentinelDeployment) -> None:
    with sentinel_of(deployment) as sentinel:
        with sentinel.master_for(deployment.name) as client:
            client.set("key", "value")
            assert client.wait(2, 5000) == 2
        master = deployment.master
        replicas = [number for number in range(3) if number != master]
        with sentinel.replica_for(deployment.name) as reader:
            locator: Any = reader.connection_pool.locator
            assert reader.get("key") == b"value"
            wait_until(lambda: len(locator.addresses) == 2)
            for number in replicas:
                deployment.nodes[number].ask("CONFIG", "RESETSTAT")
            for _ in range(20):
                assert reader.get("key") == b"value"
            for number in replicas:
                assert "calls=10," in deployment.nodes[number].info("commandstats")["cmdstat_get"]
            deployment.kill(replicas[0])
            for _ in range(20):
                with deadline(2):
                    assert reader.get("key") == b"value"
            deployment.kill(replicas[1])
            for _ in range(20):
                with deadline(2):
                    assert reader.get("key") == b"value"
            wait_until(lambda: locator.role is None)
            assert [address.port for address in locator.addresses] == [deployment.proxies[master].port]
            for number in replicas:
                deployment.restart(number)
            wait_until(lambda: len(locator.addresses) == 2 and locator.role == "slave", 20)
            assert reader.get("key") == b"value"


def test_nearest_replica(deployment: SentinelDeployment) -> None:
    slow, near = [number for number in range(3) if number != deployment.master]
    with sentinel_of(deployment) as sentinel:
        with deployment.proxies[slow].toxic("latency", latency=50):
            with sentinel.replica_for(deployment.name, read_from="nearest") as reader:
                reader.ping()
                locator: Any = reader.connection_pool.locator
                wait_until(lambda: locator.address.port == deployment.proxies[near].port)
                deployment.nodes[near].ask("CONFIG", "RESETSTAT")
                for _ in range(10):
                    reader.get("key")
                assert "calls=10," in deployment.nodes[near].info("commandstats")["cmdstat_get"]


# -- nobody gets another's reply


def _echo(client: Redis, storm: Storm) -> None:
    token = storm.token()
    storm.expect(client.execute_command("ECHO", token), token)


@pytest.mark.parametrize("multiplex", [True, False], ids=["link", "pool"])
@pytest.mark.parametrize("role", ["master", "replica"])
def test_no_reply_goes_astray_under_timeouts_and_kills(
    deployment: SentinelDeployment, role: str, multiplex: bool, seed: int
) -> None:
    count = 100_000 if multiplex else 40_000
    with sentinel_of(deployment) as sentinel:
        make = sentinel.master_for if role == "master" else sentinel.replica_for
        with make(deployment.name, multiplex=multiplex, max_connections=20) as client:
            assert client.ping()
            Storm(client, _echo, count, seed).run()


def test_no_reply_goes_astray_in_a_failover(deployment: SentinelDeployment, seed: int) -> None:
    """The same while the master fails over under them; errors are no wrong replies."""

    def echo(client: Redis, storm: Storm) -> None:
        token = storm.token()
        try:
            with deadline(0.5):
                found = client.execute_command("ECHO", token)
        except (ConnectionError, TimeoutError):
            return
        storm.expect(found, token)

    with sentinel_of(deployment).master_for(deployment.name) as client:
        assert client.ping()
        storm = Storm(client, echo, 100_000, seed)
        failover = gevent.spawn_later(0.1, deployment.failover)
        storm.run()
        failover.get(timeout=10)
