"""pytest fixtures for real servers, proxies and certificates, and a time limit that shows what hangs.

| fixture | scope | what it is |
|---|---|---|
| `server` | function | a running server without data, once for each of `GREENREDIS_TEST_SERVERS` |
| `valkey`, `redis_server`, `redis8` | session | a server of that kind, as the test before left it |
| `fresh_server` | function | a server of the test's own |
| `tls_server` | session | a server behind TLS on `port`, its own or a terminator's |
| `certificates` | session | a CA and what it signed, as files |
| `toxiproxy` | session | a Toxiproxy |
| `proxy` | function | one of its proxies, before `server` |
| `sentinel_deployment` | function | a master, two replicas and three sentinels, healed and without data |
| `leaks` | function | fails the test if it leaves descriptors open |

`GREENREDIS_TEST_SERVERS` is a list of `valkey`, `redis`, `redis8` and `any` (the default: what `find_server`
finds).
What is not installed skips the test, and fails it where `CI` or `GREENREDIS_REQUIRE_ALL` is set.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Generator, Iterator
from typing import NoReturn

import gevent
import pytest

from .hangs import TimeLimit
from .lateness import open_descriptors, wait_until
from .process import ComponentNotFound, Process
from .sentinels import SentinelDeployment
from .servers import Server, find_redis, find_redis8, find_server, find_valkey, has_tls
from .tls import Certificates, TlsTerminator, make_certificates
from .toxiproxy import Proxy, Toxiproxy, find_toxiproxy

DEFAULT_LIMIT = 60.0
SERVER_KINDS = os.environ.get("GREENREDIS_TEST_SERVERS", "any").replace(",", " ").split()

_FIND = {"valkey": find_valkey, "redis": find_redis, "redis8": find_redis8, "any": find_server}
_KINDS = {"valkey": "valkey", "redis": "redis_server", "redis8": "redis8", "any": "_any_server"}
_LIMIT = pytest.StashKey[TimeLimit]()
_FIXTURES = frozenset((
    "server", "valkey", "redis_server", "redis8", "fresh_server", "tls_server", "certificates", "toxiproxy",
    "proxy", "sentinel_deployment", "leaks",
))  # fmt: skip


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        "greenredis_time_limit",
        "seconds for each of a test's setup, call and teardown; unset: 60 for users of greenredis's fixtures",
        default="",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "time_limit(seconds): fail and show all greenlets after that time")
    config.stash[_LIMIT] = TimeLimit()


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[_LIMIT].close()


def limit_of(item: pytest.Item) -> float:
    """The seconds that each phase of a test may take, 0 for no limit: its marker's, as set, or a default."""
    marker = item.get_closest_marker("time_limit")
    if marker is not None:
        return float(marker.args[0])
    setting = str(item.config.getini("greenredis_time_limit"))
    if setting:
        return float(setting)
    return DEFAULT_LIMIT if any(_is_used(name, item) for name in _FIXTURES) else 0.0


def _is_used(name: str, item: pytest.Item) -> bool:
    """Whether the test uses this module's fixture, and no other that only has its name."""
    # pytest has no public way to tell; doctests and other items may lack this one.
    definitions = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    for definition in reversed(definitions.get(name, ())):
        if getattr(definition.func, "__module__", None) == __name__:
            return True
        if name not in definition.argnames:  # it does not wrap the one that it overrides
            return False
    return False


def limit_all(item: pytest.Item) -> None:
    """Gives a test the default time limit unless it has its own: a conftest's `pytest_itemcollected`."""
    if not limit_of(item):
        item.add_marker(pytest.mark.time_limit(DEFAULT_LIMIT))


def _limited(item: pytest.Item) -> Generator[None, object, object]:
    with item.config.stash[_LIMIT].running(limit_of(item)):
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    return (yield from _limited(item))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    return (yield from _limited(item))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    return (yield from _limited(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the logs of a failing test's servers to its report."""
    report = yield
    if report.failed:
        values = getattr(item, "funcargs", {}).values()
        for process in {id(value): value for value in values if isinstance(value, Process)}.values():
            report.sections.append((f"log of {process!r}", process.tail()))
    return report


def found(find: Callable[[], str]) -> str:
    """What `find()` returns; a missing component skips the test, or fails it where all are required."""
    try:
        return find()
    except ComponentNotFound as error:
        missing(error)


def missing(error: ComponentNotFound) -> NoReturn:
    """Skips the test that lacks a component, or fails it where all are required."""
    if os.environ.get("CI") or os.environ.get("GREENREDIS_REQUIRE_ALL"):
        pytest.fail(str(error), pytrace=False)
    pytest.skip(str(error))


@pytest.fixture(scope="session")
def valkey() -> Iterator[Server]:
    with Server(binary=found(find_valkey)) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Server]:
    with Server(binary=found(find_redis)) as server:
        yield server


@pytest.fixture(scope="session")
def redis8() -> Iterator[Server]:
    with Server(binary=found(find_redis8)) as server:
        yield server


@pytest.fixture(scope="session")
def _any_server() -> Iterator[Server]:
    with Server(binary=found(find_server)) as server:
        yield server


@pytest.fixture(params=SERVER_KINDS)
def server(request: pytest.FixtureRequest) -> Server:
    _check_kind(request.param)
    server: Server = request.getfixturevalue(_KINDS[request.param])
    return heal(server)


def _check_kind(kind: str) -> None:
    if kind not in _KINDS:
        message = f"GREENREDIS_TEST_SERVERS: {kind!r} is none of {', '.join(_KINDS)}"
        pytest.fail(message, pytrace=False)


def heal(server: Server) -> Server:
    """The server as a test wants it: running, not paused, without data."""
    server.resume()
    try:
        server.ask_all(("CLIENT", "UNPAUSE"), ("FLUSHALL",))
    except OSError:  # it is gone, or CLIENT PAUSE holds up all commands, its own end included
        server.restart()
    return server


@pytest.fixture
def fresh_server() -> Iterator[Server]:
    with Server(binary=found(find_server)) as server:
        yield server


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    try:
        return make_certificates(tmp_path_factory.mktemp("certificates"))
    except ComponentNotFound as error:
        missing(error)


@pytest.fixture(scope="session")
def tls_server(certificates: Certificates) -> Iterator[Server | TlsTerminator]:
    binary = found(_find_tls_server)
    if has_tls(binary):
        with Server(binary=binary, tls=certificates) as server:
            yield server
    else:
        with Server(binary=binary) as plain, TlsTerminator(plain.port, certificates) as terminator:
            yield terminator


def _find_tls_server() -> str:
    """A server that was built with TLS if there is one, else any."""
    try:
        redis = find_redis()
    except ComponentNotFound:
        return find_server()
    return redis if has_tls(redis) else find_server()


@pytest.fixture(scope="session")
def toxiproxy(request: pytest.FixtureRequest) -> Iterator[Toxiproxy]:
    # It may have to be built, which says nothing about the test that asks first.
    with request.config.stash[_LIMIT].paused():
        binary = found(find_toxiproxy)
    try:
        toxiproxy = Toxiproxy(binary)
    except ComponentNotFound as error:
        missing(error)
    with toxiproxy:
        yield toxiproxy


@pytest.fixture
def proxy(toxiproxy: Toxiproxy, server: Server) -> Iterator[Proxy]:
    with toxiproxy.proxy(server.port) as proxy:
        yield proxy


@pytest.fixture(scope="module", params=SERVER_KINDS)
def _sentinel_deployment(
    request: pytest.FixtureRequest, toxiproxy: Toxiproxy
) -> Iterator[SentinelDeployment]:
    _check_kind(request.param)
    with SentinelDeployment(toxiproxy, found(_FIND[request.param])) as deployment:
        yield deployment


@pytest.fixture
def sentinel_deployment(_sentinel_deployment: SentinelDeployment) -> SentinelDeployment:
    _sentinel_deployment.heal()
    _sentinel_deployment.node().ask("FLUSHALL")
    return _sentinel_deployment


@pytest.fixture
def leaks() -> Iterator[None]:
    # The hub, its loop and its resolver open theirs at their first use.
    gevent.get_hub().threadpool.apply(gc.collect)
    before = open_descriptors()
    yield
    wait_until(lambda: not _opened_since(before), 2.0, f"the test leaves open {_opened_since(before)}")


def _opened_since(before: dict[int, str]) -> dict[int, str]:
    gc.collect()
    return dict(open_descriptors().items() - before.items())
