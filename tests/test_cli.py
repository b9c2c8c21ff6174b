"""The command line, run as a user runs it."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from typing import Any

import pytest

from greenredis.testing import Server
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
        os.close(theirs)
        shown = b""
        while b"3. Greenlets" not in shown:
            shown += os.read(mine, 65536)
        os.close(mine)  # nobody reads any more: it ends
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


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "nonsense://"])
def test_bench_says_what_is_wrong(url: str) -> None:
    done = run("bench", "--url", url)
    assert done.returncode == 1 and "cannot measure" in done.stderr and "Traceback" not in done.stderr
