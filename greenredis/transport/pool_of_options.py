"""The pool that a client with options of its own has."""

from __future__ import annotations

from typing import Any

from ..driver_info import UNSET
from ..retry import default_retry
from .connection import SSLConnection, UnixDomainSocketConnection
from .pool import BlockingConnectionPool, ConnectionPool


def with_defaults(given: dict[str, Any]) -> dict[str, Any]:
    """The options, with what a client has by default and a pool by itself has not."""
    options = dict(given)
    if options.get("retry", UNSET) is UNSET:
        options["retry"] = default_retry()
    options["max_connections"] = options.get("max_connections") or ConnectionPool.default_max_connections
    if options.get("retry_on_error") is None:
        options["retry_on_error"] = []
    return options


def make_pool(given: dict[str, Any]) -> ConnectionPool:
    """The pool of a client with these options of its own."""
    options = with_defaults(given)
    path, ssl = options.pop("unix_socket_path", None), options.pop("ssl", False)
    if path is not None:
        for name in ("host", "port", "socket_keepalive", "socket_keepalive_options"):
            options.pop(name, None)
        return BlockingConnectionPool(
            connection_class=UnixDomainSocketConnection, path=path, owner="Redis", **options
        )
    if ssl:
        options.setdefault("connection_class", SSLConnection)
    return BlockingConnectionPool(owner="Redis", **options)
