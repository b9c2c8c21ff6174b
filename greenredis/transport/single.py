"""The transport of a client with one connection of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any

from .. import deadlines
from ..exceptions import RedisError, TimeoutError
from ..protocol import Packed, Word
from ..traits import Traits
from .pool import ConnectionPool


class SingleConnection:
    """The transport of `single_connection_client`: one connection, one command at a time."""

    def __init__(self, connection: Any, pool: ConnectionPool, lock: Any) -> None:
        self.connection = connection
        self.pool = pool
        self._lock = lock
        self._state: set[str] = set()  # the commands whose effect would be lost with the connection

    def execute(self, words: Sequence[Word], traits: Traits, decode: bool = True) -> Any:
        """The reply; greenlets wait for each other. A caller who leaves costs the connection."""
        pool = self.pool
        with self.lend() as connection:
            if traits.state:
                self.note(words)
            if traits.blocking:
                return connection.execute(pool.packer.pack(words), pool.block_time(words, traits), decode)
            return connection.execute(pool.packer.pack(words), decode=decode)

    def execute_many(self, packed: Packed, count: int) -> list[Any]:
        """The replies to `count` packed commands, written as one piece; errors among them."""
        with self.lend() as connection:
            replies: list[Any] = connection.execute_many(packed, count)
            return replies

    @contextmanager
    def lend(self) -> Iterator[Any]:
        """The connection, for the block."""
        connection = self.connection
        self._acquire()
        try:
            self._prepare(connection)
            yield connection
            connection.idle_since = monotonic()
        finally:
            if connection.owed:
                connection.disconnect()
            self._lock.release()

    def _prepare(self, connection: Any) -> None:
        """Make it fit for the next command; RedisError if what was set on it has been lost."""
        if connection.is_connected and connection.is_cut():
            connection.disconnect()
        if self._state and not connection.is_connected:
            lost, self._state = sorted(self._state), set()
            raise RedisError(
                f"the connection was lost, and what {', '.join(lost)} had set on it: begin again"
            )
        interval = self.pool.health_check_interval
        if connection._re_auth_token is not None or (
            interval and monotonic() > connection.idle_since + interval
        ):
            connection.next_health_check = 0.0
            connection.make_ready()

    def note(self, words: Sequence[Word]) -> None:
        """Remember a command that changes the connection, and whose effect would be lost with it."""
        self.connection.tainted = True
        name = words[0].decode() if isinstance(words[0], bytes) else str(words[0])
        name = name.upper()
        if name in ("EXEC", "DISCARD", "UNWATCH"):
            self._state -= {"MULTI", "WATCH"}
        elif name == "RESET":
            self._state.clear()
        else:
            self._state.add(name)

    def _acquire(self) -> None:
        """Wait for the connection as long as for one of the pool, or until the caller's deadline."""
        until = deadlines.after(self.pool.timeout)
        if not self._lock.acquire(timeout=None if until is None else max(0.0, until - monotonic())):
            raise TimeoutError(f"the one connection to {self.pool.where()} was not free in time")
