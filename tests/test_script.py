"""Script: as redis-py's, loaded where it is missing, by one for all; never run twice for one call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent.event import Event

import greenredis
from greenredis import Redis
from greenredis.exceptions import ConnectionError, NoScriptError, ResponseError, TimeoutError
from greenredis.script import Script, _loads
from greenredis.testing import ScriptedClient, ScriptedServer, Server, wait_until

redis = pytest.importorskip("redis")

pytestmark = pytest.mark.usefixtures("leaks")

NOSCRIPT = b"-NOSCRIPT No matching script. Please use EVAL.\r\n"
JOINED = "return {KEYS[1], ARGV[1], #KEYS, #ARGV}"
COUNTED = "return redis.call('INCR', KEYS[1])"


@pytest.fixture
def client(server: Server) -> Iterator[Redis]:
    with Redis(port=server.port) as client:
        client.execute_command("SCRIPT FLUSH")
        yield client


def calls_of(client: Redis, command: str) -> int:
    """How often the server has executed the command."""
    stats: Any = client.execute_command("INFO", "commandstats")
    return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


@pytest.mark.parametrize("name", ["__init__", "__call__", "get_encoder"])
def test_signature_is_redis_pys(name: str) -> None:
    theirs = inspect.signature(getattr(redis.commands.core.Script, name)).parameters.values()
    ours = inspect.signature(getattr(Script, name)).parameters.values()
    assert [(p.name, p.kind, p.default) for p in ours] == [(p.name, p.kind, p.default) for p in theirs]


@pytest.mark.parametrize("text", ["return 1", "return '\xe9\u20ac'", b"return '\xff'"])
def test_sha_and_script_are_redis_pys(server: Server, client: Redis, text: str | bytes) -> None:
    ours = client.register_script(text)
    with redis.Redis(port=server.port) as other:
        theirs = other.register_script(text)
        assert (ours.sha, ours.script) == (theirs.sha, theirs.script)
        assert ours() == theirs()
        assert other.script_exists(ours.sha) == [True]


def test_sha_is_of_the_text_in_the_clients_encoding(server: Server) -> None:
    with Redis(port=server.port, encoding="latin-1") as client:
        script = client.register_script("return '\xe9'")
        assert script() == b"\xe9"
        # Another client's encoding does not change the script.
        with Redis(port=server.port) as other:
            other.execute_command("SCRIPT FLUSH")
            evals = calls_of(other, "eval")
            assert script(client=other) == b"\xe9" and calls_of(other, "eval") == evals


def test_keys_and_args(client: Redis) -> None:
    script = client.register_script(JOINED)
    assert script(keys=["k"], args=["a"]) == [b"k", b"a", 1, 1]
    assert script(["k", "l"], (str(number) for number in range(3))) == [b"k", b"0", 2, 3]
    assert client.register_script("return #KEYS + #ARGV")() == 0


def test_other_client_loads_for_itself(server: Server, fresh_server: Server, client: Redis) -> None:
    script = client.register_script(JOINED)
    script(["k"], ["a"])
    with Redis(port=fresh_server.port) as other:
        assert script(["k"], ["a"], client=other) == [b"k", b"a", 1, 1]
        assert calls_of(other, "script|load") == 1


def test_errors_are_the_scripts_own(client: Redis) -> None:
    with pytest.raises(ResponseError, match="mine"):
        client.register_script("return redis.error_reply('mine')")()
    with pytest.raises(ResponseError, match="compiling"):
        client.register_script("this is no Lua")()
    client.execute_command("RPUSH", "list", "a")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        client.register_script(COUNTED)(["list"])


@pytest.mark.parametrize("multiplex", [True, False])
def test_one_load_for_all_who_find_it_missing(server: Server, multiplex: bool) -> None:
    with Redis(port=server.port, multiplex=multiplex, max_connections=10) as client:
        script = client.register_script(COUNTED)
        script(["n"])
        client.execute_command("SCRIPT FLUSH")
        before = calls_of(client, "script|load")
        workers = [gevent.spawn(script, ["n"]) for _ in range(100)]
        gevent.joinall(workers, raise_error=True)
        assert sorted(int(worker.get()) for worker in workers) == list(range(2, 102))
        loads = calls_of(client, "script|load") - before
        # On connections of their own, answers may come after the load has ended.
        assert loads == 1 if multiplex else 1 <= loads <= 10


def test_scripts_of_one_text_share_a_load(client: Redis) -> None:
    scripts = [client.register_script(COUNTED) for _ in range(20)]
    before = calls_of(client, "script|load")
    gevent.joinall([gevent.spawn(script, ["n"]) for script in scripts], raise_error=True)
    assert calls_of(client, "script|load") - before == 1


# -- with a scripted server, which tells what it was sent


class Holder:
    """Answers EVALSHA with NOSCRIPT until the script is loaded; SCRIPT LOAD when `told`."""

    def __init__(self) -> None:
        self.loaded = False
        self.told = Event()
        self.told.set()

    def __call__(self, words: list[bytes], client: ScriptedClient) -> bytes | None:
        name = words[0].upper()
        if name == b"SCRIPT":
            self.told.wait()
            self.loaded = True
            return b"$40\r\n" + b"0" * 40 + b"\r\n"
        if name == b"EVALSHA" and not self.loaded:
            return NOSCRIPT
        return b"$%d\r\n%s\r\n" % (len(words[-1]), words[-1])


@pytest.fixture
def holder() -> Holder:
    return Holder()


@pytest.fixture
def scripted(holder: Holder) -> Iterator[ScriptedServer]:
    with ScriptedServer(lambda words, client: holder(words, client)) as server:
        yield server


def names(server: ScriptedServer) -> list[bytes]:
    return [words[0] for words in server.commands if words[0] in (b"EVALSHA", b"SCRIPT", b"EVAL")]


def test_words(scripted: ScriptedServer) -> None:
    with Redis(port=scripted.port) as client:
        script = client.register_script("return ARGV[1]")
        assert script(["k"], [1]) == b"1"
    sha = script.sha.encode()
    assert [words for words in scripted.commands if words[0] in (b"EVALSHA", b"SCRIPT")] == [
        [b"EVALSHA", sha, b"1", b"k", b"1"],
        [b"SCRIPT", b"LOAD", b"return ARGV[1]"],
        [b"EVALSHA", sha, b"1", b"k", b"1"],
    ]
    assert script.sha == sha.decode()  # whatever the server calls it


def test_script_forgotten_again_travels_whole(
    scripted: ScriptedServer, holder: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind an address with several servers, of which another one has loaded it."""
    with Redis(port=scripted.port, multiplex=False) as client:
        script = client.register_script("return ARGV[1]")
        load = client.script_load

        def forget(source: Any) -> None:
            load(source)
            holder.loaded = False

        monkeypatch.setattr(client, "script_load", forget)
        assert script([], ["x"]) == b"x"
        assert names(scripted) == [b"EVALSHA", b"SCRIPT", b"EVALSHA", b"EVAL"]


def cutting(name: bytes, then: Callable[[list[bytes], ScriptedClient], bytes | None]) -> Any:
    def answer(words: list[bytes], client: ScriptedClient) -> bytes | None:
        if words[0] == name:
            client.close()
            return None
        return then(words, client)

    return answer


@pytest.mark.parametrize("multiplex", [True, False])
def test_script_is_not_sent_again_when_its_reply_is_lost(holder: Holder, multiplex: bool) -> None:
    with (
        ScriptedServer(cutting(b"EVALSHA", holder)) as scripted,
        Redis(port=scripted.port, multiplex=multiplex) as client,
    ):
        with pytest.raises(ConnectionError) as caught:
            client.register_script(COUNTED)(["n"])
        assert caught.value.maybe_executed and names(scripted) == [b"EVALSHA"]


def test_lost_load_has_not_executed_the_script(holder: Holder) -> None:
    with ScriptedServer(cutting(b"SCRIPT", holder)) as scripted, Redis(port=scripted.port) as client:
        with pytest.raises(ConnectionError) as caught:
            client.register_script(COUNTED)(["n"])
        assert not caught.value.maybe_executed and names(scripted) == [b"EVALSHA", b"SCRIPT"]


def test_who_loads_is_killed_and_the_others_go_on(scripted: ScriptedServer, holder: Holder) -> None:
    holder.told.clear()
    with Redis(port=scripted.port, multiplex=False) as client:
        script = client.register_script("return ARGV[1]")
        first = gevent.spawn(script, [], ["first"])
        wait_until(lambda: names(scripted) == [b"EVALSHA", b"SCRIPT"])
        others = [gevent.spawn(script, [], [number]) for number in range(5)]
        wait_until(lambda: names(scripted).count(b"EVALSHA") == 6)
        assert names(scripted).count(b"SCRIPT") == 1
        first.kill()
        holder.told.set()
        gevent.joinall(others, raise_error=True)
        assert [other.value for other in others] == [b"0", b"1", b"2", b"3", b"4"]
        assert isinstance(first.value, gevent.GreenletExit)


def test_who_waits_for_a_load_is_bounded_by_his_deadline(scripted: ScriptedServer, holder: Holder) -> None:
    holder.told.clear()
    with Redis(port=scripted.port, multiplex=False) as client:
        script = client.register_script("return ARGV[1]")
        first = gevent.spawn(script, [], ["first"])
        wait_until(lambda: names(scripted) == [b"EVALSHA", b"SCRIPT"])
        with pytest.raises(TimeoutError, match="not loaded") as caught, greenredis.deadline(0.05):
            script([], ["second"])
        assert not caught.value.maybe_executed
        holder.told.set()
        first.get()
        assert first.value == b"first"


def test_load_of_another_server_is_not_waited_for(scripted: ScriptedServer, holder: Holder) -> None:
    holder.told.clear()
    with (
        ScriptedServer(Holder()) as second,
        Redis(port=scripted.port) as client,
        Redis(port=second.port) as other,
    ):
        script = client.register_script("return ARGV[1]")
        first = gevent.spawn(script, [], ["first"])
        wait_until(lambda: names(scripted) == [b"EVALSHA", b"SCRIPT"])
        assert script([], ["second"], client=other) == b"second"
        assert names(second) == [b"EVALSHA", b"SCRIPT", b"EVALSHA"]
        holder.told.set()
        assert first.get() == b"first"


def test_refused_load_is_everyones_own_error(holder: Holder) -> None:
    def refuse(words: list[bytes], client: ScriptedClient) -> bytes | None:
        return b"-NOPERM you may not\r\n" if words[0] == b"SCRIPT" else holder(words, client)

    with ScriptedServer(refuse) as scripted, Redis(port=scripted.port) as client:
        script = client.register_script(COUNTED)
        workers = [gevent.spawn(script, ["n"]) for _ in range(5)]
        gevent.joinall(workers)
        errors = {worker.exception for worker in workers}
        assert len(errors) == 5 and {type(error).__name__ for error in errors} == {"NoPermissionError"}
        assert not _loads


# -- pipelines


class Queue:
    """What a script sees of a pipeline."""

    def __init__(self) -> None:
        self.scripts: set[Any] = set()
        self.queued: list[Any] = []

    def evalsha(self, *words: Any) -> Queue:
        self.queued.append(words)
        return self


def test_pipeline_is_told_of_the_script(client: Redis) -> None:
    script, queue = client.register_script(COUNTED), Queue()
    assert script(["a"], client=queue) is queue
    assert script(["b"], [1], client=queue) is queue
    assert queue.scripts == {script}
    assert queue.queued == [(script.sha, 1, "a"), (script.sha, 1, "b", 1)]


@pytest.mark.parametrize("transaction", [True, False])
def test_pipeline_loads_once(client: Redis, transaction: bool) -> None:
    script = client.register_script(COUNTED)
    before = calls_of(client, "script|load")
    with client.pipeline(transaction=transaction) as pipe:
        for _ in range(3):
            script(["n"], client=pipe)
        assert pipe.execute() == [1, 2, 3]
        script(["n"], client=pipe)
        assert pipe.execute() == [4]
    assert calls_of(client, "script|load") - before == 1


def test_script_in_a_pipeline_that_watches_runs_at_once(client: Redis) -> None:
    script = client.register_script(JOINED)
    with client.pipeline() as pipe:
        pipe.watch("k")
        assert script(["k"], ["a"], client=pipe) == [b"k", b"a", 1, 1]
        pipe.multi()
        script(["k"], ["b"], client=pipe)
        assert pipe.execute() == [[b"k", b"b", 1, 1]]


def test_noscript_is_raised_only_by_hand(client: Redis) -> None:
    with pytest.raises(NoScriptError):
        client.execute_command("EVALSHA", "0" * 40, 0)
