"""Commands of the server's modules: redis-py's own classes, imported when they are first asked for."""

from __future__ import annotations

from json import JSONDecoder, JSONEncoder
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from redis.commands.bf import BFBloom, CFBloom, CMSBloom, TDigestBloom, TOPKBloom
    from redis.commands.json import JSON
    from redis.commands.search import Search
    from redis.commands.timeseries import TimeSeries
    from redis.commands.vectorset import VectorSet
    from redis.keyspace_notifications import KeyspaceNotifications

_T = TypeVar("_T")
_ENCODER, _DECODER = JSONEncoder(), JSONDecoder()


class RedisModuleCommands:
    """What these methods return is documented by redis-py, whose classes they are.

    They need redis-py 8.1, as `pip install 'greenredis[modules]'` brings it; ImportError says so if
    it is not there.  The first call imports it.
    """

    def json(self, encoder: JSONEncoder = _ENCODER, decoder: JSONDecoder = _DECODER) -> JSON:
        """The commands of JSON documents."""
        return _new("json", "JSON", self, encoder=encoder, decoder=decoder)

    def ft(self, index_name: str = "idx") -> Search:
        """The commands of a search index."""
        return _new("search", "Search", self, index_name=index_name)

    def ts(self) -> TimeSeries:
        """The commands of time series."""
        return _new("timeseries", "TimeSeries", self)

    def bf(self) -> BFBloom:
        """The commands of Bloom filters."""
        return _new("bf", "BFBloom", self)

    def cf(self) -> CFBloom:
        """The commands of cuckoo filters."""
        return _new("bf", "CFBloom", self)

    def cms(self) -> CMSBloom:
        """The commands of count-min sketches."""
        return _new("bf", "CMSBloom", self)

    def topk(self) -> TOPKBloom:
        """The commands of top-k lists."""
        return _new("bf", "TOPKBloom", self)

    def tdigest(self) -> TDigestBloom:
        """The commands of t-digests."""
        return _new("bf", "TDigestBloom", self)

    def vset(self) -> VectorSet:
        """The commands of vector sets."""
        return _new("vectorset", "VectorSet", self)

    def keyspace_notifications(
        self, key_prefix: str | bytes | None = None, ignore_subscribe_messages: bool = True
    ) -> KeyspaceNotifications:
        """Subscriptions to what happens to keys, as far as the server's `notify-keyspace-events` tells."""
        from .module_adapter import notifications

        found: KeyspaceNotifications = notifications()(self, key_prefix, ignore_subscribe_messages)
        return found


def _new(package: str, name: str, client: Any, **kwargs: Any) -> _T:  # type: ignore[type-var]
    from .module_adapter import adapted

    made: _T = adapted(package, name)(client=client, **kwargs)
    return made
