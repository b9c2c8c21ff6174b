"""Replies about streams: `replies.py` is the table they are part of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .shapes import is_ok, pairs, text_pairs

_Table = dict[str, Callable[..., Any]]


def entries(reply: Any, **options: Any) -> list[Any] | None:
    """Tuples of id and fields; with the claimed ones' idle time and deliveries, if these were asked for."""
    if reply is None:
        return None
    more = "claim_min_idle_time" in options
    return [
        (None, None) if item is None else (item[0], pairs(item[1]), *(item[2:] if more else ()))
        for item in reply
    ]


def streams(reply: Any, **options: Any) -> list[list[Any]]:
    """RESP2's shape: lists of a stream and its entries."""
    return [[name, entries(found, **options)] for name, found in _by_name(reply)]


def streams_of_lists(reply: Any, **options: Any) -> dict[Any, list[Any]]:
    """The entries within a list of one, by the stream."""
    return {name: [entries(found, **options)] for name, found in _by_name(reply)}


def streams_dict(reply: Any, **options: Any) -> dict[Any, Any]:
    """The entries by the stream."""
    return {name: entries(found, **options) for name, found in _by_name(reply)}


def _by_name(reply: Any) -> Any:
    return reply.items() if isinstance(reply, dict) else reply or ()


def claimed(reply: Any, parse_justid: bool = False, **options: Any) -> Any:
    return reply if parse_justid else entries(reply)


def claimed_on(reply: Any, parse_justid: bool = False, **options: Any) -> Any:
    start, found, *gone = reply
    return found if parse_justid else [start, entries(found), *gone]


def pending(reply: Any, parse_detail: bool = False, **options: Any) -> Any:
    if parse_detail:
        names = ("message_id", "consumer", "time_since_delivered", "times_delivered")
        return [dict(zip(names, item, strict=False)) for item in reply]
    number, lowest, highest, consumers = reply
    each = [{"name": name, "pending": int(count)} for name, count in consumers or ()]
    return {"pending": number, "min": lowest, "max": highest, "consumers": each}


def dicts(reply: Any, **options: Any) -> list[dict[str, Any]]:
    return [text_pairs(item) for item in reply]


def stream_info(reply: Any, full: bool = False, **options: Any) -> dict[str, Any]:
    """Names of str; with FULL also those of the groups."""
    info = text_pairs(reply)
    if full:
        everything = {id: pairs(fields) for id, fields in info["entries"]}
        return info | {"entries": everything, "groups": [_group(group) for group in info["groups"]]}
    for name in ("first-entry", "last-entry"):
        entry = info.get(name)
        if entry is not None and entry[0] is not None:
            info[name] = (entry[0], pairs(entry[1]))
    return info


def _group(group: Any) -> dict[str, Any]:
    """Names of str, but those of RESP3's consumers stay as they come: redis-py's shape."""
    found = text_pairs(group)
    if isinstance(group, list) and found["consumers"]:
        found["consumers"] = dicts(found["consumers"])
    return found


_ALWAYS: _Table = {
    "XAUTOCLAIM": claimed_on,
    "XCLAIM": claimed,
    "XGROUP CREATE": is_ok,
    "XGROUP DESTROY": bool,
    "XGROUP SETID": is_ok,
    "XINFO CONSUMERS": dicts,
    "XINFO GROUPS": dicts,
    "XINFO STREAM": stream_info,
    "XPENDING": pending,
    "XRANGE": entries,
    "XREVRANGE": entries,
}


def stream_callbacks(protocol: int | None, legacy_responses: bool) -> _Table:
    """This file's part of `replies.response_callbacks`."""
    read: Callable[..., Any] = streams_dict
    if legacy_responses:
        read = streams_of_lists if protocol == 3 else streams
    return {**_ALWAYS, "XREAD": read, "XREADGROUP": read}
