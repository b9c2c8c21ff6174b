"""What subscriptions are asked for with, and what replies say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .commands.options import list_or_args

Handler = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True)
class Subscription:
    """A channel or pattern with its handler, for names that cannot be keywords."""

    name: str | bytes | memoryview
    handler: Handler | None = None


def subscriptions(args: Sequence[Any], kwargs: Mapping[str, Handler | None]) -> dict[Any, Handler | None]:
    """Name -> handler of names or a list of them, `Subscription`s, and keywords."""
    found: dict[Any, Handler | None] = {}
    for each in names(args):
        if isinstance(each, Subscription):
            found[each.name] = each.handler
        else:
            found[each] = None
    found.update(kwargs)
    return found


def names(args: Sequence[Any]) -> list[Any]:
    """The arguments, of which the first may be a list."""
    return list_or_args(args[0], args[1:]) if args else []


def pong(encoder: Any, message: str) -> list[Any]:
    """The reply to a PING with this message, while there are subscriptions."""
    return ["pong", message] if encoder.decode_responses else [b"pong", encoder.encode(message)]


def as_message(reply: Any) -> dict[str, Any]:
    """The reply as redis-py's dict: type, pattern, channel, data."""
    if isinstance(reply, (bytes, str)):  # a PING's answer in RESP3, or without a subscription
        reply = ["pong", reply[:0] if reply in (b"PONG", "PONG") else reply]
    kind = reply[0] if isinstance(reply[0], str) else reply[0].decode("utf-8", "replace")
    pattern, channel, data = None, None, reply[1]
    if kind == "pmessage":
        _, pattern, channel, data = reply
    elif kind != "pong":
        channel, data = reply[1], reply[2]
    return {"type": kind, "pattern": pattern, "channel": channel, "data": data}
