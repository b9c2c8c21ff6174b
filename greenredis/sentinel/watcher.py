"""One sentinel, followed by one greenlet."""

from __future__ import annotations

import logging
import random
import weakref
from typing import TYPE_CHECKING, Any

import gevent
from gevent.lock import BoundedSemaphore

from ..exceptions import RedisError, TimeoutError
from .view import Claim, Place

if TYPE_CHECKING:
    from .watch import Watch

log = logging.getLogger("greenredis")

PING_INTERVAL = 1.0  # seconds of silence after which a sentinel is asked whether it is there
PING_LIMIT = 0.5  # seconds in which it must answer
BACKOFF = (0.05, 0.5)  # seconds before a lost connection is opened again: the first and the longest

_NEW_MASTER = "+switch-master"
_PROMOTING = "+failover-state-send-slaveof-noone"
_ABORTED = ("-failover-abort-no-good-slave", "-failover-abort-not-elected", "-failover-abort-slave-timeout")
_MONITORED = ("+monitor", "-monitor", "+reset-master")
_REPLICAS = (
    "+slave", "+slave-reconf-done", "+convert-to-slave", "+demote", "+role-change", "+sdown", "-sdown",
    "+odown", "-odown", "+reboot",
)  # fmt: skip
# What reading a sentinel's words raises where they are not as Redis documents them.
UNREADABLE = (AttributeError, IndexError, KeyError, TypeError, ValueError)
CHANNELS = (_NEW_MASTER, _PROMOTING, *_ABORTED, *_MONITORED, *_REPLICAS, "+sentinel")


class Watcher:
    """Subscribed to what a sentinel tells of one master, and asking it after that.

    So no switch falls between.  `said` is the sentinel's last answer, in words.
    """

    def __init__(self, watch: Watch, client: Any, place: Place, is_seed: bool) -> None:
        self._watch = weakref.ref(watch)
        self.name = watch.name
        self.client = client
        self.place = place
        self.is_seed = is_seed
        self.is_subscribed = False
        self.id = ""
        self.said = "has not answered yet"
        self.is_over = False
        self._questions = BoundedSemaphore(1)  # one in flight
        self._failures = 0
        self._connection: Any = None
        self._greenlet = gevent.spawn(self._run)

    def __repr__(self) -> str:
        state = "subscribed" if self.is_subscribed else "not subscribed"
        return f"<Watcher {self.where} of {self.name!r}, {state}: {self.said}>"

    @property
    def where(self) -> str:
        return f"{self.place[0]}:{self.place[1]}"

    def stop(self) -> None:
        """End the greenlet and close its connections. Nothing here switches greenlets."""
        self.is_over = True
        self._greenlet.kill(block=False)
        if self._connection is not None:
            self._connection.disconnect()
        self.client.close()

    # -- following

    def _run(self) -> None:
        """Follow the sentinel, again and again, for as long as somebody uses what it tells."""
        try:
            while not self.is_over and self._watch() is not None:
                try:
                    self._follow()
                except (RedisError, OSError) as error:
                    self.said = f"{type(error).__name__}: {error}"
                except UNREADABLE as error:
                    self.said = f"says what cannot be read: {error!r}"
                finally:
                    self._lost()
                gevent.sleep(self._pause(), ref=False)
        finally:
            self.client.close()

    def _pause(self) -> float:
        first, longest = BACKOFF
        self._failures += 1
        return min(longest, first * 2.0 ** min(self._failures, 10)) * random.uniform(0.5, 1.0)

    def _lost(self) -> None:
        self.is_subscribed = False
        watch = self._watch()
        if watch is not None:
            watch.forget(self)

    def _follow(self) -> None:
        pool = self.client.connection_pool
        connection = self._connection = pool.make_connection()
        try:
            pool.open(connection, pool.locator)
            connection.locator = None
            connection.hand_over()[0].let_loop_end()
            connection.send_command("SUBSCRIBE", *CHANNELS)
            for _ in CHANNELS:
                connection.read_response(timeout=PING_LIMIT, push_request=True)
            self.is_subscribed = True
            self.ask()
            self._meet_others()
            self._failures = 0
            while not self.is_over and self._watch() is not None:
                self._serve(self._next_message(connection))
        finally:
            connection.disconnect()

    def _next_message(self, connection: Any) -> Any:
        """What the sentinel says next, if only that it is there."""
        try:
            return connection.read_response(
                timeout=PING_INTERVAL, push_request=True, disconnect_on_error=False
            )
        except TimeoutError:
            connection.send_command("PING", check_health=False)
        return connection.read_response(timeout=PING_LIMIT, push_request=True)

    def _serve(self, message: Any) -> None:
        kind, channel, data = (
            message if isinstance(message, list) and len(message) == 3 else (None, None, None)
        )
        watch = self._watch()
        if watch is None or kind not in (b"message", "message"):
            return
        event, words = _text(channel), _text(data).split()
        if event == _NEW_MASTER:
            if words[0] == self.name:
                del watch
                self.ask((words[3], int(words[4])))
        elif _master_of(words) != self.name:
            return
        elif event == _PROMOTING:
            watch.hold()
        elif event in _ABORTED:
            watch.release()
        elif event in _MONITORED:
            del watch
            self.ask()
        elif event == "+sentinel":
            watch.meet(words[1], (words[2], int(words[3])))
        else:
            watch.replicas_changed()

    # -- asking

    def ask(self, told: Place | None = None) -> None:
        """Ask where the master is and tell the watch; `told`: where it is said to be, so just the epoch.

        A question under way is waited for if there is news, otherwise it will do.
        """
        if told is None and self._questions.locked():
            with self._questions:
                return
        with self._questions:
            claim = self._claim(told)
            watch = self._watch()
            if watch is None:
                return
            if claim is None:
                watch.forget(self)
            else:
                watch.hear(self, claim)

    def _claim(self, told: Place | None) -> Claim | None:
        """What the sentinel claims; None if it does not know, or may not say."""
        pipe = self.client.pipeline(transaction=False)
        if told is None:
            pipe.sentinel_get_master_addr_by_name(self.name)
        pipe.sentinel_master(self.name)
        try:
            *places, state = pipe.execute(raise_on_error=False)
        except (RedisError, OSError) as error:
            self.said = f"{type(error).__name__}: {error}"
            return None
        for reply in (*places, state):
            if isinstance(reply, Exception):
                self.said = f"answers {str(reply)!r}"
                return None
        try:
            place = (_text(places[0][0]), int(places[0][1])) if places and places[0] else told
            return self._checked(place, state)
        except UNREADABLE as error:
            self.said = f"answers what cannot be read: {error!r}"
            return None

    def _checked(self, place: Place | None, state: dict[str, Any]) -> Claim | None:
        """The claim in a state. The place there does not count during a failover: it is the old one."""
        watch = self._watch()
        if watch is None:
            return None
        if place is None or "failover_in_progress" not in state["flags"]:
            place = (state["ip"], int(state["port"]))
        others, wanted = state["num-other-sentinels"], watch.sentinel.min_other_sentinels
        if others < wanted:
            self.said = f"sees {others} other sentinels, of the {wanted} wanted"
            return None
        self.said = f"says {place[0]}:{place[1]}, epoch {state['config-epoch']}"
        return Claim(watch.sentinel.master_place(place), state["config-epoch"])

    def _meet_others(self) -> None:
        """Tell the watch of the other sentinels, and which one this is."""
        pipe = self.client.pipeline(transaction=False)
        pipe.execute_command("SENTINEL MYID")
        pipe.sentinel_sentinels(self.name)
        own, others = pipe.execute(raise_on_error=False)
        watch = self._watch()
        if watch is None or isinstance(others, Exception):
            return
        if not isinstance(own, Exception):  # before 6.2 it has no name for itself
            self.id = _text(own)
            watch.recognise(self)
        for state in others:
            watch.meet(state["runid"], (state["ip"], int(state["port"])))

    # -- replicas

    def replicas(self) -> list[Place]:
        """Where the replicas are that it sees up and in sync. Raises what asking raised."""
        with self._questions:
            states = self.client.sentinel_slaves(self.name)
        return [(state["ip"], int(state["port"])) for state in states if _is_in_sync(state)]


def _is_in_sync(state: dict[str, Any]) -> bool:
    down = state["is_sdown"] or state["is_odown"] or "disconnected" in state["flags"]
    return not down and state["master-link-status"] == "ok"


def _text(word: Any) -> str:
    return word.decode() if isinstance(word, bytes) else str(word)


def _master_of(words: list[str]) -> str:
    """The name of the master that an event is about: `KIND NAME HOST PORT [@ MASTER HOST PORT]`."""
    if len(words) > 5 and words[4] == "@":
        return words[5]
    return words[1] if len(words) > 1 else ""
