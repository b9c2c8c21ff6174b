"""Replies cut at every byte: an error or the whole reply, never a part, never a hang."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import gevent
import pytest

from greenredis import Redis
from greenredis.exceptions import ConnectionError, InvalidResponse, ResponseError, TimeoutError
from greenredis.testing import Proxy, ScriptedClient, ScriptedServer, Server, Toxiproxy

BROKEN = (ConnectionError, TimeoutError, InvalidResponse)
# Every type of reply: the bytes, and what they mean. A part of one may be another's whole.
REPLIES: dict[str, tuple[bytes, Any]] = {
    "status": (b"+PONG-1\r\n", b"PONG-1"),
    "error": (b"-ERR told-2\r\n", "told-2"),
    "integer": (b":-1234567\r\n", -1234567),
    "bulk": (b"$13\r\nvalue-\r\nbulk4\r\n", b"value-\r\nbulk4"),
    "empty": (b"$0\r\n\r\n", b""),
    "nil": (b"$-1\r\n", None),
    "array": (b"*3\r\n$2\r\na5\r\n:15\r\n$-1\r\n", [b"a5", 15, None]),
    "no array": (b"*-1\r\n", None),
    "nothing": (b"*0\r\n", []),
    "nested": (b"*2\r\n*2\r\n$2\r\nb6\r\n*1\r\n:6\r\n*0\r\n", [[b"b6", [6]], []]),
}
REPLIES_3: dict[str, tuple[bytes, Any]] = {
    "nil 3": (b"_\r\n", None),
    "map": (b"%2\r\n$2\r\nk7\r\n:7\r\n+l7\r\n*1\r\n+m7\r\n", {b"k7": 7, b"l7": [b"m7"]}),
    "set": (b"~2\r\n+s8\r\n+t8\r\n", [b"s8", b"t8"]),
    "double": (b",-12.125\r\n", -12.125),
    "infinite": (b",inf\r\n", float("inf")),
    "true": (b"#t\r\n", True),
    "false": (b"#f\r\n", False),
    "big number": (b"(349999999999999999999\r\n", b"349999999999999999999"),
    "verbatim": (b"=10\r\ntxt:text-9\r\n", b"text-9"),
    "push before": (b">2\r\n+invalidate\r\n*1\r\n+key\r\n+pushed-10\r\n", b"pushed-10"),
}


def replies_of(protocol: int) -> dict[str, tuple[bytes, Any]]:
    return REPLIES if protocol == 2 else {**REPLIES, **REPLIES_3}


def answer(words: list[bytes], client: ScriptedClient) -> bytes:
    # Otherwise each small reply waits for the client's kernel to acknowledge the one before.
    client._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return {**REPLIES, **REPLIES_3}[words[1].decode()][0]


@pytest.fixture
def scripted(toxiproxy: Toxiproxy) -> Iterator[Proxy]:
    with ScriptedServer(answer) as server, toxiproxy.proxy(server.port) as proxy:
        yield proxy


@contextmanager
def client_of(proxy: Proxy, multiplex: bool, protocol: int) -> Iterator[Redis]:
    options: dict[str, Any] = {
        "socket_timeout": 2,
        "retry": None,
        "protocol": protocol,
        "multiplex": multiplex,
    }
    with Redis(proxy.host, proxy.port, **options) as client:
        yield client


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        return error


def all_at_once(client: Redis, names: list[str]) -> dict[str, Any]:
    """What each got. On the link they share the bytes in this order; in the pool each has a connection."""
    calls = {name: gevent.spawn(outcome, partial(client.execute_command, "GET", name)) for name in names}
    gevent.joinall(list(calls.values()), timeout=10)
    return {name: call.value if call.ready() else "hangs" for name, call in calls.items()}


def is_whole(found: Any, wanted: Any) -> bool:
    if isinstance(found, ResponseError):
        return bool(found.args == (wanted,))
    return bool(found == wanted and type(found) is type(wanted))


def open_connections(client: Redis, count: int) -> None:
    """New ones, with their handshake behind them: the link, or as many as there are callers."""
    pool = client.connection_pool
    client.close()
    if pool.multiplexer is client._transport:
        pool.multiplexer.link()
        return
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(pool.lend())


def check_cut(client: Redis, proxy: Proxy, at: int, protocol: int) -> int:
    """How many replies came whole through a cut after `at` bytes of each connection."""
    wanted = replies_of(protocol)
    open_connections(client, len(wanted))
    with proxy.toxic("limit_data", bytes=at):
        found = all_at_once(client, list(wanted))
    wrong = {
        name: each
        for name, each in found.items()
        if not is_whole(each, wanted[name][1]) and not isinstance(each, BROKEN)
    }
    assert not wrong, f"cut at {at}"
    assert all(each.maybe_executed for each in found.values() if isinstance(each, BROKEN))
    return sum(is_whole(found[name], wanted[name][1]) for name in wanted)


@pytest.mark.parametrize("protocol", [2, 3])
def test_replies_on_the_link_cut_at_every_byte(scripted: Proxy, protocol: int) -> None:
    """Many greenlets wait behind each other: those before the cut are served, the others told."""
    lengths = [len(data) for data, _ in replies_of(protocol).values()]
    ends = [sum(lengths[: index + 1]) for index in range(len(lengths))]
    with client_of(scripted, True, protocol) as client:
        for at in range(ends[-1] + 1):
            whole = check_cut(client, scripted, at, protocol)
            assert whole == sum(end <= at for end in ends), f"cut at {at}"


@pytest.mark.parametrize("protocol", [2, 3])
def test_replies_in_the_pool_cut_at_every_byte(scripted: Proxy, protocol: int) -> None:
    lengths = [len(data) for data, _ in replies_of(protocol).values()]
    with client_of(scripted, False, protocol) as client:
        for at in range(max(lengths) + 1):
            whole = check_cut(client, scripted, at, protocol)
            assert whole == sum(length <= at for length in lengths), f"cut at {at}"
        stats = client.connection_pool.stats()
        assert stats["lent"] == stats["waiting"] == stats["dialing"] == 0


@pytest.mark.parametrize("multiplex", [True, False])
@pytest.mark.parametrize("protocol", [2, 3])
def test_handshake_cut_at_every_byte(server: Server, proxy: Proxy, multiplex: bool, protocol: int) -> None:
    """And the first reply after it: what is said not to be executed is not."""
    at, least, most = 0, 0, 0
    with client_of(proxy, multiplex, protocol) as client:
        found: Any = None
        while not isinstance(found, int):
            client.close()
            with proxy.toxic("limit_data", bytes=at):
                found = outcome(lambda: client.execute_command("INCRBY", "cut:key", 1_000_000))
            assert isinstance(found, (int, *BROKEN)), found
            least, most, at = (
                least + isinstance(found, int),
                most + getattr(found, "maybe_executed", True),
                at + 1,
            )
            client.close()  # whole replies were cut off just behind
            assert client.execute_command("INCRBY", "cut:key", 1) % 1_000_000 == at
            assert least <= int(server.ask("GET", "cut:key")) // 1_000_000 <= most
    assert at > 15


@pytest.mark.parametrize("multiplex", [True, False])
@pytest.mark.parametrize("protocol", [2, 3])
def test_replies_of_a_real_server_cut_at_every_byte(
    server: Server, proxy: Proxy, multiplex: bool, protocol: int
) -> None:
    server.ask_all(
        ("RPUSH", "cut:list", *range(5)), ("HSET", "cut:hash", "a", 1, "b", 2), ("SADD", "cut:set", "m")
    )
    server.ask_all(("ZADD", "cut:zset", 1.5, "z"), ("SET", "cut:string", "\r\n" * 10))
    commands = [
        ("GET", "cut:string"), ("LRANGE", "cut:list", 0, -1), ("HGETALL", "cut:hash"), ("GET", "cut:none"),
        ("SMEMBERS", "cut:set"), ("ZSCORE", "cut:zset", "z"), ("HGET", "cut:list", "a"),
        ("STRLEN", "cut:string"),
    ]  # fmt: skip
    with client_of(proxy, multiplex, protocol) as client:
        calls = [partial(client.execute_command, *words) for words in commands]
        wanted = [outcome(call) for call in calls]
        at, whole = 0, 0
        while whole < len(calls):
            [each.get() for each in [gevent.spawn(outcome, call) for call in calls]]
            with proxy.toxic("limit_data", bytes=at):
                found = [each.get(timeout=10) for each in [gevent.spawn(outcome, call) for call in calls]]
            at += 1
            pairs = list(zip(found, wanted, strict=True))
            whole = sum(repr(one) == repr(other) for one, other in pairs)
            assert all(repr(one) == repr(other) or isinstance(one, BROKEN) for one, other in pairs), (
                at,
                pairs,
            )
    assert at > 40


@pytest.mark.parametrize("multiplex", [True, False])
def test_cut_increments_are_executed_at_most_once(server: Server, proxy: Proxy, multiplex: bool) -> None:
    """The server has executed what was cut: it must not be sent again, by default retries."""
    with Redis(proxy.host, proxy.port, multiplex=multiplex) as client:
        for at in range(5):
            assert client.execute_command("INCR", f"cut:warm:{at}") == 1
            with proxy.toxic("limit_data", bytes=at):
                found = outcome(partial(client.execute_command, "INCR", f"cut:{at}"))
            assert found == 1 if at == 4 else (isinstance(found, BROKEN) and found.maybe_executed)
            # The reply, or its part, came from here: it has been executed by now.
            assert server.ask("GET", f"cut:{at}") == b"1"
