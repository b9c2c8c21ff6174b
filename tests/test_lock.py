"""Lock: as redis-py's, but a token is a greenlet's own."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

import gevent
import pytest

import greenredis
from greenredis import Redis
from greenredis.exceptions import (
    LockError,
    LockNotOwnedError,
    ResponseError,
    TimeoutError,
)
from greenredis.lock import Lock
from greenredis.testing import Server, wait_until

redis = pytest.importorskip("redis")

pytestmark = pytest.mark.usefixtures("leaks")

NEVER_ACQUIRED = "Cannot release a lock that's not owned or is already unlocked."


@pytest.fixture
def client(server: Server) -> Iterator[Redis]:
    with Redis(port=server.port) as client:
        yield client


def left(client: Redis, name: str = "lock") -> int:
    """Milliseconds that the lock has left; -1: it never ends; -2: there is none."""
    return int(client.execute_command("PTTL", name))


# -- redis-py


@pytest.mark.parametrize(
    "name",
    "__init__ __enter__ __exit__ acquire do_acquire locked owned release do_release extend do_extend "
    "reacquire do_reacquire register_scripts".split(),
)
def test_signature_is_redis_pys(name: str) -> None:
    theirs = inspect.signature(getattr(redis.lock.Lock, name)).parameters.values()
    ours = inspect.signature(getattr(Lock, name)).parameters.values()
    if name != "__exit__":
        assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]
    assert [p.kind for p in ours] == [p.kind for p in theirs]


def test_client_makes_locks_as_redis_pys_does() -> None:
    theirs, ours = inspect.signature(redis.Redis.lock), inspect.signature(Redis.lock)
    assert [(p.name, p.kind, p.default) for p in ours.parameters.values()] == [
        (p.name, p.kind, p.default) for p in theirs.parameters.values()
    ]


def public(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


def test_names_are_redis_pys() -> None:
    assert public(redis.lock.Lock) <= public(Lock)


def flow(make: Callable[..., Any]) -> list[Any]:
    """What a lock says, step by step; errors by their names and messages."""
    seen: list[Any] = []

    def do(call: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        try:
            seen.append(call(*args, **kwargs))
        except ValueError as error:
            seen.append((type(error).__name__, str(error), error.lock_name))  # type: ignore[attr-defined]

    lock, other, endless = make(timeout=10), make(timeout=10), make()
    for each in (
        lock.locked,
        lock.owned,
        lock.release,
        lock.reacquire,
        lock.acquire,
        lock.locked,
        lock.owned,
    ):
        do(each)
    do(lock.extend, 5)
    do(lock.extend, 20, replace_ttl=True)
    do(lock.reacquire)
    do(other.acquire, blocking=False)
    do(other.acquire, blocking_timeout=0.02, sleep=0.01)
    for each in (other.owned, other.release, lock.release, lock.release, lock.owned, endless.acquire):
        do(each)
    do(endless.extend, 5)
    do(endless.reacquire)
    do(endless.release)
    do(lock.acquire, token="mine")
    do(lambda: (lock.local.token, lock.owned()))
    lock.redis.set("lock", "yours")
    for each in (lock.owned, lock.reacquire, lock.release, lock.release):
        do(each)
    do(other.__enter__) if not other.acquire(blocking=False) else None
    lock.redis.delete("lock")
    with lock as entered:
        seen.append((entered is lock, lock.owned()))
    seen.append(lock.redis.exists("lock"))
    return seen


@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize("thread_local", [False, True])
def test_flow_is_redis_pys(server: Server, decode: bool, thread_local: bool) -> None:
    def make(client: Any) -> Callable[..., Any]:
        return lambda **options: client.lock(
            "lock", thread_local=thread_local, blocking_timeout=0.02, sleep=0.01, **options
        )

    with redis.Redis(port=server.port, decode_responses=decode) as theirs:
        wanted = flow(make(theirs))
    with Redis(port=server.port, decode_responses=decode) as ours:
        assert flow(make(ours)) == wanted


def test_locks_of_both_libraries_exclude_each_other(server: Server, client: Redis) -> None:
    with redis.Redis(port=server.port) as other:
        theirs, ours = other.lock("lock", timeout=10), client.lock("lock", timeout=10)
        with theirs:
            assert not ours.acquire(blocking=False)
        with ours:
            assert not theirs.acquire(blocking=False)
            with pytest.raises(redis.exceptions.LockNotOwnedError):
                theirs.do_release(b"other")
            theirs.do_release(ours.local.token)
            assert ours.acquire()


# -- time


def test_timeout_ends_it(client: Redis) -> None:
    lock = client.lock("lock", timeout=0.05)
    assert lock.acquire() and 0 < left(client) <= 50
    wait_until(lambda: not lock.locked())
    assert not lock.owned()
    with pytest.raises(LockNotOwnedError, match="no longer owned"):
        lock.release()


@pytest.mark.parametrize("timeout", [None, 0])
def test_without_timeout_it_stays(client: Redis, timeout: int | None) -> None:
    with client.lock("lock", timeout=timeout):
        assert left(client) == -1
    assert left(client) == -2


def test_extend_and_reacquire(client: Redis) -> None:
    lock = client.lock("lock", timeout=10)
    lock.acquire()
    assert lock.extend(0.5) is True and 10_000 < left(client) <= 10_500
    assert lock.extend(20, replace_ttl=True) is True and 19_000 < left(client) <= 20_000
    assert lock.reacquire() is True and 9_000 < left(client) <= 10_000
    client.execute_command("PERSIST", "lock")
    with pytest.raises(LockNotOwnedError, match="Cannot extend"):
        lock.extend(1)  # what never ends has nothing to add to
    lock.release()
    for late in (lock.reacquire, lambda: lock.extend(1)):
        with pytest.raises(LockError, match="an unlocked lock"):
            late()


@pytest.mark.parametrize("verb", ["reacquire", "extend"])
def test_expired_lock_cannot_be_kept(client: Redis, verb: str) -> None:
    lock = client.lock("lock", timeout=10)
    lock.acquire()
    client.execute_command("PEXPIRE", "lock", 1)
    wait_until(lambda: not lock.locked())
    with pytest.raises(LockNotOwnedError, match=f"Cannot {verb} a lock that's no longer owned") as caught:
        getattr(lock, verb)(*[1] if verb == "extend" else [])
    assert caught.value.lock_name == "lock" and isinstance(caught.value, ValueError)


def test_waits_for_the_holder(client: Redis) -> None:
    order: list[int] = []

    def work(number: int) -> None:
        with client.lock("lock", sleep=0.001):
            order.append(number)
            gevent.sleep(0)
            order.append(number)

    gevent.joinall([gevent.spawn(work, number) for number in range(20)], raise_error=True)
    assert order[::2] == order[1::2] and sorted(order[::2]) == list(range(20))


def test_blocking_timeout(client: Redis) -> None:
    client.set("lock", "somebody")
    lock = client.lock("lock", sleep=0.01, blocking_timeout=0.05)
    start = monotonic()
    assert lock.acquire() is False and monotonic() - start < 1
    with pytest.raises(LockError, match="Unable to acquire lock within the time specified"), lock:
        pass
    assert client.lock("lock", blocking=False).acquire() is False
    # The next attempt would come too late, so there is no use in waiting for it.
    start = monotonic()
    assert lock.acquire(sleep=60, blocking_timeout=30) is False and monotonic() - start < 5


def test_deadline_bounds_the_waiting(client: Redis) -> None:
    client.set("lock", "somebody")
    start = monotonic()
    with pytest.raises(TimeoutError, match="'lock' is held") as caught, greenredis.deadline(0.05):
        client.lock("lock", sleep=0.01).acquire()
    assert monotonic() - start < 1 and not caught.value.maybe_executed
    with greenredis.deadline(30):
        assert client.lock("lock", sleep=0.01, blocking_timeout=0.02).acquire() is False


# -- tokens


@pytest.mark.parametrize("token", ["mine", b"mine", bytearray(b"mine")])
def test_token_of_ones_own(client: Redis, token: Any) -> None:
    lock = client.lock("lock")
    assert lock.acquire(token=token) and client.get("lock") == b"mine" and lock.local.token == b"mine"
    lock.release()


def test_token_is_the_greenlets(client: Redis) -> None:
    lock = client.lock("lock", timeout=10)
    assert lock.acquire()

    def other() -> bool:
        with pytest.raises(LockError) as caught:
            lock.release()
        assert str(caught.value) == NEVER_ACQUIRED and type(caught.value) is LockError
        with pytest.raises(LockError, match="Cannot extend an unlocked lock"):
            lock.extend(1)
        return bool(lock.owned())

    assert gevent.spawn(other).get() is False
    assert lock.owned()
    lock.release()


def test_token_is_shared_without_thread_local(client: Redis) -> None:
    lock = client.lock("lock", timeout=10, thread_local=False)
    assert lock.acquire() and gevent.spawn(lock.owned).get() is True
    gevent.spawn(lock.release).get()
    assert not lock.locked() and not lock.owned()


def test_lost_lock_is_not_released_by_its_former_holder(client: Redis) -> None:
    """The story of redis-py's documentation: the second holder of one object keeps its lock."""
    lock = client.lock("lock", timeout=10, sleep=0.001)
    lock.acquire()
    client.delete("lock")
    assert gevent.spawn(lock.acquire).get()
    with pytest.raises(LockNotOwnedError):
        lock.release()
    assert lock.locked()


# -- with


def test_lock_lost_in_its_block(client: Redis, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(LockNotOwnedError), client.lock("lock"):
        client.delete("lock")
    with caplog.at_level(logging.WARNING, "greenredis"), client.lock("lock", raise_on_release_error=False):
        client.delete("lock")
    assert "the lock 'lock' had been lost" in caplog.text


def test_error_in_the_block_releases_it(client: Redis) -> None:
    with pytest.raises(ZeroDivisionError), client.lock("lock"):
        1 / 0  # noqa: B018
    assert not client.exists("lock")


# -- users' subclasses


class Fenced(Lock):
    """Has a script of its own, and counts what it is asked."""

    LUA_RELEASE_SCRIPT = "redis.call('DEL', KEYS[1]) redis.call('INCR', 'fence') return 1"
    asked = 0

    def do_acquire(self, token: Any) -> bool:
        self.asked += 1
        return super().do_acquire(token)


def test_script_of_a_subclass(client: Redis) -> None:
    with client.lock("lock"):
        pass
    with client.lock("lock", lock_class=Fenced) as lock:
        assert isinstance(lock, Fenced) and lock.asked == 1
    assert client.get("fence") == b"1"
    with client.lock("lock"):
        pass
    assert client.get("fence") == b"1"


class Registering(Lock):
    """Registers its scripts on the class, as redis-py does."""

    def register_scripts(self) -> None:
        super().register_scripts()
        kind = type(self)
        kind.lua_release = self.redis.register_script("return redis.call('DEL', KEYS[1]) + 0")
        self.lua_release = kind.lua_release


def test_subclass_that_registers_on_the_class(client: Redis) -> None:
    try:
        for _ in range(2):
            with client.lock("lock", lock_class=Registering):
                pass
        assert not client.exists("lock") and Lock.lua_release is None
    finally:
        Registering.lua_release = None


def test_other_key_is_no_lock(client: Redis) -> None:
    client.execute_command("RPUSH", "lock", "a")
    lock = client.lock("lock", blocking=False)
    assert not lock.acquire()
    lock.local.token = b"mine"
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        lock.release()
    assert left(client) == -1
