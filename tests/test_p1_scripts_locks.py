"""P1 for scripts and locks: 60 greenlets under random kills and timeouts."""

from __future__ import annotations

from typing import Any

import gevent
import pytest
from storm import Storm  # type: ignore[import-not-found]

from greenredis import Redis
from greenredis.exceptions import LockNotOwnedError
from greenredis.testing import Server, wait_until

ECHOED = "return {KEYS[1], ARGV[1]}"

pytestmark = pytest.mark.usefixtures("leaks")


def call_script(client: Redis, storm: Any) -> None:
    token = storm.token()
    if storm.random.random() < 0.005:
        client.execute_command("SCRIPT FLUSH")
    script = storm.script if storm.random.random() < 0.9 else client.register_script(ECHOED)
    storm.expect(script([b"key"], [token]), [b"key", token])


@pytest.mark.parametrize("multiplex", [True, False])
def test_storm_of_scripts(server: Server, seed: int, multiplex: bool) -> None:
    with Redis(port=server.port, max_connections=8, multiplex=multiplex) as client:
        storm = Storm(client, call_script, 20_000, seed)
        storm.script = client.register_script(ECHOED)
        storm.run()
        assert storm.script([b"key"], ["last"]) == [b"key", b"last"]


class PatientStorm(Storm):  # type: ignore[misc]
    """Waits long enough for a lock to be passed on."""

    def bound(self) -> float:
        return 10 * super().bound()  # type: ignore[no-any-return]


class Guarded:
    """Says who is between acquiring and releasing each of some locks."""

    def __init__(self) -> None:
        self.inside = [0, 0, 0]
        self.entered = 0

    def enter(self, client: Redis, storm: Any) -> None:
        number = storm.random.randrange(3)
        with client.lock(f"lock:{number}", timeout=20, sleep=0.001):
            self.inside[number] += 1
            try:
                self.entered += 1
                storm.expect(self.inside[number], 1)
                gevent.sleep(0 if storm.random.random() < 0.8 else 0.001)
                storm.expect(self.inside[number], 1)
            finally:
                self.inside[number] -= 1


@pytest.mark.slow
@pytest.mark.parametrize("multiplex", [True, False])
def test_storm_of_locks(server: Server, seed: int, multiplex: bool) -> None:
    """Never two holders; and none is left behind by those who are killed or run out of time."""
    guarded = Guarded()
    with Redis(port=server.port, max_connections=8, multiplex=multiplex) as client:
        PatientStorm(client, guarded.enter, 6000, seed).run()
        assert guarded.entered > 200
        for number in range(3):
            with client.lock(f"lock:{number}", timeout=20, sleep=0.01, blocking_timeout=10):
                assert guarded.inside[number] == 0
        wait_until(lambda: not client.exists("lock:0", "lock:1", "lock:2"))
        settle(client)


def test_storm_on_one_lock_object(server: Server, seed: int) -> None:
    guarded: list[int] = []
    with Redis(port=server.port, max_connections=8) as client:
        lock = client.lock("lock", timeout=20, sleep=0.001)

        def enter(client: Redis, storm: Any) -> None:
            with lock:
                guarded.append(1)
                try:
                    gevent.sleep(0)
                    storm.expect(len(guarded), 1)
                finally:
                    guarded.pop()

        PatientStorm(client, enter, 1500, seed).run()
        wait_until(lambda: not lock.locked(), 10)
        with pytest.raises(LockNotOwnedError):
            lock.do_release(b"nobody's")
        settle(client)


def settle(client: Redis) -> None:
    """Wait for what goes on in the background."""
    wait_until(lambda: client.connection_pool.stats()["lent"] <= client.connection_pool.share().links)
