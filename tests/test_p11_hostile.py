"""P11: hostile bytes give an error and a closed connection, in bounded memory; in a value they are data."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import accumulate, pairwise
from time import monotonic
from typing import Any

import gevent
import hiredis
import pytest

from greenredis import Redis
from greenredis.exceptions import ConnectionError, InvalidResponse, TimeoutError
from greenredis.protocol import NOT_ENOUGH, Parser
from greenredis.testing import ScriptedClient, ScriptedServer, Ticker, on_quiet_machine, wait_until
from greenredis.testing.process import module_environment

# Refused as soon as they have come.
HOSTILE: dict[str, bytes] = {
    "bulk of -2": b"$-2\r\n",
    "array of -2": b"*-2\r\n",
    "map of -5": b"%-5\r\n",
    "set of -7": b"~-7\r\n",
    "least bulk": b"$-9223372036854775808\r\n",
    "least array": b"*-9223372036854775808\r\n",
    "bulk of 2^63": b"$9223372036854775808\r\n",
    "array of 2^63": b"*9223372036854775808\r\n",
    "array of 2^63-1": b"*9223372036854775807\r\n",
    "bulk of 2^64-1": b"$18446744073709551615\r\n",
    "map of 2^62": b"%4611686018427387904\r\n",
    "map of 2^63-1": b"%9223372036854775807\r\n",
    "push of 2^63": b">9223372036854775808\r\n",
    "integer 2^63": b":9223372036854775808\r\n",
    "length of 60 digits": b"*" + b"1" * 60 + b"\r\n",
    "length with zeros": b"*" + b"0" * 30 + b"99999999999\r\n",
    "length with a sign": b"*+100000000\r\n",
    "big push": b">100000000\r\n",
    "big array": b"*16777217\r\n",
    "big map": b"%9999999999\r\n",
    "big set": b"~100000000\r\n",
    "big map within 2^24 twice": b"%16777217\r\n",
    "big array inside": b"*2\r\n+a\r\n*100000000\r\n",
    "big array behind a value": b"*2\r\n$3\r\nabc\r\n*100000000\r\n",
    "attribute": b"|1\r\n+a\r\n+b\r\n+OK\r\n",
    "attribute inside": b"*2\r\n+a\r\n|1\r\n+a\r\n+b\r\n+OK\r\n",
    "attribute of nothing": b"|0\r\n+OK\r\n",
    "no length": b"$\r\n",
    "no array length": b"*\r\n",
    "no number": b":\r\n",
    "letters for a length": b"$abc\r\n",
    "letters in a number": b":12a\r\n",
    "streamed string": b"$?\r\n;4\r\nabcd\r\n;0\r\n",
    "streamed array": b"*?\r\n+a\r\n.\r\n",
    "no type": b"\r\n",
    "unknown type": b"@foo\r\n",
    "zeros": b"\0\0\0\0",
    "HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "TLS alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "no bool": b"#x\r\n",
    "no nil": b"_x\r\n",
    "no double": b",abc\r\n",
    "no big number": b"(12x\r\n",
    "short verbatim": b"=3\r\nabc\r\n",
    "list as key": b"%1\r\n*1\r\n+a\r\n+b\r\n",
    "map as key": b"%1\r\n%1\r\n+a\r\n+b\r\n+c\r\n",
    "list as key inside": b"*1\r\n%1\r\n*1\r\n+a\r\n+b\r\n",
}
# A whole that never comes: the socket's timeout ends the wait.
ENDLESS: dict[str, bytes] = {
    "bulk of 2^63-1": b"$9223372036854775807\r\nabc",
    "status without an end": b"+" + b"a" * 5000,
    "length without an end": b"$" + b"1" * 15,
    "CR without LF": b":1\r",
    "many open arrays": b"*1000000\r\n" * 4,
}
# The whole reply would be right too.
DEEP: dict[str, bytes] = {
    "9 levels": b"*1\r\n" * 9 + b":1\r\n",
    "12 levels": b"*1\r\n" * 12 + b":1\r\n",
    "100,000 levels": b"*1\r\n" * 100_000 + b":1\r\n",
    "100,000 maps": b"%1\r\n+k\r\n" * 100_000 + b":1\r\n",
}
LINES = b"\r\n".join([b"", *(each.rstrip(b"\r\n") for each in HOSTILE.values()), b""])
KINDS = [(kind, protocol) for kind in ("link", "pool", "subclass") for protocol in (2, 3)]
TYPED = (InvalidResponse, ConnectionError, TimeoutError)
Answer = Callable[[list[bytes], ScriptedClient], "bytes | None"]


class Subclass(Redis):
    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        return super().parse_response(connection, command_name, **options)


@contextmanager
def client_of(kind: str, protocol: int, port: int, **options: Any) -> Iterator[Redis]:
    chosen = {"socket_timeout": 0.15, "retry": None, "protocol": protocol, **options}
    with (Subclass if kind == "subclass" else Redis)(
        "127.0.0.1", port, multiplex=kind == "link", **chosen
    ) as client:
        yield client


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        return error


def answer_of(hostile: bytes, piece: int | None = None) -> Answer:
    """GET evil: the hostile bytes; GET anything else: its key."""

    def answer(words: list[bytes], client: ScriptedClient) -> bytes | None:
        if words[1] == b"evil":
            client._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.send(hostile, piece)
            return None
        return b"$%d\r\n%b\r\n" % (len(words[1]), words[1])

    return answer


def check_recovery(server: ScriptedServer, client: Redis, before: int) -> None:
    """The connection is closed, and the next commands work on a new one."""
    wait_until(lambda: all(each.closed for each in server.clients[:before]), 2, "the connection stays open")
    assert [client.execute_command("GET", f"after-{n}") for n in range(3)] == [
        b"after-0",
        b"after-1",
        b"after-2",
    ]
    assert before < server.total_connections <= before + 2


# -- on every position


@pytest.mark.parametrize(("kind", "protocol"), KINDS)
@pytest.mark.parametrize("name", [*HOSTILE, *ENDLESS])
def test_hostile_reply(kind: str, protocol: int, name: str) -> None:
    hostile = {**HOSTILE, **ENDLESS}[name]
    with ScriptedServer(answer_of(hostile)) as server, client_of(kind, protocol, server.port) as client:
        assert client.execute_command("GET", "before") == b"before"
        error = outcome(lambda: client.execute_command("GET", "evil"))
        assert isinstance(error, InvalidResponse if name in HOSTILE else TimeoutError), repr(error)
        assert error.maybe_executed and server.address in str(error)
        check_recovery(server, client, 1)


@pytest.mark.parametrize(("kind", "protocol"), KINDS)
@pytest.mark.parametrize("name", DEEP)
def test_deep_reply(kind: str, protocol: int, name: str) -> None:
    with ScriptedServer(answer_of(DEEP[name])) as server, client_of(kind, protocol, server.port) as client:
        reply = outcome(lambda: client.execute_command("GET", "evil"))
        assert isinstance(reply, (list, dict, *TYPED))
        while isinstance(reply, (list, dict)):
            (reply,) = reply if isinstance(reply, list) else reply.values()
        assert reply == 1 or isinstance(reply, TYPED)
        assert client.execute_command("GET", "after") == b"after"


def handshake_of(hostile: bytes, position: int) -> Answer:
    """As answer to the first connection's command of this number; all others are answered well."""

    def answer(words: list[bytes], client: ScriptedClient) -> bytes:
        if client.number == 0 and len(client.commands) == position + 1:
            return hostile
        replies = {b"HELLO": b"%1\r\n+proto\r\n:3\r\n", b"CLIENT": b"+OK\r\n"}
        return replies.get(words[0], b"+done\r\n")

    return answer


@pytest.mark.parametrize(("kind", "protocol"), KINDS)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_in_the_handshake(kind: str, protocol: int, name: str) -> None:
    """Each reply of it in turn: HELLO's, if RESP3 is spoken, and that to each CLIENT SETINFO."""
    for position in range(protocol):
        with ScriptedServer(handshake_of(HOSTILE[name], position), handshake=False) as server:
            with client_of(kind, protocol, server.port) as client:
                error = outcome(lambda: client.execute_command("GET", "key"))
                assert isinstance(error, TYPED) and not error.maybe_executed, (position, repr(error))
                assert not server.sent("GET")
                wait_until(lambda: server.connections == 0, 2, "the connection stays open")
                assert client.execute_command("GET", "key") == b"done"


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("name", HOSTILE)
def test_all_who_wait_on_the_link_are_told(protocol: int, name: str) -> None:
    with (
        ScriptedServer(answer_of(HOSTILE[name])) as server,
        client_of("link", protocol, server.port) as client,
    ):
        keys = ["first", "second", "evil", "third", "fourth"]
        calls = [gevent.spawn(outcome, partial(client.execute_command, "GET", key)) for key in keys]
        first, second, *others = [call.get() for call in calls]
        assert (first, second) == (b"first", b"second")
        assert all(isinstance(each, TYPED) for each in others), others
        assert len(set(map(id, others))) == 3 and isinstance(others[0], InvalidResponse)
        check_recovery(server, client, 1)


@pytest.mark.parametrize(("kind", "protocol"), KINDS)
@pytest.mark.parametrize(
    "extra", [b"+extra\r\n", b"-ERR extra\r\n", b"$5\r\nextra\r\n", b"$5\r\nex", b"*1\r\n", b"\r\n"]
)
def test_unsolicited_reply_reaches_nobody(kind: str, protocol: int, extra: bytes) -> None:
    """It comes in one packet with the reply before it."""
    with (
        ScriptedServer(answer_of(b"+OK\r\n" + extra)) as server,
        client_of(kind, protocol, server.port) as client,
    ):
        assert outcome(lambda: client.execute_command("GET", "evil")) == b"OK"
        replies = [outcome(partial(client.execute_command, "GET", f"k{n}")) for n in range(3)]
        assert all(reply == b"k%d" % n or isinstance(reply, TYPED) for n, reply in enumerate(replies)), (
            replies
        )
        assert replies[-1] == b"k2"
        assert server.clients[0].closed and server.connections == 1


@pytest.mark.parametrize(("kind", "protocol"), KINDS)
def test_unsolicited_reply_to_an_idle_connection_reaches_nobody(kind: str, protocol: int) -> None:
    with ScriptedServer(answer_of(b"+OK\r\n")) as server, client_of(kind, protocol, server.port) as client:
        client.execute_command("GET", "before")
        server.clients[0]._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.clients[0].send(b"+extra\r\n")
        share = client.connection_pool.share()
        if kind == "link":
            wait_until(lambda: share.link is None)
        else:  # the pool does not look at connections that were used just now
            (idle,) = share.idle.queue
            wait_until(lambda: not idle.looks_idle() and monotonic() > idle.idle_since + 0.02)
        assert client.execute_command("GET", "key") == b"key"
        wait_until(lambda: server.clients[0].closed)


@pytest.mark.parametrize(("kind", "protocol"), KINDS)
@pytest.mark.parametrize("reply", [b"$3\r\na\xffb\r\n", b"*2\r\n+a\r\n$2\r\n\xff\xfe\r\n", b"+\xff\r\n"])
def test_undecodable_reply_hurts_its_own_caller_only(kind: str, protocol: int, reply: bytes) -> None:
    with ScriptedServer(answer_of(reply)) as server:
        with client_of(kind, protocol, server.port, decode_responses=True) as client:
            keys = ["first", "evil", "second", "evil", "evil", "third"]
            calls = [gevent.spawn(outcome, partial(client.execute_command, "GET", key)) for key in keys]
            for key, call in zip(keys, calls, strict=True):
                found = call.get()
                assert isinstance(found, UnicodeDecodeError) if key == "evil" else found == key, (key, found)
            assert client.execute_command("GET", "after") == "after"
            assert kind != "link" or server.total_connections == 1


def test_owner_of_an_undecodable_reply_may_leave_before_he_is_told() -> None:
    """The owner of the reply before it throws him out: he must not be woken later, elsewhere."""

    class ThrownOut(BaseException):
        pass

    def ask_and_throw_out() -> Any:
        reply = client.execute_command("GET", "first")
        gevent.get_hub().loop.run_callback(leaving.throw, ThrownOut)
        return reply

    def ask_and_ask_again() -> Any:
        try:
            return outcome(lambda: client.execute_command("GET", "evil"))
        except ThrownOut:
            return client.execute_command("GET", "key")

    def answer(words: list[bytes], client: ScriptedClient) -> bytes | None:
        replies = {b"first": None, b"evil": b"+first\r\n$1\r\n\xff\r\n"}  # both in one packet
        return replies.get(words[1], b"+key\r\n")

    with ScriptedServer(answer) as server:
        with client_of("link", 3, server.port, decode_responses=True, socket_timeout=2) as client:
            client.execute_command("GET", "before")
            throwing = gevent.spawn(outcome, ask_and_throw_out)
            leaving = gevent.spawn(outcome, ask_and_ask_again)
            assert throwing.get(timeout=5) == "first"
            found = leaving.get(timeout=5)
            assert found == "key" or isinstance(found, UnicodeDecodeError), found


# -- in pieces


@pytest.mark.parametrize("kind", ["link", "pool"])
@pytest.mark.parametrize(
    "name", ["big push", "big map", "big array behind a value", "attribute", "attribute inside"]
)
def test_refused_header_in_packets_of_one_byte(kind: str, name: str) -> None:
    with ScriptedServer(answer_of(HOSTILE[name], 1)) as server, client_of(kind, 3, server.port) as client:
        error = outcome(lambda: client.execute_command("GET", "evil"))
        assert isinstance(error, InvalidResponse)
        check_recovery(server, client, 1)


def parsed(chunks: list[bytes], parser: Any = None) -> list[Any]:
    """The replies that the parser gives, fed as the connection and the link do; its error ends the list."""
    parser = parser or Parser()
    replies: list[Any] = []
    try:
        for chunk in chunks:
            parser.feed(bytearray(chunk), len(chunk))
            while True:
                while (reply := parser.gets()) is not NOT_ENOUGH:
                    replies.append(reply)
                if not parser.resume():
                    break
    except Exception as error:
        replies.append(error)
    return replies


def cut_at(data: bytes, *places: int) -> list[bytes]:
    ends = [0, *sorted(places), len(data)]
    return [data[start:end] for start, end in pairwise(ends) if start < end]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_cut_anywhere(name: str) -> None:
    """Behind two replies; in two pieces at every place, and byte by byte."""
    data = b"+a\r\n$3\r\nb\r\n\r\n" + HOSTILE[name]
    for chunks in (*(cut_at(data, at) for at in range(len(data))), cut_at(data, *range(len(data)))):
        first, second, *rest = parsed(chunks)
        assert (first, second) == (b"a", b"b\r\n")
        assert len(rest) == 1 and isinstance(rest[0], (InvalidResponse, TypeError)), (chunks, rest)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_in_a_value_cut_anywhere(name: str) -> None:
    """As a value of its own, in an array before a risky header, and as a key."""
    line = HOSTILE[name]
    for value in (line, b"\r\n" + line, b"\n" + line * 2, line + b"$"):
        bulk = b"$%d\r\n%b\r\n" % (len(value), value)
        data = b"*2\r\n" + bulk + b"%1\r\n" + bulk + b"*1\r\n" + bulk + b"+end\r\n"
        whole = [[value, {value: [value]}], b"end"]
        assert parsed([data]) == whole
        assert all(parsed(cut_at(data, at)) == whole for at in range(1, len(data)))
        assert parsed(cut_at(data, *range(len(data)))) == whole


@pytest.mark.parametrize(
    "line", [b"|", b"|1", b">100000000", b"*16777217", b"%9999999999", b"~1", b"$-5", b"*"]
)
def test_lines_that_look_like_refused_headers_cut_anywhere(line: bytes) -> None:
    """The token's type may be the last byte of a packet."""
    data = b"*2\r\n+%b\r\n%%1\r\n+%b\r\n_\r\n+%b\r\n+end\r\n" % (line, line, line)
    whole = [[line, {line: None}], line, b"end"]
    assert all(parsed(cut_at(data, at)) == whole for at in range(len(data)))
    assert parsed(cut_at(data, *range(len(data)))) == whole


# -- inside values


@pytest.mark.parametrize(("kind", "protocol"), KINDS)
@pytest.mark.parametrize("size", [100_000, 1 << 20])
def test_value_full_of_hostile_lines_passes(kind: str, protocol: int, size: int) -> None:
    value = (LINES * (size // len(LINES) + 1))[:size]
    bulk = b"$%d\r\n%b\r\n" % (size, value)
    with ScriptedServer(answer_of(b"*3\r\n" + bulk + bulk + b"*1\r\n" + bulk)) as server:
        with client_of(kind, protocol, server.port, socket_timeout=10) as client:
            assert client.execute_command("GET", "evil") == [value, value, [value]]
            assert client.execute_command("GET", "after") == b"after"
            assert server.total_connections == 1


@pytest.mark.parametrize("kind", ["link", "pool"])
@pytest.mark.parametrize("line", [b"\n|", b"\n>100000000\r", b"\n$", b"\n*99999999\r\n$5\r"], ids=repr)
def test_value_of_the_worst_lines_does_not_hold_the_hub_up(kind: str, line: bytes) -> None:
    """Where every few bytes look like a refused header, time must still grow with the size alone."""
    value = (line * (1_000_000 // len(line) + 1))[:1_000_000]

    def run() -> None:
        assert client.execute_command("GET", "key") == b"key"
        with Ticker() as ticker:
            assert client.execute_command("GET", "evil") == value
        assert ticker.worst < 0.02

    with ScriptedServer(answer_of(b"$1000000\r\n" + value + b"\r\n")) as server:
        with client_of(kind, 3, server.port, socket_timeout=10) as client:
            on_quiet_machine(run, 0.02)


@pytest.mark.parametrize("kind", ["link", "pool"])
def test_many_small_values_of_hostile_lines_pass(kind: str) -> None:
    values = list(HOSTILE.values()) * 400
    data = b"*%d\r\n" % len(values) + b"".join(b"$%d\r\n%b\r\n" % (len(each), each) for each in values)
    with ScriptedServer(answer_of(data)) as server:
        with client_of(kind, 3, server.port, socket_timeout=10) as client:
            assert client.execute_command("GET", "evil") == values
            assert client.execute_command("GET", "after") == b"after"


@pytest.mark.parametrize("seed", range(20))
def test_replies_cut_at_random_places(seed: int) -> None:
    """Values of hostile lines, of all sizes up to some packets, among headers of all kinds."""
    draw = random.Random(seed)
    values = [draw.choice([LINES, *HOSTILE.values()]) * draw.choice([1, 1, 1, 30, 300]) for _ in range(60)]
    headers = draw.choices([b"", b"*1\r\n", b"~1\r\n", b">1\r\n", b"%1\r\n+k\r\n"], k=60)
    pairs = zip(headers, values, strict=True)
    data = b"".join(b"%b$%d\r\n%b\r\n" % (header, len(value), value) for header, value in pairs)
    plain = hiredis.Reader(notEnoughData=NOT_ENOUGH)
    plain.feed(data)
    whole = list(iter(plain.gets, NOT_ENOUGH))
    sizes = draw.choice([(1, 40), (1, 5000), (65536, 65536), (4000, 70000)])
    places = accumulate(draw.randint(*sizes) for _ in range(len(data) // sizes[0] + 1))
    assert parsed(cut_at(data, *(at for at in places if at < len(data)))) == whole


# -- memory


BOUNDED = """
import resource, gevent, sys
sys.path.insert(0, {folder!r})
from test_p11_hostile import *

def size(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))

limit = size("VmSize") + {room}
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
{script}
print("resident", size("VmHWM") >> 20)
"""
HEADERS = """
for kind, protocol in KINDS:
    for name, hostile in {**HOSTILE, **ENDLESS, **DEEP, "open": b"*16777216\\r\\n" * 4}.items():
        with ScriptedServer(answer_of(hostile)) as server, client_of(kind, protocol, server.port) as client:
            found = outcome(lambda: client.execute_command("GET", "evil"))
            assert isinstance(found, TYPED) or name in DEEP, (kind, name, found)
            # To free what was reserved takes longer than this client's timeout.
            wait_until(lambda: outcome(lambda: client.execute_command("GET", "after")) == b"after")
"""
# As fast as the client takes it, until it closes.
FLOOD = """
def flood(words, client):
    if words[1] != b"evil":
        return b"+after\\r\\n"
    client.send({first!r})
    while True:
        client.send({rest!r} * 1000)

with ScriptedServer(flood) as server, client_of({kind!r}, 3, server.port, socket_timeout=0.5) as client:
    began = monotonic()
    found = outcome(lambda: client.execute_command("GET", "evil"))
    assert monotonic() - began < 1, monotonic() - began
    assert isinstance(found, TYPED), found
    assert client.execute_command("GET", "after") == b"after"
"""
MB = 1 << 20


def resident(script: str, room: int) -> int:
    """The most memory in MB that a process used for `script`, which may reserve `room` bytes more."""
    program = BOUNDED.format(folder=os.path.dirname(__file__), room=room, script=script)
    done = subprocess.run(
        [sys.executable, "-c", program], env=module_environment(), capture_output=True, text=True, timeout=10
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Traceback" not in done.stderr, done.stderr[-2000:]
    return int(done.stdout.split()[-1])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and RLIMIT_AS")
def test_memory_for_hostile_headers_is_bounded() -> None:
    """hiredis reserves 128 MB for a header of 2^24 elements, which is the most that is let through."""
    assert resident(HEADERS, 700 * MB) < 250


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and RLIMIT_AS")
@pytest.mark.parametrize("kind", ["link", "pool"])
@pytest.mark.parametrize(
    ("first", "rest"),
    [
        (b"+", b"a" * 64), (b"$", b"1" * 64), (b"$9223372036854775807\r\n", b"a" * 64), (b"", b"*1\r\n" * 16),
        (b"", b"*16777216\r\n"), (b"*16777216\r\n", b"+abcdefgh\r\n"), (b"", b">1\r\n+a\r\n"),
    ],
    ids=lambda each: repr(each)[:16],
)  # fmt: skip
def test_flood_that_never_ends(kind: str, first: bytes, rest: bytes) -> None:
    """It ends by an error, by the timeout at the latest, and whoever asks next is served."""
    resident(FLOOD.format(kind=kind, first=first, rest=rest), 400 * MB)
