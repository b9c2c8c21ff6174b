"""HIMPORT, which no server at hand knows: by the words sent."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import redis

from greenredis import DataError, Redis, ResponseError
from greenredis.testing import ScriptedClient, ScriptedServer


def answer(words: list[bytes], client: ScriptedClient) -> bytes:
    if words[1] == b"SET" and words[2] == b"wrong":
        return b"-ERR wrong\r\n"
    return b":1\r\n" if words[1] == b"DISCARD" else b"+OK\r\n"


@pytest.mark.parametrize("multiplex", [True, False])
def test_a_hash_takes_one_round_trip_and_leaves_nothing_behind(multiplex: bool) -> None:
    with ScriptedServer(answer) as server, Redis(port=server.port, multiplex=multiplex) as client:
        assert client.himport_prepare("people", ["name", "age"])
        assert client.himport_set("anna", "people", ("Anna", 30))
        assert server.sent("HIMPORT") == [
            [b"HIMPORT", b"PREPARE", b"people", b"name", b"age"],
            [b"HIMPORT", b"SET", b"anna", b"people", b"Anna", b"30"],
            [b"HIMPORT", b"DISCARD", b"people"],
        ]
        with pytest.raises(ResponseError, match="wrong"):
            client.himport_set("wrong", "people", ("Anna", 30))
        assert client.himport_set("ben", "people", ("Ben", 31))
        assert client.connection_pool.stats()["dialed"] == 1


def test_fieldsets_are_the_pools() -> None:
    with Redis() as client:
        other = Redis(connection_pool=client.connection_pool)
        client.himport_prepare("one", ["a"])
        client.himport_prepare("two", ["a"])
        assert (other.himport_discard("one"), other.himport_discard("one")) == (1, 0)
        assert client.himport_discard_all() == 1
        with pytest.raises(DataError, match="himport_prepare"):
            client.himport_set("key", "two", [1])


def test_bad_input_is_refused() -> None:
    with Redis() as client:
        wrong: list[Any] = ["name", b"name", []]
        for fields in wrong:
            with pytest.raises(DataError):
                client.himport_prepare("people", fields)
        client.himport_prepare("people", ["name"])
        with pytest.raises(DataError, match="list"):
            client.himport_set("anna", "people", "Anna")
        with pytest.raises(DataError, match="client"):
            client.pipeline().himport_set("anna", "people", ["Anna"])


@pytest.mark.parametrize("name", ["himport_prepare", "himport_set", "himport_discard", "himport_discard_all"])
def test_signatures(name: str) -> None:
    ours, theirs = (inspect.signature(getattr(kind, name)).parameters for kind in (Redis, redis.Redis))
    assert [(p.name, p.kind, p.default) for p in ours.values()] == [
        (p.name, p.kind, p.default) for p in theirs.values()
    ]
