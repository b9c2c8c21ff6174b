from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import hiredis
import pytest

from greenredis.traits import Traits, traits_of

# They have the server's flag, or read although they have none.
FLAGGED_BUT_NOT_READ = {"TOUCH"}
# These answer without reading keys, and have no flag.
CONTAINERS_THAT_READ = {
    "ACL", "CLIENT", "CLUSTER", "COMMAND", "COMMANDLOG", "CONFIG", "FUNCTION", "LATENCY", "MEMORY", "MODULE",
    "OBJECT", "PUBSUB", "SCRIPT", "SLOWLOG", "XGROUP", "XINFO",
}  # fmt: skip
READ_WITHOUT_FLAG = {"COMMAND", "ECHO", "INFO", "LASTSAVE", "PING", "ROLE", "TIME"}


def ask(port: int, *words: str) -> Any:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        reader = hiredis.Reader(encoding="utf-8")
        connection.sendall(hiredis.pack_command(words))  # type: ignore[arg-type]
        while (reply := reader.gets()) is False:
            reader.feed(connection.recv(65536))
        return reply


def commands(reply: list[Any]) -> Iterator[tuple[list[str], set[str]]]:
    for name, _arity, flags, *rest in reply:
        yield name.upper().split("|"), set(flags)
        if len(rest) > 6:
            yield from commands(rest[6])


def test_traits_agree_with_the_servers_own_table(server: Any) -> None:
    containers = {words[0] for words, _ in commands(ask(server.port, "COMMAND")) if len(words) == 2}
    wrong = []
    for words, flags in commands(ask(server.port, "COMMAND")):
        if len(words) == 1 and words[0] in containers and words[0] != "COMMAND":
            continue
        name, found = " ".join(words), traits_of(words)
        reads = "readonly" in flags and name not in FLAGGED_BUT_NOT_READ
        may_read = words[0] in CONTAINERS_THAT_READ if len(words) == 2 else name in READ_WITHOUT_FLAG
        if found.read_only != reads and not (may_read and found.read_only and "write" not in flags):
            wrong.append(f"{name} read_only={found.read_only}, flags {flags}")
        if not (found.shareable or found.blocking or found.state or found.refused):
            wrong.append(f"{name} is not known")
        if "blocking" in flags and not found.blocking and words[0] not in ("XREAD", "XREADGROUP"):
            wrong.append(f"{name} blocks")
    assert wrong == []


def all_traits() -> Iterator[Traits]:
    from greenredis import traits

    yield from traits._BY_NAME.values()
    yield from traits._BY_SUBCOMMAND.values()


def test_what_blocks_or_changes_its_connection_is_never_shared() -> None:
    for found in all_traits():
        assert found.shareable != bool(found.blocking or found.state or found.refused)
        assert not (found.read_only and (found.state or found.refused))


def test_no_name_stands_twice() -> None:
    from greenredis import traits

    names = " ".join((*traits._READ, *traits._WRITE, traits._STATE)).split()
    names += [*traits._REFUSED, *traits._BLOCKING_BY_OPTION]
    names += traits._BLOCKING.keys() - traits._REFUSED.keys()
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(
    "words",
    [
        ["CONFIG", "GET", "x"], ["config get", "x"], [b"Config Get"], [b"CONFIG", b"get"],
        [bytearray(b"config"), memoryview(b"get")], ["GET"], [b"GET"], ["get"], [bytearray(b"gEt")],
    ],
)  # fmt: skip
def test_names_in_any_form(words: list[Any]) -> None:
    assert traits_of(words)[:5] == Traits(read_only=True, shareable=True)[:5]


def test_what_is_not_known_is_not_shared() -> None:
    for words in (["NOSUCH"], ["CONFIG", "NOSUCH"], ["CONFIG"], [""], [5], [b"\xff"]):
        assert traits_of(words)[:5] == Traits()[:5]
    assert traits_of(["CLIENT", "NOSUCH"]).state
    assert traits_of(["NOSUCH"]).is_fixed
    assert not traits_of(["CONFIG", "GET"]).is_fixed
    assert traits_of(["GET"]).is_fixed


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("GET key", None),
        ("BLPOP key 0", 0.0),
        ("BLPOP a b 1.5", 1.5),
        ("blpop a b 2", 2.0),
        ("BLPOP key -1", None),
        ("BLPOP key x", None),
        ("BLPOP key inf", None),
        ("BLPOP", None),
        ("BRPOPLPUSH a b 3", 3.0),
        ("BLMOVE a b LEFT RIGHT 4", 4.0),
        ("BLMOVEM a b LEFT RIGHT 5 COUNT 2 OBO", 5.0),
        ("BLMPOP 6 1 key LEFT COUNT 2", 6.0),
        ("BZMPOP 7 1 key MIN", 7.0),
        ("BZPOPMIN a b 8", 8.0),
        ("WAIT 1 1500", 1.5),
        ("WAIT 1 0", 0.0),
        ("WAITAOF 1 0 2500", 2.5),
        ("XREAD STREAMS a 0", None),
        ("XREAD STREAMS BLOCK 0", None),
        ("XREAD COUNT 5 STREAMS a 0", None),
        ("XREAD COUNT 5 BLOCK 1500 STREAMS a $", 1.5),
        ("xread block 0 streams a $", 0.0),
        ("XREADGROUP GROUP BLOCK me COUNT 1 STREAMS a >", None),
        ("XREADGROUP GROUP g STREAMS COUNT 1 BLOCK 250 NOACK STREAMS a >", 0.25),
    ],
)
def test_how_long_words_block(line: str, seconds: float | None) -> None:
    for words in (line.split(), line.encode().split()):
        found = traits_of(words)
        assert found.block_seconds(words) == seconds
        assert not (found.shareable and seconds is not None)


def test_numbers_as_words() -> None:
    assert traits_of(("BLPOP", "key", 3)).block_seconds(("BLPOP", "key", 3)) == 3.0
    words = ("XREAD", "BLOCK", 1500, "STREAMS", "a", "$")
    assert traits_of(words).block_seconds(words) == 1.5


@pytest.mark.parametrize(
    ("line", "way"),
    [
        ("MULTI", "single_connection_client"),
        ("exec", "single_connection_client"),
        ("SELECT 1", "Redis(db=...)"),
        ("SUBSCRIBE a", "get_connection()"),
        ("SUNSUBSCRIBE", "get_connection()"),
        ("MONITOR", "get_connection()"),
        ("CLIENT REPLY OFF", "get_connection()"),
        ("WAITAOF 1 1 0", "single_connection_client"),
    ],
)
def test_refusals_name_the_right_way(line: str, way: str) -> None:
    assert way in (traits_of(line.split()).refused or "")


@pytest.mark.parametrize(
    "line",
    [
        "AUTH x",
        "HELLO 3",
        "CLIENT TRACKING ON",
        "CLIENT SETNAME x",
        "READONLY",
        "WATCH a",
        "SCRIPT DEBUG YES",
        "DEBUG SLEEP 1",
    ],
)
def test_commands_that_change_their_connection(line: str) -> None:
    assert traits_of(line.split()).state


@pytest.mark.parametrize(
    "line", ["EVAL x 0", "SCRIPT LOAD x", "FUNCTION LOAD x", "GETEX a", "PUBLISH a b", "TOUCH a"]
)
def test_what_is_not_sent_again(line: str) -> None:
    assert not traits_of(line.split()).read_only
    assert traits_of(line.split()).shareable
