"""Redis: a client of one server, and what is made with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from gevent.lock import RLock

from .commands.callbacks import Callbacks
from .config import UNSUPPORTED_OPTIONS, parse_url, pool_maker
from .driver_info import UNSET
from .exceptions import REFUSED, WatchError
from .fieldsets import FieldsetCommands
from .modules import RedisModuleCommands
from .retry import Retry, default_retry
from .traits import Traits
from .transport.pool import ConnectionPool
from .transport.pool_of_options import make_pool
from .transport.single import SingleConnection

# Imported when they are first asked for: most programs need none of them.
if TYPE_CHECKING:
    from .client_pipeline import Pipeline as Pipeline
    from .monitor import Monitor
    from .pubsub import PubSub
    from .script import Script

R = TypeVar("R", bound="Redis")


class Redis(FieldsetCommands, RedisModuleCommands):
    """A client of one server, with redis-py's API.

    Any number of greenlets may use it at the same time.  Ordinary commands share one connection
    (`multiplex=False` turns that off, per client or per call); what blocks or changes a
    connection's state takes one of its own, of which there are `max_connections` (100), and waits
    up to `timeout` seconds (20) for it.

    `socket_timeout` (5 s) bounds one attempt, from the write to the whole reply;
    `socket_connect_timeout` (5 s) connecting.  `retry` repeats attempts that failed; what may have
    been executed only if it just reads (`resend="safe"`), never or always.  The other options are
    redis-py's.  An unknown one raises TypeError; one whose feature does not exist ValueError.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 6379,
        db: int = 0,
        password: str | None = None,
        socket_timeout: float | None = 5,
        socket_connect_timeout: float | None = 5,
        socket_read_size: int = 65536,
        socket_keepalive: bool | None = True,
        socket_keepalive_options: Mapping[int, int | bytes] | Any = UNSET,
        connection_pool: ConnectionPool | None = None,
        unix_socket_path: str | None = None,
        encoding: str = "utf-8",
        encoding_errors: str = "strict",
        decode_responses: bool = False,
        retry_on_timeout: bool = False,
        retry: Retry | Any | None = UNSET,
        retry_on_error: list[type[Exception]] | None = None,
        ssl: bool = False,
        single_connection_client: bool = False,
        multiplex: bool = True,
        max_connections: int | None = None,
        timeout: float | None = 20,
        **options: Any,
    ) -> None:
        given = dict(locals())
        given.update(given.pop("options"))
        for name in ("self", "connection_pool", "single_connection_client", "multiplex", "__class__"):
            given.pop(name, None)
        self.auto_close_connection_pool = connection_pool is None
        if connection_pool is None:
            connection_pool = make_pool(given)
        elif connection_pool.is_native:
            _refuse_pool_options(given, connection_pool.connection_kwargs)
        self._set_up(connection_pool, multiplex, single_connection_client)

    def _set_up(self, pool: ConnectionPool, multiplex: bool, single: bool) -> None:
        from .commands.replies import response_callbacks  # not at import, where it would cost 6 ms

        options = pool.options if pool.is_native else {}
        callbacks = response_callbacks(options.get("protocol"), options.get("legacy_responses", True))
        transport: Any = pool.multiplexer if multiplex and pool.can_share and not single else pool
        self._is_single = single
        self.single_connection_lock = RLock()
        if single:
            self.connection = pool.get_connection()
            transport = SingleConnection(self.connection, pool, self.single_connection_lock)
        self._attach(pool, Callbacks(callbacks), transport)

    @classmethod
    def from_url(cls: type[R], url: str, **kwargs: Any) -> R:
        """A client for `redis://`, `rediss://`, `unix://` or `redis+sentinel://`.

        Options in the URL win over those given, as in redis-py.
        """
        single = kwargs.pop("single_connection_client", False)
        if (make := pool_maker(url)) is not None:
            client = cls(connection_pool=make(url, kwargs), single_connection_client=single)
            client.auto_close_connection_pool = True
            return client
        options = {**kwargs, **parse_url(url)}
        multiplex = options.pop("multiplex", True)
        scheme = options.pop("scheme")
        if scheme == "rediss":
            options["ssl"] = True
        if "path" in options:
            options["unix_socket_path"] = options.pop("path")
        if options.get("retry", UNSET) is UNSET:
            options["retry"] = default_retry()
        client = cls(connection_pool=make_pool(options), single_connection_client=single, multiplex=multiplex)
        client.auto_close_connection_pool = True
        return client

    @classmethod
    def from_pool(cls: type[R], connection_pool: ConnectionPool) -> R:
        """A client that owns `connection_pool`, and closes it when it is closed."""
        client = cls(connection_pool=connection_pool)
        client.auto_close_connection_pool = True
        return client

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__}({self.connection_pool!r})>"

    # -- what is made with it

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """A pipeline: it keeps commands until its `execute()`, which sends them together.

        With `transaction` they are executed as one, between MULTI and EXEC.
        """
        from .client_pipeline import Pipeline as Pipeline

        pipe = Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        if not self._is_single:
            pipe._transport = self._transport
        return pipe

    def transaction(self, func: Callable[[Pipeline], Any], *watches: Any, **kwargs: Any) -> Any:
        """The replies to what `func(pipeline)` stages, executed as one while none of `watches` changed.

        When a watched key has changed, all is done again, after `watch_delay` seconds if given.  With
        `value_from_callable` the result is what `func` returned.  `shard_hint` is the pipeline's.
        """
        shard_hint = kwargs.pop("shard_hint", None)
        from_callable = kwargs.pop("value_from_callable", False)
        delay = kwargs.pop("watch_delay", None) or 0

        def attempt() -> Any:
            while True:
                try:
                    if watches:
                        pipe.watch(*watches)
                    value = func(pipe)
                    replies = pipe.execute()
                    return value if from_callable else replies
                except WatchError as error:
                    self._back_off(delay, error)

        with self.pipeline(True, shard_hint) as pipe:
            try:
                return attempt()
            except REFUSED as error:  # nothing was executed
                return self._repeat(error, attempt, Traits())

    def get_cache(self) -> None:
        """None: there is no client-side caching."""

    def register_script(self, script: str | bytes) -> Script:
        """The Lua script as something to call: `script(keys=["a"], args=[1])`."""
        from .script import Script

        return Script(self, script)

    def lock(
        self,
        name: str,
        timeout: float | None = None,
        sleep: float = 0.1,
        blocking: bool = True,
        blocking_timeout: float | None = None,
        lock_class: type[Any] | None = None,
        thread_local: bool = True,
        raise_on_release_error: bool = True,
    ) -> Any:
        """A Lock, or a `lock_class`, with that name in the server; see Lock for the options."""
        from .lock import Lock

        return (lock_class or Lock)(
            self,
            name,
            timeout=timeout,
            sleep=sleep,
            blocking=blocking,
            blocking_timeout=blocking_timeout,
            thread_local=thread_local,
            raise_on_release_error=raise_on_release_error,
        )

    def pubsub(self, **kwargs: Any) -> PubSub:
        """A PubSub with a connection of its own: subscribe to channels with it, and read their messages."""
        from .pubsub import PubSub

        return PubSub(self.connection_pool, **kwargs)

    def monitor(self) -> Monitor:
        """A Monitor: all commands that the server runs."""
        from .monitor import Monitor

        return Monitor(self.connection_pool)

    # -- closing

    def client(self: R) -> R:
        """A client of the same pool with a connection of its own; close it to give that back."""
        return type(self)(connection_pool=self.connection_pool, single_connection_client=True)

    def close(self) -> None:
        """Close the connections, unless the pool was given. The client can be used again."""
        connection, self.connection = getattr(self, "connection", None), None
        if connection is not None:
            self.connection_pool.release(connection)
            self._is_single = False
            self._transport = self.connection_pool
        if getattr(self, "auto_close_connection_pool", False) and hasattr(self, "connection_pool"):
            self.connection_pool.close()

    def __enter__(self: R) -> R:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


StrictRedis = Redis


def __getattr__(name: str) -> Any:
    if name != "Pipeline":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import client_pipeline

    globals()[name] = client_pipeline.Pipeline
    return client_pipeline.Pipeline


def from_url(url: str, **kwargs: Any) -> Redis:
    """A client for `redis://`, `rediss://`, `unix://` or `redis+sentinel://`."""
    return Redis.from_url(url, **kwargs)


def _refuse_pool_options(given: dict[str, Any], own: Mapping[str, Any]) -> None:
    """Options that a given pool has decided otherwise would be ignored: refuse them."""
    defaults = Redis.__init__.__kwdefaults__ or {}
    names = Redis.__init__.__code__.co_varnames[1 : 1 + len(Redis.__init__.__defaults__ or ())]
    defaults = dict(zip(names, Redis.__init__.__defaults__ or (), strict=True), **defaults)
    extra = [
        name
        for name, value in given.items()
        if name in UNSUPPORTED_OPTIONS or name not in defaults or value != defaults[name]
        if name not in own or value != own[name]
    ]
    extra = [name for name in extra if not (name in UNSUPPORTED_OPTIONS and given[name] is None)]
    if extra:
        raise TypeError(f"{', '.join(extra)}: given to Redis() beside connection_pool; give it to the pool")
