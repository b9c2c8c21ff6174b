"""Running another program on greenredis, from outside."""

from __future__ import annotations

import os
import runpy
import shutil
import sys
from collections.abc import Sequence

USAGE = "python -m greenredis run [--] PROGRAM [ARGUMENT ...], or run -m MODULE [ARGUMENT ...]"


def run(words: Sequence[str]) -> int:
    """Run a Python program as `python` would, with gevent's patching done and redis served by greenredis.

    `words` are a script's path, or the name of a console script on the PATH, or "-m" and a module; then its
    arguments.  SystemExit passes.  2 if there is no such program.
    """
    as_module = words[:1] == ["-m"]
    words = words[1:] if words[:1] in (["-m"], ["--"]) else words
    if not words:
        print(f"usage: {USAGE}", file=sys.stderr)
        return 2
    if as_module:
        _patch()
        sys.argv = list(words)
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
        return 0
    path = find(words[0])
    if path is None:
        print(f"there is no Python program {words[0]!r}, here or on the PATH", file=sys.stderr)
        return 2
    _patch()
    sys.argv = [path, *words[1:]]
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = os.path.dirname(os.path.abspath(path))  # it was where `-m greenredis` ran
    runpy.run_path(path, run_name="__main__")
    return 0


def find(program: str) -> str | None:
    """The path of a script, or of a console script: this Python's own first, then on the PATH."""
    if os.path.exists(program) and (os.sep in program or os.path.isfile(program)):
        return program
    folders = [os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)]
    return shutil.which(program, path=os.pathsep.join(folders))


def _patch() -> None:
    import gevent.monkey

    from .monkey import patch_redis

    gevent.monkey.patch_all()
    patch_redis()
