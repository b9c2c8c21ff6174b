"""What an application hears of switches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from gevent.queue import Empty, Queue

if TYPE_CHECKING:
    from .view import Place

MOST_KEPT = 1000


class Switch(NamedTuple):
    """A master has moved: from `old` to `new` (host, port), in configuration `epoch`, at `time` (Unix)."""

    name: str
    old: Place
    new: Place
    epoch: int
    time: float


class Switches:
    """The switches of a master since this object was made, each once: iterate over it, or `get` one.

    It keeps the last 1,000 that were not taken, and watches the sentinels for as long as it is kept.
    """

    def __init__(self, watch: Any) -> None:
        self._watch = watch
        self._queue: Queue[Switch] = Queue()
        watch.listeners.add(self)
        watch.start()

    def __repr__(self) -> str:
        return f"<Switches of {self._watch.name!r}, {self._queue.qsize()} not taken>"

    def put(self, switch: Switch) -> None:
        """Note a switch. Nothing here switches greenlets."""
        if self._queue.qsize() >= MOST_KEPT:
            self._queue.get_nowait()
        self._queue.put_nowait(switch)

    def get(self, timeout: float | None = None) -> Switch | None:
        """The next switch; None after `timeout` seconds without one."""
        try:
            return self._queue.get(timeout=timeout)
        except Empty:
            return None

    def __iter__(self) -> Iterator[Switch]:
        while True:
            yield self._queue.get()
