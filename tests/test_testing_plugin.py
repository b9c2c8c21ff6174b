"""The testing kit: its pytest plugin."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import pytest

from greenredis.testing import (
    ComponentNotFound,
    Server,
    Toxiproxy,
    pytest_plugin,
)
from greenredis.testing.process import module_environment

pytest_plugins = ["pytester"]


def run_plugin(pytester: pytest.Pytester, source: str, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(source)
    plugin = ("-p", "greenredis.testing.pytest_plugin", "-p", "no:greenredis", "-p", "no:cacheprovider")
    return pytester.runpytest_subprocess(*plugin, *arguments)


@pytest.fixture(autouse=True)
def _plugin_environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "pytester" in request.fixturenames:
        for name in ("CI", "GREENREDIS_REQUIRE_ALL", "GREENREDIS_TEST_SERVERS"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("PYTHONPATH", module_environment()["PYTHONPATH"])


@pytest.mark.slow
def test_server_fixture_is_flushed_and_healed(pytester: pytest.Pytester) -> None:
    result = run_plugin(
        pytester,
        """
        import pytest
        @pytest.mark.parametrize("harm", ["suspend", "kill", "stop", "resume"])
        def test_harm(server, harm):
            assert server.ask("DBSIZE") == 0
            server.ask("SET", "k", "v")
            if harm == "resume":
                server.ask("CLIENT", "PAUSE", "100000")
            getattr(server, harm)()
        def test_after(server):
            assert server.ask("DBSIZE") == 0
            assert server.ask("SET", "k", "v") == b"OK"
        """,
    )
    result.assert_outcomes(passed=5)


@pytest.mark.slow
def test_servers_are_chosen_by_the_environment(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    valkey: Server,
    redis_server: Server,
    redis8: Server,
) -> None:
    monkeypatch.setenv("GREENREDIS_TEST_SERVERS", "valkey,redis,redis8")
    source = "def test(server): assert server.ask('PING') == b'PONG'"
    result = run_plugin(pytester, source, "-v")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["*test[[]valkey[]]*", "*test[[]redis[]]*", "*test[[]redis8[]]*"])
    monkeypatch.setenv("GREENREDIS_TEST_SERVERS", "mongo")
    result = run_plugin(pytester, source)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*'mongo' is none of valkey, redis, redis8, any*"])


@pytest.mark.slow
def test_what_is_missing_skips_or_fails(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENREDIS_SERVER", "/nowhere/server")
    result = run_plugin(pytester, "def test(server): pass", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*GREENREDIS_SERVER names*"])
    monkeypatch.setenv("CI", "1")
    run_plugin(pytester, "def test(server): pass").assert_outcomes(errors=1)


@pytest.mark.slow
def test_failing_test_shows_its_servers_log(pytester: pytest.Pytester) -> None:
    result = run_plugin(
        pytester,
        """
        from greenredis.testing import Server
        def test_fixture(server): assert False
        def test_own():
            with Server() as own:
                assert False
        """,
    )
    result.assert_outcomes(failed=2)
    lines = result.stdout.str()
    assert "log of <Server" in lines
    shown = 2 if sys.version_info >= (3, 11) else 1
    assert lines.count("Ready to accept connections") == shown


@pytest.mark.slow
def test_leaks_fixture_fails_a_leaking_test(pytester: pytest.Pytester) -> None:
    result = run_plugin(
        pytester,
        """
        import socket
        kept = []
        def test(leaks): kept.append(socket.socket())
        """,
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*the test leaves open*socket:*"])


HANGS = """
import gevent, pytest, threading, time
pytestmark = pytest.mark.time_limit(0.5)

def blocked_greenlet():
    gevent.sleep(100)

def test_waits_in_the_hub():
    gevent.spawn(blocked_greenlet).join()

def test_waits_natively():
    gevent.monkey.get_original("threading", "Lock")().acquire()
    lock = gevent.monkey.get_original("threading", "Lock")(); lock.acquire(); lock.acquire()

def test_spins():
    while True: pass

@pytest.fixture
def stuck():
    yield
    gevent.sleep(100)

def test_hangs_in_teardown(stuck): pass

@pytest.mark.time_limit(0)
def test_may_take_longer():
    gevent.sleep(0.7)
"""


@pytest.mark.slow
@pytest.mark.parametrize("patch", ["", "import gevent.monkey; gevent.monkey.patch_all()\n"])
def test_time_limit_shows_the_greenlets_and_the_run_goes_on(pytester: pytest.Pytester, patch: str) -> None:
    begun = time.monotonic()
    result = run_plugin(pytester, "import gevent.monkey\n" + patch + HANGS)
    result.assert_outcomes(failed=3, passed=2, errors=1)
    result.stdout.fnmatch_lines(["*still running after 0.5 s*", "*in blocked_greenlet*"])
    assert time.monotonic() - begun < 20


@pytest.mark.slow
def test_code_that_cannot_be_interrupted_ends_the_run(pytester: pytest.Pytester) -> None:
    result = run_plugin(
        pytester,
        """
        import hashlib
        import pytest
        from greenredis.testing import hangs
        hangs.GRACE = 0.5

        @pytest.mark.time_limit(0.5)
        def test_digest(): hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
        """,
    )
    assert result.ret != 0
    assert "Timeout" in result.stderr.str() and "test_digest" in result.stderr.str()


@pytest.mark.slow
def test_time_limit_is_for_the_kits_users_or_as_set(pytester: pytest.Pytester) -> None:
    source = """
        import signal, pytest
        def left(): return signal.getitimer(signal.ITIMER_REAL)[0]
        def test_other(): assert left() == {other}
        def test_user(leaks): assert {low} < left() <= {high}
        """
    run_plugin(pytester, source.format(other=0, low=50, high=60)).assert_outcomes(passed=2)
    pytester.makeini("[pytest]\ngreenredis_time_limit = 7")
    source = source.replace("left() == {other}", "6 < left() <= 7")
    run_plugin(pytester, source.format(low=6, high=7)).assert_outcomes(passed=2)


@pytest.mark.slow
def test_fixtures_that_only_share_a_name_set_no_time_limit(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest
        @pytest.fixture
        def server(): return 7
        @pytest.fixture
        def leaks(leaks): return leaks
        """
    )
    result = run_plugin(
        pytester,
        """
        import pytest, signal
        def limited(): return signal.getitimer(signal.ITIMER_REAL)[0] > 0
        def test_own(server): assert server == 7 and not limited()
        @pytest.mark.parametrize("proxy", [8])
        def test_parameter(proxy): assert proxy == 8 and not limited()
        @pytest.mark.usefixtures("server")
        def test_named(): assert not limited()
        def test_own_around_the_plugins(leaks): assert limited()
        class TestClass:
            @pytest.fixture
            def certificates(self): return 9
            def test_method(self, certificates): assert certificates == 9 and not limited()
        """,
    )
    result.assert_outcomes(passed=5)


def test_missing_certificates_say_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from greenredis.testing import make_certificates

    monkeypatch.setitem(sys.modules, "trustme", None)
    with pytest.raises(ComponentNotFound, match="pip install trustme"):
        make_certificates(tmp_path)


# Its page in the documentation

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "testing.md").read_text(encoding="utf-8")


def test_the_page_has_all_fixtures() -> None:
    told = [line for line in PAGE.split("\n## ")[0].splitlines() if line.startswith("| `")]
    assert told == [line for line in str(pytest_plugin.__doc__).splitlines() if line.startswith("| `")]
    named = {name for line in told for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert named == pytest_plugin._FIXTURES


@pytest.mark.slow
def test_the_examples_of_the_page_run(pytester: pytest.Pytester, toxiproxy: Toxiproxy) -> None:
    examples = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == 2
    program = "\n\n".join(examples)
    run_plugin(pytester, program).assert_outcomes(passed=program.count("def test"))
