"""The testing kit: proxies that inject faults, scripted servers, listeners that are full."""

from __future__ import annotations

import os
import time
from pathlib import Path

import gevent
import gevent.monkey
import gevent.socket
import gevent.ssl
import hiredis
import pytest
from test_testing_kit import connect, pack, talk  # type: ignore[import-not-found]

from greenredis.testing import (
    FullListener,
    Proxy,
    ScriptedClient,
    ScriptedServer,
    Server,
    Ticker,
    Toxiproxy,
    ToxiproxyError,
    ToxiproxyNotFound,
    find_toxiproxy,
    wait_until,
)
from greenredis.testing import toxiproxy as toxiproxy_module


def test_proxy_carries_and_delays(proxy: Proxy, server: Server) -> None:
    with connect(proxy.port) as link:
        assert talk(link, "SET", "through", "1") == b"OK"
        with proxy.toxic("latency", latency=120) as name:
            assert proxy.toxics[name]["attributes"]["latency"] == 120
            begun = time.monotonic()
            assert talk(link, "GET", "through") == b"1"
            assert time.monotonic() - begun >= 0.12
        assert proxy.toxics == {}
        begun = time.monotonic()
        talk(link, "PING")
        assert time.monotonic() - begun < 0.12
    assert server.ask("GET", "through") == b"1"


def test_proxy_down_refuses_and_comes_back_on_its_port(proxy: Proxy) -> None:
    with connect(proxy.port) as link:
        talk(link, "PING")
        with proxy.down():
            assert not proxy.enabled
            assert link.recv(1) == b""
            with pytest.raises(ConnectionRefusedError):
                connect(proxy.port)
        assert proxy.enabled
    with connect(proxy.port) as link:
        assert talk(link, "PING") == b"PONG"


def test_proxy_reset_and_toxics_removed_early(proxy: Proxy) -> None:
    with proxy.toxic("timeout", stream="upstream", timeout=0) as name:
        proxy.remove(name)
    proxy.add("latency", latency=5000)
    proxy.add("bandwidth", "upstream", "slow", rate=1)
    assert set(proxy.toxics) == {"latency_downstream", "slow"}
    proxy.disable()
    proxy.reset()
    assert proxy.enabled and proxy.toxics == {}


def test_proxy_closes_while_a_toxic_holds_data_back(toxiproxy: Toxiproxy, server: Server) -> None:
    with toxiproxy.proxy(server.port) as proxy, connect(proxy.port) as link:
        proxy.add("bandwidth", "downstream", rate=0)
        link.sendall(pack("PING"))
        gevent.sleep(0.05)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy.port)


def test_toxiproxy_errors_are_told(proxy: Proxy) -> None:
    with pytest.raises(ValueError, match="average_size"):
        proxy.add("slicer", average_size=0)
    with pytest.raises(ToxiproxyError, match="invalid toxic type"):
        proxy.add("no_such")
    with pytest.raises(ToxiproxyError, match="no_such"):
        proxy.add("latency", no_such=1)
    with pytest.raises(ToxiproxyError, match="nothing"):
        proxy.remove("nothing")
    proxy.add("latency", latency=1)
    with pytest.raises(ToxiproxyError):
        proxy.add("latency", latency=2)


def test_two_toxiproxies_and_a_proxy_in_the_environment(
    toxiproxy: Toxiproxy, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with Toxiproxy(toxiproxy.binary) as second, second.proxy(server.port), toxiproxy.proxy(server.port):
        assert second.port != toxiproxy.port
        assert len(second.request("get", "/proxies")) == 1


def test_stuck_toxiproxy_is_not_waited_for(
    toxiproxy: Toxiproxy, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(toxiproxy_module._BOUNDED, "timeout", 0.3)
    with Toxiproxy(toxiproxy.binary) as own, own.proxy(server.port) as proxy, Ticker() as ticker:
        own.suspend()
        begun = time.monotonic()
        with pytest.raises(ToxiproxyError, match="timed out"):
            proxy.disable()
        assert 0.2 < time.monotonic() - begun < 1.0
        assert ticker.worst < 0.2, "the request held the hub"
        own.resume()


def test_missing_toxiproxy_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TOXIPROXY_SERVER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ToxiproxyNotFound, match=r"pip install 'greenredis\[chaos\]'"):
        find_toxiproxy()


FAKE_GO = """#!/bin/sh
test "$1 $2" = "install github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0" || exit 9
echo built >> "{log}"; printf '#!/bin/sh\\n' > "$GOBIN/server"; chmod +x "$GOBIN/server"
"""


def test_toxiproxy_is_built_once_into_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    go, log = tmp_path / "bin" / "go", tmp_path / "log"
    go.parent.mkdir()
    go.write_text(FAKE_GO.format(log=log))
    go.chmod(0o755)
    monkeypatch.delenv("TOXIPROXY_SERVER", raising=False)
    monkeypatch.setenv("PATH", f"{go.parent}:/bin:/usr/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = find_toxiproxy()
    assert find_toxiproxy() == found == str(tmp_path / "cache/greenredis/toxiproxy-server-2.12.0")
    assert log.read_text() == "built\n"
    assert os.listdir(Path(found).parent) == [Path(found).name]
    Path(found).unlink()
    go.write_text("#!/bin/sh\necho no network >&2; exit 1\n")
    with pytest.raises(ToxiproxyNotFound, match="no network"):
        find_toxiproxy()


# Scripted servers


def test_scripted_server_answers_records_and_counts() -> None:
    def answer(words: list[bytes], client: ScriptedClient) -> bytes | None:
        return b":1\r\n" if words[0] == b"INCR" else None

    with ScriptedServer(answer) as server, connect(server.port) as link:
        assert talk(link, "AUTH", "u", "p") == talk(link, "CLIENT", "SETNAME", "n") == b"OK"
        assert talk(link, "HELLO", "2")[-4:-2] == [b"proto", 2]
        assert talk(link, "PING") == b"PONG"
        assert talk(link, "INCR", "k") == 1
        link.sendall(pack("GET", "k"))
        wait_until(lambda: server.sent("get"))
        with pytest.raises(TimeoutError), gevent.Timeout(0.05, TimeoutError):
            link.recv(1)
        assert server.commands[-2:] == [[b"INCR", b"k"], [b"GET", b"k"]]
        assert (server.connections, server.total_connections) == (1, 1)
        link.close()
        wait_until(lambda: server.connections == 0)
        assert server.total_connections == 1
        with connect(server.port) as link:
            assert talk(link, "HELLO", "3")[b"proto"] == 3
            assert server.clients[1].protocol == 3


def test_scripted_server_of_an_old_kind_and_without_handshake() -> None:
    with ScriptedServer(lambda words, client: None, resp3=False) as server, connect(server.port) as link:
        assert isinstance(talk(link, "HELLO", "3"), hiredis.ReplyError)
    with ScriptedServer(lambda words, client: b"+mine\r\n", handshake=False) as server:
        with connect(server.port) as link:
            assert talk(link, "HELLO", "3") == talk(link, "PING") == b"mine"


@pytest.mark.parametrize("at", range(6))
def test_scripted_server_cuts_at_a_byte(at: int) -> None:
    with ScriptedServer(lambda words, client: client.cut(b"$1\r\nx\r\n", at)) as server:
        with connect(server.port) as link:
            link.sendall(pack("GET", "k"))
            received = b""
            while data := link.recv(100):
                received += data
            assert received == b"$1\r\nx\r\n"[:at]


def test_scripted_server_sends_in_pieces_and_resets() -> None:
    def answer(words: list[bytes], client: ScriptedClient) -> None:
        if words[0] == b"RESET":
            client.reset()
        else:
            client.send(b"+abc\r\n", piece=1, pause=0.005)

    with ScriptedServer(answer) as server, connect(server.port) as link:
        link.sendall(pack("GET", "k"))
        pieces = [link.recv(100) for _ in range(6)]
        assert pieces == [b"+", b"a", b"b", b"c", b"\r", b"\n"]
        link.sendall(pack("RESET"))
        with pytest.raises(ConnectionResetError):
            link.recv(1)


def test_scripted_server_tells_of_its_handlers_errors() -> None:
    def fail(words: list[bytes], client: ScriptedClient) -> bytes | None:
        raise LookupError("handler")

    with pytest.raises(LookupError, match="handler"), ScriptedServer(fail) as server:
        with connect(server.port) as link, pytest.raises(EOFError):
            talk(link, "GET", "k")


def test_full_listener_makes_connecting_hang(leaks: None) -> None:
    with FullListener() as listener, Ticker() as ticker:
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            connect(listener.port, 0.3)
        assert time.monotonic() - begun > 0.25 and ticker.ticks > 10
    with pytest.raises(ConnectionRefusedError):
        connect(listener.port)


# TLS
