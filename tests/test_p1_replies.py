"""P1: nobody gets a reply that was meant for somebody else, whoever is killed and whatever is raised.

`GREENREDIS_REPEAT` multiplies the operations, `GREENREDIS_SEED` repeats a run whose seed was printed.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import monotonic
from typing import Any

import gevent
import gevent.socket
import greenlet
import hiredis
import pytest
from gevent.event import Event
from storm import (  # type: ignore[import-not-found]
    GREENLETS,
    Operation,
    Storm,
    assert_all_slots,
    connections_of,
)

from greenredis import Redis
from greenredis.exceptions import ConnectionError, RedisError, ResponseError
from greenredis.testing import ScriptedClient, ScriptedServer, Server, wait_until
from greenredis.transport.pool import BlockingConnectionPool

pytestmark = pytest.mark.usefixtures("leaks")


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """What reaches the hub's error handler, which then prints nothing."""
    found: list[BaseException] = []
    monkeypatch.setattr(
        gevent.get_hub(), "handle_error", lambda context, kind, value, trace: found.append(value)
    )
    return found


def single(client: Redis, storm: Storm) -> None:
    token = storm.token()
    storm.expect(client.execute_command("ECHO", token), token)


def pair(client: Redis, storm: Storm) -> None:
    single(client, storm)
    single(client, storm)


def mixed(client: Redis, storm: Storm) -> None:
    """Links and pools, big words, errors and blocking commands."""
    chance, token = storm.random.random(), storm.token()
    if chance < 0.005:
        token *= 70_000 // len(token) + 1
        storm.expect(client.execute_command("ECHO", token), token)
    elif chance < 0.01:
        storm.expect(client.execute_command("BLPOP", token, 0.002), None)
    elif chance < 0.1:
        with pytest.raises(ResponseError, match=r"nonsense-\w+"):
            client.execute_command("nonsense-x", token)
        storm.expect(client.execute_command("ECHO", token, multiplex=False), token)
    else:
        storm.expect(client.execute_command("ECHO", token), token)


def batch(client: Redis, storm: Storm) -> None:
    tokens = [storm.token() for _ in range(storm.random.randrange(1, 9))]
    pool = client.connection_pool
    packed = b"".join(bytes(pool.packer.pack(("ECHO", token))) for token in tokens)  # type: ignore[arg-type]
    transport: Any = pool.multiplexer if client._transport is not pool else pool
    storm.expect(transport.execute_many(packed, len(tokens)), tokens)


@pytest.mark.parametrize(
    ("operation", "count"), [(single, 60_000), (pair, 40_000), (batch, 40_000), (mixed, 40_000)]
)
@pytest.mark.time_limit(240)
def test_storm_on_link(server: Server, seed: int, name: str, operation: Operation, count: int) -> None:
    with Redis(port=server.port, max_connections=10, client_name=name) as client:
        link = client.connection_pool.multiplexer.link()
        storm = Storm(client, operation, count, seed)
        storm.run()
        assert client.connection_pool.multiplexer.link() is link and link.error is None
        if operation is not mixed:
            assert client.connection_pool.stats()["dialed"] == 1
        client.ping()
        assert not link.waiting and not link.unsent
        assert_all_slots(client, server)


@pytest.mark.parametrize(
    ("operation", "count"), [(single, 50_000), (pair, 30_000), (batch, 20_000), (mixed, 20_000)]
)
@pytest.mark.time_limit(240)
def test_storm_on_pool(server: Server, seed: int, name: str, operation: Operation, count: int) -> None:
    with Redis(port=server.port, max_connections=8, multiplex=False, client_name=name) as client:
        Storm(client, operation, count, seed).run()
        assert_all_slots(client, server)


@pytest.mark.parametrize("multiplex", [True, False])
def test_storm_with_resp2(server: Server, seed: int, name: str, multiplex: bool) -> None:
    options: dict[str, Any] = {"multiplex": multiplex, "protocol": 2, "client_name": name}
    with Redis(port=server.port, max_connections=8, **options) as client:
        Storm(client, single, 5000, seed).run()
        assert_all_slots(client, server)


class Overriding(Redis):
    """Sees every reply, and says of which command."""

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        gevent.sleep(0)
        reply = super().parse_response(connection, command_name, **options)
        gevent.sleep(0)
        return (command_name, reply)


def overridden(client: Redis, storm: Storm) -> None:
    token = storm.token()
    storm.expect(client.execute_command("ECHO", token), ("ECHO", token))


def test_storm_on_subclass_that_parses(server: Server, seed: int, name: str) -> None:
    with Overriding(port=server.port, max_connections=8, client_name=name) as client:
        Storm(client, overridden, 5000, seed).run()
        assert_all_slots(client, server)


class Minimal:
    """A connection as redis-py's contract has it, and not one attribute more."""

    def __init__(self, host: str = "localhost", port: int = 6379, **options: Any) -> None:
        self.host, self.port = host, port
        self.socket: Any = None
        self.reader = hiredis.Reader(replyError=ResponseError)

    def connect(self) -> None:
        if self.socket is None:
            self.socket = gevent.socket.create_connection((self.host, self.port))
            self.reader = hiredis.Reader(replyError=ResponseError)

    def disconnect(self, *args: Any) -> None:
        connection, self.socket = self.socket, None
        if connection is not None:
            connection.close()

    def send_command(self, *words: Any, **options: Any) -> None:
        self.connect()
        self.socket.sendall(hiredis.pack_command(words))

    def read_response(self, disable_decoding: bool = False, **options: Any) -> Any:
        while (reply := self.reader.gets()) is False:
            data = self.socket.recv(65536)
            if not data:
                self.disconnect()
                raise ConnectionError("closed")
            self.reader.feed(data)
        if isinstance(reply, ResponseError):
            raise reply
        return reply


class Unconnecting(Minimal):
    """Relies on the pool, which in redis-py connects whatever it lends."""

    def send_command(self, *words: Any, **options: Any) -> None:
        assert self.socket is not None, "the pool lent a connection that is not connected"
        super().send_command(*words, **options)


def test_storm_on_connections_of_users_own(server: Server, seed: int) -> None:
    pool = BlockingConnectionPool(8, connection_class=Minimal, host=server.host, port=server.port)
    with Redis(connection_pool=pool) as client, pool:
        Storm(client, single, 5000, seed).run()
        wait_until(lambda: pool.stats()["lent"] == pool.stats()["waiting"] == pool.stats()["dialing"] == 0)
        assert pool.share().slots <= 8


def test_connection_of_users_own_is_lent_connected(server: Server) -> None:
    pool = BlockingConnectionPool(1, connection_class=Unconnecting, host=server.host, port=server.port)
    with Redis(connection_pool=pool) as client, pool:
        with suppress(gevent.Timeout), gevent.Timeout(0.05):
            client.execute_command("BLPOP", "nothing", 0)
        assert client.execute_command("ECHO", "next") == b"next"


@pytest.mark.parametrize("kind", [Redis, Overriding])
def test_storm_on_one_connection(server: Server, seed: int, name: str, kind: type[Redis]) -> None:
    operation = single if kind is Redis else overridden
    with kind(port=server.port, single_connection_client=True, client_name=name) as client:
        Storm(client, operation, 3000, seed).run()
        client.execute_command("CLIENT", "ID")
        assert connections_of(client, server) == 1


@pytest.mark.parametrize("multiplex", [True, False])
def test_undecodable_reply_is_its_callers_alone(server: Server, name: str, multiplex: bool) -> None:
    server.ask_all(("SET", "bad", b"\xff\xfe"), ("RPUSH", "worse", "a", b"\xff", "c"))
    options: dict[str, Any] = {"multiplex": multiplex, "decode_responses": True, "client_name": name}
    with Redis(port=server.port, max_connections=5, **options) as client:

        def work(number: int) -> None:
            for turn in range(50):
                if (number + turn) % 3 == 0:
                    with pytest.raises(UnicodeDecodeError):
                        client.execute_command(*(("GET", "bad"), ("LRANGE", "worse", 0, -1))[turn % 2])
                else:
                    token = f"{number}-{turn}"
                    assert client.execute_command("ECHO", token) == token

        gevent.joinall([gevent.spawn(work, number) for number in range(GREENLETS)], raise_error=True)
        assert_all_slots(client, server)
        assert client.connection_pool.stats()["dialed"] <= 5


@pytest.mark.parametrize("multiplex", [True, False])
def test_undecodable_reply_in_a_batch(server: Server, multiplex: bool) -> None:
    """The others of the batch and its connection are none the worse for it, on either transport."""
    server.ask("SET", "bad", b"\xff")
    with Redis(port=server.port, decode_responses=True, multiplex=multiplex, max_connections=2) as client:
        packed: Any = map(client.get_encoder().pack, (("ECHO", "a"), ("GET", "bad"), ("ECHO", "b")))
        replies = client._transport.execute_many(b"".join(packed), 3)
        assert replies[0] == "a" and isinstance(replies[1], UnicodeDecodeError) and replies[2] == "b"
        assert client.execute_command("ECHO", "c") == "c"
        assert client.connection_pool.stats()["dialed"] == 1


# -- what a waiter does when it is handed its reply


def raw(work: Callable[[], None]) -> greenlet.greenlet:
    """A greenlet of the hub's own, whose errors land there, started in the loop's next turn."""
    made = greenlet.greenlet(work, parent=gevent.get_hub())
    gevent.get_hub().loop.run_callback(made.switch)
    return made


@pytest.fixture
def held() -> Iterator[tuple[ScriptedServer, Event]]:
    """A server that answers ECHO when told to, all in one piece."""
    told = Event()
    replies: list[bytes] = []

    def send_all(client: ScriptedClient) -> None:
        told.wait()
        client.send(b"".join(replies))

    def answer(words: list[bytes], client: ScriptedClient) -> bytes | None:
        if words[0] != b"ECHO" or told.is_set():
            return b"$%d\r\n%s\r\n" % (len(words[-1]), words[-1])
        replies.append(b"$%d\r\n%s\r\n" % (len(words[-1]), words[-1]))
        if len(replies) == GREENLETS:
            gevent.spawn(send_all, client)
        return None

    with ScriptedServer(answer) as server:
        yield server, told


@pytest.mark.parametrize("what", ["raise", "exit", "close", "kill", "kill all", "command", "disconnect"])
def test_what_a_waiter_does_leaves_the_rest_to_their_owners(
    held: tuple[ScriptedServer, Event], errors: list[BaseException], what: str
) -> None:
    server, told = held
    outcome: dict[int, Any] = {}
    killed: set[int] = set()
    greenlets: list[Any] = []
    with Redis(port=server.port, retry=None) as client:
        client.connection_pool.multiplexer.link()

        def mischief(number: int) -> None:
            if what == "raise":
                raise ValueError(number)
            if what == "exit":
                raise greenlet.GreenletExit
            if what == "close":
                client.close()
            elif what == "disconnect":
                client.connection_pool.disconnect()
            elif what == "command":
                token = b"again %d" % number
                assert client.execute_command("ECHO", token) == token
                outcome[-number] = token
            else:
                victims = range(GREENLETS) if what == "kill all" else ((number + 1) % GREENLETS,)
                for each in victims:
                    if each != number and each not in outcome:
                        killed.add(each)
                        gevent.kill(greenlets[each])

        def work(number: int) -> None:
            try:
                outcome[number] = client.execute_command("ECHO", b"%d" % number)
            except RedisError as error:
                outcome[number] = error
                return
            if number % 7 == 3:
                mischief(number)

        greenlets += [raw(lambda number=number: work(number)) for number in range(GREENLETS)]  # type: ignore[misc]
        wait_until(lambda: len(server.sent("ECHO")) == GREENLETS)
        told.set()
        wait_until(lambda: all(each.dead for each in greenlets), message=f"hangs: {outcome}")
        assert client.execute_command("ECHO", "after") == b"after"
    # A kill comes in the loop's next turn, which may be after the victim's reply.
    assert {number: b"%d" % number for number in outcome if number >= 0}.items() <= outcome.items()
    assert set(range(GREENLETS)) - killed <= set(outcome)
    assert [number for number in outcome if number < 0] or what != "command"
    assert len(errors) == (9 if what == "raise" else 0), errors


def test_raw_greenlets_that_raise_under_load(server: Server, errors: list[BaseException]) -> None:
    done: Counter[bool] = Counter()
    with Redis(port=server.port, max_connections=5) as client:

        def work(number: int) -> None:
            for turn in range(1 + number % 5):
                token = b"%d:%d" % (number, turn)
                good = client.execute_command("ECHO", token) == token
                done[good] += 1
            if number % 2:
                raise ValueError(number)

        greenlets = [raw(lambda number=number: work(number)) for number in range(2000)]  # type: ignore[misc]
        wait_until(lambda: all(each.dead for each in greenlets))
        assert client.connection_pool.stats()["dialed"] == 1
    assert set(done) == {True} and sum(done.values()) == 6000 and len(errors) == 1000


@pytest.mark.parametrize("callers", [1, 3])
def test_waiter_that_computes_long(server: Server, callers: int) -> None:
    """The pause that the loop then gets costs the link nothing, also if nobody waits any more."""
    with Redis(port=server.port, retry=None) as client:

        def work(number: int) -> None:
            for turn in range(5):
                assert client.execute_command("ECHO", turn) == b"%d" % turn
                end = monotonic() + 0.008
                while monotonic() < end:
                    pass
                gevent.sleep(0.02)

        gevent.joinall([gevent.spawn(work, number) for number in range(callers)], raise_error=True)
        assert client.connection_pool.stats()["dialed"] == 1


FORKS = """
    import os, sys, gevent, greenredis
    from gevent.event import Event
    client = greenredis.Redis(port=int(sys.argv[1]), retry=None, socket_timeout=5)
    client.ping()
    done = []

    def work(number):
        reply = client.execute_command("ECHO", number)
        assert reply == b"%d" % number, (number, reply)
        done.append(number)
        if number == 25:
            pid = os.fork()
            if not pid:
                child()
            children.append(pid)

    def child():
        # In the hand-over, and in the child: a new connection, while others' replies are still unread.
        def use():
            try:
                for token in range(500):
                    reply = client.execute_command("ECHO", b"child %d" % token)
                    assert reply == b"child %d" % token, reply
                os._exit(0)
            except BaseException as error:
                print("child:", repr(error), file=sys.stderr, flush=True)
                os._exit(1)
        gevent.spawn(use)

    children = []
    parent = os.getpid()
    workers = [gevent.spawn(work, number) for number in range(60)]
    with gevent.Timeout(10):
        gevent.joinall(workers)
        while os.getpid() != parent:
            gevent.sleep(0.1)  # the child's copy of the main greenlet: `use` ends it
        for worker in workers:
            worker.get()
        assert sorted(done) == list(range(60)), done
        for token in range(500):
            assert client.execute_command("ECHO", token) == b"%d" % token
        while not (ended := os.waitpid(children[0], os.WNOHANG))[0]:
            gevent.sleep(0.01)
    assert ended[1] == 0, ended
    assert client.connection_pool.stats()["dialed"] == 1, client
    print("good")
"""


def test_fork_from_inside_the_hand_over(server: Server) -> None:
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(FORKS), str(server.port)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ran.stdout.strip() == "good", ran.stderr[-3000:]


def test_greenlets_own_commands_stay_in_order(server: Server) -> None:
    """Also where each is given up on before its reply comes."""
    with Redis(port=server.port) as client:

        def work(number: int) -> None:
            for turn in range(100):
                with suppress(gevent.Timeout), gevent.Timeout(0.0005):
                    client.execute_command("RPUSH", f"list{number}", turn)

        gevent.joinall([gevent.spawn(work, number) for number in range(GREENLETS)], raise_error=True)
        for number in range(GREENLETS):
            pushed = [int(each) for each in client.execute_command("LRANGE", f"list{number}", 0, -1)]
            assert pushed == sorted(set(pushed))
