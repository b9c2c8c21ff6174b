"""Dialing for those who wait for a connection."""

from __future__ import annotations

import logging
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

import gevent

from ..config import Address, Fixed, Locator
from ..exceptions import ConnectionError, MaxConnectionsError, RedisError, TimeoutError, fresh

if TYPE_CHECKING:
    from .pool import ConnectionPool

log = logging.getLogger("greenredis")

DIALS = 8  # under way at once
NEVER = float("inf")


class Waiter:
    """A greenlet that waits for a connection."""

    __slots__ = ("caller", "connection", "error", "queued", "until")

    def __init__(self, caller: Any, until: float | None) -> None:
        self.caller = caller
        self.until = NEVER if until is None else until
        self.queued = True
        self.connection: Any = None
        self.error: Exception | None = None


class Probe(Fixed):
    """The locator of a connection that is to tell whether there is a server of that role."""

    def __init__(self, address: Address, role: str | None) -> None:
        super().__init__(address)
        self.role = role


class Dials:
    """Who waits for a connection in one hub, and the dials for them.

    A slot is in use from the start of a dial until the connection is closed: `slots` never exceeds
    `max_connections`.
    """

    def __init__(self, pool: ConnectionPool, hub: Any) -> None:
        self.pool = pool
        self.hub = hub
        self.locator: Locator = pool.locator
        self.idle: Any = pool.queue_class()
        self.lent: set[Any] = set()
        self.links = 0  # lent connections that links hold, those that close included
        self.waiting: deque[Waiter] = deque()
        self.dialing: set[Any] = set()
        self.slots = 0
        self.dials = 0
        self.dialed = 0
        self.closed = False
        self.link_lost = False  # and no connection was opened since
        self._is_down = False  # the last dial failed

    def _dial_for_waiters(self) -> None:
        wanted = min(len(self.waiting), DIALS, self.dials + self.pool.max_connections - self.slots)
        for _ in range(wanted - self.dials):
            self._dial()

    def _dial(self) -> None:
        """Open a connection in the background: it outlives whoever wanted it."""
        self.slots += 1
        self.dials += 1
        self.dialed += 1
        gevent.spawn(self._finish_dial)

    def _finish_dial(self) -> None:
        connection = None
        error: Exception | None = None
        is_open = False
        try:
            connection = self.pool.make_connection()
            self.dialing.add(connection)
            self.pool.open(connection, self.locator)
            is_open = True
        except Exception as caught:
            error = caught
        except gevent.Timeout as caught:  # of somebody's function that connecting calls
            error = TimeoutError(f"connecting to {self.pool.where()} was given up: {caught}")
        finally:
            self.dials -= 1
            self.dialing.discard(connection)
            if not is_open:
                self.slots -= 1
                if not self._is_stale(connection):  # the next dial is to where the server is now
                    self._refuse(error)
            elif self.closed or self._is_stale(connection):
                self._drop(connection)
            else:
                self._welcome(connection)
            self._dial_for_waiters()

    def _is_stale(self, connection: Any) -> bool:
        """Whether the server has moved since the dial began."""
        address = getattr(connection, "address", None)
        return address is not None and self.locator.address is not None and not self.locator.holds(address)

    def _welcome(self, connection: Any) -> None:
        if self._is_down or self.link_lost:
            self._is_down = self.link_lost = False
            log.info("connected to %s again", self.pool.where())
        connection.idle_since = monotonic()
        self._offer(connection)

    def _refuse(self, error: Exception | None) -> None:
        """All who wait share a failed dial, unless lent connections will come back to them."""
        if error is None:
            error = ConnectionError(f"the greenlet that connected to {self.pool.where()} was killed")
        if not self._is_down:
            self._is_down = True
            shown = str(error) if isinstance(error, RedisError) else repr(error)
            log.warning("cannot connect to %s: %s", self.pool.where(), shown)
        served_later = len(self.lent) > self.links
        for _ in range(min(1, len(self.waiting)) if served_later else len(self.waiting)):
            waiter = self.waiting.popleft()
            waiter.queued = False
            waiter.error = fresh(error)
            self.hub.loop.run_callback(wake, waiter)

    def _offer(self, connection: Any) -> None:
        """To whoever has waited longest, else to the idle ones."""
        if self.waiting:
            waiter = self.waiting.popleft()
            waiter.queued = False
            waiter.connection = connection
            self.lent.add(connection)
            self.hub.loop.run_callback(wake, waiter)
        else:
            self.idle.put_nowait(connection)

    def _drop(self, connection: Any) -> None:
        self.slots -= 1
        connection.disconnect()

    def _dial_to(self, address: Address) -> Any:
        if self.closed or self.slots >= self.pool.max_connections:
            raise MaxConnectionsError(f"no connection is left for {address}")
        connection, is_open = self.pool.make_connection(), False
        self.slots += 1
        self.dialing.add(connection)
        try:
            self.pool.open(connection, Probe(address, self.locator.role))
            connection.locator = self.locator
            is_open = True
            return connection
        except RedisError as error:
            self.locator.unreached(address, error)
            raise
        finally:
            self.dialing.discard(connection)
            if not is_open:
                self._drop(connection)
                self._dial_for_waiters()

    def answers(self, address: Address) -> bool:
        """Whether a server of the role that the locator wants answers there. Takes a slot meanwhile."""
        try:
            self._drop(self._dial_to(address))
        except RedisError:
            return False
        self._dial_for_waiters()
        return True


def wake(waiter: Waiter) -> None:
    if waiter.caller is not None:
        waiter.caller.switch()
