"""Pools: connections lent to greenlets, fairly. Each hub has a share of its own."""

from __future__ import annotations

import random
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from gevent.hub import get_hub
from gevent.monkey import get_original
from gevent.queue import LifoQueue

from ..config import (
    CONNECTION_OPTIONS,
    POOL_OPTIONS,
    UNSUPPORTED_OPTIONS,
    Address,
    Fixed,
    Located,
    Locator,
    check_options,
    parse_url,
    redacted,
    validate,
)
from ..credentials import StreamingCredentialProvider
from ..exceptions import ConnectionError, RedisError
from ..protocol import Packed, Packer, Word
from ..retry import Retry, retry_policy
from ..traits import Traits
from .connection import Connection, SSLConnection, UnixDomainSocketConnection
from .core import UNSET
from .foreign import adopt, is_native, own_options, sees_replies
from .share import AtThreadEnd, Share
from .tls_context import TlsContext

if TYPE_CHECKING:
    from .multiplexer import Multiplexer

P = TypeVar("P", bound="ConnectionPool")
_SCHEMES = {"redis": Connection, "rediss": SSLConnection, "unix": UnixDomainSocketConnection}
_ADDRESS_OPTIONS = ("host", "port", "path")
_RETRY_OPTIONS = ("retry", "retry_on_error", "retry_on_timeout")


class ConnectionPool:
    """Lends connections; raises MaxConnectionsError at once when `max_connections` are lent.

    `max_connections` (100) holds for each hub, which is for each native thread.  `max_idle_time`,
    `max_lifetime`: seconds after which a connection is closed (the latter jittered by a tenth);
    `multiplex`: whether its clients may share a connection (True);
    `min_idle`: connections kept open in the background; `queue_class`: the order in which idle
    connections are taken, by default the last used first.  The other options are those of the
    connection.  An unknown option raises TypeError.
    """

    blocking = False
    default_max_connections = 100

    def __init__(
        self,
        connection_class: type[Any] = Connection,
        max_connections: int | None = None,
        *,
        queue_class: type[Any] = LifoQueue,
        max_idle_time: float | None = None,
        max_lifetime: float | None = None,
        min_idle: int = 0,
        multiplex: bool = True,
        locator: Located | None = None,
        owner: str | None = None,
        **connection_kwargs: Any,
    ) -> None:
        self._owner = owner or type(self).__name__
        self.connection_class = connection_class
        self.is_native = is_native(connection_class)
        self.sees_replies = sees_replies(connection_class) or self._is_overridden()
        self._check_names(connection_kwargs)
        values = validate(
            {
                **connection_kwargs,
                "max_connections": max_connections or self.default_max_connections,
                "max_idle_time": max_idle_time,
                "max_lifetime": max_lifetime,
                "min_idle": min_idle,
                "multiplex": multiplex,
            }
        )
        self.connection_kwargs = connection_kwargs
        self.options = values
        self.max_connections: int = values["max_connections"]
        self.max_idle_time, self.max_lifetime = values["max_idle_time"], values["max_lifetime"]
        self.min_idle: int = values["min_idle"]
        self.multiplex: bool = values["multiplex"]
        self.timeout: float | None = None
        self.queue_class = queue_class
        self.health_check_interval: float = values["health_check_interval"]
        self.retry = retry_policy(values["retry"], values["retry_on_error"], values["retry_on_timeout"])
        self.packer = Packer(values["encoding"], values["encoding_errors"], values["decode_responses"])
        self._located: Located = locator or Fixed(self._address())
        self.fieldsets: dict[str, tuple[Word, ...]] = {}  # what HIMPORT's names stand for
        self._context = TlsContext(values)
        self._shares: dict[Any, Share] = {}
        self._threads = get_original("threading", "local")()
        self._multiplexer: Multiplexer | None = None
        self._follow_credentials(values["credential_provider"])

    def _check_names(self, given: dict[str, Any]) -> None:
        own = own_options(self.connection_class) if self.is_native else None
        if own is not None:
            known = {*CONNECTION_OPTIONS, *UNSUPPORTED_OPTIONS, *own}
            shown = {*known, *POOL_OPTIONS, "connection_class", "queue_class", "locator"}
            unknown = {name: value for name, value in given.items() if name not in known}
            check_options(unknown, shown - set(unknown), self._owner)

    def _address(self) -> Address:
        if issubclass(self.connection_class, UnixDomainSocketConnection):
            return Address(path=self.options["path"] or "")
        return Address(self.options["host"], self.options["port"])

    @classmethod
    def from_url(cls: type[P], url: str, **kwargs: Any) -> P:
        """A pool for `redis://`, `rediss://` or `unix://`; options in the URL win, as in redis-py."""
        options = parse_url(url)
        kwargs.setdefault("connection_class", _SCHEMES[options.pop("scheme")])
        return cls(**{**kwargs, **options})

    # -- lending

    @property
    def locator(self) -> Locator:
        """What says where the server is now, to this hub."""
        return self._located.here()

    def share(self) -> Share:
        """This hub's share of the pool."""
        return self._shares.get(get_hub()) or self._new_share()

    def _new_share(self) -> Share:
        hub = get_hub()
        for other in [each for each in self._shares if each.loop is None or each.dead]:
            self._shares.pop(other).close()
        share = self._shares[hub] = Share(self, hub)
        # The thread's end drops its local values, and with them what the thread opened here.
        self._threads.ending = AtThreadEnd(self._shares, hub)
        return share

    def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> Any:
        """Lend a connected connection; give it back with `release` in a `finally`.

        Raises MaxConnectionsError (a ConnectionError) when none is to be had, TimeoutError at the
        caller's deadline, and what connecting raised.  The arguments are redis-py's, and ignored.
        """
        return self.share().lend()

    def release(self, connection: Any) -> None:
        """Take a connection back; one that owes replies or changed its state is closed instead."""
        self.share().release(connection)

    @contextmanager
    def lend(self) -> Iterator[Any]:
        """A connection for the block."""
        connection = self.get_connection()
        try:
            yield connection
        finally:
            self.release(connection)

    # -- the transport

    def execute(self, words: Sequence[Word], traits: Traits, decode: bool = True) -> Any:
        """The reply to one command on a connection of the caller's own; error replies are returned."""
        share = self._shares.get(get_hub()) or self._new_share()
        connection = share.lend()
        try:
            if traits.state:
                connection.tainted = True
            if traits.blocking:
                return connection.execute(self.packer.pack(words), self.block_time(words, traits), decode)
            return connection.execute(self.packer.pack(words), decode=decode)
        finally:
            share.release(connection)

    def execute_many(
        self,
        packed: Packed,
        count: int,
        seconds: float | None = UNSET,
        decode: bool = True,
        state: bool = False,
    ) -> list[Any]:
        """The replies to `count` packed commands, written as one piece; errors among them.

        `seconds`: for all of them, by default `socket_timeout`.  `state`: they change the connection's.
        """
        with self.lend() as connection:
            connection.tainted = connection.tainted or state
            replies: list[Any] = connection.execute_many(packed, count, seconds, decode)
            return replies

    def abandon(self, connection: Any) -> None:
        """Close a lent connection in its hub's next turn. For finalizers: no lock, no switch, no I/O."""
        for hub, share in list(self._shares.items()):
            if connection in share.lent and hub.loop is not None:
                connection.tainted = True
                hub.loop.run_callback_threadsafe(share.release, connection)

    def block_time(self, words: Sequence[Word], traits: Traits) -> float | None:
        """How long to wait for a blocking command's reply: its own time and `socket_timeout`."""
        block, margin = traits.block_seconds(words), self.options["socket_timeout"]
        if block is None:
            return margin  # type: ignore[no-any-return]
        return None if block == 0 or margin is None else block + margin

    @property
    def can_share(self) -> bool:
        """Whether there is a slot to spare for a link, and nobody of the user's expects a connection."""
        return self.multiplex and not self.sees_replies and self.max_connections > 1

    @property
    def multiplexer(self) -> Multiplexer:
        """The transport that lets all greenlets of a hub share one connection, if `can_share`."""
        if self._multiplexer is None:
            from .multiplexer import Multiplexer

            self._multiplexer = Multiplexer(self)
        return self._multiplexer

    # -- connections

    def make_connection(self) -> Any:
        """A new connection object, not connected."""
        kwargs = dict(self.connection_kwargs)
        if not self.is_native:
            return adopt(self.connection_class(**kwargs))
        for name in (*_ADDRESS_OPTIONS, *_RETRY_OPTIONS):  # the locator's and the client's business
            kwargs.pop(name, None)
        return self.connection_class(**kwargs)

    def open(self, connection: Any, locator: Locator) -> None:
        """Connect it to where the locator says now. From then on it asks the locator itself."""
        address = locator.pick()
        if address is None:
            raise ConnectionError(f"the address of {self.where()} is not known")
        connection.address, connection.role, connection.locator = address, locator.role, None
        if self.is_native and issubclass(self.connection_class, SSLConnection):
            connection._ssl_context = self._context.get()
        try:
            connection.connect()
        except RedisError as error:
            locator.unreached(address, error)
            raise
        connection.locator = locator
        locator.reached(address)
        if self.max_idle_time is not None:
            connection.max_idle_time = self.max_idle_time
        if self.max_lifetime is not None:
            connection.expires = monotonic() + self.max_lifetime * random.uniform(0.9, 1.0)

    def _is_overridden(self) -> bool:
        kind = type(self)
        return (
            kind.get_connection is not ConnectionPool.get_connection
            or kind.release is not ConnectionPool.release
        )

    def owns_connection(self, connection: Any) -> bool:
        """Whether the connection is lent by this pool, in this hub."""
        return connection in self.share().lent

    # -- closing

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the idle connections; those in use too, whose users get a ConnectionError."""
        self._in_each_hub(lambda share: share.disconnect(inuse_connections))

    def close(self) -> None:
        """Close all connections. The pool can be used again: it opens new ones."""
        self._in_each_hub(Share.rest)

    def _in_each_hub(self, act: Callable[[Share], None]) -> None:
        here = get_hub()
        for hub, share in list(self._shares.items()):
            if hub is here:
                act(share)
            else:
                hub.loop.run_callback_threadsafe(act, share)

    def reset(self) -> None:
        """As `close`."""
        self.disconnect()

    def __enter__(self: P) -> P:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- what it is

    def __repr__(self) -> str:
        counts = self.stats()
        return (
            f"<{type(self).__name__} {self.where()} {counts['idle']} idle, {counts['lent']} lent, "
            f"{counts['waiting']} waiting, max {self.max_connections}>"
        )

    def where(self) -> str:
        """The server's address, for messages."""
        return str(self.locator.address or "a server that has not been found")

    def stats(self) -> dict[str, int]:
        """Counts of this hub's share: idle, lent, waiting, dialing now; dialed in all."""
        share = self._shares.get(get_hub())
        return share.stats() if share else dict.fromkeys(("idle", "lent", "waiting", "dialing", "dialed"), 0)

    def describe(self) -> dict[str, Any]:
        """The options that differ from their defaults, secrets redacted."""
        return redacted(self.connection_kwargs)

    def get_connection_count(self) -> list[tuple[int, dict[str, str]]]:
        """(count, {"state": "idle"}) and (count, {"state": "used"})."""
        counts = self.stats()
        return [(counts["idle"], {"state": "idle"}), (counts["lent"], {"state": "used"})]

    def get_encoder(self) -> Packer:
        """What encodes words and decodes replies."""
        return self.packer

    def get_protocol(self) -> int | None:
        """The option `protocol`: 2, 3 or None."""
        protocol: int | None = self.options["protocol"]
        return protocol

    # -- retries and credentials

    def set_retry(self, retry: Retry) -> None:
        """Use `retry` from now on."""
        self.retry = self.connection_kwargs["retry"] = retry

    def _follow_credentials(self, provider: Any) -> None:
        if isinstance(provider, StreamingCredentialProvider):
            pool = weakref.ref(self)

            def rotated(token: Any) -> None:
                alive = pool()
                if alive is not None:
                    alive.re_auth_callback(token)

            provider.on_next(rotated)

    def re_auth_callback(self, token: Any) -> None:
        """Log in with `token` on every connection before its next command. From any thread."""
        for hub, share in list(self._shares.items()):
            hub.loop.run_callback_threadsafe(share.re_authenticate, token)


class BlockingConnectionPool(ConnectionPool):
    """Lends connections; a caller waits up to `timeout` seconds (20; None: for ever) for one.

    Waiting greenlets are served in the order in which they came.  `max_connections` is 50, as in
    redis-py.  The other options are those of ConnectionPool.
    """

    blocking = True
    default_max_connections = 50

    def __init__(
        self,
        max_connections: int | None = None,
        timeout: float | None = 20,
        connection_class: type[Any] = Connection,
        queue_class: type[Any] = LifoQueue,
        **connection_kwargs: Any,
    ) -> None:
        super().__init__(
            connection_class=connection_class,
            max_connections=max_connections,
            queue_class=queue_class,
            **connection_kwargs,
        )
        self.timeout = validate({"timeout": timeout})["timeout"]
