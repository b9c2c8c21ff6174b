"""Modules' commands: redis-py's own classes on our client say and give what they do on redis-py's."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest
import redis
from gevent.event import Event
from redis.backoff import NoBackoff
from redis.commands.redismodules import RedisModuleCommands as Theirs
from redis.commands.search.aggregation import AggregateRequest
from redis.commands.search.field import NumericField, TextField
from redis.commands.search.query import Query
from redis.keyspace_notifications import KeyspaceChannel
from redis.retry import Retry

import greenredis
from greenredis.exceptions import DataError, RedisError, ResponseError
from greenredis.modules import RedisModuleCommands
from greenredis.testing import ScriptedClient, ScriptedServer, Server, wait_until

pytestmark = pytest.mark.usefixtures("leaks")

SHAPES = [(None, True), (2, True), (3, True), (None, False), (2, False), (3, False)]
NAMES = "json ft ts bf cf cms topk tdigest vset".split()


def resp(value: Any, protocol: int) -> bytes:
    """The value as a server says it."""
    if value is None:
        return b"_\r\n" if protocol == 3 else b"$-1\r\n"
    if isinstance(value, Exception):
        return b"-%s\r\n" % str(value).encode()
    if isinstance(value, float):
        return b",%s\r\n" % repr(value).encode() if protocol == 3 else resp(repr(value).encode(), 2)
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, str):
        return b"+%s\r\n" % value.encode()
    if isinstance(value, dict):
        items = [each for pair in value.items() for each in pair]
        header = b"%%%d\r\n" % len(value) if protocol == 3 else b"*%d\r\n" % len(items)
        return header + b"".join(resp(item, protocol) for item in items)
    if isinstance(value, list):
        return b"*%d\r\n" % len(value) + b"".join(resp(item, protocol) for item in value)
    return b"$%d\r\n%s\r\n" % (len(value), value)


class Both:
    """A reply that is not the same on RESP2 and RESP3."""

    def __init__(self, on_resp2: Any, on_resp3: Any) -> None:
        self.on = {2: on_resp2, 3: on_resp3}


@contextmanager
def answering(*replies: Any) -> Iterator[ScriptedServer]:
    """A server that gives these replies in turn, to each connection from the first."""

    def answer(words: list[bytes], client: ScriptedClient) -> bytes:
        if words[0] == b"CLIENT":  # redis-py asks for notifications of maintenance
            return b"-ERR unknown subcommand\r\n"
        if words[0] in (b"MULTI", b"EXEC"):
            return transact(words[0], client)
        said = said_by.setdefault(client.number, iter(replies))
        reply = next(said)
        packed = resp(reply.on[client.protocol] if isinstance(reply, Both) else reply, client.protocol)
        if client.number not in queued:
            return packed
        queued[client.number].append(packed)
        return b"+QUEUED\r\n"

    def transact(name: bytes, client: ScriptedClient) -> bytes:
        if name == b"MULTI":
            queued[client.number] = []
            return b"+OK\r\n"
        block = queued.pop(client.number)
        return b"*%d\r\n" % len(block) + b"".join(block)

    said_by: dict[int, Iterator[Any]] = {}
    queued: dict[int, list[bytes]] = {}
    with ScriptedServer(answer) as server:
        yield server


def seen(server: ScriptedServer) -> list[list[bytes]]:
    """What was said since the last call, without the handshake."""
    commands, server.commands[:] = server.commands[:], []
    return [words for words in commands if words[0] not in (b"HELLO", b"CLIENT")]


def plain(value: Any) -> Any:
    """A value that can be compared, of whatever classes redis-py gives."""
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [plain(each) for each in value]
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if hasattr(value, "__dict__"):
        return type(value).__name__, plain({k: v for k, v in vars(value).items() if k != "duration"})
    return value


def chained(pipe: Any, *steps: Callable[[Any], Any]) -> Any:
    for step in steps:
        step(pipe)
    return pipe.execute()


_DOC = {b"title": b"hello", b"n": b"1"}
_FOUND = Both(
    [1, b"doc:1", [b"title", b"hello", b"n", b"1"]],
    {
        b"attributes": [],
        b"format": b"STRING",
        b"results": [{b"id": b"doc:1", b"extra_attributes": _DOC, b"values": []}],
        b"total_results": 1,
        b"warning": [],
    },
)
_ROWS = Both(
    [1, [b"title", b"hello"]],
    {
        b"attributes": [],
        b"format": b"STRING",
        b"results": [{b"extra_attributes": {b"title": b"hello"}, b"values": []}],
        b"total_results": 1,
        b"warning": [],
    },
)
_INDEX = {
    b"index_name": b"docs",
    b"index_options": [],
    b"attributes": [{b"identifier": b"title", b"attribute": b"title", b"type": b"TEXT", b"WEIGHT": b"1"}],
    b"num_docs": 3,
    b"percent_indexed": 1.0,
}
_SERIES = {
    b"totalSamples": 2, b"memoryUsage": 4239, b"firstTimestamp": 1, b"lastTimestamp": 2, b"retentionTime": 0,
    b"chunkCount": 1, b"chunkSize": 4096, b"chunkType": b"compressed", b"duplicatePolicy": None,
    b"labels": Both, b"sourceKey": None, b"rules": [],
}  # fmt: skip
_FILTER = {
    b"Capacity": 100, b"Size": 240, b"Number of filters": 1, b"Number of items inserted": 2,
    b"Expansion rate": 2,
}  # fmt: skip
_SAMPLES = Both([[1, b"1.5"], [2, b"2"]], [[1, 1.5], [2, 2.0]])
_RANGES = Both(
    [[b"s1", [[b"a", b"b"]], [[1, b"1.5"]]]],
    {b"s1": [{b"a": b"b"}, {b"aggregators": []}, [[1, 1.5]]]},
)
_SCHEMA = (TextField("title", weight=2.0), NumericField("n", sortable=True))

# What is called, and the replies to what it says.
CASES: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
    "json.set": (lambda r: r.json().set("doc", "$", {"a": [1, None]}, nx=True), ["OK"]),
    "json.set refused": (lambda r: r.json().set("doc", ".", 1, xx=True), [None]),
    "json.get": (lambda r: r.json().get("doc"), [b'{"a":[1,null]}']),
    "json.get paths": (lambda r: r.json().get("doc", "$.a", "$.b", no_escape=True), [b'{"$.a":[1]}']),
    "json.get none": (lambda r: r.json().get("no"), [None]),
    "json.mget": (lambda r: r.json().mget(["a", "b"], "$"), [[b"[1]", None]]),
    "json.type": (lambda r: r.json().type("doc"), [Both(b"object", [b"object"])]),
    "json.numincrby": (lambda r: r.json().numincrby("doc", "$.a", 2), [Both(b"[3]", [3])]),
    "json.numincrby at an old path": (lambda r: r.json().numincrby("doc", ".a", 2), [Both(b"3", [3])]),
    "json.arrappend": (lambda r: r.json().arrappend("doc", "$.a", 1, "x"), [[3]]),
    "json.objkeys": (lambda r: r.json().objkeys("doc"), [[b"a", b"b"]]),
    "json.resp": (lambda r: r.json().resp("doc"), [Both([b"{", b"a", b"1.5"], [b"{", b"a", 1.5])]),
    "json.toggle": (lambda r: r.json().toggle("doc"), [Both(b"true", [1])]),
    "json.pipeline": (
        lambda r: chained(
            r.json().pipeline(),
            lambda p: p.set("doc", "$", [1]),
            lambda p: p.get("doc"),
            lambda p: p.llen("l"),
        ),
        ["OK", b"[1]", 5],
    ),
    "json of a pipeline": (
        lambda r: chained(r.pipeline(False), lambda p: p.json().get("doc"), lambda p: p.get("key")),
        [b'{"a":1}', b"x"],
    ),
    "ft.create_index": (lambda r: r.ft("docs").create_index(_SCHEMA, stopwords=["the"]), ["OK"]),
    "ft.search": (lambda r: r.ft("docs").search("hello"), [_FOUND]),
    "ft.search Query": (
        lambda r: r.ft("docs").search(Query("@t:$w").paging(0, 5).verbatim(), {"w": "hello"}),
        [_FOUND],
    ),
    "ft.aggregate": (lambda r: r.ft("docs").aggregate(AggregateRequest("*").load("title")), [_ROWS]),
    "ft.info": (lambda r: r.ft("docs").info(), [_INDEX]),
    "ft.load_document": (lambda r: r.ft().load_document("doc:1"), [_DOC]),
    "ft.tagvals": (lambda r: r.ft().tagvals("tag"), [[b"a", b"b"]]),
    "ft.dropindex": (lambda r: r.ft().dropindex(True), ["OK"]),
    "ft.pipeline": (
        lambda r: chained(
            r.ft("docs").pipeline(transaction=False),
            lambda p: p.search("hello"),
            lambda p: p.dropindex(),
            lambda p: p.set("a", 1),
        ),
        [_FOUND, "OK", "OK"],
    ),
    "ft of a pipeline": (
        lambda r: chained(
            r.pipeline(False), lambda p: p.ft("docs").search("hello"), lambda p: p.ft().dropindex()
        ),
        [_FOUND, "OK"],
    ),
    "ts.create": (
        lambda r: r.ts().create("s", retention_msecs=5, labels={"a": "b"}, duplicate_policy="last"),
        ["OK"],
    ),
    "ts.add": (lambda r: r.ts().add("s", "*", 1.5), [1]),
    "ts.get": (lambda r: r.ts().get("s"), [Both([1, b"1.5"], [1, 1.5])]),
    "ts.get empty": (lambda r: r.ts().get("s"), [[]]),
    "ts.range": (
        lambda r: r.ts().range("s", "-", "+", count=5, aggregation_type="avg", bucket_size_msec=9),
        [_SAMPLES],
    ),
    "ts.mrange": (lambda r: r.ts().mrange("-", "+", ["a=b"], with_labels=True), [_RANGES]),
    "ts.info": (
        lambda r: r.ts().info("s"),
        [Both(_SERIES | {b"labels": [[b"a", b"b"]]}, _SERIES | {b"labels": {b"a": b"b"}})],
    ),
    "ts.pipeline": (
        lambda r: chained(
            r.ts().pipeline(), lambda p: p.add("s", 1, 2), lambda p: p.get("s"), lambda p: p.set("a", 1)
        ),
        [1, Both([1, b"2"], [1, 2.0]), "OK"],
    ),
    "bf.reserve": (lambda r: r.bf().create("f", 0.01, 100, expansion=2), ["OK"]),
    "bf.madd": (lambda r: r.bf().madd("f", "a", "b"), [[1, 0]]),
    "bf.info": (lambda r: r.bf().info("f"), [_FILTER]),
    "cf.add": (lambda r: r.cf().addnx("f", "a"), [1]),
    "cms.info": (lambda r: r.cms().info("c"), [{b"width": 5, b"depth": 2, b"count": 0}]),
    "topk.add": (lambda r: r.topk().add("k", "a", "b"), [[None, b"a"]]),
    "tdigest.quantile": (lambda r: r.tdigest().quantile("t", 0.5, 1), [Both([b"1.5", b"nan"], [1.5, 2.0])]),
    "tdigest.min": (lambda r: r.tdigest().min("t"), [1.5]),
    "vset.vadd": (
        lambda r: r.vset().vadd("v", [1.0, 2.0], "one", reduce_dim=2, cas=True, attributes={"a": 1}),
        [1],
    ),
    "vset.vsim": (lambda r: r.vset().vsim("v", "one", count=2), [[b"one", b"two"]]),
    "vset.vsim with scores": (
        lambda r: r.vset().vsim("v", [1.0, 2.0], with_scores=True),
        [{b"one": 1.0, b"two": 0.5}],
    ),
    "vset.vemb": (lambda r: r.vset().vemb("v", "one"), [Both([b"1.5", b"2"], [1.5, 2.0])]),
    "vset.vemb raw": (
        lambda r: r.vset().vemb("v", "one", raw=True),
        [Both(["int8", b"\xff\x01", b"2.5", b"1.5"], ["int8", b"\xff\x01", 2.5, 1.5])],
    ),
    "vset.vlinks": (lambda r: r.vset().vlinks("v", "one", with_scores=True), [[{b"two": 0.5}]]),
    "vset.vinfo": (lambda r: r.vset().vinfo("v"), [{b"quant-type": b"int8", b"size": 2}]),
    "vset.vgetattr": (lambda r: r.vset().vgetattr("v", "one"), [b'{"a":1}']),
}  # fmt: skip


def their_turn(options: dict[str, Any], call: Callable[[Any], Any]) -> Any:
    """What redis-py gives; it blocks its thread, so not the hub's."""

    def work() -> Any:
        try:
            with redis.Redis(**options, retry=Retry(NoBackoff(), 0)) as client:
                return call(client)
        finally:
            gevent.get_hub().destroy(destroy_loop=True)  # it has one where gevent has patched

    return gevent.get_hub().threadpool.apply(work)


@pytest.mark.parametrize("case", CASES)
def test_words_and_values_are_redis_pys(case: str) -> None:
    call, replies = CASES[case]
    for protocol, legacy in SHAPES:
        for decode in (False, True):
            options: dict[str, Any] = {"protocol": protocol, "legacy_responses": legacy}
            options["decode_responses"] = decode
            with answering(*replies) as server:
                with greenredis.Redis(port=server.port, **options) as client:
                    found = call(client)
                words = seen(server)
                theirs = their_turn({"port": server.port, **options}, call)
                assert words == seen(server), options
                assert len(words) >= len(replies)
                assert plain(found) == plain(theirs), options


@pytest.mark.parametrize("name", [*NAMES, "keyspace_notifications"])
def test_signature_is_redis_pys(name: str) -> None:
    theirs = getattr(redis.Redis, name)
    ours = getattr(RedisModuleCommands, name)
    for own, given in zip(
        inspect.signature(ours).parameters.values(),
        inspect.signature(theirs).parameters.values(),
        strict=True,
    ):
        assert (own.name, own.kind, type(own.default)) == (given.name, given.kind, type(given.default))
        assert own.default == given.default or name == "json"


def test_all_of_redis_pys_are_there() -> None:
    assert {name for name in vars(Theirs) if name[0] != "_"} == set(NAMES)
    assert all(hasattr(greenredis.Redis, name) for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_they_are_redis_pys_classes_with_our_client(server: Server, name: str) -> None:
    with greenredis.Redis(port=server.port) as client, redis.Redis(port=server.port) as other:
        found: Any = getattr(client, name)()
        assert isinstance(found, type(getattr(other, name)()))
        assert found.client is client


def test_an_error_of_the_server_is_ours() -> None:
    with (
        answering(Exception("ERR docs: no such index")) as server,
        greenredis.Redis(port=server.port) as client,
    ):
        with pytest.raises(ResponseError, match="no such index"):
            client.ft("docs").info()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "call",
    [
        lambda r: r.vset().vadd("v", None, "one"),
        lambda r: r.ts().mrange(
            "-", "+", ["a=b"], aggregation_type=["avg", "min"], groupby="a", reduce="max"
        ),
        lambda r: r.json().debug("NO"),
    ],
)
def test_a_wrong_word_is_a_data_error_to_both(server: Server, call: Callable[[Any], Any]) -> None:
    with greenredis.Redis(port=server.port) as client:
        with pytest.raises(DataError) as caught:
            call(client)
        assert isinstance(caught.value, redis.DataError)


def test_an_error_within_a_pipeline_is_ours() -> None:
    with answering(Exception("WRONGTYPE no"), b"[1]") as server, greenredis.Redis(port=server.port) as client:
        commands: Any = client.json()
        pipe = commands.pipeline(transaction=False)
        pipe.get("a").get("b")
        error, value = pipe.execute(raise_on_error=False)
        assert isinstance(error, ResponseError)
        assert value == [1]


@pytest.mark.parametrize("name", ["json", "ft", "ts"])
def test_a_pipeline_is_a_pipeline_of_ours_with_callbacks_of_its_own(server: Server, name: str) -> None:
    with greenredis.Redis(port=server.port) as client:
        commands: Any = getattr(client, name)()
        pipe = commands.pipeline(transaction=False, shard_hint="x")
        assert isinstance(pipe, greenredis.client.Pipeline)
        assert (pipe.transaction, pipe.shard_hint) == (False, "x")
        assert pipe._transport is client._transport
        pipe.set_response_callback("GET", len)
        assert client.response_callbacks.get("GET") is None
        pipe.execute_command("ECHO", "a")
        pipe.execute_command("ECHO", "b")
        assert pipe.execute() == [b"a", b"b"]


def test_notifications(server: Server) -> None:
    with greenredis.Redis(port=server.port) as client:
        client.config_set("notify-keyspace-events", "KEA")
        with client.keyspace_notifications(key_prefix="modules:") as notifications:
            notifications.subscribe(KeyspaceChannel("modules:*"))
            assert notifications.get_message(timeout=5, ignore_subscribe_messages=False) is None
            client.set("modules:a", 1)
            message = notifications.get_message(timeout=5)
            assert message is not None
            assert (message.key, message.event_type) == ("a", "set")


def test_notifications_are_handled_in_a_greenlet(server: Server) -> None:
    told: list[Any] = []
    handled = Event()

    def handle(notification: Any) -> None:
        told.append((gevent.getcurrent(), notification.event_type))
        handled.set()

    with greenredis.Redis(port=server.port) as client:
        client.config_set("notify-keyspace-events", "KEA")
        notifications: Any = client.keyspace_notifications()
        notifications.subscribe(KeyspaceChannel("modules:*"), handler=handle)
        worker = notifications.run_in_thread(poll_timeout=0.05)
        wait_until(lambda: client.pubsub_numpat() > 0)
        client.set("modules:b", 1)
        assert handled.wait(5)
        assert told == [(worker, "set")]
        notifications.close()
        worker.join(5)
        assert worker.ready()
        worker.get()


def test_notifications_without_a_handler_are_refused(server: Server) -> None:
    with greenredis.Redis(port=server.port) as client, client.keyspace_notifications() as notifications:
        notifications.subscribe(KeyspaceChannel("modules:*"))
        with pytest.raises(RedisError, match="no handler"):
            notifications.run_in_thread()
