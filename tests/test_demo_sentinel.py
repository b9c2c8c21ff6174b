"""The demo of a failover, run as a user runs it, and what it makes of the writes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter

import pytest

from greenredis.demo_sentinel import Outcome, judge, seconds
from greenredis.failover_writers import GREENLETS, Write, parsed
from greenredis.testing import Toxiproxy

DEMO = [sys.executable, "-m", "greenredis", "demo", "sentinel"]


@pytest.mark.slow
@pytest.mark.time_limit(120)
def test_failover_by_hand(toxiproxy: Toxiproxy) -> None:
    environment = {**os.environ, "TOXIPROXY_SERVER": toxiproxy.binary}
    words = [*DEMO, "--fault", "failover"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=110, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^greenredis +SENTINEL FAILOVER\n", done.stdout, re.MULTILINE)
    assert re.search(r"from there to the first write +\d+\.\d ms\n", done.stdout)
    assert re.search(r"begun 0.1 s after the switch +0\n", done.stdout)
    assert re.search(r"^redis-py +SENTINEL FAILOVER\n", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("missing", ["GREENREDIS_SERVER", "TOXIPROXY_SERVER"])
def test_what_is_missing_is_said(missing: str) -> None:
    environment = {**os.environ, "TOXIPROXY_SERVER": "/bin/true", missing: "/nowhere/program"}
    done = subprocess.run(DEMO, capture_output=True, text=True, timeout=30, env=environment)
    assert done.returncode == 2 and done.stdout == ""
    assert "/nowhere/program" in done.stderr and "Traceback" not in done.stderr


def test_writes_are_judged() -> None:
    """One lost before the switch and one after it, one error, and a greenlet that came back late."""
    lines = [f"{caller} {caller}:1 9.0 9.1 - -" for caller in range(GREENLETS)]
    lines += [f"{caller} {caller}:2 10.01 10.02 - -" for caller in range(1, GREENLETS)]
    lines += ["0 0:2 9.5 10.5 TimeoutError True", "0 0:3 10.6 10.7 - -", "1 1:3 10.2 10.3 - -", "half a li"]
    writes = parsed("\n".join(lines))
    assert writes[0] == Write(0, "0:1", 9.0, 9.1, "-", "-") and len(writes) == 2 * GREENLETS + 2
    kept = {write.token for write in writes} - {"3:1", "1:3"}
    found = judge(writes, kept, 9.2, 10.0, recovered=True)
    errors = Counter({"TimeoutError (sent, no reply)": 1})
    assert found == Outcome(10.0 - 9.2, 10.02 - 10.0, 10.7 - 10.0, errors, lost=2, lost_late=1)
    nobody = judge([], set(), 9.2, 10.0, recovered=False)
    assert nobody.to_first is None and nobody.to_all is None
    assert [seconds(None), seconds(0.0034), seconds(8.321)] == ["never", "3.4 ms", "8.32 s"]
