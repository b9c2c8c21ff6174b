"""What one hub knows of a master: where it is, from a watcher for each sentinel."""

from __future__ import annotations

import logging
import random
import time
import weakref
from time import monotonic
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import Event
from gevent.hub import get_hub

from .. import deadlines
from ..address import Address
from ..exceptions import (
    AuthenticationError,
    AuthorizationError,
    MasterDownError,
    MasterNotFoundError,
    ReadOnlyError,
    TimeoutError,
)
from .events import Switch, Switches
from .view import Claim, MasterView
from .watcher import Watcher

if TYPE_CHECKING:
    from ..transport.share import Share
    from .sentinel import Sentinel
    from .view import Place

log = logging.getLogger("greenredis")

POLL_INTERVAL = 0.25  # seconds between questions while nobody can be subscribed to
# Seconds between tries of an address that did not answer: the first and the longest.
PROBE_PAUSE = (0.05, 0.5)
HOLD_LIMIT = 2.0  # seconds for which writes are held at most
DEFAULT_WAIT = 5.0  # seconds to wait for a master where neither a deadline nor socket_timeout says


class Watch:
    """The locator of one hub for the master of a name; it starts to watch at the first `locate`.

    `address` is where the master is believed to be.  While that does not answer, or says that it is
    a replica, callers wait in `locate` for another, or for an answer to a probe.
    """

    role = "master"

    def __init__(self, sentinel: Sentinel, name: str) -> None:
        self.sentinel = sentinel
        self.name = name
        self.address: Address | None = None
        self.view = MasterView()
        self.watchers: list[Watcher] = []
        self.listeners: weakref.WeakSet[Switches] = weakref.WeakSet()
        self.replicas: weakref.WeakSet[Any] = weakref.WeakSet()
        self._hub = get_hub()
        self._shares: weakref.WeakSet[Share] = weakref.WeakSet()
        self._up = Event()
        self._waiting = 0  # callers
        self._free = Event()  # writes need not wait
        self._free.set()
        self._held = 0
        self._trouble: Exception | None = None
        self._down_since = monotonic()
        self._prober: gevent.Greenlet[..., None] | None = None
        self._poller: gevent.Greenlet[..., None] | None = None
        self._checking: Claim | None = None

    def __repr__(self) -> str:
        state = "" if self._up.is_set() else " that does not answer"
        heard = sum(watcher.is_subscribed for watcher in self.watchers)
        return f"<Watch of {self.name!r} at {self.address}{state}, {heard} of {len(self.watchers)} sentinels>"

    def __del__(self) -> None:
        watchers, hub = self.watchers, self._hub
        greenlets = [each for each in (self._prober, self._poller) if each is not None]
        if watchers:
            try:
                hub.loop.run_callback_threadsafe(_stop, watchers, greenlets)
            except Exception:  # the loop has gone, and all of them with it
                pass

    # -- the locator

    def follow(self, share: Share) -> None:
        self._shares.add(share)

    def unfollow(self, share: Share) -> None:
        self._shares.discard(share)
        self.end_if_unused()

    def end_if_unused(self) -> None:
        """Watch no more, until the next `locate`, if nobody uses it. Nothing here switches greenlets."""
        if not (self._shares or self.listeners or self.replicas or self._waiting):
            watchers, self.watchers = self.watchers, []
            greenlets = [each for each in (self._prober, self._poller) if each is not None]
            self._prober = self._poller = None
            self.address, self.view = None, MasterView()
            self._up.clear()
            self._down_since = monotonic()
            _stop(watchers, greenlets)

    def holds(self, address: Any) -> bool:
        return address is self.address

    def pick(self) -> Address | None:
        return self.address

    def locate(self, seconds: float | None = None) -> Address:
        """The master's address, once it is known and answers; MasterNotFoundError when the time is up."""
        while not self._up.is_set() or self.address is None:
            self._wait(deadlines.current(), DEFAULT_WAIT if seconds is None else seconds)
        return self.address

    def _wait(self, deadline: float | None, seconds: float) -> None:
        self.start()
        began = monotonic()
        until = began + seconds if deadline is None else deadline
        self._waiting += 1
        try:
            if not self._up.wait(max(0.0, until - began)):
                raise self.not_found(monotonic() - began)
        finally:
            self._waiting -= 1

    def reached(self, address: Address) -> None:
        if address is self.address and not self._up.is_set():
            self._trouble = None
            self._up.set()

    def unreached(self, address: Address, error: Exception) -> None:
        if address is self.address and not isinstance(error, (AuthenticationError, AuthorizationError)):
            self._doubt(error)

    def failed(self, address: Address, error: Exception) -> None:
        """Told that it is a replica, ask all sentinels again; whoever is connected to it looks again."""
        if address is self.address and isinstance(error, (ReadOnlyError, MasterDownError)):
            self.address = Address(address.host, address.port)
            self._doubt(error)
            for watcher in self.watchers:
                gevent.spawn(watcher.ask)

    def explained(self, error: Exception) -> Exception:
        """That there is no master, where that is why the time ended; else the same error."""
        if isinstance(error, (ReadOnlyError, MasterDownError)) or (
            isinstance(error, TimeoutError) and not self._up.is_set() and not error.maybe_executed
        ):
            found = self.not_found(monotonic() - self._down_since)
            found.__cause__, found.maybe_executed = error, error.maybe_executed
            return found
        return error

    def not_found(self, waited: float) -> MasterNotFoundError:
        """The error for a caller who has waited so many seconds in vain."""
        said = "; ".join(f"{watcher.where} {watcher.said}" for watcher in self.watchers)
        trouble = f" ({self._trouble})" if self._trouble is not None else ""
        return MasterNotFoundError(
            f"no master found for {self.name!r} in {waited:.2f} s{trouble}: {said or 'no sentinel was asked'}"
        )

    def _doubt(self, error: Exception) -> None:
        """The address does not answer: from now on callers wait, and one probe at a time goes there."""
        self._trouble = error
        if self._up.is_set():
            self._up.clear()
            self._down_since = monotonic()
        if self._prober is None or self._prober.ready():
            self._prober = gevent.spawn(_probe, weakref.ref(self))

    def probe(self) -> None:
        """Try the address on a connection of one of the pools; success lets the callers go on."""
        share, address = next(iter(self._shares), None), self.address
        if share is not None and address is not None and share.answers(address):
            self.reached(address)

    # -- watching

    def start(self) -> None:
        """Begin to watch, if it has not. Nothing here switches greenlets."""
        if self._poller is None:
            self._poller = gevent.spawn(_poll, weakref.ref(self))
            for place, client in self.sentinel.seeds():
                self.watchers.append(Watcher(self, client, place, is_seed=True))

    def meet(self, identity: str, place: Place) -> None:
        """Watch a sentinel that another one tells of, unless it is watched already."""
        place = self.sentinel.translated(place)
        known = any(each.place == place or (identity and each.id == identity) for each in self.watchers)
        if not known:
            client = self.sentinel.client_of(place)
            self.watchers.append(Watcher(self, client, place, is_seed=False))

    def recognise(self, watcher: Watcher) -> None:
        """Of two watchers of one sentinel, which has two addresses, the seed stays."""
        for other in [each for each in self.watchers if each is not watcher and each.id == watcher.id]:
            loser = watcher if other.is_seed else other
            if not loser.is_seed and loser in self.watchers:
                self.watchers.remove(loser)
                self.forget(loser)
                loser.is_over = True

    def poll(self, turn: int) -> None:
        """While nobody is subscribed to any sentinel, ask one."""
        if self.watchers and not any(watcher.is_subscribed for watcher in self.watchers):
            gevent.spawn(self.watchers[turn % len(self.watchers)].ask)

    # -- what the watchers hear

    def hear(self, watcher: Watcher, claim: Claim) -> None:
        """A sentinel claims that the master is there."""
        self.view.hear(watcher, claim)
        self._decide()

    def forget(self, watcher: Watcher) -> None:
        """A sentinel does not answer any more."""
        self.view.forget(watcher)
        self._decide()

    def _decide(self) -> None:
        claim = self.view.decide()
        if claim is not None:
            self._believe(claim)
        elif (claim := self.view.candidate()) is not None and claim != self._checking:
            self._checking = claim
            gevent.spawn(_check, weakref.ref(self), claim)

    def check(self, claim: Claim) -> None:
        """Believe a claim of a lower epoch if a master answers there and nothing else was heard."""
        try:
            share = next(iter(self._shares), None)
            is_master = share is not None and share.answers(Address(*claim.place))
            if is_master and self.view.candidate() == claim:
                self._believe(claim)
        finally:
            self._checking = None

    def _believe(self, claim: Claim) -> None:
        """Go there. Nothing here switches greenlets: no call comes between the old address and the new."""
        self.view.believe(claim)
        old = self.address
        if old is not None and (old.host, old.port) == claim.place:
            return
        self.address = Address(*claim.place)
        self._trouble = None
        self._up.set()
        self.release()
        for share in list(self._shares):
            share.leave()
        self.replicas_changed()
        if old is not None:
            self._tell(Switch(self.name, (old.host, old.port), claim.place, claim.epoch, time.time()))

    def _tell(self, switch: Switch) -> None:
        log.warning("the master of %r has moved from %s:%d to %s:%d", self.name, *switch.old, *switch.new)
        for listener in list(self.listeners):
            listener.put(switch)

    def replicas_changed(self) -> None:
        """Something happened to a replica, or to the master."""
        for replicas in list(self.replicas):
            replicas.changed.set()

    # -- holding writes

    def hold(self) -> None:
        """A replica is being promoted: what is written to the old master from now on may be lost."""
        self._held += 1
        self._free.clear()
        timer = self._hub.loop.timer(HOLD_LIMIT, ref=False)
        timer.start(_release_later, weakref.ref(self), self._held, timer)

    def release(self, number: int | None = None) -> None:
        """Writes go on; with a number, only those that were held then."""
        if number is None or number == self._held:
            self._free.set()

    def wait_to_write(self) -> None:
        """Return when writes are not held; TimeoutError at the caller's deadline."""
        if self._free.is_set():
            return
        until = deadlines.current()
        self._free.wait(HOLD_LIMIT if until is None else max(0.0, until - monotonic()))
        if until is not None and monotonic() >= until:
            raise TimeoutError(f"writes to {self.name!r} were held, as it fails over, until the deadline")


# Greenlets hold a watch only while they do something for it.


def _probe(reference: weakref.ref[Watch]) -> None:
    pause, longest = PROBE_PAUSE
    while True:
        gevent.sleep(pause * random.uniform(0.5, 1.0), ref=False)
        watch = reference()
        if watch is None or watch._up.is_set():
            return
        watch.probe()
        del watch
        pause = min(longest, pause * 2)


def _poll(reference: weakref.ref[Watch]) -> None:
    turn = 0
    while True:
        gevent.sleep(POLL_INTERVAL * random.uniform(0.9, 1.1), ref=False)
        watch = reference()
        if watch is None:
            return
        watch.poll(turn)
        del watch
        turn += 1


def _check(reference: weakref.ref[Watch], claim: Claim) -> None:
    watch = reference()
    if watch is not None:
        watch.check(claim)


def _release_later(reference: weakref.ref[Watch], number: int, timer: Any) -> None:
    timer.close()
    watch = reference()
    if watch is not None:
        watch.release(number)


def _stop(watchers: list[Watcher], greenlets: list[Any]) -> None:
    for watcher in watchers:
        watcher.stop()
    for greenlet in greenlets:
        greenlet.kill(block=False)
