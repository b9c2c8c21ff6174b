"""A Redis and Valkey client made for gevent, with redis-py's API."""

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
    "MaxConnectionsError",
    "OutOfMemoryError",
    "PubSubError",
    "ReadOnlyError",
    "Redis",
    "RedisClusterException",
    "RedisError",
    "ResponseError",
    "Retry",
    "SSLConnection",
    "StrictRedis",
    "TimeoutError",
    "UnixDomainSocketConnection",
    "UsernamePasswordCredentialProvider",
    "WatchError",
    "__version__",
    "deadline",
    "default_backoff",
    "from_url",
]
