"""Pools from redis+sentinel:// URLs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import ParseResult, unquote

from ..checks import to_bool
from ..url import ENCODE, cast, query_options
from .pool import SentinelConnectionPool
from .sentinel import Sentinel

if TYPE_CHECKING:
    from .view import Place

PORT = 26379
_FORM = "redis+sentinel://[user:password@]host[:port][,host[:port] ...]/service[/db]"
_PREFIX = "sentinel_"
_PARTS = re.compile(r"([^/?#]*)([^?#]*)\??([^#]*)")


def pool_from_url(
    url: str,
    kwargs: dict[str, Any],
    pool_class: type[SentinelConnectionPool] = SentinelConnectionPool,
) -> SentinelConnectionPool:
    """The pool that a redis+sentinel:// or rediss+sentinel:// URL stands for, of a Sentinel of its own.

    User and password are those of the data nodes, and so is the TLS of rediss+sentinel.  The query has
    the options of redis://, those of connections to sentinels with `sentinel_` before them, and
    `role=replica`, `min_other_sentinels`, `force_master_ip`, `hold_writes`, `read_from`.
    """
    scheme, _, rest = url.partition("://")
    netloc, path, query = _PARTS.match(rest).groups()  # type: ignore[union-attr]
    parts = ParseResult(scheme, netloc, path, "", query, "")
    options = {**kwargs, **_sorted_out(parts)}
    role = options.pop("role", "master")
    if role not in ("master", "replica", "slave"):
        raise ValueError(f"role={role!r} in the URL: give master or replica")
    service, *numbers = [unquote(each) for each in parts.path.strip("/").split("/")]
    if not service or len(numbers) > 1 or not all(each.isdigit() for each in numbers):
        raise ValueError(f"the URL's path must be the service's name and a database: {_FORM}")
    if numbers:
        options.setdefault("db", int(numbers[0]))
    own = {name: options.pop(name) for name in ("min_other_sentinels", "force_master_ip") if name in options}
    sentinel_kwargs = options.pop("sentinel_kwargs", None)
    sentinel = Sentinel(_places(parts), sentinel_kwargs=sentinel_kwargs, **own, **options)
    return pool_class(service, sentinel, is_master=role == "master", **options)


def _places(parts: ParseResult) -> list[Place]:
    hosts = [each for each in parts.netloc.rpartition("@")[2].split(",") if each]
    if not hosts:
        raise ValueError(f"the URL names no sentinel: {_FORM}")
    return [_place(each) for each in hosts]


def _place(text: str) -> Place:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(PORT)
    host = unquote(host.strip("[]"))
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"the URL's host or port of a sentinel cannot be read: {_FORM}; {ENCODE}")
    return host, int(port)


def _sorted_out(parts: ParseResult) -> dict[str, Any]:
    """The options in the URL; those of sentinels in `sentinel_kwargs`."""
    options = query_options(parts)
    theirs = {}
    for name in [each for each in options if each.startswith(_PREFIX)]:
        text, short = options.pop(name), name.removeprefix(_PREFIX)
        theirs[short] = to_bool(text) if short == "ssl" else cast(short, text)
    if theirs:
        options["sentinel_kwargs"] = theirs
    for name, convert in (("min_other_sentinels", int), ("hold_writes", to_bool)):
        if name in options:
            options[name] = convert(options[name])
    if parts.scheme == "rediss+sentinel":
        options["ssl"] = True
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    for name, value in (("username", user), ("password", password)):
        if value:
            options[name] = unquote(value)
    return options
