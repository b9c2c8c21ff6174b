"""Lock: answers that get lost, and greenlets that leave before they know, leave no lock behind."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import gevent
import pytest

from greenredis import Redis
from greenredis.exceptions import ConnectionError, NoPermissionError, TimeoutError
from greenredis.testing import ScriptedClient, ScriptedServer, Server, wait_until

pytestmark = pytest.mark.usefixtures("leaks")


@pytest.fixture
def client(server: Server) -> Iterator[Redis]:
    with Redis(port=server.port) as client:
        client.execute_command("CONFIG RESETSTAT")
        yield client


class Lossy(Redis):
    """Loses answers to `set`: a plan says "after" or "before" it was executed, or that it is "unsent"."""

    def __init__(self, *plan: str, **options: Any) -> None:
        self.plan = list(plan)
        self.asked = 0
        super().__init__(**options)

    def set(self, *args: Any, **options: Any) -> Any:
        self.asked += 1
        loss = self.plan.pop(0) if self.plan else ""
        reply = super().set(*args, **options) if loss in ("", "after") else None
        if loss:
            error = ConnectionError("lost")
            error.maybe_executed = loss != "unsent"
            raise error
        return reply


@pytest.fixture
def lossy(server: Server) -> Iterator[Callable[..., Lossy]]:
    made: list[Lossy] = []

    def make(*plan: str) -> Lossy:
        made.append(Lossy(*plan, port=server.port))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.mark.parametrize("loss", ["after", "before"])
@pytest.mark.parametrize("blocking", [True, False])
def test_lost_answer_is_looked_up(lossy: Callable[..., Lossy], loss: str, blocking: bool) -> None:
    client = lossy(loss)
    lock = client.lock("lock", timeout=10, blocking=blocking)
    assert lock.acquire() and lock.owned() and client.asked == 2
    lock.release()
    assert not lock.locked()


@pytest.mark.parametrize("plan", ["after after", "before after", "after unsent"])
def test_second_lost_answer_is_an_error_and_leaves_no_lock(lossy: Callable[..., Lossy], plan: str) -> None:
    client = lossy(*plan.split())
    lock = client.lock("lock")
    with pytest.raises(ConnectionError) as caught:
        lock.acquire()
    assert caught.value.maybe_executed and client.asked == 2 and lock.locked() and not lock.owned()
    wait_until(lambda: not lock.locked())


def test_lost_answer_when_the_time_is_up(lossy: Callable[..., Lossy]) -> None:
    client = lossy("after")
    lock = client.lock("lock", blocking_timeout=0)
    with pytest.raises(ConnectionError):
        lock.acquire()
    assert client.asked == 1 and lock.locked()
    wait_until(lambda: not lock.locked())


def test_lost_answer_while_somebody_else_holds_it(lossy: Callable[..., Lossy]) -> None:
    client, given_up = lossy("after", "", "before"), list[Any]()
    client.execute_command("SET", "lock", "theirs")
    lock = client.lock("lock", sleep=0.001)
    lock.lua_release = noting(given_up)
    assert not lock.acquire(blocking=False)
    wait_until(lambda: len(given_up) == 1)  # the first attempt may yet arrive
    waiting = gevent.spawn(lock.acquire)
    wait_until(lambda: client.asked > 5)
    assert client.get("lock") == b"theirs"
    client.delete("lock")
    assert waiting.get() and lock.locked()


def test_lock_that_a_repeated_attempt_finds_its_own() -> None:
    held: list[bytes] = []

    def answer(words: list[bytes], client: ScriptedClient) -> bytes | None:
        if words[0] == b"GET":
            return b"$%d\r\n%s\r\n" % (len(held[0]), held[0])
        if held:
            return b"$-1\r\n"
        held.append(words[2])
        client.close()
        return None

    with ScriptedServer(answer) as server, Redis(port=server.port, resend="always") as client:
        assert client.lock("lock", blocking=False).acquire()
        assert len(server.sent("SET")) == 2
        assert not client.lock("lock", blocking=False).acquire()


def noting(calls: list[Any]) -> Callable[..., int]:
    """A release script that only notes what it is asked."""

    def call(keys: Any, args: Any, client: Any) -> int:
        calls.append(args)
        return 1

    return call


def test_what_was_not_sent_is_an_error_at_once(lossy: Callable[..., Lossy]) -> None:
    client, given_up = lossy("unsent"), list[Any]()
    lock = client.lock("lock", timeout=10)
    lock.lua_release = noting(given_up)
    with pytest.raises(ConnectionError) as caught:
        lock.acquire()
    gevent.sleep(0)
    assert not caught.value.maybe_executed and client.asked == 1 and not lock.locked() and not given_up


def test_token_of_ones_own_is_never_looked_up_nor_given_up(lossy: Callable[..., Lossy]) -> None:
    """Another holder may use the same."""
    client, given_up = lossy("after"), list[Any]()
    lock = client.lock("lock")
    lock.lua_release = noting(given_up)
    with pytest.raises(ConnectionError) as caught:
        lock.acquire(token="everybody")
    gevent.sleep(0)
    assert caught.value.maybe_executed and client.asked == 1 and lock.locked() and not given_up


def killed(greenlet: gevent.Greenlet[..., Any]) -> None:
    greenlet.kill(block=False)


def timed_out(greenlet: gevent.Greenlet[..., Any]) -> None:
    greenlet.kill(gevent.Timeout(), block=False)


@pytest.mark.parametrize("leave", [killed, timed_out])
@pytest.mark.parametrize("multiplex", [True, False])
def test_acquiring_is_broken_off(
    server: Server, client: Redis, multiplex: bool, leave: Callable[..., None]
) -> None:
    with Redis(port=server.port, multiplex=multiplex) as other:
        lock = other.lock("lock")
        other.ping()
        leave_while_suspended(server, lock.acquire, leave)
        wait_until(lambda: executed(client, "set") == 1 and executed(client, "evalsha") and not lock.locked())


@pytest.mark.parametrize("leave", [killed, timed_out])
@pytest.mark.parametrize("multiplex", [True, False])
def test_releasing_is_broken_off(
    server: Server, client: Redis, multiplex: bool, leave: Callable[..., None]
) -> None:
    with Redis(port=server.port, multiplex=multiplex) as other:
        lock = other.lock("lock", thread_local=False)
        lock.acquire()
        leave_while_suspended(server, lock.release, leave)
        wait_until(lambda: not lock.locked())


def leave_while_suspended(server: Server, call: Callable[[], Any], leave: Callable[..., None]) -> None:
    """The call is sent, and its caller leaves, before the server answers."""

    def work() -> None:
        with suppress(gevent.Timeout):
            call()

    server.suspend()
    try:
        worker = gevent.spawn(work)
        gevent.sleep(0)  # it runs up to the wait for the reply
        leave(worker)
        worker.join()
    finally:
        server.resume()


def executed(client: Redis, command: str) -> int:
    stats: Any = client.execute_command("INFO", "commandstats")
    return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


def test_releasing_is_broken_off_before_it_is_sent(server: Server, client: Redis) -> None:
    with Redis(port=server.port, max_connections=1, multiplex=False) as other:
        lock = other.lock("lock", thread_local=False)
        lock.acquire()
        taken = other.connection_pool.get_connection()
        worker = gevent.spawn(lock.release)
        wait_until(lambda: other.connection_pool.stats()["waiting"] == 1)
        worker.kill()
        assert client.exists("lock")
        other.connection_pool.release(taken)
        wait_until(lambda: not client.exists("lock"))


def failing(error: Exception, times: int, then: Any) -> Callable[..., Any]:
    """A script that raises so many times, and then does its work."""
    left = [times]

    def call(*args: Any, **kwargs: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise error
        return then(*args, **kwargs)

    return call


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenredis.lock.random.uniform", lambda low, high: 0.0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("error", [ConnectionError("away"), TimeoutError("slow")])
def test_failed_release_goes_on_in_the_background(client: Redis, error: Exception) -> None:
    lock = client.lock("lock")
    lock.lua_release = failing(error, 3, lock.lua_release)
    lock.acquire()
    with pytest.raises(type(error)):
        lock.release()
    assert lock.locked() and not lock.owned()
    wait_until(lambda: not lock.locked())


@pytest.mark.usefixtures("impatient")
def test_release_that_keeps_failing_is_said(client: Redis, caplog: pytest.LogCaptureFixture) -> None:
    lock = client.lock("lock")
    lock.lua_release = failing(ConnectionError("away"), 4, lock.lua_release)
    lock.acquire()
    with caplog.at_level(logging.WARNING, "greenredis"), pytest.raises(ConnectionError):
        lock.release()
    wait_until(lambda: "the lock 'lock' may have been left behind: away" in caplog.text)
    assert lock.locked()


def test_refused_release_is_not_repeated(client: Redis) -> None:
    lock = client.lock("lock")
    lock.lua_release = failing(NoPermissionError("no"), 1, lock.lua_release)
    lock.acquire()
    with pytest.raises(NoPermissionError):
        lock.release()
    for _ in range(20):
        assert lock.locked()


def test_holder_is_killed(client: Redis) -> None:
    def hold() -> None:
        with client.lock("lock"):
            gevent.sleep(60)

    worker = gevent.spawn(hold)
    wait_until(lambda: client.exists("lock"))
    worker.kill()
    assert not client.exists("lock")
