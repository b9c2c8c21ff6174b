"""P3: every call ends within its time, whatever is slow, and says whether it was sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from time import monotonic
from typing import Any

import gevent
import gevent.socket
import pytest
from gevent.event import Event
from gevent.monkey import get_original
from gevent.resolver import AbstractResolver

import greenredis
from greenredis import Redis, Retry, deadlines
from greenredis.backoff import ConstantBackoff, NoBackoff
from greenredis.exceptions import ConnectionError, RedisError, TimeoutError
from greenredis.testing import (
    FullListener,
    ScriptedClient,
    ScriptedServer,
    free_port,
    on_quiet_machine,
    wait_until,
)

DEADLINE = 0.2
SLACK = 0.05
Answer = Callable[[list[bytes], ScriptedClient], "bytes | None"]
Way = Callable[[ExitStack], "dict[str, Any]"]


# -- the ways to be slow: each gives the options of a client that is to meet it


def scripted(stack: ExitStack, answer: Answer, **options: Any) -> dict[str, Any]:
    server = stack.enter_context(ScriptedServer(answer, **options))
    return {"host": server.host, "port": server.port}


def mute(stack: ExitStack) -> dict[str, Any]:
    return scripted(stack, lambda words, client: None)


def stall(stack: ExitStack) -> dict[str, Any]:
    return scripted(stack, lambda words, client: b"*3\r\n$5\r\nhello\r\n$100\r\nabc")


def trickle(stack: ExitStack) -> dict[str, Any]:
    def drip(words: list[bytes], client: ScriptedClient) -> None:
        gevent.spawn(client.send, b"$400\r\n" + bytes(400) + b"\r\n", 1, 0.05).rawlink(
            lambda each: each.exception
        )

    return scripted(stack, drip)


def pushes(stack: ExitStack) -> dict[str, Any]:
    """What arrives all the time is no reply."""

    def chatter(words: list[bytes], client: ScriptedClient) -> None:
        gevent.spawn(client.send, b">2\r\n+x\r\n:1\r\n" * 5000, 130, 0.005).rawlink(
            lambda each: each.exception
        )

    return scripted(stack, chatter)


def refused(stack: ExitStack) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": free_port()}


def full_backlog(stack: ExitStack) -> dict[str, Any]:
    listener = stack.enter_context(FullListener())
    return {"host": listener.host, "port": listener.port}


def never_accepts(stack: ExitStack) -> dict[str, Any]:
    listener = stack.enter_context(gevent.socket.socket())
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    return {"host": "127.0.0.1", "port": listener.getsockname()[1]}


def no_hello(stack: ExitStack) -> dict[str, Any]:
    return scripted(stack, lambda words, client: None, handshake=False)


def trickled_hello(stack: ExitStack) -> dict[str, Any]:
    def drip(words: list[bytes], client: ScriptedClient) -> None:
        if words[0] == b"HELLO":
            gevent.spawn(client.send, b"%1\r\n+proto\r\n+" + b"3" * 400, 1, 0.05).rawlink(
                lambda each: each.exception
            )

    return scripted(stack, drip, handshake=False)


def no_tls(stack: ExitStack) -> dict[str, Any]:
    return {**never_accepts(stack), "ssl": True, "ssl_cert_reqs": "none", "ssl_check_hostname": False}


class HangingResolver(AbstractResolver):
    """Answers after 5 s, as one does whose name servers are gone."""

    def getaddrinfo(self, *args: Any, **kwargs: Any) -> Any:
        gevent.sleep(5)
        raise OSError("no answer")

    def close(self) -> None:
        pass


def dns(stack: ExitStack) -> dict[str, Any]:
    hub = gevent.get_hub()
    stack.callback(setattr, hub, "resolver", hub.resolver)
    hub.resolver = HangingResolver()
    return {"host": "redis.example", "port": 6379}


def dns_in_thread(stack: ExitStack) -> dict[str, Any]:
    """As gevent's own resolver does it: a thread of the pool is busy and cannot be interrupted."""

    def hang() -> None:
        if busy.acquire(True, 5):
            busy.release()

    hub, busy = gevent.get_hub(), get_original("_thread", "allocate_lock")()
    busy.acquire()
    stack.callback(busy.release)
    stack.callback(setattr, hub, "resolver", hub.resolver)
    resolver = HangingResolver()
    resolver.getaddrinfo = lambda *args, **kwargs: hub.threadpool.apply(hang)  # type: ignore[method-assign]
    hub.resolver = resolver
    return {"host": "redis.example", "port": 6379}


def long_backoff(stack: ExitStack) -> dict[str, Any]:
    return {**refused(stack), "retry": Retry(ConstantBackoff(10), 3)}


def loading(stack: ExitStack) -> dict[str, Any]:
    answer = scripted(stack, lambda words, client: b"-LOADING for long\r\n")
    return {**answer, "retry": Retry(ConstantBackoff(0.03), -1)}


# What is sent, and then answered by nothing or by a part; and what never gets so far.
SENT = (mute, stall, trickle, pushes)
UNSENT = (
    refused, full_backlog, never_accepts, no_hello, trickled_hello, no_tls, dns, dns_in_thread, long_backoff,
    loading,
)  # fmt: skip


class Subclass(Redis):
    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        return super().parse_response(connection, command_name, **options)


COMMANDS: dict[str, tuple[Any, ...]] = {
    "read": ("GET", "key"),
    "write": ("INCR", "key"),
    "block": ("BLPOP", "key", 0),
}
# Kind of client x command: each of the first with each of the second that differs there.
CALLS = [
    ("link", "read"), ("link", "write"), ("pool", "read"), ("pool", "write"), ("pool", "block"),
    ("single", "write"), ("subclass", "write"),
]  # fmt: skip


def client_of(kind: str, **options: Any) -> Redis:
    made = Subclass if kind == "subclass" else Redis
    return made(multiplex=kind == "link", single_connection_client=kind == "single", **options)


def measured(call: Callable[[], Any]) -> tuple[RedisError, float]:
    """The error that `call()` must raise, and after how many seconds."""
    began = monotonic()
    hangs = AssertionError("still running after 3 s")
    with pytest.raises((ConnectionError, TimeoutError)) as caught, gevent.Timeout(3, hangs):
        call()
    return caught.value, monotonic() - began


def check_all(way: Way, bound: float, deadline: float | None, **options: Any) -> None:
    """Each kind of client and command at the same time; the client is made then too: some connect at once."""

    def call(kind: str, command: str) -> Any:
        with ExitStack() as limits:
            if deadline is not None:
                limits.enter_context(greenredis.deadline(deadline))
            return stack.enter_context(client_of(kind, **chosen)).execute_command(*COMMANDS[command])

    with ExitStack() as stack:
        chosen = {**options, **way(stack)}
        calls = [each for each in CALLS if deadline is not None or each[1] != "block"]
        greenlets = [gevent.spawn(measured, partial(call, *each)) for each in calls]
        gevent.joinall(greenlets, raise_error=True)
        for each, greenlet in zip(calls, greenlets, strict=True):
            error, seconds = greenlet.get()
            assert seconds < bound, (each, error)
            # The last of the attempts that are refused may be under way at the deadline.
            under_way = way is loading and isinstance(error, TimeoutError)
            assert under_way or error.maybe_executed == (way in SENT), (each, error)


@pytest.mark.parametrize("way", [*SENT, *UNSENT])
def test_deadline_is_kept(way: Way) -> None:
    on_quiet_machine(lambda: check_all(way, DEADLINE + SLACK, DEADLINE), SLACK)


@contextmanager
def held_pool(size: int, **options: Any) -> Iterator[Any]:
    """A pool whose connections are all lent."""
    with ScriptedServer(lambda words, client: b"+OK\r\n") as server, ExitStack() as stack:
        pool = greenredis.BlockingConnectionPool(
            port=server.port, host=server.host, max_connections=size, **options
        )
        stack.callback(pool.close)
        for _ in range(size):
            stack.enter_context(pool.lend())
        yield pool


@pytest.mark.parametrize("multiplex", [True, False])
@pytest.mark.parametrize("command", COMMANDS)
def test_deadline_is_kept_where_all_connections_are_lent(multiplex: bool, command: str) -> None:
    def call() -> Any:
        with greenredis.deadline(DEADLINE):
            return Redis(connection_pool=pool, multiplex=multiplex).execute_command(*COMMANDS[command])

    def run() -> None:
        error, seconds = measured(call)
        assert DEADLINE * 0.9 < seconds < DEADLINE + SLACK and not error.maybe_executed

    with held_pool(2) as pool:
        on_quiet_machine(run, SLACK)
        assert pool.stats()["waiting"] <= multiplex  # whoever opens the link may go on


@pytest.mark.parametrize("kind", ["link", "pool", "single"])
def test_deadline_is_kept_where_other_greenlets_are_before(kind: str) -> None:
    """They share the connection, the dial or the lock, and wait for longer."""

    def run() -> None:
        with ExitStack() as stack:
            client = stack.enter_context(client_of(kind, **mute(stack), max_connections=2))
            others = [gevent.spawn(client.execute_command, "SET", "key", each) for each in range(5)]
            stack.callback(gevent.killall, others)
            gevent.sleep(0)
            with greenredis.deadline(DEADLINE):
                _, seconds = measured(lambda: client.execute_command("INCR", "key"))
        assert seconds < DEADLINE + SLACK

    on_quiet_machine(run, SLACK)


@pytest.mark.parametrize("kind", ["link", "pool", "single", "subclass"])
@pytest.mark.parametrize("size", [60_000, 64 << 20])
def test_deadline_is_kept_by_a_write_that_nobody_reads(kind: str, size: int) -> None:
    """Its own 64 MB, or 60 KB behind what others have written."""
    value, released = memoryview(bytes(size)), Event()

    def deaf(words: list[bytes], client: ScriptedClient) -> bytes:
        if words[:3] == [b"CLIENT", b"SETINFO", b"LIB-VER"]:
            client.send(b"+OK\r\n")
            released.wait()
        return b"+OK\r\n"

    def run() -> None:
        with ExitStack() as stack:
            options = scripted(stack, deaf, handshake=False)
            stack.callback(released.set)
            client = stack.enter_context(client_of(kind, **options, protocol=2))
            others = [gevent.spawn(client.execute_command, "SET", "key", bytes(60_000)) for _ in range(200)]
            stack.callback(gevent.killall, others)
            gevent.sleep(0)
            with greenredis.deadline(DEADLINE):
                _, seconds = measured(lambda: client.execute_command("SET", "key", value))
        assert seconds < DEADLINE + SLACK

    on_quiet_machine(run, SLACK)


@pytest.mark.parametrize("way", [refused, full_backlog, no_hello, dns])
@pytest.mark.parametrize("lending", ["lend", "get_connection", "link"])
def test_deadline_is_kept_by_whoever_borrows(way: Way, lending: str) -> None:
    def run() -> None:
        with ExitStack() as stack:
            pool = stack.enter_context(client_of("link", **way(stack))).connection_pool
            borrow: dict[str, Callable[[], Any]] = {
                "lend": lambda: stack.enter_context(pool.lend()),
                "get_connection": pool.get_connection,
                "link": pool.multiplexer.link,
            }
            with greenredis.deadline(DEADLINE):
                error, seconds = measured(borrow[lending])
        assert seconds < DEADLINE + SLACK and not error.maybe_executed

    on_quiet_machine(run, SLACK)


# -- without a deadline: the wait for a connection + attempts x (connecting + socket_timeout) + backoff


BOUNDED = {"socket_timeout": 0.08, "socket_connect_timeout": 0.06, "timeout": 0.06}


def bound_of(retries: int, backoff: float = 0.0) -> float:
    wait, connecting, timeout = (
        BOUNDED["timeout"],
        BOUNDED["socket_connect_timeout"],
        BOUNDED["socket_timeout"],
    )
    return wait + (1 + retries) * (connecting + timeout) + retries * backoff


@pytest.mark.parametrize("way", [*SENT, *UNSENT[:-2]])
def test_call_is_bounded_without_a_deadline(way: Way) -> None:
    options = {**BOUNDED, "retry": Retry(ConstantBackoff(0.02), 2)}
    on_quiet_machine(lambda: check_all(way, bound_of(2, 0.02) + SLACK, None, **options), SLACK)


@pytest.mark.parametrize("kind", ["link", "pool", "single", "subclass"])
@pytest.mark.parametrize("way", SENT)
def test_socket_timeout_bounds_an_attempt_from_the_write_to_the_whole_reply(way: Way, kind: str) -> None:
    def run() -> None:
        with ExitStack() as stack:
            client = stack.enter_context(client_of(kind, **way(stack), socket_timeout=0.2, retry=None))
            if kind != "single":
                client.connection_pool.multiplexer.link() if kind == "link" else None
            _, seconds = measured(lambda: client.execute_command("INCR", "key"))
        assert 0.15 < seconds < 0.2 + SLACK

    on_quiet_machine(run, SLACK)


def test_blocking_command_may_take_its_own_time_and_socket_timeout() -> None:
    def run() -> None:
        with ExitStack() as stack:
            client = stack.enter_context(client_of("pool", **mute(stack), socket_timeout=0.1, retry=None))
            error, seconds = measured(lambda: client.execute_command("BLPOP", "key", 0.2))
        assert 0.25 < seconds < 0.3 + SLACK and error.maybe_executed

    on_quiet_machine(run, SLACK)


@pytest.mark.parametrize("multiplex", [True, False])
def test_wait_for_a_connection_is_bounded_by_the_timeout_of_the_pool(multiplex: bool) -> None:
    def run() -> None:
        client = Redis(connection_pool=pool, multiplex=multiplex)
        error, seconds = measured(lambda: client.execute_command("GET", "key"))
        assert 0.15 < seconds < 0.2 + SLACK and not error.maybe_executed

    with held_pool(2, timeout=0.2, retry=Retry(NoBackoff(), 3)) as pool:
        on_quiet_machine(run, SLACK)


# -- deadline itself


@pytest.mark.parametrize("kind", ["link", "pool"])
@pytest.mark.parametrize(("outer", "inner"), [(0.15, 5), (5, 0.15), (0.15, 0.15)])
def test_nearer_of_nested_deadlines_counts(kind: str, outer: float, inner: float) -> None:
    def run() -> None:
        with ExitStack() as stack:
            client = stack.enter_context(client_of(kind, **mute(stack)))
            with greenredis.deadline(outer), greenredis.deadline(inner):
                _, seconds = measured(lambda: client.execute_command("GET", "key"))
        assert 0.1 < seconds < 0.15 + SLACK

    on_quiet_machine(run, SLACK)


@pytest.mark.parametrize("kind", ["link", "pool"])
def test_outer_deadline_counts_again_after_the_inner_one(kind: str) -> None:
    def run() -> None:
        with ExitStack() as stack:
            client = stack.enter_context(client_of(kind, **mute(stack)))
            began = monotonic()
            with greenredis.deadline(0.3):
                with greenredis.deadline(0.1):
                    measured(lambda: client.execute_command("GET", "key"))
                measured(lambda: client.execute_command("GET", "key"))
        assert 0.25 < monotonic() - began < 0.3 + SLACK
        assert not deadlines.bounded

    on_quiet_machine(run, SLACK)


@pytest.mark.parametrize("kind", ["link", "pool"])
def test_deadline_does_not_bind_spawned_greenlets(kind: str) -> None:
    released = Event()

    def answer(words: list[bytes], client: ScriptedClient) -> bytes:
        released.wait()
        return b"+done\r\n"

    with ExitStack() as stack:
        client = stack.enter_context(client_of(kind, **scripted(stack, answer)))
        with greenredis.deadline(0.05):
            spawned = gevent.spawn(client.execute_command, "GET", "key")
            measured(lambda: client.execute_command("GET", "key"))
        ended = monotonic()
        wait_until(lambda: monotonic() > ended + 0.05)
        released.set()
        assert spawned.get(timeout=2) == b"done"


@pytest.mark.parametrize("kind", ["link", "pool", "single"])
@pytest.mark.parametrize("connected", [True, False])
def test_deadline_of_nothing_ends_at_once(kind: str, connected: bool) -> None:
    def run() -> None:
        with ExitStack() as stack:
            server = stack.enter_context(ScriptedServer(lambda words, client: b":1\r\n"))
            client = stack.enter_context(client_of(kind, host=server.host, port=server.port))
            if connected:
                client.execute_command("GET", "key")
            began = monotonic()
            with greenredis.deadline(0):
                outcome = gevent.spawn(client.execute_command, "GET", "key").get() if kind == "x" else None
                try:
                    outcome = client.execute_command("INCR", "key")
                except (ConnectionError, TimeoutError) as error:
                    outcome = error
            assert monotonic() - began < SLACK
            # It may have been answered at once; "not sent" must be true.
            client.execute_command("GET", "after")
            sent = bool(server.sent("INCR"))
            assert outcome == 1 if not isinstance(outcome, RedisError) else outcome.maybe_executed or not sent

    on_quiet_machine(run, SLACK)


@pytest.mark.parametrize("kind", ["link", "pool"])
def test_block_that_has_expired_fails_its_next_call_and_none_after_it(kind: str) -> None:
    with ExitStack() as stack:
        client = stack.enter_context(client_of(kind, **scripted(stack, lambda words, client: b"+done\r\n")))
        assert client.execute_command("GET", "key") == b"done"
        with greenredis.deadline(0.01):
            end = deadlines.current()
            assert end is not None
            wait_until(lambda: monotonic() > end)
            measured(lambda: client.execute_command("BLPOP", "key", 0))
        assert client.execute_command("GET", "key") == b"done"
        assert not deadlines.bounded


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("-inf")])
def test_deadline_refuses_what_is_no_time(seconds: float) -> None:
    with pytest.raises(ValueError, match="deadline"):
        greenredis.deadline(seconds)


def test_late_replies_after_a_deadline_cost_the_link_nothing() -> None:
    released = Event()

    def answer(words: list[bytes], client: ScriptedClient) -> bytes:
        released.wait()
        return b"+" + words[1] + b"\r\n"

    with ExitStack() as stack:
        client = stack.enter_context(client_of("link", **scripted(stack, answer)))
        link = client.connection_pool.multiplexer.link()
        with greenredis.deadline(0.05):
            for each in range(5):
                measured(partial(client.execute_command, "GET", f"late-{each}"))
        released.set()
        assert [client.execute_command("GET", f"k{each}") for each in range(5)] == [
            b"k%d" % n for n in range(5)
        ]
        assert link.error is None and client.connection_pool.multiplexer.link() is link
