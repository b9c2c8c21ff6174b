"""TCP, Unix sockets and TLS, the handshake, and redis-py's contract of a connection."""

from __future__ import annotations

import socket
import sys
from typing import Any

import gevent
import pytest

import greenredis
from greenredis import Connection, Redis, SSLConnection, UnixDomainSocketConnection
from greenredis.credentials import StreamingCredentialProvider
from greenredis.testing import Certificates, ScriptedClient, ScriptedServer, Server, TlsTerminator, wait_until


def check(client: Redis) -> None:
    with client:
        assert client.set("key", bytes(1_000_000)) and len(client.get("key") or b"") == 1_000_000
        calls = [gevent.spawn(client.execute_command, "ECHO", b"%d" % n) for n in range(200)]
        gevent.joinall(calls, raise_error=True)
        assert [call.value for call in calls] == [b"%d" % n for n in range(200)]


@pytest.mark.parametrize("multiplex", [True, False])
@pytest.mark.parametrize("protocol", [None, 2, 3])
def test_tcp(server: Server, multiplex: bool, protocol: int | None) -> None:
    for host in ("127.0.0.1", "localhost"):
        check(Redis(host=host, port=server.port, multiplex=multiplex, protocol=protocol))


@pytest.mark.parametrize("multiplex", [True, False])
def test_unix(multiplex: bool) -> None:
    with Server(unix=True) as server:
        check(Redis(unix_socket_path=server.unixsocket, multiplex=multiplex))
        check(Redis.from_url(f"unix://{server.unixsocket}", multiplex=multiplex))


@pytest.mark.parametrize("multiplex", [True, False])
def test_tls(tls_server: Any, certificates: Certificates, multiplex: bool) -> None:
    options: dict[str, Any] = {"ssl_ca_certs": certificates.ca, "multiplex": multiplex}
    check(Redis(host="localhost", port=tls_server.port, ssl=True, ssl_min_version=771, **options))
    check(Redis.from_url(f"rediss://localhost:{tls_server.port}/0", **options))


def test_tls_refuses_what_it_should(server: Server, certificates: Certificates) -> None:
    options: dict[str, Any] = {
        "host": "localhost",
        "ssl": True,
        "retry": None,
        "ssl_ca_certs": certificates.ca,
    }
    for wrong in ("expired", "misnamed", "stranger"):
        with TlsTerminator(server.port, certificates, pair=getattr(certificates, wrong)) as proxy:
            with pytest.raises(greenredis.ConnectionError, match="certificate"):
                Redis(port=proxy.port, **options).ping()
    with TlsTerminator(server.port, certificates, require_client_cert=True) as proxy:
        with pytest.raises((greenredis.ConnectionError, greenredis.TimeoutError)):
            Redis(port=proxy.port, **options).ping()
        own: dict[str, Any] = {
            "ssl_certfile": certificates.client.cert,
            "ssl_keyfile": certificates.client.key,
        }
        check(Redis(port=proxy.port, **options, **own))


def old_server(words: list[bytes], client: ScriptedClient) -> bytes:
    return b"-ERR unknown command 'HELLO'\r\n" if words[0] == b"HELLO" else b"+OK\r\n"


def test_a_server_without_hello_is_spoken_to_in_resp2() -> None:
    with ScriptedServer(old_server, handshake=False) as server:
        with Redis(port=server.port, password="word", client_name="me", db=2) as client:
            assert client.execute_command("ECHO", "x") == b"OK"
            assert server.sent("AUTH") == [[b"AUTH", b"word"]] and [b"SELECT", b"2"] in server.commands
        with pytest.raises(greenredis.RedisError):
            Redis(port=server.port, protocol=3, retry=None).ping()


def test_the_handshake_is_one_round_trip() -> None:
    arrived: list[bytes] = []

    def handler(words: list[bytes], client: ScriptedClient) -> bytes | None:
        arrived.append(words[0])
        if len(arrived) < 5:
            return None
        hello = b"%1\r\n$5\r\nproto\r\n:3\r\n"
        return hello + 4 * b"+OK\r\n" if len(arrived) == 5 else b"+PONG\r\n"

    with ScriptedServer(handler, handshake=False) as server:
        with Redis(port=server.port, username="u", password="p", client_name="me", db=1) as client:
            assert client.ping()
    assert arrived[:5] == [b"HELLO", b"CLIENT", b"CLIENT", b"CLIENT", b"SELECT"]


def test_users_and_wrong_passwords(server: Server) -> None:
    server.ask("ACL", "SETUSER", "me", "on", ">right", "~*", "+@all")
    try:
        for protocol in (2, 3):
            assert Redis(port=server.port, username="me", password="right", protocol=protocol).ping()
            with pytest.raises(greenredis.AuthenticationError):
                Redis(port=server.port, username="me", password="wrong", protocol=protocol).ping()
    finally:
        server.ask("ACL", "DELUSER", "me")


class Token:
    def __init__(self, value: str) -> None:
        self.value = value

    def try_get(self, name: str) -> str:
        return "me"

    def get_value(self) -> str:
        return self.value


class Rotating(StreamingCredentialProvider):
    def __init__(self) -> None:
        self.callbacks: list[Any] = []

    def get_credentials(self) -> tuple[str, str]:
        return "me", "first"

    def on_next(self, callback: Any) -> None:
        self.callbacks.append(callback)

    def on_error(self, callback: Any) -> None:
        pass

    def is_streaming(self) -> bool:
        return True


def test_rotating_credentials_reach_link_and_pool(server: Server) -> None:
    server.ask("ACL", "SETUSER", "me", "on", ">first", ">second", "~*", "+@all")
    try:
        provider = Rotating()
        with Redis(port=server.port, credential_provider=provider) as client:
            client.ping()
            client.execute_command("PING", multiplex=False)

            def logins() -> int:
                calls = server.info("commandstats").get("cmdstat_auth", "calls=0,")
                return int(calls.split("calls=")[1].split(",")[0])

            before = logins()
            provider.callbacks[0](Token("second"))
            wait_until(lambda: logins() == before + 1)  # the link's, at once
            client.execute_command("PING", multiplex=False)
            assert logins() == before + 2
    finally:
        server.ask("ACL", "DELUSER", "me")


def test_socket_options(server: Server) -> None:
    connection = Connection(port=server.port, socket_timeout=3)
    connection.connect()
    sock = connection._sock
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    if sys.platform == "linux":
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 3000
    connection.disconnect()


class Listener:
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def connected(self, connection: Any) -> None:
        self.heard.append(connection)


def test_the_contract_of_a_connection(server: Server) -> None:
    connection, listener = Connection(port=server.port, client_name="me"), Listener()
    connection.register_connect_callback(listener.connected)
    assert not connection.is_connected and "client_name=me" in repr(connection)
    connection.send_command("SET", "key", 1)
    assert listener.heard == [connection] and connection.owed == 1
    assert connection.read_response() == b"OK" and connection.owed == 0
    assert not connection.can_read()
    commands = connection.pack_commands([("GET", "key"), ("CONFIG GET", "port")])
    connection.send_packed_command(commands)
    assert connection.can_read(timeout=1) and connection.owed == 2
    assert connection.read_response() == b"1" and connection.read_response()
    connection.send_command("LPUSH", "key", 1)
    with pytest.raises(greenredis.ResponseError, match="WRONGTYPE"):
        connection.read_response()
    with pytest.raises(greenredis.TimeoutError):
        connection.read_response(timeout=0.01)
    assert not connection.is_connected
    connection.deregister_connect_callback(listener.connected)
    connection.connect()
    assert listener.heard == [connection] and connection.get_protocol() == 3
    connection.disconnect()
    assert issubclass(SSLConnection, Connection) and UnixDomainSocketConnection(path="/x").path == "/x"
