"""PubSub: redis-py's contract, on both protocols, by many greenlets at once."""

from __future__ import annotations

import inspect
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import gevent
import pytest
from gevent.monkey import get_original

import greenredis
from greenredis import Redis
from greenredis.exceptions import DataError, PubSubError, ResponseError, TimeoutError
from greenredis.pubsub import PubSub
from greenredis.pubsub_messages import Subscription
from greenredis.pubsub_worker import PubSubWorkerThread
from greenredis.testing import Certificates, Server, wait_until

pytestmark = pytest.mark.usefixtures("leaks")
start_native_thread = get_original("_thread", "start_new_thread")
KINDS = [(2, False), (2, True), (3, False), (3, True)]


@contextmanager
def pubsub_of(server: Any, kind: Any = PubSub, own: Any = None, **options: Any) -> Iterator[Any]:
    with Redis(port=server.port, **options) as client, kind(client.connection_pool, **(own or {})) as pubsub:
        yield pubsub
    wait_until(lambda: client.connection_pool.stats()["lent"] == 0, message="a slot is lost")


def drained(pubsub: Any, count: int) -> list[Any]:
    """The next `count` messages."""
    found: list[Any] = []
    while len(found) < count:
        message = pubsub.get_message(timeout=5)
        assert message is not None, found
        found.append(message)
    return found


# -- as redis-py has it


def public(kind: type[Any]) -> dict[str, Any]:
    own = {name: value for base in kind.__mro__[:1] for name, value in vars(base).items()}
    return {name: value for name, value in own.items() if not name.startswith("_") or name == "__init__"}


def shape(function: Any) -> list[tuple[str, Any, Any]]:
    return [(each.name, each.kind, each.default) for each in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize(
    ("kind", "theirs"),
    [(PubSub, "PubSub"), (PubSubWorkerThread, "PubSubWorkerThread")],
    ids=["PubSub", "worker"],
)
def test_signatures(kind: type[Any], theirs: str) -> None:
    redis_py = pytest.importorskip("redis.client")
    wanted = public(getattr(redis_py, theirs))
    wanted.pop("run", None)  # a thread's; a greenlet's is gevent's
    for name, value in wanted.items():
        assert hasattr(kind, name), name
        if inspect.isfunction(value):
            assert shape(getattr(kind, name)) == shape(value), name


def script(pubsub: Any, subscription: Any, publish: Callable[..., Any]) -> list[Any]:
    """What a program sees that uses all of it; the order is given by the server."""
    handled: list[Any] = []
    pubsub.subscribe("a", "b", handled=handled.append)
    pubsub.psubscribe(["p*", b"q*"])
    pubsub.psubscribe(**{"r*": handled.append})
    pubsub.ssubscribe("shard", subscription(b"shard-handled", handled.append))
    seen = drained(pubsub, 8)
    for channel in ("a", "handled", "p1", "r1"):
        publish("PUBLISH", channel, f"to {channel}")
    publish("SPUBLISH", "shard", "to shard")
    publish("SPUBLISH", "shard-handled", "to shard-handled")
    wait_for = 3
    while wait_for or len(handled) < 3:
        message = pubsub.get_message(timeout=5, ignore_subscribe_messages=True)
        wait_for -= message is not None
        seen.append(message)
    seen += handled
    pubsub.unsubscribe("a", "never")
    pubsub.punsubscribe()
    pubsub.sunsubscribe(["shard"])
    seen += sorted(drained(pubsub, 6), key=str)
    seen += [dict.fromkeys(pubsub.channels), pubsub.patterns, dict.fromkeys(pubsub.shard_channels)]
    seen += [pubsub.pending_unsubscribe_channels, pubsub.pending_unsubscribe_patterns, pubsub.subscribed]
    pubsub.unsubscribe()
    pubsub.sunsubscribe()
    seen += [list(pubsub.listen()), pubsub.subscribed, pubsub.get_message()]
    return seen


@pytest.mark.parametrize(("protocol", "decode"), KINDS)
def test_messages_are_those_of_redis_py(server: Server, protocol: int, decode: bool) -> None:
    redis_py = pytest.importorskip("redis")
    options: dict[str, Any] = {"protocol": protocol, "decode_responses": decode}
    with redis_py.Redis(port=server.port, **options) as theirs:
        wanted = script(theirs.pubsub(), redis_py.Subscription, server.ask)
    with pubsub_of(server, **options) as pubsub:
        assert script(pubsub, Subscription, server.ask) == wanted


@pytest.mark.parametrize(("protocol", "decode"), KINDS)
def test_answer_to_a_ping(server: Server, protocol: int, decode: bool) -> None:
    empty, hello = ("", "hello") if decode else (b"", b"hello")
    with pubsub_of(server, protocol=protocol, decode_responses=decode) as pubsub:
        pubsub.subscribe("a")
        pubsub.ping()
        pubsub.ping("hello")
        pubsub.unsubscribe("a")
        pubsub.ping()
        found = [(each["type"], each["data"]) for each in drained(pubsub, 3)]
        assert found == [("subscribe", 1), ("pong", empty), ("pong", hello)]
        pubsub.subscribe("b")
        found = [(each["type"], each["data"]) for each in drained(pubsub, 3)]
        assert found == [("unsubscribe", 0), ("pong", empty), ("subscribe", 1)]


def test_ignoring_the_confirmations(server: Server) -> None:
    with pubsub_of(server, own={"ignore_subscribe_messages": True}) as pubsub:
        pubsub.subscribe("a")
        server.ask("PUBLISH", "a", "1")
        assert [pubsub.get_message(timeout=5), pubsub.get_message(timeout=5)["data"]] == [None, b"1"]


def test_bad_words_cost_nothing(server: Server) -> None:
    with pubsub_of(server) as pubsub:
        with pytest.raises(DataError):
            pubsub.subscribe(object())
        pubsub.subscribe("a")
        pubsub.execute_command("PUBSUB", "NOTHING")
        assert pubsub.get_message(timeout=5)["type"] == "subscribe"
        with pytest.raises(ResponseError):
            pubsub.get_message(timeout=5)
        assert pubsub.reconnects == 0
        with pytest.raises(ValueError, match="event_dispatcher"):
            PubSub(pubsub.connection_pool, event_dispatcher=object())


def test_push_handler(server: Server) -> None:
    pushed: list[Any] = []
    with pubsub_of(server, own={"push_handler_func": pushed.append}, protocol=3) as pubsub:
        pubsub.subscribe("a")
        assert pubsub.get_message(timeout=5) is None
        assert pushed == [[b"subscribe", b"a", 1]]


class Latin:
    encoding, encoding_errors, decode_responses = "latin-1", "strict", False

    def encode(self, word: Any) -> bytes:
        return word.encode("latin-1") if isinstance(word, str) else bytes(word)

    def decode(self, value: Any, force: bool = False) -> Any:
        return value


def test_own_encoder(server: Server) -> None:
    with pubsub_of(server, own={"encoder": Latin()}, encoding="latin-1") as pubsub:
        pubsub.subscribe("fünf")
        assert list(pubsub.channels) == ["fünf".encode("latin-1")]
        assert drained(pubsub, 1)[0]["channel"] == "fünf".encode("latin-1")


# -- time


def took(call: Callable[[], Any]) -> tuple[float, Any]:
    start = monotonic()
    result = call()
    return monotonic() - start, result


def test_timeouts_of_get_message(server: Server) -> None:
    with pubsub_of(server) as pubsub:
        assert pubsub.get_message() is None
        seconds, message = took(lambda: pubsub.get_message(timeout=0.1))
        assert message is None and seconds >= 0.1
        gevent.spawn_later(0.05, pubsub.subscribe, "a")
        assert pubsub.get_message(timeout=None)["type"] == "subscribe"
        seconds, message = took(lambda: pubsub.get_message(timeout=0.1))
        assert message is None and 0.1 <= seconds < 3
        gevent.spawn_later(0.05, server.ask, "PUBLISH", "a", "1")
        assert pubsub.get_message(timeout=None)["data"] == b"1"


def test_polling_gives_turns_and_takes_what_has_come(server: Server) -> None:
    with pubsub_of(server) as pubsub:
        pubsub.subscribe("a")
        drained(pubsub, 1)
        for number in range(3):
            server.ask("PUBLISH", "a", number)
        found: list[Any] = []
        wait_until(lambda: found.extend(filter(None, [pubsub.get_message()])) or len(found) == 3)  # type: ignore[func-returns-value]
        assert [each["data"] for each in found] == [b"0", b"1", b"2"]
        other = gevent.spawn(lambda: [gevent.sleep(0) for _ in range(100)])  # type: ignore[func-returns-value, call-overload]
        while not other.ready():
            assert pubsub.get_message() is None


@pytest.mark.parametrize("call", ["get_message", "listen", "waiting for a subscription"])
def test_deadline(server: Server, call: str) -> None:
    with pubsub_of(server) as pubsub:
        if call != "waiting for a subscription":
            pubsub.subscribe("a")
            drained(pubsub, 1)
        with pytest.raises(TimeoutError), greenredis.deadline(0.05):
            next(pubsub.listen()) if call == "listen" else pubsub.get_message(timeout=20)
        with greenredis.deadline(20):
            assert pubsub.get_message(timeout=0.01) is None
        pubsub.subscribe("b")
        assert drained(pubsub, 1)[0]["channel"] == b"b"
        assert pubsub.reconnects == 0


# -- many greenlets on one


def test_listening_while_others_subscribe(server: Server) -> None:
    with pubsub_of(server) as pubsub:
        pubsub.subscribe("first")
        seen: list[Any] = []
        listener = gevent.spawn(lambda: seen.extend(pubsub.listen()))

        def work(number: int) -> None:
            for turn in range(20):
                name = f"{number}:{turn}"
                pubsub.subscribe(name)
                server.ask("PUBLISH", name, name)
                pubsub.ping(name)
                pubsub.unsubscribe(name)

        gevent.joinall([gevent.spawn(work, number) for number in range(10)], raise_error=True)
        pubsub.unsubscribe("first")
        listener.join(10)
        assert listener.ready() and len(seen) == 2 + 4 * 200
        assert {each["data"] for each in seen if each["type"] == "message"} == {
            each["data"] for each in seen if each["type"] == "pong"
        }
        assert (pubsub.channels, pubsub.reconnects) == ({}, 0)


def test_readers_take_turns(server: Server) -> None:
    with pubsub_of(server) as pubsub:
        pubsub.subscribe("a")
        drained(pubsub, 1)
        found: list[bytes] = []
        readers = [
            gevent.spawn(lambda: found.append(pubsub.get_message(timeout=5)["data"])) for _ in range(5)
        ]
        gevent.sleep(0)
        seconds, message = took(lambda: pubsub.get_message(timeout=0.05))
        assert message is None and seconds >= 0.05
        with pytest.raises(TimeoutError), greenredis.deadline(0.05):
            pubsub.get_message(timeout=None)
        readers[0].kill()
        for number in range(4):
            server.ask("PUBLISH", "a", number)
        gevent.joinall(readers, timeout=5, raise_error=True)
        assert sorted(found) == [b"0", b"1", b"2", b"3"]


@pytest.mark.parametrize("reading", ["get_message", "listen"])
def test_closing_ends_the_listener(server: Server, reading: str) -> None:
    with pubsub_of(server) as pubsub:
        pubsub.subscribe("a")
        drained(pubsub, 1)
        read = {
            "listen": lambda: list(pubsub.listen()),
            "get_message": lambda: pubsub.get_message(timeout=None),
        }
        listener = gevent.spawn(read[reading])
        gevent.sleep(0.01)
        pubsub.close()
        assert listener.get(timeout=5) in ([], None)
        assert pubsub.connection is None


def test_other_threads_are_told_and_may_close(server: Server) -> None:
    with pubsub_of(server) as pubsub:
        pubsub.subscribe("a")
        told: list[Any] = []

        def work() -> None:
            for call in (pubsub.get_message, pubsub.ping):
                try:
                    call()
                except RuntimeError as error:
                    told.append(str(error))
            pubsub.close()
            told.append("closed")

        start_native_thread(work, ())
        wait_until(lambda: told[-1:] == ["closed"])
        assert len(told) == 3 and "another thread" in told[0]


# -- workers


def test_worker_hands_messages_to_handlers(server: Server) -> None:
    found: list[Any] = []
    with pubsub_of(server) as pubsub:
        pubsub.subscribe(a=found.append)
        worker = pubsub.run_in_thread(sleep_time=0.01, daemon=True)
        assert worker.is_alive() and worker.daemon and worker.name
        server.ask("PUBLISH", "a", "1")
        wait_until(lambda: found)
        worker.stop()
        worker.join(timeout=5)
        assert not worker.is_alive() and pubsub.connection is None
    with pubsub_of(server) as pubsub:
        pubsub.subscribe("plain")
        with pytest.raises(PubSubError):
            pubsub.run_in_thread()


@pytest.mark.parametrize("end", ["stop", "stop by a handler", "kill", "error"])
def test_worker_ends_at_once_and_gives_the_slot_back(server: Server, end: str) -> None:
    def fail(message: Any) -> None:
        raise ValueError("told to")

    def handle(error: BaseException, of: Any, thread: Any) -> None:
        errors.append((error, of, thread))
        thread.stop()

    errors: list[Any] = []
    with pubsub_of(server) as pubsub:
        worker: Any = None
        pubsub.subscribe(a=(lambda message: worker.stop()) if end == "stop by a handler" else fail)
        worker = pubsub.run_in_thread(exception_handler=handle if end == "error" else None)
        gevent.sleep(0.01)
        if end == "stop":
            worker.stop()
        elif end == "kill":
            worker.kill(block=False)
        else:
            server.ask("PUBLISH", "a", "1")
        wait_until(lambda: not worker.is_alive())
        assert pubsub.connection_pool.stats()["lent"] == 0
    assert [(str(error), of, thread) for error, of, thread in errors] == (
        [("told to", pubsub, worker)] if end == "error" else []
    )


# -- as others use it


class Prefixed(PubSub):
    """With the names changed on the way out and in."""

    def execute_command(self, *args: Any) -> None:
        super().execute_command(args[0], *(b"prefix:" + self.encoder.encode(each) for each in args[1:]))

    def parse_response(self, *args: Any, **kwargs: Any) -> Any:
        found = super().parse_response(*args, **kwargs)
        return found and [found[0], *(each[7:] for each in found[1:-1]), found[-1]]


def test_subclass_sees_all_that_passes(server: Server) -> None:
    with pubsub_of(server, kind=Prefixed) as pubsub:
        pubsub.psubscribe("a*")
        server.ask("CLIENT", "KILL", "TYPE", "pubsub")
        wait_until(lambda: drained(pubsub, 1) and pubsub.reconnects)
        server.ask("PUBLISH", "prefix:a1", "1")
        message = {"type": "pmessage", "pattern": b"a*", "channel": b"a1", "data": b"1"}
        assert drained(pubsub, 1) == [message]


def test_polled_by_its_descriptor(server: Server) -> None:
    """As Kombu does: nothing reads between the calls."""
    with pubsub_of(server) as pubsub:
        pubsub.connection = pubsub.connection_pool.get_connection()
        pubsub.psubscribe(["a*"])
        poller = select.poll()
        poller.register(pubsub.connection._sock.fileno(), select.POLLIN)
        found: list[Any] = []
        for number in range(3):
            wait_until(lambda: poller.poll(0))
            assert poller.poll(0), "it was read behind the poller's back"
            found.append(pubsub.parse_response())
            while pubsub.connection.can_read(timeout=0):
                found.append(pubsub.parse_response())
            server.ask("PUBLISH", "a1", number)
        assert [each[-1] for each in found] == [1, b"0", b"1"]


@pytest.mark.parametrize("length", [1, 20_000])
def test_over_tls(tls_server: Any, certificates: Certificates, length: int) -> None:
    """What TLS has decrypted is found, though the socket is empty; and it is not lost."""
    options: dict[str, Any] = {"ssl": True, "ssl_ca_certs": certificates.ca}
    with pubsub_of(tls_server, **options) as pubsub, Redis(port=tls_server.port, **options) as other:
        pubsub.subscribe("a")
        drained(pubsub, 1)
        for number in range(50):
            other.execute_command("PUBLISH", "a", b"%d" % number + b"x" * length)
        for number in range(50):
            assert pubsub.connection.can_read(timeout=5)
            assert drained(pubsub, 1)[0]["data"].rstrip(b"x") == b"%d" % number
        assert not pubsub.connection.can_read()
