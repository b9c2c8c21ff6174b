"""The testing kit: certificates and TLS, lateness, waiting, descriptors."""

from __future__ import annotations

import os
import signal
import ssl
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
from test_testing_kit import connect, talk  # type: ignore[import-not-found]

from greenredis.testing import (
    Certificates,
    MachineLateness,
    ScriptedServer,
    Server,
    Ticker,
    TlsTerminator,
    Toxiproxy,
    has_tls,
    lateness,
    on_quiet_machine,
    open_descriptors,
    wait_until,
)
from greenredis.testing.process import module_environment


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
