"""A greenlet that hands messages to their handlers, with the interface of redis-py's thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
from gevent import getcurrent

from .exceptions import PubSubError

_PATIENCE = 1.0  # seconds for one wait where `sleep_time` is 0; `stop` ends it earlier


class PubSubWorkerThread(gevent.Greenlet):  # type: ignore[type-arg]
    """Calls `pubsub.get_message(timeout=sleep_time)` until `stop()`, and closes `pubsub` however it ends.

    `exception_handler(error, pubsub, worker)` is called for what that raises; without one the
    error ends the worker.  `daemon` is kept for those who ask: no greenlet keeps a program running.
    """

    def __init__(
        self,
        pubsub: Any,
        sleep_time: float,
        daemon: bool = False,
        exception_handler: Callable[[BaseException, Any, Any], Any] | None = None,
        sharded_pubsub: bool = False,
    ) -> None:
        super().__init__()
        self.daemon = daemon
        self.pubsub = pubsub
        self.sleep_time = sleep_time
        self.exception_handler = exception_handler
        self.sharded_pubsub = sharded_pubsub
        self._stopped = False

    def _run(self) -> None:
        try:
            while not self._stopped:
                self._handle_one()
        finally:
            self.pubsub.close()

    def _handle_one(self) -> None:
        pubsub = self.pubsub
        get_message = pubsub.get_sharded_message if self.sharded_pubsub else pubsub.get_message
        try:
            get_message(ignore_subscribe_messages=True, timeout=self.sleep_time or _PATIENCE)
        except gevent.GreenletExit:
            raise
        except BaseException as error:
            if self._stopped:  # closed in the middle of it
                return
            if self.exception_handler is None:
                raise
            self.exception_handler(error, pubsub, self)

    def stop(self) -> None:
        """End after the message at hand. `join()` waits for that."""
        self._stopped = True
        if self is not getcurrent():
            self.pubsub.close()

    def is_alive(self) -> bool:
        """Whether it was started and has not ended."""
        return bool(self) and not self.ready()

    @property
    def ident(self) -> int | None:
        """A number of its own, once it was started."""
        return id(self) if bool(self) or self.ready() else None


def demand_handlers(pubsub: Any) -> None:
    """PubSubError where a subscription has no handler."""
    for kind in ("channels", "patterns", "shard_channels"):
        for name, handler in getattr(pubsub, kind).items():
            if handler is None:
                raise PubSubError(f"{kind}: {name!r} has no handler registered")
