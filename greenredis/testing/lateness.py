"""How late the hub was, how late the machine was, and what else a test watches."""

from __future__ import annotations

import inspect
import os
import signal
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

import gevent
import gevent.os

from .process import Child, ProcessFailed, close_descriptor

if TYPE_CHECKING:
    from typing_extensions import Self

Result = TypeVar("Result")


class Ticker:
    """A greenlet that wants a turn every `interval` seconds and notes how late it gets it.

    A context manager. `worst` is the longest delay in seconds since the start or `reset()`; a turn that is
    overdue now counts. The ticker does not keep the loop alive.
    """

    def __init__(self, interval: float = 0.001) -> None:
        self.interval = interval
        self.ticks = 0
        self._worst = 0.0
        self._due = time.perf_counter() + interval
        self._greenlet: gevent.Greenlet[..., None] | None = None

    def __repr__(self) -> str:
        return f"<Ticker worst {self.worst * 1000:.1f} ms in {self.ticks} ticks>"

    @property
    def worst(self) -> float:
        overdue = time.perf_counter() - self._due if self._greenlet is not None else 0.0
        return max(self._worst, overdue)

    def reset(self) -> None:
        """Forgets what was, the turn that is overdue now included."""
        self._worst = 0.0
        self._due = time.perf_counter() + self.interval

    def _tick(self) -> None:
        while True:
            gevent.sleep(self.interval, ref=False)
            self._worst = max(self._worst, time.perf_counter() - self._due)
            self._due = time.perf_counter() + self.interval
            self.ticks += 1

    def __enter__(self) -> Self:
        self._greenlet = gevent.spawn(self._tick)
        gevent.sleep(0)
        self.reset()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worst = self.worst
        ticker, self._greenlet = self._greenlet, None
        if ticker is not None:
            ticker.kill()


def _watch(interval: float) -> None:
    """The program of `MachineLateness`: ticks on each core until standard input has something to say."""
    import os
    import sys
    import threading
    import time

    delays, ended = [0.0], threading.Event()

    def tick(core: int | None) -> None:
        if core is not None:
            os.sched_setaffinity(0, {core})
        due = time.perf_counter() + interval
        while not ended.is_set():
            time.sleep(max(0.0, due - time.perf_counter()))
            now = time.perf_counter()
            delays[0] = max(delays[0], now - due)
            due = max(now, due) + interval

    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {None}
    threads = [threading.Thread(target=tick, args=(core,)) for core in cores]
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    sys.stdin.readline()
    ended.set()
    for thread in threads:
        thread.join()
    print(delays[0], flush=True)


class MachineLateness:
    """Measures, from another process, how late this machine lets a process run that wants to.

    A context manager; `worst` is the longest delay in seconds within the block, on whichever core (where the
    system lets a thread choose its core). When it is near to a bound that a test promises, the machine was
    late and not what was tested.
    """

    def __init__(self, interval: float = 0.001) -> None:
        self.interval = interval
        self.worst = 0.0
        self._child: Child | None = None
        self._questions = self._answers = -1

    def __repr__(self) -> str:
        return f"<MachineLateness worst {self.worst * 1000:.1f} ms>"

    def _line(self) -> str:
        """The watcher's next line, waited for cooperatively for at most 10 s."""
        data = b""
        with gevent.Timeout(10.0, ProcessFailed("the watcher of the machine does not answer")):
            while not data.endswith(b"\n"):
                more = gevent.os.nb_read(self._answers, 100)
                if not more:
                    raise ProcessFailed(f"the watcher of the machine ended: {data!r}")
                data += more
        return data.decode()

    def __enter__(self) -> Self:
        program = f"{inspect.getsource(_watch)}\n_watch({self.interval!r})"
        question, self._questions = os.pipe()
        self._answers, answer = os.pipe()
        gevent.os.make_nonblocking(self._answers)
        self._child = Child([sys.executable, "-I", "-S", "-c", program], answer, question)
        close_descriptor(question)
        close_descriptor(answer)
        try:
            self._line()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            os.write(self._questions, b"\n")
            self.worst = float(self._line())
        finally:
            self._end()

    def _end(self) -> None:
        child, self._child = self._child, None
        assert child is not None
        child.signal(signal.SIGKILL)
        close_descriptor(self._questions)
        close_descriptor(self._answers)
        wait_until(lambda: child.ended)


def on_quiet_machine(test: Callable[[], Result], bound: float, attempts: int = 3) -> Result:
    """What `test()` returns; where it fails while the machine was late, it may try again.

    For tests of promised times only. An `AssertionError` counts at once if the machine was late by less
    than half of `bound` seconds, and in the last of the `attempts` whatever the machine did.
    """
    for _ in range(attempts - 1):
        with MachineLateness() as machine:
            try:
                return test()
            except AssertionError as error:
                failure = error
        if machine.worst < bound / 2:
            raise failure
    return test()


def wait_until(condition: Callable[[], object], timeout: float = 5.0, message: str = "") -> None:
    """Returns when `condition()` is true; raises `AssertionError` after `timeout` seconds."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            what = message or inspect.getsource(condition).strip()
            raise AssertionError(f"not within {timeout:g} s: {what}")
        gevent.sleep(0.002)


def open_descriptors() -> dict[int, str]:
    """The open descriptors of this process: number -> what it leads to (where the system tells it)."""
    folder = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    found = {}
    for name in os.listdir(folder):
        try:
            os.fstat(int(name))
        except OSError:  # the one of this listing, closed by now
            continue
        path = os.path.join(folder, name)
        found[int(name)] = os.readlink(path) if os.path.islink(path) else ""
    return found
