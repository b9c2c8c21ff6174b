"""Patches as `GREENREDIS_PATCH` says, "before" or "after" the import of greenredis; adds the fixtures."""

from __future__ import annotations

import gc
import importlib
import os
import random
import sys
import warnings

import gevent
import gevent.monkey
import pytest


def _patch(mode: str) -> None:
    if os.environ.get("GREENREDIS_PATCH", "") == mode and not gevent.monkey.is_module_patched("socket"):
        assert ("greenredis" in sys.modules) == (mode == "after"), "needs pytest -p no:greenredis"
        with warnings.catch_warnings():
            # pytest has imported ssl by now, and greenredis has too when patched after it.
            warnings.simplefilter("ignore", gevent.monkey.MonkeyPatchWarning)
            gevent.monkey.patch_all()


_patch("before")
importlib.import_module("greenredis")
_patch("after")
from greenredis.testing import pytest_plugin  # noqa: E402

pytest_itemcollected = pytest_plugin.limit_all


def pytest_collection_finish() -> None:
    """Thousands of collected tests are not looked through by each of their garbage collections."""
    gc.collect()
    gc.freeze()


_files: list[str] = []


def pytest_runtest_logstart(nodeid: str) -> None:
    """Nor are the reports of those that are done: a collection of all of them takes 0.1 s.

    Between two files nothing of a test is left but its reports: what is frozen while it is used, and
    dropped later, would never be collected.
    """
    file = nodeid.partition("::")[0]
    if file not in _files:
        _files.append(file)
        for _ in range(3):  # what is collected may close its connections in the loop's next turn
            gc.collect()
            gevent.sleep(0.001)
        gc.freeze()


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    if not pluginmanager.is_registered(pytest_plugin):
        pluginmanager.register(pytest_plugin, "greenredis.testing")


@pytest.fixture
def name() -> str:
    """A client's, so that the server's other connections do not count."""
    return f"p1-{random.randrange(1 << 60):x}"


@pytest.fixture
def seed() -> int:
    seed = int(os.environ.get("GREENREDIS_SEED") or random.randrange(1 << 32))
    print(f"GREENREDIS_SEED={seed}")
    return seed
