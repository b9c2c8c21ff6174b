"""Classes of the user's own: connections, pools, providers."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

from greenredis import BlockingConnectionPool, Connection, ConnectionPool, CredentialProvider, Redis
from greenredis.exceptions import ConnectionError, TimeoutError
from greenredis.testing import ScriptedServer, Server, client_list, wait_until

pytestmark = pytest.mark.usefixtures("leaks")


class Reading(Connection):
    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        return (super().read_response(*args, **kwargs), "seen")


class Sending(Connection):
    def send_command(self, *words: Any, **kwargs: Any) -> None:
        super().send_command(*words[:-1], "sent", **kwargs)


@pytest.mark.parametrize("blocking", [True, False])
def test_connections_that_read_or_send_in_their_own_way_are_asked_to(server: Server, blocking: bool) -> None:
    pool: Any = BlockingConnectionPool if blocking else ConnectionPool
    with Redis.from_pool(pool(connection_class=Reading, port=server.port)) as client:
        assert client.execute_command("ECHO", "x") == (b"x", "seen")
    with Redis.from_pool(pool(connection_class=Sending, port=server.port)) as client:
        assert client.execute_command("ECHO", "x") == b"sent"


class Counting(BlockingConnectionPool):
    lent = released = 0

    def get_connection(self, *args: Any, **kwargs: Any) -> Any:
        self.lent += 1
        return super().get_connection(*args, **kwargs)

    def release(self, connection: Any) -> None:
        self.released += 1
        super().release(connection)


def test_pool_that_lends_in_its_own_way_is_asked_to(server: Server) -> None:
    pool = Counting(port=server.port)
    with Redis.from_pool(pool) as client:
        client.ping()
        client.get("x")
    assert pool.lent == pool.released == 2


class Extra(Connection):
    def __init__(self, *args: Any, extra: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.extra = extra


class Further(Extra):
    def __init__(self, **kwargs: Any) -> None:
        self.popped = kwargs.pop("popped", None)
        super().__init__(**kwargs)


def test_options_of_connections_of_ones_own(server: Server) -> None:
    with ConnectionPool(connection_class=Further, port=server.port, extra=3, popped=4) as pool:
        connection = pool.get_connection()
        assert (connection.extra, connection.popped) == (3, 4)
        pool.release(connection)
    with ConnectionPool(connection_class=Further, port=server.port, xtra=3) as pool:
        with pytest.raises(TypeError, match="xtra"):
            pool.get_connection()


@pytest.mark.parametrize("multiplex", [True, False])
def test_provider_that_gives_up_is_asked_once_for_each_attempt(server: Server, multiplex: bool) -> None:
    class Slow(CredentialProvider):
        asked = 0

        def get_credentials(self) -> Any:
            self.asked += 1
            with gevent.Timeout(0.001):
                gevent.sleep(1)

    slow = Slow()
    with Redis(port=server.port, credential_provider=slow, retry=None, multiplex=multiplex) as client:
        with pytest.raises(TimeoutError, match="given up"):
            client.get("x")
        gevent.sleep(0.02)
        assert slow.asked == 1


@pytest.mark.parametrize("multiplex", [True, False])
def test_errors_of_users_functions_are_theirs(server: Server, multiplex: bool) -> None:
    def refuse(connection: Any) -> None:
        raise KeyError("no such thing")

    with Redis(port=server.port, redis_connect_func=refuse, multiplex=multiplex) as client:
        with pytest.raises(KeyError, match="no such thing"):
            client.get("x")


def test_provider_without_credentials(server: Server) -> None:
    class Nothing(CredentialProvider):
        def get_credentials(self) -> Any:
            return None

    with Redis(port=server.port, credential_provider=Nothing()) as client:
        assert client.ping()


@pytest.mark.parametrize("single", [True, False])
def test_health_check_that_fails_has_sent_nothing_of_the_command(single: bool) -> None:
    """So a write is sent on a fresh connection, and only there."""

    def answer(words: list[bytes], client: Any) -> bytes | None:
        return None if words[0] == b"PING" else b":1\r\n" if words[0] == b"INCRBY" else b"+OK\r\n"

    options: dict[str, Any] = {"multiplex": False, "single_connection_client": single, "protocol": 2}
    with ScriptedServer(answer) as server:
        with Redis(port=server.port, health_check_interval=0.02, socket_timeout=0.1, **options) as client:
            assert client.incr("x") == 1
            gevent.sleep(0.05)
            assert client.incr("x") == 1
        assert len(server.sent("INCRBY")) == 2 and server.sent("PING")


def test_connection_tries_again_as_its_policy_says() -> None:
    from greenredis.backoff import NoBackoff
    from greenredis.retry import Retry

    class Counted(Connection):
        dialed = 0

        def _open(self, until: float | None) -> None:
            self.dialed += 1
            super()._open(until)

    connection = Counted(port=1, retry=Retry(NoBackoff(), 3))
    with pytest.raises(ConnectionError):
        connection.connect()
    assert connection.dialed == 4


def test_names_of_commands_are_ascii_whatever_the_encoding(server: Server) -> None:
    with Redis(port=server.port, encoding="utf-16") as client:
        assert client.execute_command("APPEND", "key", "value")
        assert client.get("key") == "value".encode("utf-16")


def test_callback_put_into_the_dict_is_used_at_once(server: Server) -> None:
    with Redis(port=server.port) as client:
        client.set("x", 1)
        assert client.get("x") == b"1"
        client.response_callbacks["GET"] = int
        assert client.get("x") == 1
        del client.response_callbacks["GET"]
        assert client.get("x") == b"1"


def test_idle_link_is_closed(server: Server) -> None:
    with Redis(port=server.port, max_idle_time=0.05) as client:
        first = client.client_id()
        share = client.connection_pool.share()
        wait_until(lambda: share.link is None)
        assert client.client_id() != first and share.slots == 1


def test_pool_says_whether_its_clients_share(server: Server) -> None:
    url = f"redis://localhost:{server.port}?multiplex=no"
    for pool in (ConnectionPool.from_url(url), ConnectionPool(port=server.port, multiplex=False)):
        with Redis.from_pool(pool) as client:
            client.ping()
            assert pool.stats()["idle"] == 1


def test_own_close_is_not_the_servers(server: Server) -> None:
    with Redis(port=server.port, retry=None) as client:
        caller = gevent.spawn(client.blpop, "nothing", 0)
        wait_until(lambda: any(row["cmd"] == "blpop" for row in client_list(server)))
        client.close()
        with pytest.raises(ConnectionError, match="closed by its owner"):
            caller.get()
