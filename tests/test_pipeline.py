"""Pipelines and transactions behave as redis-py's."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
import redis

import greenredis
from greenredis import Redis, Retry
from greenredis.backoff import NoBackoff
from greenredis.client import Pipeline
from greenredis.testing import ScriptedClient, ScriptedServer, Server

pytestmark = pytest.mark.usefixtures("leaks")


class Parsing(Pipeline):
    """Sees every reply itself."""

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        return super().parse_response(connection, command_name, **options)


class ByHand(Redis):
    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return Parsing(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class Staging(Pipeline):
    def pipeline_execute_command(self, *words: Any, **options: Any) -> Any:
        return super().pipeline_execute_command(words[0], f"own:{words[1]}", *words[2:], **options)


KINDS: dict[str, Callable[..., Redis]] = {
    "link": Redis,
    "pool": lambda **options: Redis(multiplex=False, **options),
    "by_hand": ByHand,
}


@pytest.fixture(params=KINDS)
def clients(request: pytest.FixtureRequest, server: Server) -> Iterator[tuple[Redis, Any]]:
    """Ours and redis-py's, on the same server."""
    with KINDS[request.param](port=server.port) as ours, redis.Redis(port=server.port) as theirs:
        yield ours, theirs


def outcome(call: Callable[[], Any]) -> Any:
    """What it returns, or the error's class and message."""
    try:
        return call()
    except (redis.DataError, greenredis.DataError):
        return "DataError"
    except (redis.RedisError, greenredis.RedisError) as error:
        return type(error).__name__, *error.args


def told(replies: Any) -> Any:
    """Replies that can be compared, errors by class and message."""
    if not isinstance(replies, list):
        return replies
    return [(type(each).__name__, *each.args) if isinstance(each, Exception) else each for each in replies]


def plain(pipe: Any) -> Any:
    return (
        pipe.set("a", 1).incr("a").get("a").mget("a", "no").hset("h", mapping={"x": 1}).hgetall("h").execute()
    )


def no_keys(pipe: Any) -> Any:
    return pipe.mget([]).set("a", 1).mget([]).execute()


def two_words(pipe: Any) -> Any:
    return pipe.config_set("maxmemory", 0).config_get("maxmemory").client_getname().execute()


def wrong_type(pipe: Any) -> Any:
    return pipe.set("a", "x").lpush("a", 1).set("b", 1).execute()


def wrong_type_kept(pipe: Any) -> Any:
    return told(pipe.set("a", "x").lpush("a", 1).set("b", 1).execute(raise_on_error=False))


def unknown(pipe: Any) -> Any:
    return pipe.set("a", 1).execute_command("NONSENSE", "x" * 200).set("a", 2).execute()


def unknown_kept(pipe: Any) -> Any:
    return told(pipe.set("a", 1).execute_command("NONSENSE", "x").execute(raise_on_error=False))


def unencodable(pipe: Any) -> Any:
    return pipe.set("a", 1).set("b", object()).execute()


def optimistic(pipe: Any) -> Any:
    pipe.watch("a")
    found = pipe.get("a")
    pipe.multi()
    return found, pipe.set("a", 5).get("a").execute(), pipe.watching


def unwatched(pipe: Any) -> Any:
    pipe.watch("a")
    return pipe.unwatch(), pipe.watching, len(pipe.set("a", 1)), pipe.execute()


def watched_without_multi(pipe: Any) -> Any:
    pipe.watch("a")
    return pipe.set("a", 1), pipe.execute()


def nested_multi(pipe: Any) -> Any:
    pipe.multi()
    pipe.multi()


def late_multi(pipe: Any) -> Any:
    pipe.set("a", 1)
    pipe.multi()


def late_watch(pipe: Any) -> Any:
    pipe.multi()
    pipe.watch("a")


def nothing(pipe: Any) -> Any:
    return pipe.execute(), len(pipe), bool(pipe), pipe.unwatch()


def reset(pipe: Any) -> Any:
    pipe.set("a", 1)
    pipe.reset()
    return pipe.execute()


def used_again(pipe: Any) -> Any:
    return pipe.set("a", 1).execute(), pipe.get("a").execute()


FLOWS = [
    plain, no_keys, two_words, wrong_type, wrong_type_kept, unknown, unknown_kept, unencodable, optimistic,
    unwatched, watched_without_multi, nested_multi, late_multi, late_watch, nothing, reset, used_again,
]  # fmt: skip


@pytest.mark.parametrize("transaction", [True, False])
@pytest.mark.parametrize("flow", FLOWS)
def test_flows(clients: Any, server: Server, flow: Callable[[Any], Any], transaction: bool) -> None:
    found = []
    for client in clients:
        server.ask("FLUSHALL")
        server.ask("SET", "a", "old")
        with client.pipeline(transaction=transaction) as pipe:
            found.append((outcome(lambda: flow(pipe)), server.ask("GET", "a"), server.ask("GET", "b")))
    assert found[0] == found[1]


def test_signatures() -> None:
    names = [name for name in vars(redis.client.Pipeline) if name[0] != "_" and name != "UNWATCH_COMMANDS"]
    for name in (*names, "__init__"):
        ours, theirs = (inspect.signature(getattr(kind, name)) for kind in (Pipeline, redis.client.Pipeline))
        wanted = [(p.name, p.kind, p.default) for p in theirs.parameters.values()]
        if name in ("execute_command", "immediate_execute_command", "pipeline_execute_command"):
            wanted = [("self", wanted[0][1], wanted[0][2]), *wanted[1:]]
        found = [(p.name, p.kind, p.default) for p in ours.parameters.values()]
        assert [kind for _, kind, _ in found] == [kind for _, kind, _ in wanted], name
        variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        assert [p for p in found if p[1] not in variadic] == [p for p in wanted if p[1] not in variadic], name


def test_a_pipeline_is_a_client(server: Server) -> None:
    with Redis(port=server.port) as client:
        pipe = client.pipeline()
        assert isinstance(pipe, Redis)
        assert repr(pipe.set("a", 1)).endswith(" 1 staged>")
        pipe.reset()
        pipe.watch("a")
        assert repr(pipe).endswith(" 0 staged, watching>")
        pipe.reset()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 128, 129, 100_000])
def test_any_number_of_commands(server: Server, kind: str, count: int) -> None:
    with KINDS[kind](port=server.port) as client:
        for transaction in (True, False):
            pipe = client.pipeline(transaction)
            for number in range(count if kind != "by_hand" else min(count, 2000)):
                pipe.echo(str(number))
            assert [int(reply) for reply in pipe.execute()] == list(range(len(pipe) or number + 1))


def test_long_words(server: Server) -> None:
    words = [b"x" * 70_000, b"y" * 3_000_000, b"z"]
    with Redis(port=server.port) as client:
        pipe = client.pipeline()
        pipe.echo(words[0].decode())
        pipe.echo(words[1])
        pipe.echo(words[2].decode())
        assert pipe.execute() == words


def test_where_small_and_large_ones_go(server: Server) -> None:
    with Redis(port=server.port) as client:
        stats = client.connection_pool.stats
        for _ in range(3):
            client.pipeline().set("a", 1).get("a").execute()
        assert stats()["dialed"] == 1
        pipe = client.pipeline()
        for _ in range(1000):
            pipe.ping()
        pipe.execute()
        assert stats()["dialed"] == 2 and stats()["idle"] == 1


def test_the_connection_that_watched_is_used_again(server: Server) -> None:
    with Redis(port=server.port) as client:
        for ending in ("execute", "unwatch", "reset"):
            with client.pipeline() as pipe:
                pipe.watch("a")
                getattr(pipe, ending)()
        assert client.connection_pool.stats()["dialed"] == 1
        with client.pipeline() as pipe:
            pipe.watch("a")
            pipe.select(1)
        assert client.connection_pool.stats()["idle"] == 0
        assert client.client_info()["db"] == 0


def test_blocking_commands_may_block(server: Server) -> None:
    with Redis(port=server.port, socket_timeout=0.2) as client:
        assert client.pipeline(False).blpop("no", 0.3).ping().execute() == [None, True]
        assert client.connection_pool.stats()["dialed"] == 1


@pytest.mark.parametrize(
    "words", [("SUBSCRIBE", "a"), (b"monitor",), ("CLIENT", "REPLY", "OFF"), ("CLIENT REPLY", "SKIP")]
)
def test_what_has_no_place_in_a_pipeline_is_refused(server: Server, words: Any) -> None:
    with Redis(port=server.port) as client:
        pipe = client.pipeline().set("a", 1)
        with pytest.raises(greenredis.DataError, match="# 2"):
            pipe.execute_command(*words).execute()
        assert server.ask("EXISTS", "a") == 0
        assert client.ping()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("transaction", [True, False])
def test_what_is_never_decoded(server: Server, kind: str, transaction: bool) -> None:
    with KINDS[kind](port=server.port, decode_responses=True) as client:
        client.set("a", "ä")
        pipe: Any = client.pipeline(transaction)
        dump, value, values = pipe.dump("a").get("a").mget("a", "no").execute()
        assert isinstance(dump, bytes) and value == "ä" and values == ["ä", None]
        assert client.restore("b", 0, dump) and client.get("b") == "ä"


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_decoded(server: Server, kind: str) -> None:
    server.ask("SET", "raw", b"\xff")
    with KINDS[kind](port=server.port, decode_responses=True) as client:
        with pytest.raises(UnicodeDecodeError):
            client.pipeline(False).get("raw").echo("fine").execute()
        assert client.pipeline(False).echo("fine").execute() == ["fine"]


def test_a_subclass_that_stages_in_its_own_way(server: Server) -> None:
    with Redis(port=server.port) as client:
        pipe = Staging(client.connection_pool, client.response_callbacks, True, None)
        pipe.set("a", 1).get("a")
        assert pipe.execute() == [True, b"1"]
        assert server.ask("GET", "own:a") == b"1"


def test_callbacks_of_the_users_own(server: Server) -> None:
    with Redis(port=server.port) as client:
        client.set_response_callback("GET", lambda reply, **options: ("own", reply))
        assert client.pipeline().set("a", 1).get("a").execute() == [True, ("own", b"1")]
        own = Pipeline(client.connection_pool, {"get": lambda reply: "other"}, True, None)
        assert own.get("a").execute() == ["other"]


def test_transaction_is_done_again_when_a_key_has_changed(server: Server) -> None:
    with Redis(port=server.port) as client:
        attempts: list[int] = []

        def increment(pipe: Pipeline) -> str:
            value = int(pipe.get("n") or 0)
            attempts.append(value)
            if len(attempts) < 3:
                client.incr("n")
            pipe.multi()
            pipe.set("n", value + 10)
            return "mine"

        assert client.transaction(increment, "n") == [True]
        assert attempts == [0, 1, 2] and client.get("n") == b"12"
        assert client.transaction(increment, "n", value_from_callable=True, watch_delay=0.001) == "mine"
        assert client.transaction(lambda pipe: pipe.get("n")) == [b"22"]


def test_transactions_of_many_greenlets_all_count(server: Server) -> None:
    with Redis(port=server.port, max_connections=5) as client:

        def increment(pipe: Pipeline) -> None:
            value = int(pipe.get("n") or 0)
            pipe.multi()
            pipe.set("n", value + 1)

        gevent.joinall(
            [gevent.spawn(client.transaction, increment, "n") for _ in range(50)], raise_error=True
        )
        assert client.get("n") == b"50"


def test_deadline_ends_a_transaction_that_never_succeeds(server: Server) -> None:
    with Redis(port=server.port) as client:
        with pytest.raises((greenredis.WatchError, greenredis.TimeoutError)), greenredis.deadline(0.1):
            client.transaction(lambda pipe: client.incr("n"), "n")


def refusing(times: int, refusal: bytes) -> Callable[[list[bytes], ScriptedClient], bytes]:
    """A server that refuses so many SETs."""
    seen = [0]

    def handler(words: list[bytes], client: ScriptedClient) -> bytes:
        seen[0] += words[0] == b"SET"
        return b"-%s\r\n" % refusal if words[0] == b"SET" and seen[0] <= times else b"+OK\r\n"

    return handler


@pytest.mark.parametrize("kind", KINDS)
def test_a_pipeline_that_was_refused_whole_is_sent_again(kind: str) -> None:
    with ScriptedServer(refusing(4, b"LOADING Redis is loading")) as server:
        with KINDS[kind](port=server.port, retry=Retry(NoBackoff(), 3)) as client:
            assert client.pipeline(False).set("a", 1).set("b", 2).execute() == [True, True]
        assert len(server.sent("SET")) == 6


@pytest.mark.parametrize("kind", ["link", "pool"])
def test_a_pipeline_that_is_refused_for_ever(kind: str) -> None:
    with ScriptedServer(refusing(100, b"READONLY no")) as server:
        with KINDS[kind](port=server.port, retry=Retry(NoBackoff(), 2)) as client:
            with pytest.raises(greenredis.ReadOnlyError, match="Command # 1") as caught:
                client.pipeline(False).set("a", 1).set("b", 2).execute()
            assert not caught.value.maybe_executed
            found = client.pipeline(False).set("a", 1).execute(raise_on_error=False)
            assert [type(each) for each in found] == [greenredis.ReadOnlyError]
        assert len(server.sent("SET")) == 3 * 2 + 3


def test_a_pipeline_that_was_refused_in_part_is_not_sent_again() -> None:
    with ScriptedServer(refusing(1, b"READONLY no")) as server, Redis(port=server.port) as client:
        with pytest.raises(greenredis.ReadOnlyError, match="Command # 1"):
            client.pipeline(False).set("a", 1).set("b", 2).execute()
        assert len(server.sent("SET")) == 2


def aborting(times: int) -> Callable[[list[bytes], ScriptedClient], bytes]:
    """A server that was made a replica, and so many transactions later a master again."""
    seen = [0]

    def handler(words: list[bytes], client: ScriptedClient) -> bytes:
        if words[0] == b"SET":
            return b"-READONLY no\r\n" if seen[0] < times else b"+QUEUED\r\n"
        if words[0] != b"EXEC":
            return b"+OK\r\n"
        seen[0] += 1
        return b"-EXECABORT aborted\r\n" if seen[0] <= times else b"*1\r\n+OK\r\n"

    return handler


def test_a_transaction_that_was_refused_is_sent_again() -> None:
    with ScriptedServer(aborting(2)) as server, Redis(port=server.port) as client:
        assert client.pipeline().set("a", 1).execute() == [True]
        assert len(server.sent("EXEC")) == 3


def test_a_watched_transaction_that_was_refused_begins_again() -> None:
    with ScriptedServer(aborting(2)) as server, Redis(port=server.port) as client:

        def assign(pipe: Pipeline) -> None:
            pipe.multi()
            pipe.set("a", 1)

        assert client.transaction(assign, "a") == [True]
        assert len(server.sent("WATCH")) == len(server.sent("EXEC")) == 3


def test_who_may_not_begin_a_transaction_is_told_that_it_was_executed(server: Server) -> None:
    server.ask("ACL", "SETUSER", "someone", "on", ">secret", "~*", "+@all", "-multi")
    try:
        with Redis(port=server.port, username="someone", password="secret") as client:
            with pytest.raises(greenredis.exceptions.NoPermissionError) as caught:
                client.pipeline().set("a", 1).execute()
            assert caught.value.maybe_executed and server.ask("GET", "a") == b"1"
    finally:
        server.ask("ACL", "DELUSER", "someone")


def dying(at: bytes) -> Callable[[list[bytes], ScriptedClient], bytes | None]:
    """A server that closes the connection at that command."""

    def handler(words: list[bytes], client: ScriptedClient) -> bytes | None:
        if words[0] == at:
            client.close()
            return None
        return b"+OK\r\n"

    return handler


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("transaction", [True, False])
def test_what_may_have_been_executed_is_not_sent_again(kind: str, transaction: bool) -> None:
    with ScriptedServer(dying(b"INCRBY")) as server, KINDS[kind](port=server.port) as client:
        with pytest.raises(greenredis.ConnectionError) as caught:
            client.pipeline(transaction).get("a").incr("a").execute()
        assert caught.value.maybe_executed and len(server.sent("INCRBY")) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_what_only_reads_is_sent_again(kind: str) -> None:
    with ScriptedServer(dying(b"TTL")) as server:
        with KINDS[kind](port=server.port, retry=Retry(NoBackoff(), 2)) as client:
            with pytest.raises(greenredis.ConnectionError):
                client.pipeline(False).get("a").ttl("a").execute()
        assert len(server.sent("TTL")) == 3


def test_a_connection_that_is_lost_while_it_watches() -> None:
    """Begin again if nothing was executed; not if EXEC may have been."""
    for at, wanted in ((b"GET", greenredis.WatchError), (b"EXEC", greenredis.ConnectionError)):
        with ScriptedServer(dying(at)) as server, Redis(port=server.port) as client:
            with pytest.raises(wanted) as caught:
                optimistic(client.pipeline())
            assert caught.value.maybe_executed == (at == b"EXEC")
            assert len(server.sent("EXEC")) == (at == b"EXEC")
