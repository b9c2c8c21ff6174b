"""A module of greenredis imports only from its own layer and from those below: read from the sources."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "greenredis"

# From the lowest to the highest; a folder stands for all that is in it.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("exceptions", "traits", "command_table"),
    (
        "protocol", "config", "retry",
        "address", "backoff", "checks", "credentials", "deadlines", "driver_info", "options", "tls", "url",
        "real_redis", "version",
    ),
    ("transport",),
    ("commands",),
    ("executor",),
    ("staged",),
    (
        "modules", "module_adapter", "pipeline", "pubsub", "monitor", "script", "lock", "cache",
        "fieldsets", "pubsub_connection", "pubsub_health", "pubsub_messages", "pubsub_worker",
    ),
    ("client", "client_pipeline"),
    ("sentinel", "cluster"),
    ("__init__",),
    (
        "monkey", "rebinding", "redis_helpers", "redis_names", "running",
        "testing", "workloads", "demo", "demo_sentinel", "failover_writers", "bench", "__main__",
    ),
)  # fmt: skip
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def part(module: str) -> str:
    """The part of the package that a dotted name belongs to: `transport` for `greenredis.transport.pool`."""
    return [*module.split("."), "__init__"][1]


def imported(tree: ast.AST, module: str, is_package: bool) -> Iterator[tuple[str, int]]:
    """The parts of greenredis that a module imports, wherever it does, each with the line."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, node.module] if node.module else base)
            # `from . import deadlines` names modules, or what __init__ defines.
            whole = source == "greenredis"
            names = [f"{source}.{alias.name}" for alias in node.names] if whole else [source]
            names = [name if part(name) in LEVEL else source for name in names]
        else:
            continue
        yield from ((part(name), node.lineno) for name in names if name.split(".")[0] == "greenredis")


def violations(path: Path, source: str) -> list[str]:
    """What a module at `path`, relative to the package, imports from above its layer."""
    dotted = ["greenredis", *path.with_suffix("").parts]
    is_package = dotted[-1] == "__init__"
    own = part(".".join(dotted))
    module = ".".join(dotted[:-1] if is_package else dotted)
    return [
        f"{path}:{line} imports {other}, which is above {own}"
        for other, line in imported(ast.parse(source), module, is_package)
        if LEVEL[other] > LEVEL[own]
    ]


def modules() -> list[Path]:
    return sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=str)
def test_imports_point_downwards(path: Path) -> None:
    assert path.with_suffix("").parts[0] in LEVEL, f"{path} has no layer: give it one in LAYERS"
    assert violations(path, (PACKAGE / path).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("transport/pool.py", "from ..client import Redis"),
        ("transport/pool.py", "from .. import client"),
        ("transport/pool.py", "from .. import Redis"),
        ("transport/__init__.py", "from ..commands.replies import response_callbacks"),
        ("commands/strings.py", "import greenredis.client"),
        ("config.py", "def f():\n    from greenredis.transport.pool import ConnectionPool"),
        ("config.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .transport import pool"),
        ("exceptions.py", "from .config import Address"),
        ("client.py", "from greenredis import testing"),
        ("client.py", "import greenredis"),
    ],
)
def test_an_import_from_above_is_seen(path: str, source: str) -> None:
    assert len(violations(Path(path), source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (
            "transport/pool.py",
            "from .. import deadlines\nfrom ..config import Address\nfrom .link import Link",
        ),
        ("transport/__init__.py", "from .pool import ConnectionPool\nfrom .. import traits"),
        ("client.py", "from .transport.pool import ConnectionPool\nimport gevent\nfrom queue import Empty"),
        ("testing/servers.py", "import greenredis\nfrom greenredis import Redis\nfrom .process import HOST"),
        ("__main__.py", "from .testing import Server"),
    ],
)
def test_an_import_from_below_is_none_of_its_business(path: str, source: str) -> None:
    assert violations(Path(path), source) == []
