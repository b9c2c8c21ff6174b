"""Keys and timeouts of command lines: as the servers themselves find them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from command_lines import TIMEOUT, Lines, ask_each, commands, documents  # type: ignore[import-not-found]

from greenredis.testing import Server
from greenredis.testing.pytest_plugin import heal
from greenredis.traits import keys_of, traits_of

# Routed as keys are, and none to the server: channels of a shard, and a cursor that names its slot.
NO_KEYS_BUT_ROUTED_SO = {"SSUBSCRIBE", "SUNSUBSCRIBE", "SPUBLISH", "CLUSTERSCAN"}


@pytest.fixture(params=["valkey", "redis_server", "redis8"])
def each_server(request: pytest.FixtureRequest) -> Server:
    """Each that there is, whatever servers are chosen: together they know all commands."""
    return heal(request.getfixturevalue(request.param))


def lines(server: Server, many: int, *, blocking: bool = False) -> Iterator[tuple[Any, list[str]]]:
    documented = documents(server.port)
    for name, command in commands(server.port).items():
        if "blocking" in command.flags or not blocking:
            for line in Lines(command, documented.get(name, [])).make(many):
                yield command, line


def test_keys_are_those_that_the_server_finds(each_server: Server) -> None:
    made = list(lines(each_server, 20))
    replies = ask_each(each_server.port, [["COMMAND", "GETKEYS", *line] for _, line in made])
    wrong, with_keys = [], set()
    for (command, line), reply in zip(made, replies, strict=True):
        if "no key arguments" in str(reply):
            reply = []
        if isinstance(reply, Exception):  # PFMERGE of nothing, among others
            continue
        with_keys.update([command.name] if reply else [])
        if keys_of(line) != reply and command.name not in NO_KEYS_BUT_ROUTED_SO:
            wrong.append((line, reply))
    assert wrong == []
    told = {name for name, command in commands(each_server.port).items() if command.has_keys}
    assert told - with_keys <= NO_KEYS_BUT_ROUTED_SO and len(with_keys) > 150


def test_names_and_words_in_any_form(each_server: Server) -> None:
    for command, line in lines(each_server, 3):
        keys, name = keys_of(line), command.name.replace("|", " ")
        rest = line[len(name.split()) :]
        assert keys_of([name, *rest]) == keys_of([name.lower(), *rest]) == keys
        for encoded in ([name, *rest], [name.lower(), *rest], line):
            assert keys_of([word.encode() for word in encoded]) == [key.encode() for key in keys]


def test_timeouts_stand_where_the_server_tells(each_server: Server) -> None:
    checked = set()
    for command, line in lines(each_server, 20, blocking=True):
        milliseconds = command.name in ("WAIT", "WAITAOF", "XREAD", "XREADGROUP")
        seconds = (7.777 if milliseconds else 7777.0) if TIMEOUT in line else None
        assert traits_of(line).block_seconds(line) == seconds, line
        checked.update([command.name] if seconds else [])
    assert {"BLPOP", "BLMOVE", "BLMPOP", "BZMPOP", "BZPOPMIN", "XREAD", "XREADGROUP"} <= checked


@pytest.mark.parametrize(
    ("line", "keys"),
    [
        ("XREADGROUP COUNT 1 GROUP STREAMS STREAMS STREAMS a b > >", "a b"),
        ("XREADGROUP GROUP g me CLAIM 5 NOACK STREAMS a >", "a"),
        ("SORT a BY STORE GET STORE LIMIT 0 STORE STORE b store c", "a c"),
        ("GEORADIUSBYMEMBER a STORE 1 m COUNT 1 ANY STORE b", "a b"),
        ("GEORADIUS a 1 2 3 m STOREDIST b", "a b"),
        ("EVAL script 0 argument", ""),
        ("EVAL script 9 a", "a"),
        ("EVAL script -1 a", ""),
        ("EVAL script x a", ""),
        ("EVAL script", ""),
        ("GET", ""),
        ("BLPOP", ""),
        ("XREAD BLOCK 0", ""),
        ("MSETEX 2 a 1 b 2 EX 5", "a b"),
        ("MSETNX a 1 b 2", "a b"),
        ("CMS.MERGE to 2 a b WEIGHTS 1 2", "to a b"),
        ("JSON.MSET a $ 1 b $ 2", "a b"),
        ("JSON.MGET a b $", "a b"),
        ("TS.MADD a 1 2 b 3 4", "a b"),
        ("HIMPORT SET a fields 1", "a"),
        ("SDIFFCARD 2 a b LIMIT 1", "a b"),
        ("LMOVEM a b LEFT RIGHT", "a b"),
        ("SSUBSCRIBE a b", "a b"),
        ("SPUBLISH a message", "a"),
        ("PUBLISH a message", ""),
        ("NOSUCH a b", "a"),
        ("NOSUCH", ""),
        ("CLUSTER NOSUCH a", ""),
        ("CLIENT SETNAME me", ""),
    ],
)  # fmt: skip
def test_keys(line: str, keys: str) -> None:
    assert keys_of(line.split()) == keys.split()


def test_keys_that_are_not_text() -> None:
    assert keys_of(("MIGRATE", "host", 6379, "a", 0, 5)) == ["a"]
    assert keys_of(("MIGRATE", "host", 6379, b"", 0, 5, "AUTH", "KEYS", b"keys", b"a", b"b")) == [b"a", b"b"]
    assert keys_of(("MIGRATE", "host", 6379, 7, 0, 5)) == [7]
    assert keys_of(("EVAL", "script", memoryview(b"1"), "a", "b")) == ["a"]
    assert keys_of(("MGET", 1, b"\xff", bytearray(b"a"))) == [1, b"\xff", bytearray(b"a")]
    assert keys_of((b"ZUNIONSTORE", "to", 2, "a", "b")) == ["to", "a", "b"]
