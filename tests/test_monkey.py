"""patch_redis(): what `import redis` gives, before and after, with and without redis-py."""

from __future__ import annotations

from pathlib import Path

import pytest
from processes import PATCH, need, run  # type: ignore[import-not-found]

from greenredis.testing import Server

# Nothing on the path finds redis-py any more, as where it is not installed.
HIDE = """
import importlib.metadata, importlib.machinery as machinery, sys
find, distributions = machinery.FileFinder.find_spec, machinery.PathFinder.find_distributions
machinery.FileFinder.find_spec = (
    lambda self, name, *args: None if name == "redis" else find(self, name, *args)
)
machinery.PathFinder.find_distributions = lambda *args: (
    each for each in distributions(*args) if each.name != "redis"
)
"""


def test_importing_gives_greenredis() -> None:
    run(
        PATCH
        + """
import redis, redis.client, redis.connection, redis.commands.core, redis.lock, sys
from redis import Redis, ConnectionPool as Pool
from redis.exceptions import ConnectionError
import greenredis.pubsub, greenredis.lock, greenredis.script
assert Redis is redis.Redis is redis.client.StrictRedis is greenredis.Redis
assert Pool is redis.connection.ConnectionPool is greenredis.ConnectionPool
assert ConnectionError is redis.ConnectionError is greenredis.ConnectionError
assert redis.client.PubSub is greenredis.pubsub.PubSub and redis.lock.Lock is greenredis.lock.Lock
assert redis.commands.core.Script is greenredis.script.Script
assert redis.utils.str_if_bytes(b"a") == "a" and redis.retry.Retry is greenredis.Retry  # never imported
assert redis.backoff is sys.modules["redis.backoff"]
space = {}
exec("from redis import *", space)
assert space["Redis"] is greenredis.Redis and "Pipeline" in dir(redis.client) and "client" in dir(redis)
"""
    )


def test_every_name_of_the_tables_is_there() -> None:
    told = run(
        PATCH
        + """
import importlib
from greenredis.redis_names import PLACEHOLDERS, SERVED
for name in {*SERVED, *PLACEHOLDERS}:
    module = importlib.import_module(name)
    assert module.__name__ == name and "served by greenredis" in module.__doc__
    values = [getattr(module, each) for each in module.__all__]
    theirs = {each for each in values if str(getattr(each, "__module__", "")).startswith("redis")}
    assert name in PLACEHOLDERS or name == "redis" or not theirs, theirs
    print(len(values))
"""
    )
    assert sum(map(int, told.split())) > 300


@pytest.mark.parametrize("early", [False, True])
def test_a_program_works_on_it(server: Server, early: bool) -> None:
    first, then = ("import redis\n", PATCH) if early else (PATCH, "import redis\n")
    run(
        first
        + then
        + """
import sys
client = redis.Redis(port=int(sys.argv[1]))
assert type(client).__module__ == "greenredis.client"
with client.pipeline() as pipe:
    assert pipe.set("a", 1).incr("a").execute() == [True, 2]
try:
    client.incr("a", "x")
except redis.exceptions.ResponseError:
    pass
with client.lock("l", timeout=5):
    pass
try:
    redis.Redis(port=1, retry=None).ping()
except redis.ConnectionError as error:
    assert isinstance(error, redis.RedisError)
""",
        server.port,
    )


@pytest.mark.parametrize("order", ["patch_all(); patch_redis()", "patch_redis(); patch_all()"])
def test_before_and_after_gevents_patching(server: Server, order: str) -> None:
    run(
        f"""
import sys
from gevent.monkey import patch_all
from greenredis.monkey import is_patched, patch_redis
assert not is_patched()
{order}
import redis, threading
assert is_patched()
found = []
thread = threading.Thread(target=lambda: found.append(redis.Redis(port=int(sys.argv[1])).ping()))
thread.start(); thread.join()
assert found == [True]
""",
        server.port,
    )


def test_a_second_call_changes_nothing() -> None:
    run(
        PATCH
        + """
import redis, sys
before = list(sys.meta_path)
redis.extra = 1
patch_redis()
assert sys.meta_path == before and redis.extra == 1 and sys.modules["redis"] is redis
"""
    )


# -- what was imported before

EARLY = """
import functools, sys, types, warnings
import redis, redis.client, redis.asyncio
from redis import Redis, exceptions as errors
from redis.client import Pipeline as Pipe
from redis.utils import str_if_bytes
package, theirs = redis, Redis
other = types.ModuleType("other")
other.redis, other.Client = redis, Redis
sys.modules["other"] = other
class Holder:
    redis = redis
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import greenredis.monkey
    greenredis.monkey.patch_redis()
"""


def test_what_was_imported_before_is_rebound() -> None:
    run(
        EARLY.replace("theirs = redis, Redis", "theirs = redis, id(Redis)")
        + """
assert Redis is other.Client is greenredis.Redis and Pipe is greenredis.client.Pipeline
assert redis is package is other.redis is sys.modules["redis"]
assert errors.ConnectionError is greenredis.ConnectionError and redis.client.Pipeline is Pipe
assert str_if_bytes.__module__ == "greenredis.redis_helpers"
assert redis.asyncio.Redis.__module__ == "redis.asyncio"
held = Holder.redis  # the module object of old
assert held is not redis and held.Redis is Redis and held.client.Pipeline is Pipe and "Redis" in dir(held)
held.mine = 1
assert redis.mine == 1 and not caught, [str(each.message) for each in caught]
"""
    )


def test_redis_pys_own_functions_go_on_as_they_were(server: Server) -> None:
    told = run(
        """
import sys, redis
client = redis.Redis(port=int(sys.argv[1]))
from greenredis.monkey import patch_redis
patch_redis()
assert client.set("early", 1) and client.get("early") == b"1"
with client.pipeline() as pipe:
    assert pipe.get("early").execute() == [b"1"]
try:
    client.lpush("early", 1)
except redis.exceptions.ResponseError:
    raise AssertionError("redis-py raised an error of ours")
except Exception as error:
    print(type(error).__module__)
""",
        server.port,
        warned=True,
    )
    assert "redis.exceptions\n" in told and "client (a redis.client.Redis in use)" in told


@pytest.mark.parametrize(
    ("code", "place"),
    [
        ("class Mine(redis.Redis): pass", "Mine (a subclass of redis.client.Redis)"),
        ("errors = (redis.ConnectionError,)", "errors (holds redis.exceptions.ConnectionError)"),
        ("classes = {'pool': redis.ConnectionPool}", "classes (holds redis.connection.ConnectionPool)"),
        ("pool = redis.ConnectionPool()", "pool (a redis.connection.ConnectionPool in use)"),
        ("class Mine:\n    kind = redis.Redis", "Mine.kind (holds redis.client.Redis)"),
        ("def make(kind=redis.Redis): pass", "make (holds redis.client.Redis)"),
        (
            "def outer():\n    from redis import Redis\n    return lambda: Redis\nmake = outer()",
            "make (holds redis.client.Redis)",
        ),
    ],
)
def test_what_keeps_redis_py_is_said(tmp_path: Path, code: str, place: str) -> None:
    (tmp_path / "early.py").write_text(f"import redis\n{code}\n")
    told = run(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import early\n" + PATCH, warned=True)
    assert "PatchWarning: early was imported before" in told and place in told
    assert "call patch_redis() before importing early" in told


def test_what_others_made_lazy_stays_asleep() -> None:
    run(
        """
import redis, sys, types
class Lazy:
    __class__ = property(lambda self: 1 / 0)
    def __getattribute__(self, name): raise AssertionError(name)
module = types.ModuleType("lazy")
module.proxy, module.row = Lazy(), [Lazy()]
sys.modules["lazy"], sys.modules["nothing"], sys.modules["odd"] = module, None, Lazy
"""
        + PATCH
    )


# -- which redis-py is there


def test_without_redis_py(server: Server) -> None:
    run(
        HIDE
        + """
try:
    import redis
except ImportError:
    pass
else:
    raise AssertionError("it was to be hidden")
"""
        + PATCH
        + """
import redis
assert redis.Redis(port=int(sys.argv[1])).ping() and redis.VERSION >= (6, 1, 0)
assert importlib.metadata.version("redis") == redis.__version__ == "8.1.0"
try:
    from redis.commands.search.query import Query
except ImportError as error:
    assert "pip install" in str(error), error
else:
    raise AssertionError("without redis-py there is none")
""",
        server.port,
    )


def test_an_older_redis_py(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "__init__.py").write_text("__version__ = '3.5'\nclass Redis: pass\n")
    (tmp_path / "redis-3.5.dist-info").mkdir()
    (tmp_path / "redis-3.5.dist-info" / "METADATA").write_text("Name: redis\nVersion: 3.5\n")
    (tmp_path / "code.py")
    run(
        f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
from importlib.metadata import version
import redis
assert version("redis") == redis.__version__ == "3.5"
"""
        + PATCH
        + """
import greenredis
assert version("redis") == redis.__version__ == "8.1.0" and redis.Redis is greenredis.Redis
import redis.client
"""
    )


def test_the_metadata_of_others_stays() -> None:
    run(
        """
import importlib.metadata as metadata
def all_of_them(): return sorted(str(each.metadata["Name"]) for each in metadata.distributions())
before, gevent = all_of_them(), metadata.version("gevent")
"""
        + PATCH
        + """
assert all_of_them() == before and metadata.version("gevent") == gevent
assert metadata.version("Redis") == "8.1.0" and metadata.metadata("redis")["Name"] == "redis"
assert metadata.requires("redis") is None and metadata.entry_points(name="redis") is not None
try:
    metadata.version("redis-cli")
except metadata.PackageNotFoundError:
    pass
"""
    )


# -- what is not served


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("redis.RedisCluster.from_url('redis://a')", "RedisCluster: greenredis does not speak Redis Cluster"),
        ("import redis.asyncio as a; a.Redis()", "redis.asyncio.Redis: greenredis is a client for gevent"),
        ("import redis.multidb.client", "has no redis.multidb: the client for several databases"),
        ("from redis.ocsp import OCSPVerifier", "has no redis.ocsp: OCSP is not offered"),
        ("redis.client.nonsense", "module 'redis.client' has no attribute 'nonsense'"),
        ("import redis.nonsense", "No module named 'redis.nonsense'"),
    ],
)
def test_what_is_not_served_says_why(code: str, message: str) -> None:
    told = run(
        PATCH
        + f"""
import redis
try:
    exec({code!r})
except (NotImplementedError, ImportError, AttributeError) as error:
    print(error)
"""
    )
    assert message in told


def test_placeholders_can_be_subclassed_and_caught() -> None:
    run(
        PATCH
        + """
import importlib.util, redis, redis.cluster
from redis.asyncio.connection import ConnectionPool
class Both(redis.cluster.RedisCluster): pass
assert not isinstance(redis.Redis(), (redis.RedisCluster, redis.asyncio.Redis))
assert hasattr(redis, "asyncio")
assert importlib.util.find_spec("redis.cluster") and not importlib.util.find_spec("redis.nonsense")
"""
    )


def test_sentinel_is_served() -> None:
    run(
        PATCH
        + """
import greenredis.sentinel, redis
from redis.commands.sentinel import SentinelCommands
from redis.sentinel import MasterNotFoundError, Sentinel
class Both(redis.sentinel.SentinelManagedConnection, redis.SSLConnection): pass
assert redis.Sentinel is Sentinel is greenredis.sentinel.Sentinel and issubclass(Sentinel, SentinelCommands)
assert issubclass(MasterNotFoundError, redis.ConnectionError)
"""
    )


def test_modules_of_redis_py_itself_are_borrowed() -> None:
    run(
        PATCH
        + """
import redis, redis.commands.json.path, sys
from redis.commands.search.query import Query
from redis.commands.search import Search
from redis import EventType
from greenredis import real_redis
assert Query is vars(real_redis.module("redis.commands.search.query"))["Query"]
assert redis.commands.json.path.Path.root_path() == "."
assert redis.Redis is __import__("greenredis").Redis
"""
    )


# -- fakeredis


def test_fakeredis(tmp_path: Path) -> None:
    need("fakeredis")
    run(
        PATCH
        + """
import fakeredis, redis
client = fakeredis.FakeRedis()
assert isinstance(client, redis.Redis) and redis.Redis.__module__ == "greenredis.client"
assert client.set("a", 1) and client.get("a") == b"1" and client.hset("h", mapping={"x": 1}) == 1
assert fakeredis.FakeRedis().get("a") is None
text = fakeredis.FakeStrictRedis(server=fakeredis.FakeServer(), decode_responses=True)
assert text.set("b", "\\xe9") and text.get("b") == "\\xe9" and text.blpop("none", timeout=0.1) is None
try:
    client.incr("h")
except redis.ResponseError as error:
    assert "WRONGTYPE" in str(error)
with client.pipeline() as pipe:
    pipe.watch("a")
    pipe.multi()
    assert pipe.incr("a").get("a").execute() == [2, b"2"]
pubsub = client.pubsub()
pubsub.subscribe("news")
assert pubsub.get_message(timeout=5)["type"] == "subscribe"
assert client.publish("news", "hello") == 1 and pubsub.get_message(timeout=5)["data"] == b"hello"
assert pubsub.get_message(timeout=0.01) is None
down = fakeredis.FakeServer()
down.connected = False
try:
    fakeredis.FakeRedis(server=down, retry=None).ping()
except redis.ConnectionError as error:
    print(error)
""",
        warned=True,
    )
