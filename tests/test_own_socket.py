"""A connection class that brings a socket of its own, by redis-py's `_connect()`, as fakeredis does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import hiredis
import pytest
from gevent import select, socket

import greenredis
from greenredis import Connection, ConnectionPool, Redis
from greenredis.testing import Server, free_port


class Own(Connection):
    """Reads with a parser of its own, as long as it takes."""

    opened: ClassVar[list[Any]] = []

    def __init__(self, **options: Any) -> None:
        self._sock = None
        super().__init__(**options)

    def _connect(self) -> Any:
        sock = socket.create_connection((self.host, self.port))
        self.opened.append(sock)
        self.reader = hiredis.Reader()
        return sock

    def can_read(self, timeout: float | None = 0) -> bool:
        return self.reader.has_data() or bool(select.select([self._sock], [], [], timeout)[0])

    def read_response(self, disable_decoding: bool = False, **options: Any) -> Any:
        assert "timeout" not in options
        while (reply := self.reader.gets()) is False:
            self.reader.feed(self._sock.recv(65536))
        if isinstance(reply, hiredis.ReplyError):
            raise greenredis.ResponseError(str(reply))
        return reply


@pytest.fixture
def client(server: Server) -> Iterator[Redis]:
    pool = ConnectionPool(connection_class=Own, host="127.0.0.1", port=server.port, protocol=2, db=1)
    Own.opened.clear()
    with Redis.from_pool(pool) as found:
        yield found


def test_commands_and_pipelines(server: Server, client: Redis) -> None:
    assert client.set("a", 1) and client.get("a") == b"1"
    with pytest.raises(greenredis.ResponseError):
        client.lpush("a", 1)
    with client.pipeline() as pipe:
        pipe.incr("a")
        pipe.get("a")
        assert pipe.execute() == [2, b"2"]
    with client.pipeline() as pipe:
        pipe.watch("a")
        pipe.multi()
        pipe.incr("a")
        assert pipe.execute() == [3]
    assert server.ask("GET", "a") is None  # it is in database 1
    assert len(Own.opened) == 1, "one connection, again and again"


def test_subscriptions_end_in_time(client: Redis) -> None:
    with client.pubsub() as pubsub:
        pubsub.subscribe("news")
        assert pubsub.get_message(timeout=10)["type"] == "subscribe"
        assert pubsub.get_message(timeout=0.01) is None
        client.execute_command("PUBLISH", "news", "hello")
        assert pubsub.get_message(timeout=10)["data"] == b"hello"


def test_a_changed_connection_is_closed(client: Redis) -> None:
    assert client.client_setname("mine") and client.client_getname() is None
    assert len(Own.opened) == 2


def test_nobody_there() -> None:
    pool = ConnectionPool(connection_class=Own, host="127.0.0.1", port=free_port())
    with pytest.raises(greenredis.ConnectionError):
        Redis(connection_pool=pool).ping()


def test_who_brings_a_socket_reads_from_it() -> None:
    class Half(Connection):
        def _connect(self) -> Any:
            raise AssertionError("not opened")

    with pytest.raises(TypeError, match=r"Half brings a socket.*must read from it"):
        Redis(connection_pool=ConnectionPool(connection_class=Half)).ping()
