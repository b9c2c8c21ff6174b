"""The set-up of `tests/`, for the tests that need faults of the network."""

from __future__ import annotations

import runpy
from pathlib import Path

_shared = runpy.run_path(str(Path(__file__).resolve().parent.parent / "tests" / "conftest.py"))
pytest_addoption = _shared["pytest_addoption"]
pytest_collection_finish = _shared["pytest_collection_finish"]
pytest_itemcollected = _shared["pytest_itemcollected"]
pytest_runtest_logstart = _shared["pytest_runtest_logstart"]
seed = _shared["seed"]
