"""The real redis-py is there for modules' commands, whatever `import redis` gives."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

# In a new Python: `redis` and what is below it are not redis-py's; `displace()` does it.
PREPARED = """
import sys, types

class Displaced(types.ModuleType):
    def __getattr__(self, name):
        raise AttributeError(f"{name} is asked of what is not redis-py")

def displace():
    for name in [name for name in sys.modules if name.split(".")[0] == "redis"]:
        del sys.modules[name]
    for name in ("redis", "redis.client", "redis.commands", "redis.commands.search", "redis.exceptions"):
        sys.modules[name] = Displaced(name)
    return {name: module for name, module in sys.modules.items() if name.split(".")[0] == "redis"}

def now():
    return {name: module for name, module in sys.modules.items() if name.split(".")[0] == "redis"}
"""
SEARCHED = """
from greenredis import Redis
from greenredis.testing import ScriptedServer

def search(query):
    def answer(words, client):
        assert words[:2] == [b"FT.SEARCH", b"idx"], words
        return b"*3\\r\\n:1\\r\\n$1\\r\\na\\r\\n*2\\r\\n$1\\r\\nt\\r\\n$1\\r\\nx\\r\\n"

    with ScriptedServer(answer) as server, Redis(port=server.port, protocol=2) as client:
        found = client.ft().search(query)
        assert (found.total, found.docs[0].t) == (1, "x")
        pipe = client.ft().pipeline()
        assert isinstance(pipe, type(client.pipeline()))
        assert pipe.search(query) is pipe and len(pipe) == 1
        client.json(), client.ts(), client.bf(), client.vset(), client.keyspace_notifications()
"""


def run(*parts: str) -> None:
    source = "\n".join(textwrap.dedent(part) for part in parts)
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_it_is_what_import_redis_gives() -> None:
    run("""
        from greenredis import real_redis
        package = real_redis.load()
        import redis
        from redis.commands.search.query import Query
        assert redis is package
        assert real_redis.module("redis.commands.search.query").Query is Query
    """)


def test_it_is_loaded_beside_what_has_its_name() -> None:
    run(PREPARED, SEARCHED, """
        from greenredis import real_redis
        before = displace()
        package = real_redis.load()
        assert now() == before
        assert package is real_redis.load()
        assert package.Redis.__module__ == "greenredis._redis_py.client"
        search(real_redis.module("redis.commands.search.query").Query("x"))
        assert now() == before
    """)  # fmt: skip


def test_its_imports_at_call_time_find_its_own_modules() -> None:
    run(PREPARED, """
        from greenredis import real_redis
        before = displace()
        client = real_redis.load().Redis()
        assert type(client.json()).__module__ == "greenredis._redis_py.commands.json"
        client.execute_command = lambda *words, **options: options
        assert client.function_dump() == {"NEVER_DECODE": []}
        assert now() == before
    """)  # fmt: skip


def test_what_was_imported_before_is_kept() -> None:
    run(PREPARED, SEARCHED, """
        import redis
        from redis.commands.search.query import Query
        from greenredis import real_redis
        real_redis.keep()
        displace()
        assert real_redis.load() is redis
        assert real_redis.module("redis.commands.search.query").Query is Query
        assert not [name for name in sys.modules if name.startswith("greenredis._redis_py")]
        search(Query("x"))
    """)  # fmt: skip


@pytest.mark.parametrize("imports", ["", "import redis\nfrom redis.commands.search.query import Query"])
def test_it_is_there_when_import_redis_gives_greenredis(imports: str) -> None:
    run(imports, SEARCHED, """
        import greenredis.monkey, sys
        from greenredis import real_redis
        real_redis.keep()
        greenredis.monkey.patch_redis()
        import redis
        assert redis.Redis is Redis
        query = real_redis.module("redis.commands.search.query").Query
        assert globals().get("Query", query) is query
        search(query("x"))
        assert sys.modules["redis"] is redis and redis.Redis is Redis
    """)  # fmt: skip


def test_keeping_imports_nothing_that_was_not_imported() -> None:
    run("""
        import sys
        from greenredis import real_redis
        real_redis.keep()
        assert "redis" not in sys.modules
    """)


def test_greenlets_that_load_it_at_once_get_all_of_it() -> None:
    run(PREPARED, """
        import gevent
        from greenredis import real_redis
        displace()

        class Slow:
            turns = 0
            def find_spec(self, name, path=None, target=None):
                if name.startswith("greenredis._redis_py") and self.turns < 30:
                    self.turns += 1
                    gevent.sleep(0.001)

        def load():
            package = real_redis.load()
            assert package.Redis and real_redis.module("redis.commands.search").Search
            return package

        real_redis._private()
        sys.meta_path.insert(0, Slow())
        loads = [gevent.spawn(load) for _ in range(5)]
        gevent.joinall(loads, raise_error=True, timeout=30)
        assert len({id(each.get()) for each in loads}) == 1
        assert sys.meta_path[0].turns == 30
    """)  # fmt: skip


@pytest.mark.parametrize("name", ["", "displace()"])
def test_without_it_the_error_says_what_to_install(name: str) -> None:
    run(PREPARED, """
        from importlib.machinery import PathFinder
        find = PathFinder.find_spec
        PathFinder.find_spec = lambda name, *rest: None if name == "redis" else find(name, *rest)
    """, name, """
        from greenredis import Redis
        client = Redis()
        for call in (client.json, client.ft, client.vset, client.keyspace_notifications):
            try:
                call()
            except ImportError as error:
                assert "pip install 'greenredis[modules]'" in str(error), error
            else:
                raise AssertionError("no error")
    """)  # fmt: skip


def test_a_module_that_it_does_not_have() -> None:
    run("""
        from greenredis import real_redis
        try:
            real_redis.module("redis.nothing")
        except ImportError as error:
            assert error.name == "redis.nothing"
        else:
            raise AssertionError("no error")
    """)
