"""Python code in processes of its own, for what changes a whole process."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import greenredis
from greenredis.testing import ComponentNotFound
from greenredis.testing.pytest_plugin import missing

PATCH = "from greenredis.monkey import patch_redis; patch_redis()\n"


def environment(**more: str) -> dict[str, str]:
    """The process's own, with this greenredis to be found from any folder."""
    root = str(Path(greenredis.__file__).parent.parent)
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, **more}


def run(code: str, *words: object, warned: bool = False) -> str:
    """What Python code prints, run in a process of its own, where warnings are errors unless `warned`."""
    options = [] if warned else ["-W", "error"]
    line = [sys.executable, *options, "-c", textwrap.dedent(code), *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=50, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def need(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        missing(ComponentNotFound(f"{module} is not installed: pip install {module}"))
