"""`python -m greenredis run`: another program, patched from outside."""

from __future__ import annotations

import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from processes import environment  # type: ignore[import-not-found]

SHOW = """
import gevent.monkey, redis, sys
assert gevent.monkey.is_module_patched("socket") and redis.Redis.__module__ == "greenredis.client"
import __main__
assert __name__ == "__main__" and __main__.__dict__ is globals()
if __name__ == "__main__":
    print(sys.argv[1:], sys.path[0], __file__)
    sys.exit(7)
"""


def run(*words: object, path: str | None = None, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-W", "error", "-m", "greenredis", "run", *map(str, words)]
    more = {} if path is None else {"PATH": path}
    return subprocess.run(line, capture_output=True, text=True, timeout=50, env=environment(**more), cwd=cwd)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    found = tmp_path / "sub" / "show.py"
    found.write_text(SHOW)
    return found


@pytest.mark.parametrize("dashes", [[], ["--"]])
def test_a_script(script: Path, dashes: list[str]) -> None:
    done = run(*dashes, script, "a", "--b", "-m", "--")
    assert done.stdout == f"['a', '--b', '-m', '--'] {script.parent} {script}\n", done.stderr
    assert done.returncode == 7 and done.stderr == ""


def test_a_module(script: Path) -> None:
    done = run("-m", "show", "-h", "--version", cwd=script.parent)
    assert done.stdout == f"['-h', '--version'] {script.parent} {script}\n", done.stderr
    assert done.returncode == 7


def test_a_console_script_on_the_path(script: Path) -> None:
    program = script.parent / "show"
    program.write_text(f"#!{sys.executable}\n{SHOW}")
    program.chmod(0o755)
    done = run("show", "a", path=str(script.parent))
    assert done.stdout == f"['a'] {script.parent} {program}\n", done.stderr
    assert done.returncode == 7


def test_without_a_program() -> None:
    done = run("no-such-program")
    assert done.returncode == 2 and "there is no Python program 'no-such-program'" in done.stderr
    for words in ([], ["--"], ["-m"]):
        done = run(*words)
        assert done.returncode == 2 and done.stderr.startswith("usage: python -m greenredis run")
    assert "PROGRAM [ARGUMENT ...]" in run("--help").stdout


def test_ctrl_c_is_the_programs_own(tmp_path: Path) -> None:
    script = tmp_path / "wait.py"
    script.write_text("""
import time
try:
    print("ready", flush=True)
    time.sleep(50)
except KeyboardInterrupt:
    print("told", flush=True)
""")
    line = [sys.executable, "-m", "greenredis", "run", str(script)]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it
    with subprocess.Popen(line, stdout=subprocess.PIPE, env=environment(), preexec_fn=heard) as child:
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGINT)
        assert child.stdout.readline() == b"told\n" and child.wait(20) == 0
