"""What redis-py's modules offer beside the client: functions, constants and types that others import."""

from __future__ import annotations

import binascii
import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, ClassVar, TypeAlias, TypeVar

from .exceptions import _BY_CODE, _BY_ERR_MESSAGE, RedisError, parse_error
from .options import OPTIONS
from .redis_names import VERSION
from .retry import DEFAULT_RETRY_BASE, DEFAULT_RETRY_CAP, DEFAULT_RETRY_COUNT
from .transport.connection import SSLConnection, UnixDomainSocketConnection
from .url import parse_url as options_of

__version__ = ".".join(map(str, VERSION))

__all__ = ["DEFAULT_RETRY_BASE", "DEFAULT_RETRY_CAP", "DEFAULT_RETRY_COUNT"]

HIREDIS_AVAILABLE = True
SSL_AVAILABLE = importlib.util.find_spec("ssl") is not None
CRYPTOGRAPHY_AVAILABLE = importlib.util.find_spec("cryptography") is not None

DEFAULT_RESP_VERSION = 3
DEFAULT_SOCKET_TIMEOUT = OPTIONS["socket_timeout"].default
DEFAULT_SOCKET_CONNECT_TIMEOUT = OPTIONS["socket_connect_timeout"].default
DEFAULT_SOCKET_READ_SIZE = OPTIONS["socket_read_size"].default

REDIS_CLUSTER_HASH_SLOTS = 16384

# -- types for annotations

Number: TypeAlias = int | float
EncodedT: TypeAlias = bytes | bytearray | memoryview
DecodedT: TypeAlias = str | int | float
EncodableT: TypeAlias = EncodedT | DecodedT
AbsExpiryT: TypeAlias = int | datetime
ExpiryT: TypeAlias = int | timedelta
ZScoreBoundT: TypeAlias = float | str
BitfieldOffsetT: TypeAlias = int | str
KeyT: TypeAlias = bytes | str | memoryview
PatternT: TypeAlias = KeyT
ChannelT: TypeAlias = KeyT
GroupT: TypeAlias = KeyT
ConsumerT: TypeAlias = KeyT
ScriptTextT: TypeAlias = KeyT
FieldT: TypeAlias = EncodableT
KeysT: TypeAlias = KeyT | Iterable[KeyT]
StreamIdT: TypeAlias = int | KeyT
TimeoutSecT: TypeAlias = int | float | KeyT
ResponseT: TypeAlias = Any
PubSubHandler = Callable[[dict[str, Any]], Any]
AnyKeyT = TypeVar("AnyKeyT", bytes, str, memoryview)
AnyFieldT = TypeVar("AnyFieldT", bytes, str, memoryview)
AnyChannelT = TypeVar("AnyChannelT", bytes, str, memoryview)

# -- URLs

# How the options in a URL's query are cast.
URL_QUERY_ARGUMENT_PARSERS: dict[str, Callable[[str], Any]] = {
    name: option.cast for name, option in OPTIONS.items() if option.cast is not str
}


def parse_url(url: str) -> dict[str, Any]:
    """The options that a URL gives, `connection_class` among them where it is not the plain one."""
    options = options_of(url)
    classes = {"rediss": SSLConnection, "unix": UnixDomainSocketConnection}
    found = classes.get(options.pop("scheme"))
    return {**options, "connection_class": found} if found else options


# -- text


def str_if_bytes(value: Any) -> Any:
    """Bytes as text, UTF-8 and never an error; anything else as it is."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def safe_str(value: Any) -> str:
    """Any value as text."""
    return str(str_if_bytes(value))


def ensure_string(key: Any) -> str:
    """A key as text; TypeError if it is neither text nor bytes."""
    if isinstance(key, (bytes, str)):
        return str(str_if_bytes(key))
    raise TypeError("Key must be either a string or bytes")


# -- dictionaries


def dict_merge(*dicts: Mapping[str, Any]) -> dict[str, Any]:
    """All of them as one; the later win."""
    return {name: value for each in dicts for name, value in each.items()}


def list_keys_to_dict(key_list: Iterable[Any], callback: Any) -> dict[Any, Any]:
    """The callback for each of the keys."""
    return dict.fromkeys(key_list, callback)


def merge_result(command: Any, res: Mapping[Any, Iterable[Any]]) -> list[Any]:
    """What the nodes answered, each value once."""
    return list({value for values in res.values() for value in values})


# -- the rest


@contextmanager
def pipeline(redis_obj: Any) -> Iterator[Any]:
    """A pipeline that is executed when the block ends well."""
    pipe = redis_obj.pipeline()
    yield pipe
    pipe.execute()


def get_lib_version() -> str:
    """The version of redis-py whose API this is."""
    return __version__


def compare_versions(version1: str, version2: str) -> int:
    """-1 if the second is the older one, 1 if the first is, else 0."""
    first, second = (_parts(version) for version in (version1, version2))
    return (first < second) - (first > second)


def _parts(version: str) -> list[int]:
    parts = [int(part) for part in version.split(".")]
    while parts and not parts[-1]:
        parts.pop()
    return parts


def key_slot(key: bytes, bucket: int = REDIS_CLUSTER_HASH_SLOTS) -> int:
    """The slot of a key, by the rule of the Redis Cluster specification: a hash tag counts alone."""
    start = key.find(b"{")
    end = key.find(b"}", start + 1) if start >= 0 else -1
    hashed = key[start + 1 : end] if end > start + 1 else key
    return binascii.crc_hqx(hashed, 0) % bucket


class DefaultParser:
    """What turns the text of an error reply into the exception; it reads from no socket."""

    # Of an error's code; those without a code of their own by the message.
    EXCEPTION_CLASSES: ClassVar[dict[str, Any]] = {**_BY_CODE, "ERR": _BY_ERR_MESSAGE}

    def __init__(self, socket_read_size: int = DEFAULT_SOCKET_READ_SIZE) -> None:
        self.socket_read_size = socket_read_size

    @classmethod
    def parse_error(cls, response: str) -> RedisError:
        """The exception that tells of an error reply; it is not raised."""
        return parse_error(response)
