"""A connection that one object keeps, which many greenlets write to, and which comes back when it is lost."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import gevent
from gevent import getcurrent
from gevent.hub import get_hub
from gevent.lock import BoundedSemaphore, RLock

from . import deadlines
from .exceptions import (
    AuthenticationError,
    AuthorizationError,
    ConnectionError,
    MaxConnectionsError,
    RedisError,
    TimeoutError,
    fresh,
)
from .protocol import Word

_FINAL = (AuthenticationError, AuthorizationError, MaxConnectionsError)


def left(until: float | None) -> float | None:
    """The seconds until then, 0 if it has passed; None if there is no end."""
    return None if until is None else max(0.0, until - monotonic())


def nearer(until: float | None) -> float | None:
    """`until`, or the greenlet's deadline if that comes first."""
    end = deadlines.current()
    return end if end is not None and (until is None or end < until) else until


def raise_at_deadline(until: float | None, end: float | None) -> None:
    """TimeoutError if the greenlet's deadline, which came before `until`, has passed."""
    if end is not None and end != until and monotonic() >= end:
        raise TimeoutError("no message before the deadline")


class LastingConnection:
    """A lent connection that is opened again when it was lost, with the backoff of the pool's `retry`.

    Commands are written whole, by one greenlet at a time; whoever reads holds `reading`.  The
    connection is opened in a greenlet of its own, once for all who wait, and at any time by one
    only: a caller who leaves breaks nothing off.  Attempts are counted from the last reply, since a
    server that accepts and then breaks off has not come back.

    `on_open`: methods to call with the connection whenever it was opened again, in their order.
    """

    connection: Any = None
    _hub: Any = None

    def __init__(self, pool: Any, *on_open: Callable[[Any], Any]) -> None:
        self.pool = pool
        self.reading = BoundedSemaphore(1)
        self._writing = RLock()
        self._on_open = [weakref.WeakMethod(method) for method in on_open]
        self._dial: gevent.Greenlet[..., None] | None = None
        self._is_down = False
        self._failures = 0
        self._not_before = 0.0
        self._error: Exception = ConnectionError("closed")
        self._given_up = 0  # how often no attempt was left
        self._told = 0  # and how often a caller was told

    def hold(self, connection: Any) -> None:
        """Keep this lent connection from now on."""
        self.connection, self._is_down, self._hub = connection, False, get_hub()
        _begin_health(connection)

    def close(self) -> None:
        """Give the connection back, closed, and wake who waits for it. Nothing here switches greenlets."""
        connection, self.connection = self.connection, None
        dial, self._dial = self._dial, None
        self._is_down, self._failures, self._not_before, self._told = False, 0, 0.0, self._given_up
        if dial is not None and dial is not getcurrent():
            dial.kill(block=False)
        if connection is not None:
            for method in self._methods():
                connection.deregister_connect_callback(method)
            if self._hub is get_hub():
                _give_back(self.pool, connection)
            else:
                give_back_later(self.pool, connection, self._hub)

    def __del__(self) -> None:
        if self.connection is not None:
            give_back_later(self.pool, self.connection, self._hub)

    def _methods(self) -> list[Callable[[Any], Any]]:
        return [found for found in (method() for method in self._on_open) if found is not None]

    # -- opening

    def is_live(self) -> bool:
        """Whether this greenlet may use the connection now. Nothing here switches greenlets."""
        connection = self.connection
        if connection is None or not connection.is_connected:
            return False
        return self._dial is getcurrent() or (self._dial is None and not self._is_down)

    def live(self, until: float | None, lend: bool = False) -> Any:
        """The connection, open; None at `until`, or where there is none and it may not `lend` one.

        Raises what the last attempt raised, when the pool's `retry` allows no other.
        """
        if self.connection is not None and self._hub is not get_hub():
            raise RuntimeError(
                "its connection belongs to another thread: each thread needs a PubSub of its own"
            )
        given_up = self._told
        while not self.is_live():
            if self._given_up != given_up:
                self._told = self._given_up
                raise fresh(self._error)
            if self.connection is None and not lend:
                return None
            self._wait(until)
            if until is not None and monotonic() >= until and not self.is_live():
                return None
        return self.connection

    def _wait(self, until: float | None) -> None:
        """For the backoff, for a connection of the pool's, or for the attempt under way."""
        pause = self._not_before - monotonic()
        if self._dial is None and pause > 0:
            seconds = left(until)
            gevent.sleep(pause if seconds is None else min(seconds, pause))
        elif self.connection is None:
            self._lend(until)
        else:
            if self._dial is None or self._dial.ready():  # killed before it began
                self._dial = gevent.spawn(self._redial, self.connection)
            self._dial.join(left(until))

    def _lend(self, until: float | None) -> None:
        given_up = self._given_up
        with self._turn(until):
            another_tried = monotonic() < self._not_before or self._given_up != given_up
            if self.connection is not None or another_tried:
                return
            try:
                connection = self.pool.get_connection()
            except RedisError as error:
                self._failed(error)
                return
            self.hold(connection)
            for method in self._methods():
                connection.register_connect_callback(method)

    def _redial(self, connection: Any) -> None:
        error: Exception | None = ConnectionError("the greenlet that connected was killed")
        try:
            self._open(connection)
            error = None
        except Exception as caught:
            error = caught
        except gevent.Timeout as caught:  # of somebody's function that connecting calls
            error = TimeoutError(f"connecting was given up: {caught}")
        finally:
            if self._dial is getcurrent():  # otherwise it was given back meanwhile
                self._dial, self._is_down = None, error is not None
                if error is not None:
                    self._failed(error)
                else:
                    _begin_health(connection)

    def _open(self, connection: Any) -> None:
        share = self.pool.share()
        share.locate()
        self.pool.open(connection, share.locator)

    def _failed(self, error: Exception) -> None:
        policy = self.pool.retry
        if not self._failures:
            policy.reset()
        self._failures += 1
        supported = isinstance(error, policy.supported_errors) and not isinstance(error, _FINAL)
        if supported and policy.allows(self._failures):
            self._not_before = monotonic() + policy.backoff_seconds(self._failures)
        else:
            self._failures, self._not_before = 0, 0.0
            self._error = error
            self._given_up += 1

    def lost(self, connection: Any, error: Exception | None = None) -> None:
        """Close it, so that it is opened again before its next use. Nothing here switches greenlets."""
        connection.disconnect()
        if connection is self.connection and not self._is_down:
            self._is_down = True
            if error is not None:
                self._failed(error)

    def works(self) -> None:
        """A reply was read: what fails next is a new failure."""
        self._failures = 0

    # -- writing

    @contextmanager
    def _turn(self, until: float | None) -> Iterator[None]:
        if not self._writing.acquire(timeout=left(until)):
            raise TimeoutError(f"others were writing to {self.pool.where()} until the deadline")
        try:
            yield
        finally:
            self._writing.release()

    def send(self, *words: Word) -> None:
        """Write a command whole, on a connection that is lent if there is none, opened again if it was lost.

        Raises TimeoutError at the greenlet's deadline, and what connecting raised.
        """
        until = deadlines.current()
        while True:
            connection = self.live(until, lend=True)
            if connection is None:
                raise TimeoutError(f"no connection to {self.pool.where()} before the deadline")
            with self._turn(until):
                if connection is self.connection and self.is_live() and self._write(connection, words):
                    return

    def send_now(self, *words: Word) -> bool:
        """Whether the command was written: not while others write, or where the connection is lost."""
        if not self.is_live() or not self._writing.acquire(blocking=False):
            return False
        try:
            return self._write(self.connection, words)
        finally:
            self._writing.release()

    def _write(self, connection: Any, words: tuple[Word, ...]) -> bool:
        whole = False
        try:
            connection.send_command(*words, check_health=False)
            connection.owed = 0  # replies come as messages, and nobody counts those
            whole = True
        except (ConnectionError, TimeoutError) as error:
            if self._dial is getcurrent():  # in the middle of an attempt, which fails with it
                raise
            self.lost(connection, error)
        except Exception:  # a word that cannot be sent: nothing was
            whole = True
            raise
        finally:
            if not whole:  # killed in the middle of the command
                self.lost(connection)
        return whole


def _give_back(pool: Any, connection: Any) -> None:
    connection.disconnect()
    pool.release(connection)


def give_back_later(pool: Any, connection: Any, hub: Any) -> None:
    """Close it and give its slot back, in its own hub: for finalizers, and from any thread."""
    try:
        hub.loop.run_callback_threadsafe(_give_back, pool, connection)
    except Exception:  # the loop has gone, and closed what it had
        pass


def _begin_health(connection: Any) -> None:
    """Connecting was an answer: it is not asked for another at once."""
    if connection is not None:
        connection.next_health_check = monotonic() + connection.health_check_interval
