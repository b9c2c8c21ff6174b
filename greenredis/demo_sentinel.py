"""The demo of a failover: what 20 writing greenlets see of it, with greenredis and with redis-py."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import gevent

from .demo import Screen
from .failover_writers import GREENLETS, KEY, Write, parsed
from .testing import SentinelDeployment, Server, Toxiproxy, find_server, wait_until
from .testing.process import Child, ComponentNotFound, module_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

FAULTS = {"kill": "SIGKILL", "stop": "SIGSTOP", "failover": "SENTINEL FAILOVER"}
LATE = 0.1  # seconds after the switch: no write that begins then may be lost
PATIENCE = 15.0  # seconds after the switch in which all greenlets must have written to the new master


class Outcome(NamedTuple):
    """What the writers saw of a fault. Times are in seconds; None: never."""

    to_switch: float
    to_first: float | None
    to_all: float | None
    errors: Counter[str]
    lost: int
    lost_late: int


class Writers:
    """The writing program, as a child whose output is a file."""

    def __init__(self, library: str, deployment: SentinelDeployment) -> None:
        places = [f"{host}:{port}" for host, port in deployment.places]
        words = [sys.executable, "-m", "greenredis.failover_writers", library, deployment.name, *places]
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._child = Child(words, self._file.fileno(), environment=module_environment())

    @property
    def writes(self) -> list[Write]:
        return parsed(os.pread(self._file.fileno(), 1 << 28, 0).decode(errors="replace"))

    def all_write(self) -> bool:
        """Whether each greenlet has had a write acknowledged."""
        if self._child.ended:
            raise RuntimeError(f"the writers ended: {os.pread(self._file.fileno(), 10_000, 0).decode()}")
        return len({write.caller for write in self.writes if write.error == "-"}) == GREENLETS

    def close(self) -> None:
        self._child.signal(signal.SIGKILL)
        wait_until(lambda: self._child.ended)
        self._file.close()


@contextmanager
def writing(library: str, deployment: SentinelDeployment) -> Iterator[Writers]:
    """Writers that are at work."""
    writers = Writers(library, deployment)
    try:
        wait_until(lambda: writers.all_write(), 20, f"the writers with {library} do not begin")
        yield writers
    finally:
        writers.close()


def demo_sentinel(faults: Sequence[str]) -> int:
    """Run the demo; 0 where greenredis held what it promises, 1 otherwise, 2 where something is missing."""
    screen = Screen()
    libraries = ["greenredis"] + (["redis"] if importlib.util.find_spec("redis") is not None else [])
    try:
        binary = find_server()
        with Toxiproxy() as toxiproxy, SentinelDeployment(toxiproxy, binary) as deployment:
            screen.say(f"A master, two replicas and three sentinels. {GREENLETS} greenlets write.\n")
            outcomes = {
                (fault, library): suffer(screen, deployment, fault, library)
                for fault in faults
                for library in libraries
            }
    except ComponentNotFound as error:
        print(error, file=sys.stderr)
        return 2
    for library in libraries:
        show(screen, library, {fault: outcomes[fault, library] for fault in faults})
    own = [outcome for (_, library), outcome in outcomes.items() if library == "greenredis"]
    return int(any(outcome.lost_late or outcome.to_all is None for outcome in own))


def suffer(screen: Screen, deployment: SentinelDeployment, fault: str, library: str) -> Outcome:
    """Do one fault under the writers of one library."""
    name = "redis-py" if library == "redis" else library
    title = f"{FAULTS[fault]:18} {name:11}"
    screen.progress(f"{title} all is made whole ...")
    deployment.heal()
    deployment.node().ask("DEL", KEY, timeout=10)
    with writing(library, deployment) as writers, deployment.observer() as observer:
        began = monotonic()
        getattr(deployment, fault)()
        switch = observer.first_after(began)
        screen.progress(f"{title} +switch-master after {switch - began:.2f} s ...")
        master = deployment.node()
        known = master.ask("LLEN", KEY)
        recovered = reached(lambda: len(callers_in(master, known)) == GREENLETS, PATIENCE)
        gevent.sleep(3 * LATE)  # until what was written has been told
        writes = writers.writes
    kept = {token.decode() for token in deployment.node().ask("LRANGE", KEY, 0, -1, timeout=10)}
    outcome = judge(writes, kept, began, switch, recovered)
    screen.say(f"   {title} +switch-master after {switch - began:.2f} s, then {told(outcome)}")
    return outcome


def callers_in(master: Server, known: int) -> set[bytes]:
    """Who has written to this master since it had so many tokens."""
    tokens: list[bytes] = master.ask("LRANGE", KEY, known, -1, timeout=10)
    return {token.split(b":")[0] for token in tokens}


def reached(condition: Callable[[], object], seconds: float) -> bool:
    try:
        wait_until(condition, seconds)
    except AssertionError:
        return False
    return True


def judge(writes: Sequence[Write], kept: set[str], began: float, switch: float, recovered: bool) -> Outcome:
    """What became of the writes, given the tokens that the new master has."""
    good = [write for write in writes if write.error == "-"]
    after = [write for write in good if write.ended > switch and write.token in kept]
    first = {write.caller: write.ended for write in reversed(after)}
    lost = [write for write in good if write.token not in kept]
    sent = {"True": "sent, no reply", "False": "not sent", "?": "sent or not"}
    errors = Counter(f"{write.error} ({sent[write.sent]})" for write in writes if write.error != "-")
    return Outcome(
        switch - began,
        min(first.values()) - switch if first else None,
        max(first.values()) - switch if recovered and len(first) == GREENLETS else None,
        errors,
        len(lost),
        sum(write.began > switch + LATE for write in lost),
    )


def told(outcome: Outcome) -> str:
    first = seconds(outcome.to_first)
    return f"{first} to the first write; {sum(outcome.errors.values())} errors, {outcome.lost} writes lost"


def seconds(value: float | None) -> str:
    if value is None:
        return "never"
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.1f} ms"


def show(screen: Screen, library: str, outcomes: dict[str, Outcome]) -> None:
    """The table of one library, a column for each fault."""
    rows: list[tuple[str, Callable[[Outcome], Any]]] = [
        ("fault to +switch-master", lambda outcome: seconds(outcome.to_switch)),
        ("from there to the first write", lambda outcome: seconds(outcome.to_first)),
        ("... to a write by each greenlet", lambda outcome: seconds(outcome.to_all)),
        ("errors", lambda outcome: f"{sum(outcome.errors.values()):,}"),
        ("acknowledged writes lost", lambda outcome: f"{outcome.lost:,}"),
        ("... begun 0.1 s after the switch", lambda outcome: f"{outcome.lost_late:,}"),
    ]
    screen.say()
    name = "redis-py" if library == "redis" else library
    screen.say(f"{name:34}" + "".join(f"{FAULTS[fault]:>20}" for fault in outcomes))
    for title, of in rows:
        screen.say(f"   {title:31}" + "".join(f"{of(outcome):>20}" for outcome in outcomes.values()))
    for fault, outcome in outcomes.items():
        for error, count in outcome.errors.most_common(4):
            screen.say(f"   {FAULTS[fault]}: {count:,} times {error}")
