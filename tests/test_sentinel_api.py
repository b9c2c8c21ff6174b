"""Sentinel's API: redis-py's names and replies on real sentinels, URLs, options, bad input."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

import greenredis
from greenredis import ReadOnlyError, Redis, WatchError
from greenredis.client import Pipeline
from greenredis.exceptions import MasterNotFoundError, ResponseError, SlaveNotFoundError
from greenredis.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from greenredis.sentinel.url import pool_from_url
from greenredis.testing import FullListener, SentinelDeployment, Toxiproxy, wait_until

theirs: Any = None
with suppress(ImportError):
    theirs = importlib.import_module("redis.sentinel")

NAME = "mymaster"


@pytest.fixture
def sentinel(sentinel_deployment: SentinelDeployment) -> Iterator[Sentinel]:
    with Sentinel(sentinel_deployment.places) as made:
        yield made


@pytest.fixture
def master(sentinel: Sentinel) -> Iterator[Redis]:
    with sentinel.master_for(NAME) as client:
        yield client


@pytest.fixture
def replica(sentinel: Sentinel) -> Iterator[Redis]:
    with sentinel.slave_for(NAME) as client:
        yield client


def url_of(deployment: SentinelDeployment, rest: str = "mymaster/0", user: str = "") -> str:
    return f"redis+sentinel://{user}{','.join(f'{host}:{port}' for host, port in deployment.places)}/{rest}"


# -- as redis-py's


@pytest.mark.parametrize("kind", ["Sentinel", "SentinelConnectionPool"])
def test_methods_and_signatures_are_redis_pys(kind: str) -> None:
    if theirs is None:
        if os.environ.get("CI"):
            pytest.fail("no redis-py: pip install 'greenredis[test]'")
        pytest.skip("no redis-py: pip install 'greenredis[test]'")
    own, model = getattr(greenredis.sentinel, kind), getattr(theirs, kind)
    for name, method in vars(model).items():
        if inspect.isfunction(method) and (not name.startswith("_") or name == "__init__"):
            got = inspect.signature(getattr(own, name)).parameters
            for each in inspect.signature(method).parameters.values():
                if each.kind == each.VAR_POSITIONAL:
                    assert any(mine.kind == each.kind for mine in got.values())
                else:
                    assert (each.name, got[each.name].kind) == (each.name, each.kind), name
                    assert _shown(got[each.name].default) == _shown(each.default), (name, each)


def _shown(default: Any) -> Any:
    """A class by its name: ours stands for redis-py's."""
    return default.__name__ if inspect.isclass(default) else default


def test_discovery(sentinel: Sentinel, sentinel_deployment: SentinelDeployment) -> None:
    number = sentinel_deployment.master
    places = [(proxy.host, proxy.port) for proxy in sentinel_deployment.proxies]
    assert sentinel.discover_master(NAME) == places[number]
    replicas = sorted(place for place in places if place != places[number])
    assert sorted(sentinel.discover_slaves(NAME)) == sorted(sentinel.discover_replicas(NAME)) == replicas
    assert sentinel.discover_slaves("other") == []
    with pytest.raises(MasterNotFoundError, match=r"'other'.*: .*does not know it; .*; .*does not know it"):
        sentinel.discover_master("other")


def test_commands_of_all_sentinels(sentinel: Sentinel) -> None:
    assert sentinel.execute_command("PING") is True
    assert sentinel.execute_command("PING", once=True) is True
    assert sentinel.execute_command("PING", return_responses=True) == [True] * 3
    assert sentinel.execute_command("PING", once=True, return_responses=True) == [True]
    states = sentinel.sentinel_master(NAME, return_responses=True)
    assert len(states) == 3 and all(state["name"] == NAME for state in states)
    assert bool(sentinel.sentinel_masters()) is True
    with pytest.raises(ResponseError):
        sentinel.sentinel_master("other")
    assert [client.ping() for client in sentinel.sentinels] == [True] * 3


def test_states_are_judged_as_redis_py_does() -> None:
    strict = Sentinel([("127.0.0.1", 1)], min_other_sentinels=2)
    state = {"is_master": True, "is_sdown": False, "is_odown": False, "num-other-sentinels": 2}
    assert strict.check_master_state(state, NAME)
    for change in ({"is_master": False}, {"is_sdown": True}, {"is_odown": True}, {"num-other-sentinels": 1}):
        assert not strict.check_master_state({**state, **change}, NAME)
    up = {"ip": "10.0.0.1", "port": 6379, "is_odown": False, "is_sdown": False}
    assert strict.filter_slaves([up, {**up, "is_sdown": True}, {**up, "is_odown": True}]) == [
        ("10.0.0.1", 6379)
    ]
    assert strict.filter_replicas([up]) == strict.filter_slaves([up])


# -- clients


def test_clients_do_what_clients_do(sentinel: Sentinel, master: Redis) -> None:
    with sentinel.master_for(NAME, db=3, decode_responses=True, client_name="mine") as other:
        assert other.set("key", "value") and other.get("key") == "value" and master.get("key") is None
        assert other.client_getname() == "mine"
        assert other.pipeline().incr("n").incr("n").execute() == [1, 2]

        def change(pipe: Pipeline) -> None:
            pipe.multi()
            pipe.set("key", "more")

        assert other.transaction(change, "key") == [True]
        pipe = other.pipeline()
        pipe.watch("key")
        other.set("key", "changed")
        pipe.multi()
        pipe.get("key")
        with pytest.raises(WatchError):
            pipe.execute()
        assert other.register_script("return ARGV[1]")(args=["x"]) == "x"
        with other.lock("mutex", timeout=5), other.client() as single:
            assert single.client_id() == single.client_id()
        assert sorted(other.scan_iter(match="k*")) == ["key"]


def test_class_of_the_client_and_of_its_pool(sentinel: Sentinel) -> None:
    class Own(Redis):
        pass

    class OwnPool(SentinelConnectionPool):
        pass

    with sentinel.master_for(NAME, redis_class=Own, connection_pool_class=OwnPool) as client:
        assert type(client) is Own and type(client.connection_pool) is OwnPool and client.ping()
        assert type(client.pipeline()) is Pipeline
    pool = SentinelConnectionPool(NAME, sentinel, is_master=True, check_connection=True, max_connections=2)
    with Redis.from_pool(pool) as client:
        assert client.ping() and pool.max_connections == 2
        connection = pool.get_connection()
        assert isinstance(connection, SentinelManagedConnection) and "service=mymaster" in repr(connection)
        assert pool.owns_connection(connection)
        pool.release(connection)
        assert pool.master_address == pool.get_master_address() == sentinel.discover_master(NAME)


def test_rotation_by_hand(sentinel: Sentinel, replica: Redis) -> None:
    pool = replica.connection_pool
    assert isinstance(pool, SentinelConnectionPool)
    found = pool.rotate_slaves()
    replicas = {next(found), next(found)}
    assert replicas == set(sentinel.discover_slaves(NAME)) and next(found) == sentinel.discover_master(NAME)
    with pytest.raises(SlaveNotFoundError, match="mymaster"):
        next(found)
    assert next(pool.rotate_replicas()) in replicas


def test_write_to_a_replica_is_refused_at_once(replica: Redis) -> None:
    replica.ping()
    asked = replica.connection_pool.stats()["dialed"]
    with pytest.raises(ReadOnlyError):
        replica.set("key", 1)
    assert replica.connection_pool.stats()["dialed"] <= asked + 1


@pytest.mark.parametrize("multiplex", [True, False], ids=["link", "pool"])
def test_cursors_stay_with_one_replica(sentinel: Sentinel, master: Redis, multiplex: bool) -> None:
    names = {b"scan:%d" % number for number in range(300)}
    master.mset(dict.fromkeys(names, 1))
    master.hset("hash", mapping={str(number): "x" * 100 for number in range(300)})
    assert master.wait(2, 5000) == 2
    with sentinel.replica_for(NAME, multiplex=multiplex) as reader:
        wait_until(lambda: reader.ping() and len(reader.connection_pool.locator.addresses) == 2)
        for _ in range(5):
            assert set(reader.scan_iter(match="scan:*", count=10)) == names
            assert len(dict(reader.hscan_iter("hash", count=10))) == 300


def test_pubsub_on_master_and_replica(master: Redis, replica: Redis) -> None:
    for reader in (master, replica):
        with reader.pubsub(ignore_subscribe_messages=True) as pubsub:
            pubsub.subscribe("news")
            pubsub.get_message(timeout=1)
            master.publish("news", "here")
            message = pubsub.get_message(timeout=5)
            assert message is not None and message["data"] == b"here"


# -- URLs


def test_urls(sentinel_deployment: SentinelDeployment) -> None:
    with greenredis.from_url(url_of(sentinel_deployment, "mymaster/2")) as client:
        assert client.set("key", 1) and client.connection_pool.options["db"] == 2
        assert isinstance(client.connection_pool, SentinelConnectionPool)
    query = "mymaster?role=replica&read_from=nearest&decode_responses=yes&sentinel_socket_timeout=0.5"
    with Redis.from_url(url_of(sentinel_deployment, query), max_connections=7) as reader:
        pool = reader.connection_pool
        assert reader.get("none") is None and pool.max_connections == 7
        assert isinstance(pool, SentinelConnectionPool) and not pool.is_master
        assert pool.sentinel_manager.sentinel_kwargs == {"socket_timeout": 0.5}
    with Redis.from_url(url_of(sentinel_deployment), single_connection_client=True) as single:
        assert single.client_id() == single.client_id()
    pool = SentinelConnectionPool.from_url(url_of(sentinel_deployment, "mymaster?hold_writes=yes"))
    assert pool.hold_writes and Redis.from_pool(pool).ping()
    pool.close()


def test_all_parts_of_a_url() -> None:
    pool = pool_from_url(
        "rediss+sentinel://us%40er:pass%2Fword@one,[::1]:7,three:26380/my%20master/5"
        "?sentinel_password=other&sentinel_username=who&sentinel_ssl=no&min_other_sentinels=2"
        "&force_master_ip=10.0.0.9&socket_timeout=3",
        {"client_name": "mine"},
    )
    sentinel = pool.sentinel_manager
    assert [client.connection_pool.where() for client in sentinel.sentinels] == [
        "one:26379", "[::1]:7", "three:26380"
    ]  # fmt: skip
    assert (
        pool.service_name == "my master" and pool.options["db"] == 5 and pool.options["socket_timeout"] == 3
    )
    assert pool.options["username"] == "us@er" and pool.options["password"] == "pass/word"
    assert pool.connection_class is SentinelManagedSSLConnection and pool.options["client_name"] == "mine"
    assert sentinel.sentinel_kwargs == {"password": "other", "username": "who", "ssl": False}
    assert sentinel.min_other_sentinels == 2 and sentinel.master_place(("x", 1)) == ("10.0.0.9", 1)
    shown = repr([pool, sentinel, sentinel.sentinels, pool.describe(), pool.make_connection()])
    assert "pass/word" not in shown and "other" not in shown


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis+sentinel:///mymaster", "names no sentinel"),
        ("redis+sentinel://host", "service's name"),
        ("redis+sentinel://host/", "service's name"),
        ("redis+sentinel://host/name/none", "a database"),
        ("redis+sentinel://host/name/1/2", "a database"),
        ("redis+sentinel://u:secret@host:port/name", "host or port"),
        ("redis+sentinel://u:secret@host:70000/name", "host or port"),
        ("redis+sentinel://host/name?role=other", "master or replica"),
        ("redis+sentinel://host/name?db=x", "'db' cannot be read"),
    ],
)
def test_bad_urls(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        Redis.from_url(url)
    assert "secret" not in str(caught.value)


def test_schemes_belong_to_their_pools() -> None:
    with pytest.raises(ValueError, match=r"SentinelConnectionPool\.from_url"):
        greenredis.ConnectionPool.from_url("redis+sentinel://host/name")
    with pytest.raises(ValueError, match="begins with redis"):
        SentinelConnectionPool.from_url("redis://host")
    with pytest.raises(TypeError, match="did you mean 'socket_timeout'"):
        Redis.from_url("redis+sentinel://host/name?socket_timout=1")


# -- bad input, secrets


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="at least one sentinel"):
        Sentinel([])
    for place in ("host:1", 5, ("host",), ("host", "port")):
        with pytest.raises(ValueError, match="is no"):
            Sentinel([place])  # type: ignore[list-item]
    sentinel = Sentinel([("127.0.0.1", 1)], password="secret")
    with pytest.raises(TypeError, match="host: the sentinels say"):
        sentinel.master_for(NAME, host="elsewhere")
    with pytest.raises(TypeError, match="no option 'socket_timout'; did you mean 'socket_timeout'"):
        sentinel.master_for(NAME, socket_timout=1)
    with pytest.raises(ValueError, match="replicas take no writes"):
        sentinel.slave_for(NAME, hold_writes=True)
    with pytest.raises(ValueError, match=r"use slave_for\(\)"):
        sentinel.master_for(NAME, read_from="nearest")
    with pytest.raises(ValueError, match="'replica' or 'nearest'"):
        sentinel.slave_for(NAME, read_from="farthest")
    assert "secret" not in repr([sentinel, sentinel.master_for(NAME), sentinel.sentinels])


def test_nothing_answers() -> None:
    sentinel = Sentinel([("127.0.0.1", 1), ("127.0.0.1", 2)])
    with pytest.raises(MasterNotFoundError, match=r"127\.0\.0\.1:1 ConnectionError.*127\.0\.0\.1:2 Conn"):
        sentinel.discover_master(NAME)
    assert sentinel.discover_slaves(NAME) == []
    with FullListener() as silent, pytest.raises(MasterNotFoundError, match="no answer by the deadline"):
        with greenredis.deadline(0.1):
            Sentinel([("127.0.0.1", silent.port)]).discover_master(NAME)
    with sentinel.slave_for(NAME, socket_timeout=0.3) as reader:
        with pytest.raises(SlaveNotFoundError, match=r"in 0\.\d\d s: 127\.0\.0\.1:1 .*; 127\.0\.0\.1:2 "):
            reader.get("key")


def test_passwords_of_their_own(toxiproxy: Toxiproxy) -> None:
    """Nodes and sentinels have different ones."""
    config = {"requirepass": "of the nodes", "masterauth": "of the nodes"}
    lines = [
        f'sentinel auth-pass {NAME} "of the nodes"',
        'requirepass "of the sentinels"',
        'sentinel sentinel-pass "of the sentinels"',
    ]
    with SentinelDeployment(toxiproxy, node_config=config, sentinel_lines=lines) as deployment:
        theirs = {"password": "of the sentinels"}
        with Sentinel(deployment.places, sentinel_kwargs=theirs, password="of the nodes") as sentinel:
            with sentinel.master_for(NAME) as client, sentinel.replica_for(NAME) as reader:
                assert client.set("key", 1) and client.wait(2, 5000) == 2 and reader.get("key") == b"1"
        with Sentinel(deployment.places, sentinel_kwargs=theirs) as sentinel:
            with sentinel.master_for(NAME) as client, pytest.raises(greenredis.AuthenticationError):
                client.ping()
        with Sentinel(deployment.places, password="of the nodes") as sentinel:
            with sentinel.master_for(NAME, socket_timeout=0.5) as client:
                with pytest.raises(MasterNotFoundError, match="Authentication"):
                    client.ping()
