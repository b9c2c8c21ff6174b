"""Commands that change a connection, sent by hand, and commands that need one of their own."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from greenredis import BlockingConnectionPool, DataError, Redis, RedisError
from greenredis.testing import Server, wait_until

REFUSED = [
    ("MULTI",), ("exec",), (b"Discard",), ("SELECT", 1), ("RESET",), ("CLIENT", "REPLY", "OFF"),
    ("CLIENT REPLY", "SKIP"), ("SUBSCRIBE", "channel"), ("psubscribe", "*"), ("MONITOR",), ("QUIT",),
    ("WAITAOF", 1, 0, 0),
]  # fmt: skip


@pytest.mark.parametrize("multiplex", [True, False])
@pytest.mark.parametrize("words", REFUSED, ids=str)
def test_what_others_would_feel_is_refused(server: Server, words: tuple[str, ...], multiplex: bool) -> None:
    with Redis(port=server.port, multiplex=multiplex) as client:
        client.set("key", 1)
        with pytest.raises(DataError, match=r"cannot go to a connection that others use: \w+"):
            client.execute_command(*words)
        assert client.get("key") == b"1"


@pytest.mark.parametrize(
    "words", [("CLIENT", "SETNAME", "me"), ("CLIENT SETNAME", "me"), ("READONLY",)], ids=str
)
def test_a_connection_that_was_changed_is_not_lent_again(server: Server, words: tuple[str, ...]) -> None:
    with Redis(port=server.port, max_connections=2) as client:
        client.ping()
        try:
            client.execute_command(*words)
        except RedisError:
            pass  # READONLY outside of a cluster
        assert client.connection_pool.stats()["idle"] == 0
        assert client.execute_command("CLIENT GETNAME") in (None, b"")


def test_by_hand_on_a_connection_of_ones_own(server: Server) -> None:
    with Redis(port=server.port, single_connection_client=True) as client:
        assert client.execute_command("MULTI") == b"OK"
        assert client.execute_command("INCR", "key") == b"QUEUED"
        assert client.execute_command("EXEC") == [1]


def test_wait_tells_the_truth(server: Server) -> None:
    replicate = ("--replicaof", f"127.0.0.1 {server.port}")
    with Server(*replicate, binary=server.binary) as replica, Redis(port=server.port) as client:
        wait_until(lambda: "state=online" in str(server.info("replication").get("slave0")), 15)
        client.set("key", 1)
        assert client.wait(1, 2000) == 1
        replica.suspend()
        client.set("key", 2)
        assert client.wait(1, 100) == 0
        replica.resume()


def test_per_call_past_the_link(server: Server) -> None:
    with Redis(port=server.port) as client:
        shared = client.execute_command("CLIENT", "ID")
        assert client.execute_command("CLIENT", "ID") == shared
        assert client.execute_command("CLIENT", "ID", multiplex=False) != shared


def test_a_long_word_goes_past_the_link(server: Server) -> None:
    with Redis(port=server.port) as client:
        client.ping()
        written = client.connection_pool.multiplexer.link()._written
        assert client.set("key", bytes(100_000)) and len(client.get("key") or b"") == 100_000
        assert client.connection_pool.multiplexer.link()._written == written + 1


SECRET = "s3cret-planted"


def test_no_secret_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    """P10: not in a repr, not in a log line, not in an error."""
    caplog.set_level(logging.DEBUG)
    with Server("--requirepass", "another") as server:
        shown = []
        tried: list[dict[str, Any]] = [{"password": SECRET}, {"username": "u", "password": SECRET}]
        for options in tried:
            pool = BlockingConnectionPool(port=server.port, **options)
            client = Redis(connection_pool=pool)
            with pytest.raises(RedisError) as caught:
                client.ping()
            shown += [repr(pool), repr(client), repr(pool.make_connection()), str(pool.describe())]
            shown += [str(caught.value), repr(caught.value), str(caught.value.__cause__)]
        with pytest.raises(RedisError) as caught:
            Redis.from_url(f"redis://:{SECRET}@127.0.0.1:1/", retry=None).ping()
        shown += [str(caught.value), caplog.text]
        assert not [text for text in shown if SECRET in text]
