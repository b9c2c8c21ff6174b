"""The command line, run as a user runs it."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from greenredis.testing import Server, wait_until
from greenredis.testing.process import close_descriptor
from greenredis.version import __version__

WORDS = [sys.executable, "-m", "greenredis"]


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    chosen: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 50, **options}
    return subprocess.run([*WORDS, *arguments], **chosen)


def test_version_and_help() -> None:
    assert run("--version").stdout == __version__ + "\n"
    assert re.search(r"demo.*bench", run("--help").stdout, re.DOTALL)
    assert run().returncode == 2 and run("nonsense").returncode == 2


@pytest.mark.slow
def test_the_demo_shows_that_all_held(server: Server) -> None:
    done = run("demo", env={**os.environ, "GREENREDIS_SERVER": server.binary})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All of it held." in done.stdout and "\r" not in done.stdout
    assert re.search(r"one shared connection +[\d,]+ +[\d.]+ us +1\n", done.stdout)
    assert re.search(r"another's +0\n", done.stdout) and "still the same one" in done.stdout


@pytest.mark.slow
def test_the_demo_shows_progress_on_a_terminal(server: Server) -> None:
    mine, theirs = pty.openpty()
    environment = {**os.environ, "GREENREDIS_SERVER": server.binary}
    with subprocess.Popen([*WORDS, "demo"], stdout=theirs, env=environment) as child:
        close_descriptor(theirs)
        shown = b""
        while b"3. Greenlets" not in shown:
            shown += os.read(mine, 65536)
        close_descriptor(mine)  # nobody reads any more: it ends
        child.wait(30)
    assert b"\r\x1b[K" in shown and child.returncode != 0


def test_without_a_server_the_demo_says_what_to_install() -> None:
    done = run("demo", env={**os.environ, "GREENREDIS_SERVER": "/nowhere/server"})
    assert done.returncode == 2 and done.stdout == ""
    assert "/nowhere/server" in done.stderr and "Traceback" not in done.stderr


def test_bench_measures_and_cleans_up(server: Server) -> None:
    server.ask("SET", "mine", 1)
    done = run("bench", "--url", server.url, "--seconds", "0.2", "--greenlets", "20")
    assert done.returncode == 0, done.stderr
    for title in ("shared connection", "pool of 50", "one greenlet"):
        assert re.search(rf"{title} +[\d,]+ +[\d.]+ us( +[\d.]+ ms){{3}}\n", done.stdout), done.stdout
    assert server.ask("KEYS", "*") == [b"mine"]


def test_bench_deletes_no_key_of_others(server: Server) -> None:
    server.ask("SET", "greenredis:bench:mine", 1)
    assert run("bench", "--url", server.url, "--seconds", "0.01", "--greenlets", "2").returncode == 0
    assert server.ask("KEYS", "*") == [b"greenredis:bench:mine"]


@pytest.mark.parametrize("seconds", ["1e-9", "0.002"])
def test_no_percentile_is_above_the_longest(server: Server, seconds: str) -> None:
    done = run("bench", "--url", server.url, "--seconds", seconds, "--greenlets", "1")
    assert done.returncode == 0, done.stderr
    for shown in re.findall(r"([\d.]+) ms +([\d.]+) ms +([\d.]+) ms\n", done.stdout):
        half, most, longest = map(float, shown)
        assert half <= most <= longest, done.stdout
    assert done.stdout.count("\n") == 4


@pytest.mark.parametrize(
    ("option", "value", "wanted"),
    [("--greenlets", value, "a whole number of at least 1") for value in ("0", "-1", "x", "1.5")]
    + [("--seconds", value, "a number above 0") for value in ("0", "-0.5", "nan", "inf", "x")],
)
def test_bench_refuses_what_cannot_be_measured(option: str, value: str, wanted: str) -> None:
    done = run("bench", option, value)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.endswith(f"error: argument {option}: {value!r} is not {wanted}\n")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis://127.0.0.1:1/0", "Connection refused"),
        ("nonsense://", "must be a str that begins with redis://"),
        (
            "redis://127.0.0.1:1/0?sockettimeout=1",
            "no option 'sockettimeout'; did you mean 'socket_timeout'?",
        ),
    ],
)
def test_bench_says_in_one_line_what_is_wrong(url: str, reason: str) -> None:
    done = run("bench", "--url", url)
    assert done.returncode == 1 and done.stdout == ""
    assert re.fullmatch(rf"cannot measure: .*{re.escape(reason)}.*\n", done.stderr), done.stderr


WAYS = pytest.mark.parametrize("way", ["", "?multiplex=no"])


@pytest.fixture
def running_bench(fresh_server: Server, way: str) -> Iterator[subprocess.Popen[str]]:
    """The command, when it has made its keys; `way` is the URL's query."""
    fresh_server.ask("SET", "mine", 1)
    words = [*WORDS, "bench", "--url", fresh_server.url + way, "--seconds", "40", "--greenlets", "20"]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: fresh_server.ask("DBSIZE") == 21, 20)
        yield child
    finally:
        child.kill()
        child.communicate()


@WAYS
@pytest.mark.slow
def test_ctrl_c_ends_bench_without_a_word_or_a_key(
    fresh_server: Server, running_bench: subprocess.Popen[str]
) -> None:
    running_bench.send_signal(signal.SIGINT)
    assert running_bench.communicate(timeout=20)[1] == ""
    assert running_bench.returncode == 130
    assert fresh_server.ask("KEYS", "*") == [b"mine"]


@WAYS
@pytest.mark.slow
def test_bench_cleans_up_after_an_error(fresh_server: Server, running_bench: subprocess.Popen[str]) -> None:
    fresh_server.ask("CONFIG", "SET", "maxmemory", 1)
    told = running_bench.communicate(timeout=20)[1]
    assert running_bench.returncode == 1
    assert re.fullmatch(r"cannot measure: .*maxmemory.*\n", told), told
    assert fresh_server.ask("KEYS", "*") == [b"mine"]


@WAYS
@pytest.mark.slow
def test_bench_tells_of_the_keys_that_it_cannot_delete(
    fresh_server: Server, running_bench: subprocess.Popen[str]
) -> None:
    fresh_server.kill()
    told = running_bench.communicate(timeout=40)[1]
    assert running_bench.returncode == 1
    assert re.fullmatch(r"keys greenredis:bench:\* may be left\ncannot measure: .*\n", told), told
