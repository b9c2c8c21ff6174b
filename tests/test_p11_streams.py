"""Any valid stream of replies, in any chunks, gives what plain hiredis gives for the whole."""

from __future__ import annotations

import math
import os
from typing import Any

import hiredis
import pytest

from greenredis.exceptions import RedisError, parse_error
from greenredis.protocol import NOT_ENOUGH, Parser

if not os.environ.get("CI"):
    pytest.importorskip("hypothesis", reason="pip install hypothesis")
from hypothesis import given, settings
from hypothesis import strategies as some

# What looks like the headers that are refused, or like their beginning.
RISKY = [
    b"\r\n", b"\n|", b"\n>100000000\r\n", b"\n%9999999999\r\n", b"\n*16777217\r\n", b"\n$", b"\n~",
    b"\r", b"*", b"|1\r\n", b"$5\r\nhello\r\n", b"\n*99999999", b"\n>",
]  # fmt: skip


def bulk(value: bytes, kind: bytes = b"$") -> bytes:
    return b"%b%d\r\n%b\r\n" % (kind, len(value), value)


def aggregate(kind: bytes, replies: list[bytes]) -> bytes:
    count = len(replies) // 2 if kind == b"%" else len(replies)
    return b"%b%d\r\n" % (kind, count) + b"".join(replies[: count * 2 if kind == b"%" else None])


def as_map(pairs: list[tuple[bytes, bytes]]) -> bytes:
    return aggregate(b"%", [each for pair in pairs for each in pair])


values = some.lists(some.one_of(some.sampled_from(RISKY), some.binary(max_size=12)), max_size=30).map(
    b"".join
)
# Around the sizes of chunks, and beyond them.
long_values = some.tuples(values, some.integers(1, 3000)).map(lambda pair: pair[0] * pair[1])
lines = some.text("abc $*|>%~:", max_size=20).map(str.encode)
integers = some.integers(-(2**63), 2**63 - 1)
floats = some.floats(allow_nan=False)
scalars = some.one_of(
    values.map(bulk),
    long_values.map(bulk),
    values.map(lambda value: bulk(b"txt:" + value, b"=")),
    lines.map(lambda line: b"+" + line + b"\r\n"),
    lines.map(lambda line: b"-ERR " + line + b"\r\n"),
    integers.map(lambda number: b":%d\r\n" % number),
    integers.map(lambda number: b"(%d%d\r\n" % (number, abs(number))),
    floats.map(lambda number: f",{number!r}\r\n".encode()),
    some.sampled_from(
        [b"$-1\r\n", b"*-1\r\n", b"_\r\n", b"#t\r\n", b"#f\r\n", b"*0\r\n", b"%0\r\n", b"~0\r\n"]
    ),
)
keys = some.one_of(values.map(bulk), lines.map(lambda line: b"+" + line + b"\r\n"))
replies = some.recursive(
    scalars,
    lambda inner: some.one_of(
        some.tuples(some.sampled_from([b"*", b"~"]), some.lists(inner, max_size=5)).map(
            lambda two: aggregate(*two)
        ),
        some.lists(some.tuples(keys, inner), max_size=4).map(as_map),
    ),
    max_leaves=12,
)
pushes = some.lists(scalars, min_size=1, max_size=3).map(lambda inner: aggregate(b">", inner))
streams = some.lists(some.one_of(replies, replies, pushes), min_size=1, max_size=6).map(b"".join)
sizes = some.lists(some.sampled_from([1, 2, 3, 7, 50, 4095, 4096, 65536]), min_size=1, max_size=6)


def fed_to_hiredis(data: bytes) -> list[Any]:
    reader = hiredis.Reader(replyError=parse_error, notEnoughData=NOT_ENOUGH)
    reader.feed(data)
    return list(iter(reader.gets, NOT_ENOUGH))


def fed_to_parser(parser: Parser, chunks: list[bytes]) -> list[Any]:
    """As the connection and the link do it: get all, resume, feed what comes next into the same buffer."""
    buffer = bytearray(65536)
    found: list[Any] = []
    for chunk in chunks:
        buffer[: len(chunk)] = chunk
        parser.feed(buffer, len(chunk))
        while True:
            found += iter(parser.gets, NOT_ENOUGH)
            if not parser.resume():
                break
    return found


def cut(data: bytes, lengths: list[int]) -> list[bytes]:
    """Pieces of these lengths, again and again; short ones only for the first kilobytes."""
    chunks, at, turn = [], 0, 0
    while at < len(data):
        length = lengths[turn % len(lengths)] if at < 3000 else max(4096, lengths[turn % len(lengths)])
        chunks.append(data[at : at + length])
        at, turn = at + length, turn + 1
    return chunks


def comparable(reply: Any) -> Any:
    if isinstance(reply, RedisError):
        return type(reply).__name__, reply.args
    if isinstance(reply, hiredis.PushNotification):
        return "push", [comparable(each) for each in reply]
    if isinstance(reply, list):
        return [comparable(each) for each in reply]
    if isinstance(reply, dict):
        return [(key, comparable(value)) for key, value in reply.items()]
    return (type(reply).__name__, "nan" if isinstance(reply, float) and math.isnan(reply) else reply)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(data=streams, lengths=sizes)
def test_any_stream_in_any_chunks(data: bytes, lengths: list[int]) -> None:
    parser = Parser()
    assert comparable(fed_to_parser(parser, cut(data, lengths))) == comparable(fed_to_hiredis(data))
    assert parser.is_clean()


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(data=streams, lengths=sizes, missing=some.integers(1, 200))
def test_any_stream_that_is_not_whole(data: bytes, lengths: list[int], missing: int) -> None:
    """What is whole comes, the rest does not, and it comes when the end does."""
    start, end = data[:-missing], data[-missing:]
    parser = Parser()
    first = fed_to_parser(parser, cut(start, lengths))
    assert comparable(first) == comparable(fed_to_hiredis(start))
    assert comparable(first + fed_to_parser(parser, [end])) == comparable(fed_to_hiredis(data))
