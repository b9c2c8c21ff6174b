"""The few ways in which replies are reshaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def text(value: Any) -> Any:
    """Bytes as str; anything else as it is."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def text_list(values: Iterable[Any]) -> list[Any]:
    """Each as `text` gives it."""
    return [text(value) for value in values]


def is_ok(reply: Any, **options: Any) -> bool:
    """Whether the reply is OK."""
    return reply in (b"OK", "OK")


def pairs(reply: Any) -> dict[Any, Any]:
    """The dict that a map is: RESP3's own, or made of RESP2's key, value, key ..."""
    if isinstance(reply, Mapping):
        return dict(reply)
    return dict(zip(reply[::2], reply[1::2], strict=False)) if reply else {}


def text_pairs(reply: Any) -> dict[Any, Any]:
    """As `pairs`, with keys of str."""
    return {text(key): value for key, value in pairs(reply).items()}


def flatten(reply: Mapping[Any, Any]) -> list[Any]:
    """RESP2's shape of a map: key, value, key ..."""
    return [word for pair in reply.items() for word in pair]
