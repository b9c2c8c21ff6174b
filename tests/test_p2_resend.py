"""P2: what may have reached the server is sent again only if it just reads, and the caller is told."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from time import monotonic
from typing import Any

import gevent
import pytest
from gevent.event import Event

import greenredis
from greenredis import Redis, Retry
from greenredis.backoff import AbstractBackoff, NoBackoff
from greenredis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,
    MasterDownError,
    MaxConnectionsError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,
    TryAgainError,
)
from greenredis.testing import ScriptedClient, ScriptedServer, free_port, wait_until

KINDS = ("link", "pool", "single", "subclass")
HUGE = memoryview(bytes(64 << 20))
REFUSALS: dict[bytes, type[RedisError]] = {
    b"LOADING Redis is loading the dataset in memory": BusyLoadingError,
    b"READONLY You can't write against a read only replica.": ReadOnlyError,
    b"MASTERDOWN Link with MASTER is down": MasterDownError,
    b"TRYAGAIN Multiple keys request during rehashing of slot": TryAgainError,
    b"CLUSTERDOWN The cluster is down": ClusterDownError,
}
Handler = Callable[[list[bytes], ScriptedClient], "bytes | None"]
UNSENT = {"socket_timeout": 5}  # the link must not die by itself


class Subclass(Redis):
    """Sees every reply itself, which costs it the shared link."""

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        return super().parse_response(connection, command_name, **options)


class Counted(AbstractBackoff):
    """No wait at all; `count` tells how many there were."""

    def __init__(self) -> None:
        self.count = 0

    def compute(self, failures: int) -> float:
        self.count += 1
        return 0.0

    def __deepcopy__(self, memo: object) -> Counted:
        return self


@contextmanager
def client_of(kind: str, port: int, repeats: int = 3, **options: Any) -> Iterator[Redis]:
    chosen = {"socket_timeout": 0.1, "retry": Retry(NoBackoff(), repeats), **options}
    made = Subclass if kind == "subclass" else Redis
    multiplex, single = kind == "link", kind == "single"
    with made("127.0.0.1", port, multiplex=multiplex, single_connection_client=single, **chosen) as client:
        yield client


def failure(call: Callable[[], Any], kind: type[Exception] = Exception) -> Any:
    """The error that `call()` must raise."""
    with pytest.raises(kind) as caught:
        call()
    return caught.value


def all_failures(calls: Iterable[Callable[[], Any]]) -> list[Any]:
    """The errors that calls made at the same time must raise."""
    greenlets = [gevent.spawn(failure, call) for call in calls]
    gevent.joinall(greenlets, raise_error=True)
    return [each.value for each in greenlets]


def refused_first(times: int, refusal: bytes) -> Handler:
    left = iter(range(times))
    return lambda words, client: b":1\r\n" if next(left, None) is None else b"-" + refusal + b"\r\n"


def mute(words: list[bytes], client: ScriptedClient) -> bytes | None:
    return None


def closes(words: list[bytes], client: ScriptedClient) -> bytes | None:
    client.close()
    return None


def resets(words: list[bytes], client: ScriptedClient) -> bytes | None:
    client.reset()
    return None


def cuts(words: list[bytes], client: ScriptedClient) -> bytes | None:
    client.cut(b"$5\r\nhello\r\n", 6)
    return None


def stalls(words: list[bytes], client: ScriptedClient) -> bytes | None:
    client.send(b"$5\r\nhe")
    return None


def shakes(words: list[bytes]) -> bytes:
    """The answer of an old server to what a new connection says."""
    return b"-ERR unknown command\r\n" if words[0] == b"HELLO" else b"+OK\r\n"


def is_handshake(words: list[bytes]) -> bool:
    return words[0] in (b"HELLO", b"CLIENT")


# -- sent, no reply


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss", [mute, closes, resets, cuts, stalls])
def test_increment_without_a_reply_is_sent_once(kind: str, loss: Handler) -> None:
    with ScriptedServer(loss) as server, client_of(kind, server.port) as client:
        error = failure(lambda: client.execute_command("INCR", "key"), RedisError)
        assert isinstance(error, (ConnectionError, TimeoutError)) and error.maybe_executed
        assert str(error.address) == server.address and server.address in str(error)
        assert len(server.sent("INCR")) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss", [mute, closes, resets, cuts, stalls])
def test_read_without_a_reply_is_repeated_as_often_as_the_policy_says(kind: str, loss: Handler) -> None:
    with ScriptedServer(loss) as server, client_of(kind, server.port) as client:
        error = failure(lambda: client.execute_command("GET", "key"), RedisError)
        assert isinstance(error, (ConnectionError, TimeoutError)) and error.maybe_executed
        assert len(server.sent("GET")) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_read_gets_the_answer_of_a_later_attempt(kind: str) -> None:
    def answers(words: list[bytes], client: ScriptedClient) -> bytes | None:
        return b"+done\r\n" if len(server.sent("GET")) == 3 else closes(words, client)

    with ScriptedServer(answers) as server, client_of(kind, server.port) as client:
        assert client.execute_command("GET", "key") == b"done"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("resend", "command", "times"), [("always", "INCR", 4), ("never", "GET", 1)])
def test_resend_decides(kind: str, resend: str, command: str, times: int) -> None:
    with ScriptedServer(mute) as server, client_of(kind, server.port, resend=resend) as client:
        assert failure(lambda: client.execute_command(command, "key"), TimeoutError).maybe_executed
        assert len(server.sent(command)) == times


@pytest.mark.parametrize("kind", KINDS)
def test_blocking_pop_without_a_reply_is_sent_once(kind: str) -> None:
    with ScriptedServer(mute) as server, client_of(kind, server.port) as client:
        error = failure(lambda: client.execute_command("BLPOP", "key", 0.1), TimeoutError)
        assert error.maybe_executed and len(server.sent("BLPOP")) == 1


@pytest.mark.parametrize("kind", ["link", "pool"])
def test_each_of_many_increments_is_sent_once_and_fails_by_itself(kind: str) -> None:
    with ScriptedServer(mute) as server, client_of(kind, server.port) as client:
        errors = all_failures([partial(client.execute_command, "INCR", each) for each in range(50)])
        assert len(set(map(id, errors))) == 50 and all(error.maybe_executed for error in errors)
        assert sorted(int(words[1]) for words in server.sent("INCR")) == list(range(50))


@pytest.mark.parametrize("kind", KINDS)
def test_an_attempt_that_was_sent_is_not_forgotten_when_later_ones_are_not(kind: str) -> None:
    """The last failure is "not sent", but the first may have been executed."""

    def answers_once(words: list[bytes], client: ScriptedClient) -> bytes | None:
        if is_handshake(words) and client.number == 0:
            return shakes(words)
        return closes(words, client)

    with ScriptedServer(answers_once, handshake=False) as server:
        with client_of(kind, server.port, resend="always", protocol=2) as client:
            error = failure(lambda: client.execute_command("INCR", "key"), ConnectionError)
            assert len(server.sent("INCR")) == 1 and server.total_connections == 4
            assert error.maybe_executed


@pytest.mark.parametrize("kind", KINDS)
def test_an_attempt_that_was_sent_is_not_forgotten_when_later_ones_are_refused(kind: str) -> None:
    def refuses_later(words: list[bytes], client: ScriptedClient) -> bytes | None:
        return b"-LOADING not yet\r\n" if len(server.sent("INCR")) > 1 else closes(words, client)

    with ScriptedServer(refuses_later) as server:
        with client_of(kind, server.port, resend="always") as client:
            error = failure(lambda: client.execute_command("INCR", "key"), BusyLoadingError)
            assert len(server.sent("INCR")) == 4 and error.maybe_executed


# -- not sent


@pytest.mark.parametrize("kind", KINDS)
def test_server_that_breaks_off_the_handshake_is_tried_again(kind: str) -> None:
    def unwilling(words: list[bytes], client: ScriptedClient) -> bytes | None:
        if is_handshake(words):
            return shakes(words) if client.number >= 2 else closes(words, client)
        return b":1\r\n"

    with ScriptedServer(unwilling, handshake=False) as server:
        with client_of("pool" if kind == "single" else kind, server.port) as client:
            assert client.execute_command("INCR", "key") == 1
            assert len(server.sent("INCR")) == 1 and server.total_connections >= 3


@pytest.mark.parametrize("kind", ["link", "pool", "subclass"])
def test_refused_port_is_tried_as_often_as_the_policy_says(kind: str) -> None:
    backoff = Counted()
    with client_of(kind, free_port(), retry=Retry(backoff, 3)) as client:
        assert not failure(lambda: client.execute_command("INCR", "key"), ConnectionError).maybe_executed
        assert backoff.count == 3 and client.connection_pool.stats()["dialed"] == 4


@pytest.mark.parametrize("kind", KINDS)
def test_connection_that_the_server_closed_meanwhile_is_replaced(kind: str) -> None:
    with ScriptedServer(lambda words, client: b":1\r\n") as server, client_of(kind, server.port) as client:
        client.execute_command("INCR", "first")
        server.clients[0].close()
        wait_until(partial(is_noticed, client))
        assert client.execute_command("INCR", "second") == 1
        assert [words[1] for words in server.sent("INCR")] == [b"first", b"second"]


def is_noticed(client: Redis) -> bool:
    """Whether the server's FIN has come, and the pool looks at connections that were idle so long."""
    link = client.connection_pool.share().link
    if link is not None or not client.connection_pool.stats()["dialed"]:
        return link is not None and link.error is not None
    if client.connection is not None:
        return not client.connection.looks_idle()
    idle = client.connection_pool.share().idle.queue
    return not idle or (not idle[0].looks_idle() and monotonic() > idle[0].idle_since + 0.02)


@contextmanager
def unsent_increments(server: ScriptedServer, client: Redis, count: int) -> Iterator[list[Any]]:
    """Calls whose commands are not written yet, on a link that waits for another reply."""
    waiting = gevent.spawn(all_failures, [lambda: client.execute_command("SET", "key", "value")])
    wait_until(lambda: server.sent("SET"))
    yield [gevent.spawn(outcome, partial(client.execute_command, "INCR", each)) for each in range(count)]
    waiting.join()
    assert [error.maybe_executed for error in waiting.get()] == [True]


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except RedisError as error:
        return error


def increments_only(words: list[bytes], client: ScriptedClient) -> bytes | None:
    return b":1\r\n" if words[0] == b"INCR" else None


def test_unsent_command_of_a_dead_link_is_sent_on_the_next() -> None:
    with ScriptedServer(increments_only) as server, client_of("link", server.port, **UNSENT) as client:
        with unsent_increments(server, client, 3) as calls:
            gevent.spawn(client.connection_pool.disconnect)
        assert [call.get() for call in calls] == [1, 1, 1] and len(server.sent("INCR")) == 3


def test_unsent_command_of_a_dead_link_is_told_apart() -> None:
    with ScriptedServer(increments_only) as server, client_of("link", server.port, 0, **UNSENT) as client:
        with unsent_increments(server, client, 3) as calls:
            gevent.spawn(client.connection_pool.disconnect)
        errors = [call.get() for call in calls]
        assert all(isinstance(error, ConnectionError) and not error.maybe_executed for error in errors)
        assert len(set(map(id, errors))) == 3 and not server.sent("INCR")


def test_caller_who_leaves_before_his_command_is_written_takes_it_along() -> None:
    with ScriptedServer(mute) as server, client_of("link", server.port, **UNSENT) as client:
        with unsent_increments(server, client, 3) as calls:
            # A kill from a greenlet would come after the write.
            gevent.get_hub().loop.run_callback(calls[1].throw, gevent.GreenletExit)
            wait_until(lambda: len(server.sent("INCR")) >= 2 and calls[1].dead)
            client.connection_pool.disconnect()
        errors = [calls[0].get(), calls[2].get()]
        assert [words[1] for words in server.sent("INCR")] == [b"0", b"2"]
        assert all(isinstance(error, ConnectionError) and error.maybe_executed for error in errors)


# -- partly written


@contextmanager
def deaf_server(on_stall: Callable[[ScriptedClient], None] | None = None) -> Iterator[ScriptedServer]:
    """Reads nothing after the handshake (of RESP2), until the end of the block."""
    released = Event()

    def handler(words: list[bytes], client: ScriptedClient) -> bytes | None:
        if words[:3] == [b"CLIENT", b"SETINFO", b"LIB-VER"]:
            client.send(b"+OK\r\n")
            if on_stall is not None:
                gevent.spawn(on_stall, client)
            released.wait()
            return None
        return b"+OK\r\n" if is_handshake(words) else b":1\r\n"

    with ScriptedServer(handler, handshake=False) as server:
        try:
            yield server
        finally:
            released.set()


@pytest.mark.parametrize("kind", KINDS)
def test_command_that_was_written_in_part_was_not_executed_and_is_repeated(kind: str) -> None:
    with deaf_server() as server, client_of(kind, server.port, 1, protocol=2) as client:
        error = failure(lambda: client.execute_command("SET", "key", HUGE), TimeoutError)
        assert not error.maybe_executed
        assert server.total_connections == 2 and not server.sent("SET")


@pytest.mark.parametrize("kind", KINDS)
def test_write_that_the_server_breaks_off_was_not_executed(kind: str) -> None:
    with deaf_server(ScriptedClient.reset) as server, client_of(kind, server.port, 1, protocol=2) as client:
        error = failure(lambda: client.execute_command("SET", "key", HUGE), ConnectionError)
        assert not error.maybe_executed and not server.sent("SET")


@pytest.mark.parametrize("kind", KINDS)
def test_deadline_in_the_middle_of_a_write(kind: str) -> None:
    with deaf_server() as server, client_of(kind, server.port, socket_timeout=5, protocol=2) as client:
        with greenredis.deadline(0.2):
            error = failure(lambda: client.execute_command("SET", "key", HUGE), TimeoutError)
        assert not error.maybe_executed and not server.sent("SET")


def test_batch_of_which_the_server_has_the_first_command() -> None:
    released = Event()

    def takes_one(words: list[bytes], client: ScriptedClient) -> None:
        released.wait()

    with ScriptedServer(takes_one) as server, client_of("pool", server.port) as client:
        pool = client.connection_pool
        pieces = iter([pool.packer.pack(("INCR", "key")), *pool.packer.pack(("SET", "key", HUGE))])
        error = failure(lambda: pool.execute_many(pieces, 2), TimeoutError)
        assert len(server.sent("INCR")) == 1 and error.maybe_executed
        released.set()


def test_crowded_link_tells_what_was_written_from_what_was_not() -> None:
    """30 MB wait before a server that reads nothing: what the kernel did not take cannot be executed."""
    with deaf_server() as server, client_of("link", server.port, 0, protocol=2) as client:
        client.connection_pool.multiplexer.link()
        errors = all_failures([partial(client.execute_command, "SET", "key", bytes(60_000))] * 500)
        told = [error.maybe_executed for error in errors]
        # The first is alone on the wire; the rest goes in one piece, of which both kernels take some MB.
        assert told[0] and told.count(False) > 250


# -- refused, and other replies


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("refusal", REFUSALS)
def test_refused_command_is_repeated(kind: str, refusal: bytes) -> None:
    with ScriptedServer(refused_first(2, refusal)) as server, client_of(kind, server.port) as client:
        assert client.execute_command("INCR", "key") == 1
        assert len(server.sent("INCR")) == 3 and server.total_connections <= 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("refusal", REFUSALS)
def test_refused_command_is_repeated_as_often_as_the_policy_says(kind: str, refusal: bytes) -> None:
    with ScriptedServer(refused_first(99, refusal)) as server, client_of(kind, server.port) as client:
        error = failure(lambda: client.execute_command("INCR", "key"), REFUSALS[refusal])
        assert len(server.sent("INCR")) == 4 and not error.maybe_executed
        assert str(error.address) == server.address


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", [b"ERR no", b"OOM no", b"WRONGTYPE no", b"BUSY no", b"NOPERM no"])
def test_other_error_replies_are_final(kind: str, text: bytes) -> None:
    with ScriptedServer(refused_first(1, text)) as server, client_of(kind, server.port) as client:
        failure(lambda: client.execute_command("GET", "key"), ResponseError)
        assert len(server.sent("GET")) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_refused_credentials_are_not_tried_again(kind: str) -> None:
    def refuses(words: list[bytes], client: ScriptedClient) -> bytes:
        return b"-WRONGPASS invalid\r\n" if words[0] == b"HELLO" else b"+OK\r\n"

    with ScriptedServer(refuses, handshake=False) as server:

        def call() -> None:
            with client_of(kind, server.port, username="me", password="planted") as client:
                client.execute_command("INCR", "key")

        error = failure(call, AuthenticationError)
        assert server.total_connections == 1 and not error.maybe_executed and not server.sent("INCR")


@pytest.mark.parametrize("kind", KINDS)
def test_missing_credentials_are_not_tried_again(kind: str) -> None:
    with ScriptedServer(refused_first(1, b"NOAUTH first")) as server, client_of(kind, server.port) as client:
        failure(lambda: client.execute_command("GET", "key"), AuthenticationError)
        assert len(server.sent("GET")) == 1


@pytest.mark.parametrize("blocking", [True, False])
@pytest.mark.parametrize("multiplex", [True, False])
def test_full_pool_is_not_asked_again(blocking: bool, multiplex: bool) -> None:
    backoff = Counted()
    made = greenredis.BlockingConnectionPool if blocking else greenredis.ConnectionPool
    more: dict[str, Any] = {"timeout": 0.05} if blocking else {}
    with ScriptedServer(mute) as server:
        pool: Any = made(port=server.port, max_connections=2, retry=Retry(backoff, 3), **more)
        with pool, pool.lend(), pool.lend():
            call = Redis(connection_pool=pool, multiplex=multiplex).execute_command
            assert not failure(lambda: call("GET", "key"), MaxConnectionsError).maybe_executed
        assert backoff.count == 0


# -- redis-py's options


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("supported", "times"), [((ConnectionError,), 1), ((TimeoutError,), 4), ((socket.timeout,), 1), ((), 1)]
)
def test_supported_errors_of_the_policy(kind: str, supported: Iterable[type[Exception]], times: int) -> None:
    retry = Retry(NoBackoff(), 3, tuple(supported))
    with ScriptedServer(mute) as server, client_of(kind, server.port, retry=retry) as client:
        failure(lambda: client.execute_command("GET", "key"), TimeoutError)
        assert len(server.sent("GET")) == times


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", ["INCR", "GET"])
def test_named_error_replies_are_repeated(kind: str, command: str) -> None:
    options: dict[str, Any] = {"retry_on_error": [ResponseError]}
    with ScriptedServer(refused_first(2, b"ERR not now")) as server:
        with client_of(kind, server.port, **options) as client:
            assert client.execute_command(command, "key") == 1
        assert len(server.sent(command)) == 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{"retry_on_error": [TimeoutError]}, {"retry_on_timeout": True}], ids=str)
def test_named_errors_do_not_make_a_write_safe(kind: str, options: dict[str, Any]) -> None:
    with ScriptedServer(mute) as server, client_of(kind, server.port, retry=None, **options) as client:
        assert failure(lambda: client.execute_command("INCR", "key"), TimeoutError).maybe_executed
        assert len(server.sent("INCR")) == 1
        failure(lambda: client.execute_command("GET", "key"), TimeoutError)
        assert len(server.sent("GET")) == 2  # without a policy, naming errors allows one attempt more


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_policy_nothing_is_repeated(kind: str) -> None:
    with ScriptedServer(mute) as server, client_of(kind, server.port, retry=None) as client:
        failure(lambda: client.execute_command("GET", "key"), TimeoutError)
        assert len(server.sent("GET")) == 1
