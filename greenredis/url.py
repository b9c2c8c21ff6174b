"""Options from a URL."""

from __future__ import annotations

from typing import Any
from urllib.parse import ParseResult, parse_qs, unquote, urlparse

from .options import OPTIONS

ENCODE = "percent-encode '/', '?', '#' and '@' within a user name or password"


# Schemes of which another module makes the pool: by `pool_from_url(url, options)`.
ELSEWHERE = {"redis+sentinel": "greenredis.sentinel.url", "rediss+sentinel": "greenredis.sentinel.url"}


def parse_url(url: str) -> dict[str, Any]:
    """The options that a redis://, rediss:// or unix:// URL gives, with its scheme under "scheme".

    By redis-py's rules: the query's options are cast, the URL's own parts win over them, save for the
    database, which the path gives only where the query does not. ValueError, which never shows a part of
    the URL's values, where it cannot be read.
    """
    if not isinstance(url, str) or not url.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError(
            "the URL must be a str that begins with redis://, rediss:// or unix://; those of sentinels, "
            "redis+sentinel://, are for Redis.from_url() and SentinelConnectionPool.from_url()"
        )
    parts = _split(url)
    options = query_options(parts)
    for name, value in (("username", parts.username), ("password", parts.password)):
        if value:
            options[name] = unquote(value)
    options.update(_unix_place(parts) if parts.scheme == "unix" else _tcp_place(parts, "db" not in options))
    if parts.scheme == "unix" and "path" not in options:
        raise ValueError("a unix:// URL needs the socket's path, as in unix:///run/redis.sock")
    options["scheme"] = parts.scheme
    return options


def _split(url: str) -> ParseResult:
    parts: ParseResult | None = None
    try:
        parts = urlparse(url)
        # A property that raises where it is no number.
        _ = parts.port if parts.scheme != "unix" else None
    except ValueError:
        parts = None
    # Raised here, so that the error's context does not quote the URL.
    if parts is None:
        raise ValueError(f"the URL's host or port cannot be read; {ENCODE}")
    if parts.scheme != "unix" and "@" in parts.path + parts.fragment:
        raise ValueError(f"the URL has an '@' behind its host; {ENCODE}")
    return parts


def query_options(parts: ParseResult) -> dict[str, Any]:
    """The options in a URL's query, cast; those that are not known here as text."""
    options = {}
    for name, values in parse_qs(parts.query).items():
        if name in ("scheme", "connection_class", "locator", "owner", "queue_class"):
            raise ValueError(f"{name} cannot be chosen in a URL's query")
        if name not in OPTIONS and "@" in name + values[0] and "@" not in parts.netloc:
            raise ValueError(f"the URL has an '@' behind its host; {ENCODE}")
        options[name] = cast(name, values[0])
    return options


def cast(name: str, text: str) -> Any:
    """The value of an option that a text stands for; ValueError, which does not show it, if none."""
    option = OPTIONS.get(name)
    try:
        return option.cast(text) if option else text
    except (TypeError, ValueError):
        pass
    # Raised here, so that the error's context does not hold the text.
    raise ValueError(f"the URL's value for {name!r} cannot be read")


def _unix_place(parts: ParseResult) -> dict[str, Any]:
    return {"path": unquote(parts.path)} if parts.path else {}


def _tcp_place(parts: ParseResult, with_db: bool) -> dict[str, Any]:
    place: dict[str, Any] = {}
    if parts.hostname:
        place["host"] = unquote(parts.hostname)
    if parts.port:
        place["port"] = parts.port
    try:
        if parts.path and with_db:
            place["db"] = int(unquote(parts.path).replace("/", ""))
    except ValueError:
        # redis-py takes a path that is no number for none.
        pass
    return place
