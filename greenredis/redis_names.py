"""Which of redis-py's names are served, by module, and where they are in greenredis: tables only."""

from __future__ import annotations

# The redis-py whose API this is; `redis.__version__` and the package's metadata give it.
VERSION = (8, 1, 0)

_EXCEPTIONS = (
    "AskError AuthenticationError AuthenticationWrongNumberOfArgsError AuthorizationError BusyLoadingError "
    "ChildDeadlockedError ClusterCrossSlotError ClusterDownError ClusterError ConnectionError "
    "CrossSlotTransactionError DataError ExceptionType ExecAbortError ExternalAuthProviderError "
    "IncorrectPolicyType InvalidPipelineStack InvalidResponse LockError LockNotOwnedError MasterDownError "
    "MaxConnectionsError ModuleError MovedError NoPermissionError NoScriptError NoSuchFieldsetError "
    "OutOfMemoryError PubSubError ReadOnlyError RedisClusterException RedisError ResponseError "
    "SlotNotCoveredError TimeoutError TryAgainError WatchError"
)
_DEFAULTS = (
    "DEFAULT_RETRY_BASE DEFAULT_RETRY_CAP DEFAULT_RETRY_COUNT DEFAULT_SOCKET_CONNECT_TIMEOUT "
    "DEFAULT_SOCKET_READ_SIZE DEFAULT_SOCKET_TIMEOUT"
)
_SENTINEL = "Sentinel SentinelConnectionPool SentinelManagedConnection SentinelManagedSSLConnection"
_CONNECTIONS = "Connection SSLConnection UnixDomainSocketConnection"

# Module of redis-py -> {module of greenredis, or of redis-py: names}; `theirs=ours` where they differ.
SERVED: dict[str, dict[str, str]] = {
    "redis": {
        "backoff": "default_backoff",
        "client": "Redis StrictRedis from_url",
        "credentials": "CredentialProvider UsernamePasswordCredentialProvider",
        "driver_info": "DriverInfo",
        "exceptions": (
            "AuthenticationError AuthenticationWrongNumberOfArgsError BusyLoadingError ChildDeadlockedError "
            "ConnectionError CrossSlotTransactionError DataError InvalidPipelineStack InvalidResponse "
            "MaxConnectionsError OutOfMemoryError PubSubError ReadOnlyError RedisClusterException RedisError "
            "ResponseError TimeoutError WatchError"
        ),
        "pubsub_messages": "Subscription",
        "redis_helpers": "__version__ VERSION",
        "redis.cluster": "RedisCluster",
        "sentinel": _SENTINEL,
        "transport.connection": _CONNECTIONS,
        "transport.pool": "BlockingConnectionPool ConnectionPool",
    },
    "redis._defaults": {
        "checks": "get_default_socket_keepalive_options=default_keepalive",
        "redis_helpers": _DEFAULTS,
    },
    "redis.backoff": {
        "backoff": (
            "AbstractBackoff ConstantBackoff DEFAULT_BASE DEFAULT_CAP DecorrelatedJitterBackoff "
            "EqualJitterBackoff ExponentialBackoff ExponentialWithJitterBackoff FullJitterBackoff NoBackoff "
            "default_backoff"
        ),
    },
    "redis.client": {
        "client": "Pipeline Redis StrictRedis",
        "commands": "CoreCommands",
        "commands.callbacks": "CaseInsensitiveDict",
        "commands.options": "list_or_args",
        "commands.shapes": "bool_ok=is_ok",
        "credentials": "CredentialProvider",
        "driver_info": "DriverInfo resolve_driver_info",
        "exceptions": "ConnectionError ExecAbortError PubSubError RedisError ResponseError WatchError",
        "executor": "EMPTY_RESPONSE NEVER_DECODE",
        "lock": "Lock",
        "modules": "RedisModuleCommands",
        "monitor": "Monitor",
        "protocol": "Encoder=Packer",
        "pubsub": "PubSub",
        "pubsub_messages": "Subscription",
        "pubsub_worker": "PubSubWorkerThread",
        "redis_helpers": f"{_DEFAULTS} safe_str str_if_bytes",
        "retry": "Retry",
        "script": "Script",
        "backoff": "ExponentialWithJitterBackoff",
        "transport.connection": f"AbstractConnection {_CONNECTIONS}",
        "transport.pool": "ConnectionPool",
    },
    "redis.commands": {
        "commands": "CoreCommands",
        "commands.options": "list_or_args",
        "commands.topology": "SentinelCommands",
        "modules": "RedisModuleCommands",
    },
    "redis.commands.redismodules": {"modules": "RedisModuleCommands"},
    "redis.commands.sentinel": {"commands.topology": "SentinelCommands"},
    "redis.commands.core": {
        "commands": "CoreCommands HashCommands ListCommands SetCommands",
        "commands.acl": "ACLCommands=AclCommands",
        "commands.bits": "BitFieldOperation",
        "commands.hashes": "HashDataPersistOptions",
        "commands.options": "list_or_args",
        "commands.server": "HotkeysMetricsTypes",
        "commands.strings": "DataPersistOptions",
        "exceptions": "ConnectionError DataError NoScriptError RedisError",
        "redis_helpers": "AnyKeyT str_if_bytes",
        "script": "Script",
    },
    "redis.commands.helpers": {
        "commands.options": "list_or_args",
        "pubsub_messages": "Subscription",
        "redis_helpers": "nativestr=str_if_bytes",
    },
    "redis.connection": {
        "backoff": "NoBackoff",
        "checks": "get_default_socket_keepalive_options=default_keepalive parse_ssl_verify_flags to_bool",
        "credentials": "CredentialProvider UsernamePasswordCredentialProvider",
        "driver_info": "DriverInfo resolve_driver_info",
        "exceptions": (
            "AuthenticationError AuthenticationWrongNumberOfArgsError ChildDeadlockedError ConnectionError "
            "DataError MaxConnectionsError RedisError ResponseError TimeoutError"
        ),
        "protocol": "Encoder=Packer",
        "redis_helpers": (
            "CRYPTOGRAPHY_AVAILABLE DEFAULT_RESP_VERSION DEFAULT_SOCKET_CONNECT_TIMEOUT "
            "DEFAULT_SOCKET_READ_SIZE DEFAULT_SOCKET_TIMEOUT DefaultParser HIREDIS_AVAILABLE SSL_AVAILABLE "
            "URL_QUERY_ARGUMENT_PARSERS compare_versions ensure_string parse_url str_if_bytes"
        ),
        "retry": "Retry",
        "transport.connection": f"AbstractConnection ConnectionInterface=AbstractConnection {_CONNECTIONS}",
        "transport.pool": ("BlockingConnectionPool ConnectionPool ConnectionPoolInterface=ConnectionPool"),
    },
    "redis.crc": {"redis_helpers": "REDIS_CLUSTER_HASH_SLOTS key_slot"},
    "redis.credentials": {
        "credentials": "CredentialProvider StreamingCredentialProvider UsernamePasswordCredentialProvider",
    },
    "redis.driver_info": {"driver_info": "DriverInfo resolve_driver_info"},
    "redis.exceptions": {"exceptions": _EXCEPTIONS},
    "redis.lock": {"exceptions": "LockError LockNotOwnedError", "lock": "Lock"},
    "redis.retry": {
        "exceptions": "ConnectionError TimeoutError",
        "retry": "AbstractRetry=Retry Retry",
    },
    "redis.typing": {
        "pubsub_messages": "Subscription",
        "redis_helpers": (
            "AbsExpiryT AnyChannelT AnyFieldT AnyKeyT BitfieldOffsetT ChannelT ConsumerT DecodedT EncodableT "
            "EncodedT ExpiryT FieldT GroupT KeyT KeysT Number PatternT PubSubHandler ResponseT ScriptTextT "
            "StreamIdT TimeoutSecT ZScoreBoundT"
        ),
    },
    "redis.utils": {
        "client": "from_url",
        "exceptions": "DataError",
        "redis_helpers": (
            "CRYPTOGRAPHY_AVAILABLE DEFAULT_RESP_VERSION HIREDIS_AVAILABLE SSL_AVAILABLE compare_versions "
            "dict_merge ensure_string get_lib_version list_keys_to_dict merge_result pipeline safe_str "
            "str_if_bytes"
        ),
    },
    # What is imported for isinstance() and `except`, from modules whose classes are placeholders.
    "redis.asyncio": {
        "backoff": "default_backoff",
        "exceptions": (
            "AuthenticationError AuthenticationWrongNumberOfArgsError BusyLoadingError ChildDeadlockedError "
            "ConnectionError DataError InvalidResponse OutOfMemoryError PubSubError ReadOnlyError RedisError "
            "ResponseError TimeoutError WatchError"
        ),
        "pubsub_messages": "Subscription",
    },
    "redis.cluster": {"redis_helpers": "REDIS_CLUSTER_HASH_SLOTS"},
    "redis.sentinel": {
        "client": "Redis",
        "commands.topology": "SentinelCommands",
        "exceptions": (
            "ConnectionError MasterNotFoundError ReadOnlyError ReplicaNotFoundError ResponseError "
            "SlaveNotFoundError TimeoutError"
        ),
        "sentinel": _SENTINEL,
        "transport.connection": "Connection SSLConnection",
        "transport.pool": "ConnectionPool",
    },
}

_ASYNCIO = "greenredis is a client for gevent and has no asyncio; use `redis.Redis` in greenlets"
_CLUSTER = "greenredis does not speak Redis Cluster's protocol yet"

# Module -> (why, the classes that can be imported and subclassed, but not used).
PLACEHOLDERS: dict[str, tuple[str, str]] = {
    "redis.asyncio": (
        _ASYNCIO,
        f"BlockingConnectionPool {_CONNECTIONS} ConnectionPool Redis RedisCluster {_SENTINEL} StrictRedis "
        "from_url",
    ),
    "redis.asyncio.client": (_ASYNCIO, "Monitor Pipeline PubSub Redis StrictRedis"),
    "redis.asyncio.cluster": (_ASYNCIO, "ClusterNode ClusterPipeline RedisCluster"),
    "redis.asyncio.connection": (
        _ASYNCIO,
        f"AbstractConnection BlockingConnectionPool {_CONNECTIONS} ConnectionPool",
    ),
    "redis.asyncio.lock": (_ASYNCIO, "Lock"),
    "redis.asyncio.retry": (_ASYNCIO, "Retry"),
    "redis.asyncio.sentinel": (_ASYNCIO, f"MasterNotFoundError {_SENTINEL} SlaveNotFoundError"),
    "redis.cluster": (_CLUSTER, "ClusterNode ClusterPipeline ClusterPubSub NodesManager RedisCluster"),
}

# Redis-py's own modules, taken from it where it is installed, with all that is below them.
BORROWED = (
    "redis.auth",
    "redis.commands.bf",
    "redis.commands.json",
    "redis.commands.search",
    "redis.commands.timeseries",
    "redis.commands.vectorset",
    "redis.keyspace_notifications",
)

# Names of served modules that are in borrowed ones: taken when they are asked for.
BORROWED_NAMES: dict[str, dict[str, str]] = {
    "redis": {
        "redis.keyspace_notifications": (
            "ChannelType ClusterKeyspaceNotifications EventType KeyNotification KeyeventChannel "
            "KeyspaceChannel KeyspaceNotifications KeyspaceNotificationsInterface KeyspaceWorkerThread "
            "SubkeyeventChannel SubkeyspaceChannel SubkeyspaceeventChannel SubkeyspaceitemChannel "
            "get_channel_type"
        ),
    },
}

# The rest, with what is below each: importing it says why it is not there.
ABSENT: dict[str, str] = {
    "redis._himport_exec": "use himport_prepare() and himport_set()",
    "redis._parsers": "replies are parsed by hiredis",
    "redis.background": "nothing needs a thread of its own",
    "redis.cache": "there is no client-side caching yet",
    "redis.commands.cluster": "greenredis does not speak Redis Cluster's protocol yet",
    "redis.commands.policies": "greenredis does not speak Redis Cluster's protocol yet",
    "redis.data_structure": "it is a part of redis-py's client for several databases",
    "redis.event": "connections log in again by themselves when credentials rotate",
    "redis.himport": "use himport_prepare() and himport_set()",
    "redis.http": "it is a part of redis-py's client for several databases",
    "redis.maint_notifications": "maintenance notifications are not offered",
    "redis.multidb": "the client for several databases is not offered",
    "redis.observability": "OpenTelemetry metrics are not offered",
    "redis.ocsp": "OCSP is not offered",
}
