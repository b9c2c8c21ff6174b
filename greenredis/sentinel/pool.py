"""Pools of connections to where the sentinels say."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from ..exceptions import SlaveNotFoundError
from ..transport.connection import Connection, SSLConnection
from ..transport.pool import BlockingConnectionPool
from ..transport.pool_of_options import with_defaults
from .hold import HoldingMultiplexer
from .replicas import ReplicaLocator
from .spread import CURSORS, SpreadMultiplexer

if TYPE_CHECKING:
    from ..protocol import Packed
    from ..traits import Traits
    from ..transport.multiplexer import Multiplexer
    from .sentinel import Sentinel
    from .view import Place
    from .watch import Watch


P = TypeVar("P", bound="SentinelConnectionPool")


class SentinelManagedConnection(Connection):
    """A connection of a SentinelConnectionPool; the sentinels say where it goes."""

    def __init__(self, *, connection_pool: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self.connection_pool = connection_pool

    def repr_pieces(self) -> list[tuple[str, Any]]:
        pieces = super().repr_pieces()
        if self.connection_pool is not None:
            pieces.insert(0, ("service", self.connection_pool.service_name))
        return pieces


class SentinelManagedSSLConnection(SentinelManagedConnection, SSLConnection):
    """As SentinelManagedConnection, with TLS."""


class MasterLocator:
    """Has a Watch for each hub."""

    def __init__(self, sentinel: Sentinel, service_name: str) -> None:
        self._sentinel = sentinel
        self._service_name = service_name

    def here(self) -> Watch:
        return self._sentinel.watch(self._service_name)


class SentinelConnectionPool(BlockingConnectionPool):
    """Connections to a master that sentinels watch over, or to its replicas unless `is_master`.

    Up to 100 are lent; a caller waits up to `timeout` seconds (20) for one.  `hold_writes`: see
    `Sentinel.master_for`.  `check_connection` changes nothing: every new connection is asked for its
    ROLE in the handshake, and refused if it is not what is wanted.  The other options are those of
    `Redis()`, but for host, port and path, of which the sentinels decide.
    """

    def __init__(self, service_name: str, sentinel_manager: Sentinel, **kwargs: Any) -> None:
        for name in ("host", "port", "path", "unix_socket_path"):
            if kwargs.pop(name, None) is not None:
                raise TypeError(f"{name}: the sentinels say where {service_name!r} is; leave it out")
        self.service_name = service_name
        self.sentinel_manager = sentinel_manager
        self.is_master = bool(kwargs.pop("is_master", True))
        self.check_connection = bool(kwargs.pop("check_connection", False))
        self.hold_writes = bool(kwargs.pop("hold_writes", False))
        tls = kwargs.pop("ssl", False)
        kind = SentinelManagedSSLConnection if tls else SentinelManagedConnection
        kwargs.setdefault("connection_class", kind)
        locator = self._locator(kwargs)
        super().__init__(locator=locator, owner=type(self).__name__, **with_defaults(kwargs))

    def _locator(self, options: dict[str, Any]) -> MasterLocator | ReplicaLocator:
        read_from = options.pop("read_from", None)
        if self.is_master:
            if read_from not in (None, "primary"):
                raise ValueError(f"read_from={read_from!r}: use slave_for() to read from replicas")
            return MasterLocator(self.sentinel_manager, self.service_name)
        if self.hold_writes:
            raise ValueError("hold_writes=True: replicas take no writes; give it to master_for()")
        if read_from not in (None, "replica", "nearest"):
            raise ValueError(f"read_from={read_from!r}: give 'replica' or 'nearest'")
        return ReplicaLocator(self.sentinel_manager, self.service_name, read_from == "nearest")

    @classmethod
    def from_url(cls: type[P], url: str, **kwargs: Any) -> P:
        """A pool for `redis+sentinel://user:password@host:26379,host:26379/mymaster/0`, of a new Sentinel."""
        from .url import pool_from_url

        if not isinstance(url, str) or not url.startswith(("redis+sentinel://", "rediss+sentinel://")):
            raise ValueError("the URL must be a str that begins with redis+sentinel:// or rediss+sentinel://")
        return pool_from_url(url, kwargs, cls)  # type: ignore[return-value]

    def __repr__(self) -> str:
        role = "master" if self.is_master else "slave"
        return f"<{type(self).__module__}.{type(self).__name__}(service={self.service_name}({role}))>"

    def make_connection(self) -> Any:
        connection = super().make_connection()
        if isinstance(connection, SentinelManagedConnection):
            connection.connection_pool = weakref.proxy(self)
        return connection

    def where(self) -> str:
        """The service's name, and its server's address if that is known."""
        address = self.locator.address
        return f"{self.service_name} at {address}" if address else f"{self.service_name}, not found yet"

    # -- redis-py's questions

    @property
    def master_address(self) -> Place | None:
        """Host and port of the master as it is believed to be now; None if it is not known."""
        address = self.sentinel_manager.watch(self.service_name).address
        return (address.host, address.port) if address is not None else None

    def get_master_address(self) -> Place:
        """Host and port of the master, as the sentinels say now."""
        return self.sentinel_manager.discover_master(self.service_name)

    def rotate_slaves(self) -> Iterator[Place]:
        """Host and port of each replica that is up, then of the master; at the end SlaveNotFoundError."""
        yield from self.sentinel_manager.discover_slaves(self.service_name)
        yield self.get_master_address()
        raise SlaveNotFoundError(f"No slave found for {self.service_name!r}")

    def rotate_replicas(self) -> Iterator[Place]:
        """As `rotate_slaves`."""
        return self.rotate_slaves()

    # -- holding writes

    def wait_to_write(self, traits: Traits | None = None) -> None:
        """With `hold_writes`, return when a write would not be lost to the switch under way."""
        if self.hold_writes and not (traits is not None and traits.read_only):
            self.sentinel_manager.watch(self.service_name).wait_to_write()

    def execute(self, words: Any, traits: Traits, decode: bool = True) -> Any:
        self.wait_to_write(traits)
        if not self.is_master and words[0] in CURSORS:  # which only one replica knows
            return self._execute_on_first(words, decode)
        return super().execute(words, traits, decode)

    def _execute_on_first(self, words: Any, decode: bool) -> Any:
        share = self.share()
        first = share.locate()
        connection = share.lend_to(share.locator.address or first)
        try:
            return connection.execute(self.packer.pack(words), decode=decode)
        finally:
            share.release(connection)

    def execute_many(self, packed: Packed, count: int, *args: Any, **kwargs: Any) -> list[Any]:
        self.wait_to_write()
        return super().execute_many(packed, count, *args, **kwargs)

    @property
    def multiplexer(self) -> Multiplexer:
        if self._multiplexer is None and not self.is_master:
            self._multiplexer = SpreadMultiplexer(self)
        elif self._multiplexer is None and self.hold_writes:
            self._multiplexer = HoldingMultiplexer(self)
        return super().multiplexer
