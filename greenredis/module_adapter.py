"""redis-py's classes for the modules' commands, on a client and with pipelines of ours."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from .commands.callbacks import Callbacks
from .exceptions import DataError, RedisError
from .modules import RedisModuleCommands
from .pipeline import BasePipeline
from .pubsub_worker import PubSubWorkerThread
from .real_redis import module


@cache
def adapted(package: str, name: str) -> Any:
    """redis-py's class; the pipelines that it makes are ours."""
    _introduce()
    theirs = _theirs(f"commands.{package}", name)
    pipeline = _PIPELINES.get(package)
    return theirs if pipeline is None else _subclass(theirs, {"pipeline": pipeline})


def _theirs(module_name: str, name: str) -> Any:
    # Not by getattr(): in place of redis-py's, patching has its modules answer with ours.
    return vars(module(f"redis.{module_name}"))[name]


def _subclass(theirs: Any, own: dict[str, Any], *others: type) -> Any:
    names = {"__module__": __name__, "__doc__": theirs.__doc__, **own}
    return types.new_class(theirs.__name__, (*others, theirs), {}, lambda space: space.update(names))


@cache
def _introduce() -> None:
    """Have redis-py's classes take our clients and pipelines for theirs, and raise our DataError too."""
    _theirs("client", "Redis").register(RedisModuleCommands)
    _theirs("client", "Pipeline").register(BasePipeline)
    theirs = _theirs("exceptions", "DataError")
    both = types.new_class("DataError", (DataError, theirs))
    for name in ("json.commands", "search.field", "timeseries.commands", "vectorset.commands"):
        vars(module(f"redis.commands.{name}"))["DataError"] = both


# -- pipelines


def _json_pipeline(self: Any, transaction: bool = True, shard_hint: str | None = None) -> Any:
    """A pipeline that has the commands of JSON documents, and where names are the same those alone."""
    pipe = _pipeline(self.client, "json", self.client.response_callbacks, transaction, shard_hint)
    pipe._encode, pipe._decode = self._encode, self._decode
    return pipe


def _search_pipeline(self: Any, transaction: bool = True, shard_hint: str | None = None) -> Any:
    """A pipeline that has the commands of this search index."""
    pipe = _pipeline(self.client, "search", self.client.response_callbacks, transaction, shard_hint)
    pipe.index_name = self.index_name
    pipe._init_module_callbacks()
    pipe._register_module_callbacks()
    return pipe


def _timeseries_pipeline(self: Any, transaction: bool = True, shard_hint: str | None = None) -> Any:
    """A pipeline that has the commands of time series; as in redis-py, other replies are not converted."""
    return _pipeline(self.client, "timeseries", self._MODULE_CALLBACKS, transaction, shard_hint)


_PIPELINES = {"json": _json_pipeline, "search": _search_pipeline, "timeseries": _timeseries_pipeline}
_COMMANDS = {"json": "JSONCommands", "search": "SearchCommands", "timeseries": "TimeSeriesCommands"}


def _pipeline(
    client: Any,
    package: str,
    callbacks: Mapping[str, Callable[..., Any]],
    transaction: bool,
    shard_hint: str | None,
) -> Any:
    """A pipeline like the client's own, with callbacks of its own."""
    plain = client.pipeline(transaction, shard_hint)
    ours: Any = type(plain)
    pipe = _pipeline_class(package, ours)(
        plain.connection_pool, Callbacks(dict(callbacks)), transaction, shard_hint
    )
    pipe._transport = plain._transport
    return pipe


@cache
def _pipeline_class(package: str, ours: Any) -> Any:
    commands = _theirs(f"commands.{package}.commands", _COMMANDS[package])
    own: dict[str, Any] = {}
    if package == "search":
        register = vars(_theirs("commands.search", "Pipeline"))["_register_module_callbacks"]
        own = {"client": property(lambda self: self), "_register_module_callbacks": register}
    return types.new_class("Pipeline", (commands, ours), {}, lambda space: space.update(own))


# -- notifications


@cache
def notifications() -> Any:
    return _subclass(_theirs("keyspace_notifications", "KeyspaceNotifications"), {}, _InGreenlets)


class _InGreenlets:
    """What redis-py does in a thread is done in a greenlet."""

    _worker: PubSubWorkerThread | None = None

    def run_in_thread(
        self, poll_timeout: float = 0.0, daemon: bool = False, exception_handler: Any = None
    ) -> PubSubWorkerThread:
        """A greenlet that hands notifications to their handlers, all of which must be there."""
        self._validate_all_handlers()
        self._worker = PubSubWorkerThread(self, poll_timeout, daemon, exception_handler)
        self._worker.start()
        return self._worker

    def _validate_all_handlers(self) -> None:
        try:
            super()._validate_all_handlers()  # type: ignore[misc]
        except _theirs("exceptions", "RedisError") as error:
            raise RedisError(*error.args) from None

    def close(self) -> None:
        """Unsubscribe from all, and end the greenlet."""
        worker, self._worker = self._worker, None
        super().close()  # type: ignore[misc]
        if worker is not None:
            worker.stop()
