"""Where the replicas of a master are, for one hub."""

from __future__ import annotations

import logging
import random
import weakref
from time import monotonic
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import Event

from .. import deadlines
from ..address import Address
from ..exceptions import MasterDownError, ReadOnlyError, RedisError, SlaveNotFoundError, TimeoutError
from .watch import DEFAULT_WAIT
from .watcher import UNREADABLE

if TYPE_CHECKING:
    from ..transport.share import Share
    from .sentinel import Sentinel
    from .view import Place
    from .watch import Watch

log = logging.getLogger("greenredis")

REFRESH_INTERVAL = 5.0  # seconds between questions about the replicas, if nothing happens
SETTLE = 0.05  # seconds to wait for more to happen before asking
NEVER = float("inf")
AVOIDED_FOR = 1.0  # seconds for which a replica that did not answer is left out


class Replicas:
    """The locator of one hub for the replicas that are up and in sync; the master's where there is none.

    `addresses` are taken in turn; with `nearest` the first, which answered fastest, until it fails.
    """

    def __init__(self, watch: Watch, nearest: bool) -> None:
        self.watch = watch
        self.nearest = nearest
        self.addresses: tuple[Address, ...] = ()
        self.role: str | None = "slave"
        self.changed = Event()
        self._places: list[Place] = []
        self._avoided: dict[Place, float] = {}
        self._delays: dict[Place, float] = {}
        self._turn = random.randrange(1 << 16)
        self._known = Event()
        self._empty_since = monotonic()
        self._shares: weakref.WeakSet[Share] = weakref.WeakSet()
        self._greenlet: gevent.Greenlet[..., None] | None = None

    def __repr__(self) -> str:
        return f"<Replicas of {self.watch.name!r} at {', '.join(map(str, self.addresses)) or 'no address'}>"

    def __del__(self) -> None:
        greenlet, hub = self._greenlet, self.watch._hub
        if greenlet is not None:
            try:
                hub.loop.run_callback_threadsafe(greenlet.kill, gevent.GreenletExit, False)
            except Exception:  # the loop has gone
                pass

    # -- the locator

    @property
    def address(self) -> Address | None:
        return self.addresses[0] if self.addresses else None

    def follow(self, share: Share) -> None:
        self._shares.add(share)

    def unfollow(self, share: Share) -> None:
        self._shares.discard(share)
        if not self._shares:
            greenlet, self._greenlet = self._greenlet, None
            if greenlet is not None:
                greenlet.kill(block=False)
            self.addresses = ()
            self._known.clear()
            self.watch.replicas.discard(self)
            self.watch.end_if_unused()

    def holds(self, address: Any) -> bool:
        return any(address is each for each in self.addresses)

    def pick(self) -> Address | None:
        if self.nearest or not self.addresses:
            return self.address
        self._turn += 1
        return self.addresses[self._turn % len(self.addresses)]

    def locate(self, seconds: float | None = None) -> Address:
        """The next address; SlaveNotFoundError if neither replica nor master was found in time."""
        while (found := self.pick()) is None:
            self._start()
            began, deadline = monotonic(), deadlines.current()
            until = began + (DEFAULT_WAIT if seconds is None else seconds) if deadline is None else deadline
            if not self._known.wait(max(0.0, until - began)):
                raise self._not_found(monotonic() - began)
        return found

    def reached(self, address: Address) -> None:
        pass

    def unreached(self, address: Address, error: Exception) -> None:
        """Leave it out for a while."""
        if self.holds(address):
            self._avoided[(address.host, address.port)] = monotonic() + AVOIDED_FOR
            self._arrange()
            self.changed.set()

    def failed(self, address: Address, error: Exception) -> None:
        if isinstance(error, ReadOnlyError):
            raise error  # a write to a replica
        if isinstance(error, MasterDownError):
            self.unreached(address, error)

    def explained(self, error: Exception) -> Exception:
        if isinstance(error, TimeoutError) and not self.addresses:
            return self._not_found(monotonic() - self._empty_since)
        return error

    def _not_found(self, waited: float) -> SlaveNotFoundError:
        said = "; ".join(f"{watcher.where} {watcher.said}" for watcher in self.watch.watchers)
        return SlaveNotFoundError(
            f"no replica found for {self.watch.name!r} in {waited:.2f} s: {said or 'no sentinel was asked'}"
        )

    # -- finding out

    def _start(self) -> None:
        if self._greenlet is None:
            self.watch.replicas.add(self)
            self.watch.start()
            self.changed.set()
            self._greenlet = gevent.spawn(_keep_up, weakref.ref(self), self.changed)

    def refresh(self) -> None:
        """Ask one sentinel after another until one tells of the replicas."""
        for watcher in sorted(self.watch.watchers, key=lambda each: not each.is_subscribed):
            try:
                self._places = sorted(map(self.watch.sentinel.translated, watcher.replicas()))
                break
            except (RedisError, OSError, *UNREADABLE) as error:
                log.info("%s does not tell of replicas: %s", watcher.where, str(error))
        if self.nearest:
            self._measure()
        self._arrange()

    def _measure(self) -> None:
        share = next(iter(self._shares), None)
        for place in self._places if share is not None else ():
            began = monotonic()
            answered = share.answers(Address(*place))  # type: ignore[union-attr]
            self._delays[place] = monotonic() - began if answered else NEVER
        first = self.address  # stays it until another is twice as near: cursors and caches are there
        favoured = (first.host, first.port) if first is not None else None
        self._places.sort(key=lambda place: self._delays.get(place, NEVER) * (1 + (place != favoured)))

    def _arrange(self) -> None:
        """Have an Address for each place that is not avoided, the same as before where it was there."""
        now = monotonic()
        places = [place for place in self._places if self._avoided.get(place, 0.0) < now]
        master = self.watch.address
        is_fallback = not places
        if is_fallback and master is not None:
            place = (master.host, master.port)
            places = [place] if self._avoided.get(place, 0.0) < now else []
        self.role = None if is_fallback else "slave"
        before = {(each.host, each.port): each for each in self.addresses}
        self.addresses = tuple(before.get(place) or Address(*place) for place in places)
        if self.addresses:
            self._known.set()
        elif self._known.is_set():
            self._known.clear()
            self._empty_since = monotonic()
        if set(before) - set(places):
            for share in list(self._shares):
                share.leave()


class ReplicaLocator:
    """Has Replicas for each hub."""

    def __init__(self, sentinel: Sentinel, service_name: str, nearest: bool) -> None:
        self._sentinel = sentinel
        self._service_name = service_name
        self._nearest = nearest
        self._replicas: weakref.WeakValueDictionary[Any, Replicas] = weakref.WeakValueDictionary()

    def here(self) -> Replicas:
        hub = gevent.get_hub()
        found = self._replicas.get(hub)
        if found is None:
            found = Replicas(self._sentinel.watch(self._service_name), self._nearest)
            self._replicas[hub] = found
        return found


def _keep_up(reference: weakref.ref[Replicas], changed: Event) -> None:
    """Find out again when something has happened, and now and then; holds nothing while it waits."""
    while True:
        timer = gevent.get_hub().loop.timer(REFRESH_INTERVAL * random.uniform(0.8, 1.0), ref=False)
        timer.start(changed.set)
        try:
            changed.wait()
        finally:
            timer.close()
        gevent.sleep(SETTLE, ref=False)
        changed.clear()
        replicas = reference()
        if replicas is None:
            return
        replicas.refresh()
        if not replicas.addresses:
            gevent.spawn_later(AVOIDED_FOR / 4, changed.set)
        del replicas
