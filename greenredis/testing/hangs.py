"""A time limit for tests under gevent: what hangs fails, and every greenlet's stack is shown."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import gevent
import gevent.util
import pytest

# What neither a signal nor the loop can interrupt ends the whole run this much later.
GRACE = 30.0


class TimeLimit:
    """Fails the test that runs too long, by SIGALRM, wherever its greenlets wait.

    gevent handles signals in whatever greenlet runs, mostly the hub: the failure is thrown into the greenlet
    of the test. Code that never lets Python handle a signal is ended, with its run, by faulthandler.
    """

    def __init__(self) -> None:
        # Captured output would hide the last words of a run that is ended.
        self._stderr = os.dup(2)
        self._greenlet = gevent.getcurrent()
        self._limit = 0.0

    def close(self) -> None:
        os.close(self._stderr)

    @contextmanager
    def running(self, seconds: float) -> Iterator[None]:
        """Limits the block to so many seconds, 0 for no limit; without effect outside the main thread."""
        if not seconds or threading.current_thread() is not threading.main_thread():
            yield
            return
        self._greenlet, self._limit = gevent.getcurrent(), seconds
        before = signal.signal(signal.SIGALRM, self._ring)
        self._set(seconds)
        try:
            yield
        finally:
            self._set(0.0)
            self._limit = 0.0
            signal.signal(signal.SIGALRM, before)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Lifts the limit within the block; it starts anew after it."""
        self._set(0.0)
        try:
            yield
        finally:
            self._set(self._limit)

    def _set(self, seconds: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        if seconds:
            faulthandler.dump_traceback_later(seconds + GRACE, exit=True, file=self._stderr)
        else:
            faulthandler.cancel_dump_traceback_later()

    def _ring(self, number: int, frame: FrameType | None) -> None:
        print(f"still running after {self._limit:g} s", file=sys.stderr)
        gevent.util.print_run_info(file=sys.stderr)
        error = pytest.fail.Exception(f"still running after {self._limit:g} s; its greenlets are shown below")
        if gevent.getcurrent() is self._greenlet:
            raise error
        gevent.get_hub().loop.run_callback(self._greenlet.throw, error)
