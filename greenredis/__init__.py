"""A Redis and Valkey client made for gevent, with redis-py's API."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING

from .backoff import default_backoff
from .client import Redis, StrictRedis, from_url
from .credentials import CredentialProvider, UsernamePasswordCredentialProvider
from .deadlines import deadline
from .driver_info import DriverInfo
from .exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    BusyLoadingError,
    ChildDeadlockedError,
    ConnectionError,
    CrossSlotTransactionError,
    DataError,
    InvalidPipelineStack,
    InvalidResponse,
    MaxConnectionsError,
    OutOfMemoryError,
    PubSubError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TimeoutError,
    WatchError,
)
from .retry import Retry
from .transport.connection import Connection, SSLConnection, UnixDomainSocketConnection
from .transport.pool import BlockingConnectionPool, ConnectionPool
from .version import __version__

if _TYPE_CHECKING:
    from .client_pipeline import Pipeline
    from .lock import Lock
    from .monitor import Monitor
    from .pubsub import PubSub
    from .pubsub_messages import Subscription
    from .pubsub_worker import PubSubWorkerThread
    from .script import Script
    from .sentinel import (
        Sentinel,
        SentinelConnectionPool,
        SentinelManagedConnection,
        SentinelManagedSSLConnection,
    )

# Imported when they are first asked for: most programs need none of them.
_LATER = {
    "Lock": "lock",
    "Monitor": "monitor",
    "Pipeline": "client_pipeline",
    "PubSub": "pubsub",
    "PubSubWorkerThread": "pubsub_worker",
    "Script": "script",
    "Sentinel": "sentinel",
    "SentinelConnectionPool": "sentinel",
    "SentinelManagedConnection": "sentinel",
    "SentinelManagedSSLConnection": "sentinel",
    "Subscription": "pubsub_messages",
}

__all__ = [
    "AuthenticationError",
    "AuthenticationWrongNumberOfArgsError",
    "BlockingConnectionPool",
    "BusyLoadingError",
    "ChildDeadlockedError",
    "Connection",
    "ConnectionError",
    "ConnectionPool",
    "CredentialProvider",
    "CrossSlotTransactionError",
    "DataError",
    "DriverInfo",
    "InvalidPipelineStack",
    "InvalidResponse",
    "Lock",
    "MaxConnectionsError",
    "Monitor",
    "OutOfMemoryError",
    "Pipeline",
    "PubSub",
    "PubSubError",
    "PubSubWorkerThread",
    "ReadOnlyError",
    "Redis",
    "RedisClusterException",
    "RedisError",
    "ResponseError",
    "Retry",
    "SSLConnection",
    "Script",
    "Sentinel",
    "SentinelConnectionPool",
    "SentinelManagedConnection",
    "SentinelManagedSSLConnection",
    "StrictRedis",
    "Subscription",
    "TimeoutError",
    "UnixDomainSocketConnection",
    "UsernamePasswordCredentialProvider",
    "WatchError",
    "__version__",
    "deadline",
    "default_backoff",
    "from_url",
]


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(_import_module(f".{_LATER[name]}", __name__), name)
    return found
