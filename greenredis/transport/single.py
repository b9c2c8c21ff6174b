"""The transport of a client with one connection of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any

from .. import deadlines
from ..exceptions import TimeoutError
from ..protocol import Packed, Word
from ..traits import Traits
from .pool import ConnectionPool


class SingleConnection:
    """The transport of `single_connection_client`: one connection, one command at a time."""

    def __init__(self, connection: Any, pool: ConnectionPool, lock: Any) -> None:
        self.connection = connection
        self.pool = pool
        self._lock = lock

    def execute(self, words: Sequence[Word], traits: Traits, decode: bool = True) -> Any:
        """The reply; greenlets wait for each other. A caller who leaves costs the connection."""
        pool = self.pool
        with self.lend() as connection:
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
            if connection.is_connected and connection.is_cut():
                connection.disconnect()
            yield connection
        finally:
            if connection.owed:
                connection.disconnect()
            self._lock.release()

    def _acquire(self) -> None:
        """Wait for the connection as long as for one of the pool, or until the caller's deadline."""
        until = deadlines.after(self.pool.timeout)
        if not self._lock.acquire(timeout=None if until is None else max(0.0, until - monotonic())):
            raise TimeoutError(f"the one connection to {self.pool.where()} was not free in time")
