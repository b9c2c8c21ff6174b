"""One hub's share of a pool: who has a connection, and who waits for one."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

import gevent
from gevent import getcurrent
from gevent.monkey import get_original

from .. import deadlines
from ..config import Address
from ..exceptions import MaxConnectionsError, TimeoutError
from .alarm import Alarm
from .dials import DIALS, Dials, Waiter, wake

if TYPE_CHECKING:
    from .link import Link
    from .pool import ConnectionPool

log = logging.getLogger("greenredis")
get_ident: Callable[[], int] = get_original("_thread", "get_ident")

FRESH = 0.01  # seconds since its last reply for which a connection is not looked at


class Share(Dials):
    """The connections of a pool that belong to one hub. All of it runs in that hub's thread.

    A connection is idle, lent, or on its way to a waiter.
    """

    def __init__(self, pool: ConnectionPool, hub: Any) -> None:
        super().__init__(pool, hub)
        self.link: Link | None = None  # shares one lent connection among all greenlets
        self.spread: dict[Any, Link] = {}  # where there is one for each address
        self.openings: dict[Any, gevent.Greenlet[..., Any]] = {}  # of links
        self._alarm = Alarm(hub.loop, self._on_alarm)
        self._sweep = Alarm(hub.loop, self._on_sweep)
        if pool.min_idle or pool.max_idle_time:
            self._sweep.set(monotonic())

    # -- lending

    def lend(self) -> Any:
        """A connection that owes nothing, for the caller alone; `release` it in a `finally`.

        Raises MaxConnectionsError when there was none within the pool's `timeout`, TimeoutError at
        the caller's deadline, and what a dial raised.
        """
        if getcurrent() is self.hub:
            raise RuntimeError("a command cannot wait in the hub: spawn a greenlet for it")
        idle, connection = self.idle, None
        while connection is None and idle.qsize():
            connection = idle.get_nowait()
            self.lent.add(connection)
            age = monotonic() - connection.idle_since
            if age > FRESH or connection.address is not self.locator.address:
                connection = self._checked(connection, age)
        if connection is None:
            connection = self._wait()
        interval = self.pool.health_check_interval
        if connection._re_auth_token is not None or (
            interval and monotonic() > connection.idle_since + interval
        ):
            self._prepare(connection)
        return connection

    def _checked(self, connection: Any, age: float) -> Any:
        """The lent connection, or None with it closed. Nothing here switches greenlets."""
        if self._is_good(connection, age):
            return connection
        self.lent.discard(connection)
        self._drop(connection)
        return None

    def _is_good(self, connection: Any, age: float) -> bool:
        limit = self.pool.max_idle_time
        return (
            self.locator.holds(connection.address)
            and connection.is_reusable()
            and (limit is None or age < limit)
            and connection.looks_idle()
        )

    def _prepare(self, connection: Any) -> None:
        ready = False
        try:
            connection.next_health_check = 0.0
            connection.make_ready()
            ready = True
        finally:
            if not ready:
                connection.disconnect()
                self.release(connection)

    def _wait(self) -> Any:
        """The connection that this caller's turn brings. The switch points of lending."""
        pool = self.pool
        self.locate()
        if not pool.blocking and self.slots >= pool.max_connections:
            raise MaxConnectionsError(f"all {pool.max_connections} connections to {pool.where()} are lent")
        loop = self.hub.loop
        waiter = Waiter(getcurrent(), self._until())
        self.waiting.append(waiter)
        loop.ref()  # the alarm alone does not keep it running
        try:
            if self.slots < pool.max_connections:
                self._dial_for_waiters()
            if waiter.until < self._alarm.when:
                self._alarm.set(waiter.until)
            self.hub.switch()
            if waiter.connection is not None:
                connection, waiter.connection = waiter.connection, None
                return connection
        finally:
            loop.unref()
            waiter.caller = None
            if waiter.queued:
                self.waiting.remove(waiter)
            elif waiter.connection is not None:  # killed as it was served: the next one's turn
                self.release(waiter.connection)
        raise waiter.error or RuntimeError("a waiting greenlet was switched to by somebody else")

    def locate(self) -> Address:
        """Where the server is, waited for until the caller's deadline or for `socket_timeout`."""
        self.locator.follow(self)
        return self.locator.locate(self.pool.options["socket_timeout"])

    def _until(self) -> float | None:
        """When a waiter gives up: the pool's `timeout` is for a slot, connecting has its own."""
        seconds, pool = self.pool.timeout, self.pool
        if seconds is not None and self.slots < pool.max_connections:
            connecting = pool.options["socket_connect_timeout"]
            seconds = None if connecting is None else seconds + connecting
        return deadlines.after(seconds)

    def _on_alarm(self) -> float | None:
        now = monotonic()
        for waiter in [each for each in self.waiting if each.until <= now]:
            self.waiting.remove(waiter)
            waiter.queued = False
            waiter.error = self._timed_out(waiter)
            self.hub.loop.run_callback(wake, waiter)
        return min((each.until for each in self.waiting), default=None)

    def _timed_out(self, waiter: Waiter) -> Exception:
        pool, where = self.pool, self.pool.where()
        by_deadline = waiter.until == deadlines.bounded.get(waiter.caller)
        if not by_deadline and self.slots - self.dials >= pool.max_connections:
            return MaxConnectionsError(f"No connection available to {where}: all {self.slots} stayed lent")
        return self.locator.explained(
            TimeoutError(
                f"no connection to {where} in time: {len(self.lent)} are lent, {self.dials} dials under way"
            )
        )

    # -- taking back

    def release(self, connection: Any) -> None:
        """Take back a lent connection. Nothing here switches greenlets."""
        if connection not in self.lent:
            return
        self.lent.remove(connection)
        address = connection.address
        if (
            self.closed
            or (address is not self.locator.address and not self.locator.holds(address))
            or not connection.is_reusable()
        ):
            self._drop(connection)
            self._dial_for_waiters()
        else:
            connection.idle_since = monotonic()
            self._offer(connection)

    # -- upkeep

    def _on_sweep(self) -> float | None:
        """Close what has been idle too long, keep `min_idle` warm."""
        if self.closed:
            return None
        limit = self.pool.max_idle_time
        for connection in self._drain_idle():
            if self._is_good(connection, monotonic() - connection.idle_since):
                self.idle.put_nowait(connection)
            else:
                self._drop(connection)
        missing = min(self.pool.min_idle - self.idle.qsize(), self.pool.max_connections - self.slots)
        for _ in range(min(missing, DIALS - self.dials)):
            self._dial()
        return monotonic() + min(1.0, limit or 1.0) * random.uniform(0.5, 1.0)

    def _drain_idle(self) -> list[Any]:
        return [self.idle.get_nowait() for _ in range(self.idle.qsize())]

    def lend_to(self, address: Address) -> Any:
        """A connection to just this address: an idle one, else a new one if there is a slot."""
        idle = self._drain_idle()
        found = next((each for each in idle if each.address is address and self._is_good(each, 0.0)), None)
        for connection in reversed(idle):
            if connection is not found:
                self.idle.put_nowait(connection)
        if found is None:
            found = self._dial_to(address)
        self.lent.add(found)
        return found

    def leave(self) -> None:
        """The server has moved: close what is connected to where it was, or connecting, and wake its users.

        Nothing here switches greenlets.
        """
        holds = self.locator.holds
        for connection in self._drain_idle():
            if holds(connection.address):
                self.idle.put_nowait(connection)
            else:
                self._drop(connection)
        for link in self.open_links():
            if not holds(link.address):
                link.close(f"was cut, since the server is now {self.locator.address}")
        for connection in [*self.lent, *self.dialing]:
            if not holds(connection.address):
                connection.mark_for_reconnect()
                connection.shut()

    def disconnect(self, also_lent: bool = True) -> None:
        """Close the idle connections; wake the users of lent ones with an error."""
        for connection in self._drain_idle():
            self._drop(connection)
        for link in self.open_links() if also_lent else ():
            link.close("was closed")
        if also_lent:
            for connection in self.lent:
                connection.mark_for_reconnect()
                connection.shut()

    def rest(self) -> None:
        """Close all, and look for the server no more until the next command."""
        self.disconnect()
        self.locator.unfollow(self)

    def close(self) -> None:
        """Close all for good. For the thread that ends."""
        self.closed = True
        self._alarm.cancel()
        self._sweep.cancel()
        self.rest()
        for connection in list(self.lent):
            connection.disconnect()

    def re_authenticate(self, token: Any) -> None:
        """Log in with `token` on every connection before its next command, on the link at once."""
        idle = self._drain_idle()
        for connection in idle:
            self.idle.put_nowait(connection)
        for connection in (*idle, *self.lent):
            connection.set_re_auth_token(token)
        for link in self.open_links():
            gevent.spawn(link.re_authenticate)

    def open_links(self) -> list[Link]:
        return [*([self.link] if self.link is not None else []), *self.spread.values()]

    def stats(self) -> dict[str, int]:
        """Counts: idle, lent, waiting, dialing now; dialed in all."""
        return {
            "idle": self.idle.qsize(),
            "lent": len(self.lent),
            "waiting": len(self.waiting),
            "dialing": self.dials,
            "dialed": self.dialed,
        }


class AtThreadEnd:
    """Closes a thread's share when the thread's local values are dropped, in that thread."""

    def __init__(self, shares: dict[Any, Share], hub: Any) -> None:
        self._shares = shares
        self._hub = hub
        self._thread = get_ident()

    def __del__(self) -> None:
        share = self._shares.pop(self._hub, None)
        if share is None or self._hub.loop is None:
            return
        if self._thread == get_ident():
            share.close()
        else:
            self._hub.loop.run_callback_threadsafe(share.close)
