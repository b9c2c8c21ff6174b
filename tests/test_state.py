"""What a command changes on its connection never reaches another caller, and is not lost unnoticed."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import gevent
import pytest

import greenredis
from greenredis import Redis
from greenredis.exceptions import ConnectionError, RedisError, ResponseError
from greenredis.testing import Server, wait_until

pytestmark = pytest.mark.usefixtures("leaks")


def database_of(client: Redis) -> Any:
    return client.execute_command("CLIENT INFO", multiplex=False)["db"]


def test_what_a_client_of_one_connection_changed_stays_with_it(server: Server) -> None:
    with Redis(port=server.port) as client:
        with client.client() as single:
            single.execute_command("MULTI")
        assert client.blpop("nothing", 0.01) is None and client.get("x") is None
        with client.client() as single:
            single.execute_command("SELECT", 5)
        assert database_of(client) == 0
        with client.client() as single:
            single.client_setname("leak")
        with client.client() as single:
            assert single.client_getname() is None


def test_what_is_sent_by_hand_on_a_lent_connection_stays_with_it(server: Server) -> None:
    with Redis(port=server.port) as client:
        pool = client.connection_pool
        connection = pool.get_connection()
        connection.send_command("SELECT", 3)
        connection.read_response()
        pool.release(connection)
        assert database_of(client) == 0


class Parsing(Redis):
    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        return super().parse_response(connection, command_name, **options)


@pytest.mark.parametrize("kind", [Redis, Parsing])
@pytest.mark.parametrize("way", ["timeout", "killed by the server"])
@pytest.mark.parametrize("commands", [["WATCH key"], ["MULTI"], ["SELECT 5"], ["CLIENT SETNAME x"]], ids=str)
def test_lost_state_is_told_and_not_forgotten(
    server: Server, kind: type[Redis], way: str, commands: list[str]
) -> None:
    """Or a transaction would go through without its WATCH, and a write to another database."""
    with kind(port=server.port, single_connection_client=True) as client:
        for command in commands:
            client.execute_command(*command.split())
        if way == "timeout":
            with suppress(gevent.Timeout), gevent.Timeout(0.02):
                client.execute_command("WAIT", 1, 0) if commands == ["MULTI"] else client.blpop("nothing", 1)
            client.connection.disconnect()  # MULTI queues what it is sent
        else:
            server.ask("CLIENT", "KILL", "TYPE", "normal")
        with pytest.raises(RedisError, match=commands[0].split()[0]) as caught:
            client.set("key", "value")
        assert not caught.value.maybe_executed and server.ask("EXISTS", "key") == 0
        assert client.set("key", "value")


def test_what_is_done_with_is_no_state(server: Server) -> None:
    with Redis(port=server.port, single_connection_client=True) as client:
        for command in (
            "WATCH key",
            "MULTI",
            "SET key 1",
            "EXEC",
            "WATCH key",
            "UNWATCH",
            "MULTI",
            "DISCARD",
        ):
            client.execute_command(*command.split())
        client.connection.disconnect()
        assert client.get("key") == b"1"


def test_replaced_credentials_reach_a_client_of_one_connection(server: Server) -> None:
    class Token:
        def try_get(self, name: str) -> str:
            return "rotated"

        def get_value(self) -> str:
            return "secret"

    server.ask("ACL", "SETUSER", "rotated", "on", ">secret", "+@all", "~*")
    try:
        with Redis(port=server.port, single_connection_client=True) as client:
            client.connection_pool.re_auth_callback(Token())
            wait_until(lambda: client.acl_whoami() == "rotated")
    finally:
        server.ask("ACL", "DELUSER", "rotated")


def test_one_deadline_object_may_be_nested_and_shared(server: Server) -> None:
    limit = greenredis.deadline(0.05)
    with Redis(port=server.port) as client:
        with limit, limit:
            client.ping()
        gevent.joinall([gevent.spawn(nested, client, limit) for _ in range(5)], raise_error=True)
        gevent.sleep(0.06)
        assert client.ping()
    assert not greenredis.deadlines.bounded


def nested(client: Redis, limit: greenredis.deadline) -> None:
    with limit:
        client.ping()
        with limit:
            gevent.sleep(0.001)


@pytest.mark.parametrize("multiplex", [True, False])
def test_database_out_of_range(server: Server, multiplex: bool) -> None:
    """The server's own answer, at once: it does not change."""
    with Redis(port=server.port, db=99, multiplex=multiplex) as client:
        with pytest.raises(ResponseError, match="DB index is out of range") as caught:
            client.ping()
        assert type(caught.value) is ResponseError and str(server.port) in str(caught.value)
        assert client.connection_pool.stats()["dialed"] == 1


@pytest.mark.parametrize("multiplex", [True, False])
def test_server_with_too_many_clients_says_so(fresh_server: Server, multiplex: bool) -> None:
    """It closes at once; what it said on the way is the error."""
    with Redis(port=fresh_server.port) as client:
        client.config_set("maxclients", 1)
        for _ in range(10):
            with Redis(port=fresh_server.port, retry=None, multiplex=multiplex) as other:
                with pytest.raises(ConnectionError, match="max number of clients reached"):
                    other.ping()
        assert client.ping()
