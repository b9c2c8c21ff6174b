"""P8: after an outage there is no storm."""

from __future__ import annotations

import gevent
import pytest

from greenredis import Redis, RedisError
from greenredis.testing import ScriptedClient, ScriptedServer, Server, wait_until
from greenredis.transport.dials import DIALS


@pytest.mark.parametrize("multiplex", [True, False])
def test_a_restart_under_a_thousand_greenlets(fresh_server: Server, multiplex: bool) -> None:
    pool_size = 20
    with Redis(port=fresh_server.port, max_connections=pool_size, multiplex=multiplex) as client:
        stopped = False
        succeeded = 0

        def work() -> None:
            nonlocal succeeded
            while not stopped:
                try:
                    client.get("key")
                    succeeded += 1
                except RedisError:
                    gevent.sleep(0.01)

        greenlets = [gevent.spawn(work) for _ in range(1000)]
        wait_until(lambda: succeeded > 5000, 20)
        fresh_server.kill()
        fresh_server.restart()
        reached = succeeded
        wait_until(lambda: succeeded > reached + 5000, 20)
        stopped = True
        gevent.joinall(greenlets, timeout=20)
        received = int(fresh_server.info("stats")["total_connections_received"])
        probes = 20  # the kit's own connections
        assert received <= pool_size + 2 + probes


def test_callers_share_one_dial() -> None:
    released = gevent.event.Event()

    def handler(words: list[bytes], client: ScriptedClient) -> bytes | None:
        return b"+%s\r\n" % words[-1]

    def slow(words: list[bytes], client: ScriptedClient) -> bytes | None:
        if words[0] == b"HELLO":
            released.wait()
            return b"-ERR unknown command\r\n"
        return b"+OK\r\n" if words[0] == b"CLIENT" else handler(words, client)

    with ScriptedServer(slow, handshake=False) as server, Redis(port=server.port) as client:
        callers = [gevent.spawn(client.execute_command, "ECHO", f"{number}") for number in range(1000)]
        wait_until(lambda: server.total_connections == 1)
        released.set()
        gevent.joinall(callers, raise_error=True)
        assert [caller.value for caller in callers] == [b"%d" % number for number in range(1000)]
        assert server.total_connections == 1


def test_dials_at_once_are_bounded() -> None:
    released = gevent.event.Event()

    def slow(words: list[bytes], client: ScriptedClient) -> bytes | None:
        released.wait()
        return b"-ERR unknown command\r\n" if words[0] == b"HELLO" else b"+OK\r\n"

    with ScriptedServer(slow, handshake=False) as server:
        with Redis(port=server.port, multiplex=False, max_connections=50) as client:
            callers = [gevent.spawn(client.execute_command, "PING") for _ in range(200)]
            wait_until(lambda: server.total_connections == DIALS)
            gevent.sleep(0)
            assert client.connection_pool.stats()["dialing"] == DIALS
            released.set()
            gevent.joinall(callers, raise_error=True)
