"""Where the server is and how to talk to it: addresses, options, URLs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .address import Address, Fixed, Located, Locator, address_of
from .options import (
    CONNECTION_OPTIONS,
    OPTIONS,
    POOL_OPTIONS,
    REDACTED,
    UNSUPPORTED_OPTIONS,
    Option,
    check_options,
    redacted,
    validate,
)
from .tls import ssl_context

__all__ = [
    "CONNECTION_OPTIONS",
    "OPTIONS",
    "POOL_OPTIONS",
    "REDACTED",
    "UNSUPPORTED_OPTIONS",
    "Address",
    "Fixed",
    "Located",
    "Locator",
    "Option",
    "address_of",
    "check_options",
    "parse_url",
    "pool_maker",
    "redacted",
    "ssl_context",
    "validate",
]


def parse_url(url: str) -> dict[str, Any]:
    """The options that a URL gives, and its `scheme`; see greenredis.url."""
    from .url import parse_url as parse  # a tenth of the time that importing greenredis takes

    return parse(url)


def pool_maker(url: str) -> Any:
    """The function that makes the pool of a URL whose scheme is a module's of its own; None for others."""
    from .url import ELSEWHERE

    module = ELSEWHERE.get(url.partition("://")[0]) if isinstance(url, str) else None
    return import_module(module).pool_from_url if module is not None else None
