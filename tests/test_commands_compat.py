"""The same call on redis-py and here: the same signature, words, errors and values."""

from __future__ import annotations

import inspect
import socket
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import hiredis
import pytest
import redis
from calls import CALLS, ERRORS, REPLIES, SETUP, WORDS_ONLY  # type: ignore[import-not-found]
from differences import DIFFERENT_REPLIES, DIFFERENT_WORDS, MISSING  # type: ignore[import-not-found]
from redis._parsers.response_callbacks import get_response_callbacks
from redis.commands import core
from redis.commands.sentinel import SentinelCommands

from greenredis import Redis
from greenredis.commands import CoreCommands
from greenredis.commands.options import options
from greenredis.commands.replies import response_callbacks
from greenredis.protocol import Packer

GROUPS = (
    core.ACLCommands, core.ManagementCommands, core.BasicKeyCommands, core.ListCommands, core.ScanCommands,
    core.SetCommands, core.HashCommands, core.PubSubCommands, core.ScriptCommands, core.FunctionCommands,
    core.ModuleCommands, core.ClusterCommands, SentinelCommands, core.SortedSetCommands, core.GeoCommands,
    core.HyperlogCommands, core.StreamCommands, core.ArrayCommands,
)  # fmt: skip
# HIMPORT's are tested in test_himport.py, scripts in test_script.py.
LATER = {
    "himport_discard_all_internal", "himport_discard_internal", "himport_prepare_internal", "himport_set",
    "register_script",
}  # fmt: skip
SHAPES = [(None, True), (2, True), (3, True), (None, False), (2, False), (3, False)]
# Options that change nothing here: redis-py's cache reads `keys`.
IDLE_OPTIONS = {
    "keys", "infotype",
    "member", "longitude", "latitude", "unit", "radius", "width", "height", "sort", "count", "any",
}  # fmt: skip


class Sent(Exception):
    """What a method would send."""

    def __init__(self, words: tuple[Any, ...], options: dict[str, Any]) -> None:
        super().__init__(words, options)
        self.name = str(words[0])
        self.words = [bytes(Packer().encode(word)) for word in (*str(words[0]).split(), *words[1:])]
        decode = {"NEVER_DECODE": True} if "NEVER_DECODE" in options else {}
        self.options = {
            name: value
            for name, value in options.items()
            if name not in (*IDLE_OPTIONS, "NEVER_DECODE") and (value or isinstance(value, list))
        } | decode


class Theirs(redis.Redis):
    def execute_command(self, *words: Any, **options: Any) -> Any:
        raise Sent(words, options)


class Ours(CoreCommands):
    encoder = Packer()

    def execute_command(self, *words: Any, **options: Any) -> Any:
        raise Sent(words, options)

    def get_encoder(self) -> Packer:
        return self.encoder


class Wire:
    """A bare connection that speaks RESP2 or RESP3, and may decode replies."""

    def __init__(self, port: int, protocol: int, decodes: bool = False) -> None:
        self.decodes = decodes
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._reader = hiredis.Reader(notEnoughData=self, encoding="utf-8" if decodes else None)
        self.ask("HELLO", protocol)

    def ask(self, *words: Any) -> Any:
        self._socket.sendall(hiredis.pack_command(words))
        while (reply := self._reader.gets()) is self:
            self._reader.feed(self._socket.recv(65536))
        return reply

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def wires(server: Any, request: pytest.FixtureRequest) -> Iterator[dict[int, Wire]]:
    decodes = getattr(request, "param", False)
    found = {2: Wire(server.port, 2, decodes), 3: Wire(server.port, 3, decodes)}
    yield found
    found[2].ask("CONFIG", "SET", "slowlog-log-slower-than", 10000)
    found[2].ask("FLUSHALL")
    for wire in found.values():
        wire.close()


def sent(client: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Sent:
    with pytest.raises(Sent) as caught:
        drive(getattr(client, name)(*args, **kwargs))
    return caught.value


def drive(found: Any) -> None:
    """Take what sends nothing by itself, an iterator or a bit field, to where it does."""
    if inspect.isgenerator(found):
        next(found)
    found.incrby("u8", 1, 2, "SAT").get("u4", "#1").set("u8", 8, 9).overflow("fail").execute()


def public(kind: type) -> set[str]:
    special = {"__getitem__", "__setitem__", "__delitem__", "__contains__"}
    return {
        name
        for name, value in inspect.getmembers(kind)
        if callable(value) and (name[0] != "_" or name in special)
    }


def parameters(method: Any) -> list[tuple[Any, ...]]:
    return [(p.name, p.kind, p.default) for p in inspect.signature(method).parameters.values()]


@pytest.mark.parametrize("name", sorted(set().union(*map(public, GROUPS)) - LATER - {"execute_command"}))
def test_signature(name: str) -> None:
    assert parameters(getattr(CoreCommands, name)) == parameters(getattr(redis.Redis, name))


@pytest.mark.parametrize("name", sorted(public(redis.Redis) & set(vars(redis.Redis)) - set(MISSING)))
def test_signature_of_what_the_client_adds(name: str) -> None:
    ours, theirs = parameters(getattr(Redis, name)), parameters(getattr(redis.Redis, name))
    if name == "execute_command":
        theirs[1] = ("words", *theirs[1][1:])
    assert ours == theirs


def test_every_method_is_called_and_is_redis_pys() -> None:
    called = {name for name, *_ in (*CALLS, *ERRORS)}
    assert public(CoreCommands) - called == {"digest_local", "sentinel", "unwatch", "watch"}
    assert called <= public(redis.Redis)


def test_nothing_is_missing_but_what_is_listed() -> None:
    names = {name for name in dir(redis.Redis) if name[0] != "_" and callable(getattr(redis.Redis, name))}
    missing = {name for name in names if not hasattr(Redis, name)}
    assert missing == {name for name in MISSING if name in names}
    assert len(missing) < len(names) / 100


def test_every_difference_is_told_in_the_docs() -> None:
    page = (Path(__file__).parent.parent / "docs" / "migrating.md").read_text(encoding="utf-8")
    for name in (*DIFFERENT_WORDS, *DIFFERENT_REPLIES, *MISSING):
        assert f"`{name}" in page, name


def title(value: Any) -> str | None:
    return repr(value)[:60] if isinstance(value, tuple) else None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("call", CALLS, ids=title)
def test_words(call: tuple[str, tuple[Any, ...], dict[str, Any]]) -> None:
    found, theirs = sent(Ours(), *call), sent(Theirs(), *call)
    assert found.words == theirs.words
    if call[0] == "geosearchstore":  # whose reply no option changes
        theirs.options.pop("store_dist", None)
    assert found.options == theirs.options | ({"NEVER_DECODE": True} if call[0] in DIFFERENT_REPLIES else {})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("call", ERRORS, ids=title)
def test_errors(call: tuple[str, tuple[Any, ...], dict[str, Any]]) -> None:
    name, args, kwargs = call
    raised = []
    for client in (Ours(), Theirs()):
        with pytest.raises(Exception) as caught:
            getattr(client, name)(*args, **kwargs)
        raised.append(type(caught.value).__name__)
    assert raised[0] == raised[1] != "Sent"


def convert(table: dict[str, Any], sent: Sent, name: str, reply: Any) -> Any:
    callback = table.get(name)
    options = {
        key: value for key, value in sent.options.items() if key not in ("NEVER_DECODE", "EMPTY_RESPONSE")
    }
    return reply if callback is None else callback(reply, **options)


def compare(sent: Sent, name: str, replies: dict[int, Any]) -> None:
    for protocol, legacy in SHAPES:
        reply = replies.get(2 if protocol == 2 else 3, IndexError())
        if isinstance(reply, Exception):
            continue
        theirs = convert(get_response_callbacks(protocol, legacy), sent, name, deepcopy(reply))
        found = convert(response_callbacks(protocol, legacy), sent, name, reply)
        assert (type(found), found) == (type(theirs), theirs), (protocol, legacy)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("wires", [False, True], ids=["bytes", "decoded"], indirect=True)
@pytest.mark.parametrize("call", [call for call in CALLS if call[0] not in WORDS_ONLY], ids=title)
def test_values(wires: dict[int, Wire], call: tuple[str, tuple[Any, ...], dict[str, Any]]) -> None:
    words = sent(Ours(), *call)
    if "NEVER_DECODE" in words.options and wires[2].decodes:
        pytest.skip("its replies are never decoded")
    replies = {}
    for protocol, wire in wires.items():
        for line in SETUP:
            wire.ask(*line.split())
        with suppress(UnicodeDecodeError):  # a client is asked not to decode those, or fails as well
            replies[protocol] = wire.ask(*words.words)
        wire.ask("ACL", "DELUSER", "someone")
    compare(words, words.name, replies)


@pytest.mark.parametrize(("name", "given", "on_resp2", "on_resp3"), REPLIES)
def test_values_of_replies_that_are_rare(
    name: str, given: dict[str, Any], on_resp2: Any, on_resp3: Any
) -> None:
    compare(Sent((name,), given), name, {2: on_resp2, 3: on_resp3})


def test_no_callback_changes_nothing() -> None:
    for protocol, legacy in SHAPES:
        for name in response_callbacks(protocol, legacy):
            assert name.upper() == name
            assert name in get_response_callbacks(protocol, legacy)


class Live(Ours):
    """Sends what the methods say, and converts as a client does."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.table = response_callbacks(None, True)

    def execute_command(self, *words: Any, **options: Any) -> Any:
        found = Sent(words, options)
        return convert(self.table, found, str(words[0]), self.wire.ask(*found.words))


def test_iterators(server: Any, wires: dict[int, Wire]) -> None:
    wire = wires[3]
    wire.ask("FLUSHALL")
    wire.ask("MSET", *(word for number in range(300) for word in (f"k{number}", 1)))
    wire.ask("SADD", "set", *range(300))
    wire.ask("HSET", "hash", *range(600))
    wire.ask("ZADD", "sorted", *range(600))
    with redis.Redis(port=server.port) as theirs:
        for name, args, kwargs in (
            ("scan_iter", (), {"match": "k*", "count": 7}),
            ("scan_iter", (), {"_type": "set"}),
            ("sscan_iter", ("set",), {"count": 20}),
            ("hscan_iter", ("hash",), {"count": 20}),
            ("zscan_iter", ("sorted",), {"count": 20}),
        ):
            found = list(getattr(Live(wire), name)(*args, **kwargs))
            # The server may rehash between the two, which changes the order.
            assert sorted(found) == sorted(getattr(theirs, name)(*args, **kwargs))
            assert found


def test_no_values_of_false_is_as_good_as_none() -> None:
    assert sent(Ours(), "hscan", ("h",), {"no_values": False}).words == [b"HSCAN", b"h", b"0"]


def test_items_and_deletion(wires: dict[int, Wire]) -> None:
    client = Live(wires[3])
    client["item"] = "value"
    assert client["item"] == b"value"
    assert "item" in client
    del client["item"]
    assert "item" not in client
    with pytest.raises(KeyError):
        client["item"]


def test_shutdown_is_over_when_the_connection_is() -> None:
    class Closing(Ours):
        def execute_command(self, *words: Any, **options: Any) -> Any:
            from greenredis.exceptions import ConnectionError

            raise ConnectionError("closed")

    Closing().shutdown(nosave=True)


def test_watching_without_a_pipeline_is_warned_about() -> None:
    for name in ("watch", "unwatch"):
        with pytest.warns(DeprecationWarning, match="Pipeline"):
            assert getattr(Ours(), name)() is None


def test_sentinel_as_one_method_is_warned_about() -> None:
    with pytest.warns(DeprecationWarning, match="sentinel_"):
        Ours().sentinel("masters")


def test_options() -> None:
    assert options(EX=5, NX=True) == ["EX", 5, "NX"]
    assert options(EX=None, XX=False, COUNT=0, MATCH="") == ["COUNT", 0, "MATCH", ""]


def test_a_plain_set_and_get_build_nothing() -> None:
    assert sent(Ours(), "set", ("a", 1), {}).args == (("SET", "a", 1), {})
    assert sent(Ours(), "get", ("a",), {}).args == (("GET", "a"), {})
    moment = datetime(2030, 1, 1, tzinfo=timezone.utc)
    assert sent(Ours(), "set", ("a", 1), {"exat": moment}).words[3:] == [b"EXAT", b"1893456000"]
    assert sent(Ours(), "set", ("a", 1), {"px": timedelta(seconds=1.5)}).words[3:] == [b"PX", b"1500"]
