"""What replies are made into: one table that always holds, and one for each protocol and shape."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

from .geo_replies import geo_callbacks
from .server_replies import (
    acl_log,
    acl_log_plain,
    acl_user,
    acl_user_with_dicts,
    acl_user_with_lists,
    client_info,
    client_list,
    commands,
    commands_as_they_come,
    commands_with_sets,
    debug_object,
    info,
    memory_stats,
    memory_stats_text,
    slow_commands,
    tracking_dict,
    tracking_list,
)
from .shapes import flatten, is_ok, pairs, text, text_list, text_pairs
from .sorted_set_replies import sorted_set_callbacks
from .stream_replies import stream_callbacks
from .topology_replies import topology_callbacks

Callback = Callable[..., Any]


def set_reply(reply: Any, get: bool = False, **options: Any) -> Any:
    """True for OK; the old value with GET, and None where a condition failed."""
    return reply if get or reply is None else is_ok(reply)


def as_set(reply: Any) -> set[Any]:
    return reply if isinstance(reply, set) else set(reply or ())


def sort_groups(reply: Any, groups: int | None = None, **options: Any) -> Any:
    """Tuples of `groups` elements each."""
    if not reply or not groups:
        return reply
    return [tuple(reply[at : at + groups]) for at in range(0, len(reply) - groups + 1, groups)]


def scan(reply: Any, **options: Any) -> tuple[int, Any]:
    cursor, found = reply
    return int(cursor), found


def hscan(reply: Any, no_values: bool = False, **options: Any) -> tuple[int, Any]:
    cursor, found = reply
    return int(cursor), (found or []) if no_values else pairs(found or ())


def hash_pairs_flat(reply: Any, withvalues: bool = False, **options: Any) -> Any:
    """RESP2's shape: field, value, field ..."""
    if not reply or not withvalues or not isinstance(reply[0], list):
        return reply
    return [word for pair in reply for word in pair]


def hash_pairs(reply: Any, withvalues: bool = False, **options: Any) -> Any:
    """RESP3's shape: a list of lists of two."""
    if not reply or not withvalues or isinstance(reply[0], list):
        return reply
    return [list(pair) for pair in zip(reply[::2], reply[1::2], strict=True)]


def lcs_flat(reply: Any, **options: Any) -> Any:
    return flatten(reply) if isinstance(reply, dict) else reply


def lcs_dict(reply: Any, **options: Any) -> Any:
    return text_pairs(reply) if isinstance(reply, (list, dict)) else reply


def stralgo(reply: Any, **options: Any) -> Any:
    return _stralgo(reply, tuple, **options)


def stralgo_lists(reply: Any, **options: Any) -> Any:
    return _stralgo(reply, list, **options)


def stralgo_text(reply: Any, **options: Any) -> Any:
    if isinstance(reply, dict):
        return {text(key): text(value) for key, value in reply.items()}
    return text(reply)


def _stralgo(
    reply: Any, shape: type, len: bool = False, idx: bool = False, withmatchlen: bool = False, **others: Any
) -> Any:
    if len:
        return int(reply)
    if not idx or not isinstance(reply, (list, dict)):
        return text(reply)
    found = text_pairs(reply)
    ranges = []
    for match in found["matches"]:
        size = [int(match[-1])] if withmatchlen else []
        ranges.append(size + [shape(at) for at in (match[:-1] if withmatchlen else match)])
    return {"matches": ranges, "len": int(found["len"])}


def time_pair(reply: Any) -> tuple[int, int]:
    return int(reply[0]), int(reply[1])


def local_time(reply: Any) -> datetime | None:
    return datetime.fromtimestamp(int(reply)) if reply else None


def killed(reply: Any, **options: Any) -> Any:
    return reply if isinstance(reply, int) else is_ok(reply)


def config(reply: Any, **options: Any) -> dict[Any, Any]:
    return {text(name): text(value) for name, value in pairs(reply or ()).items()}


def pop_tuple(reply: Any) -> Any:
    return tuple(reply) if reply else None


def always_true(reply: Any) -> bool:
    return True


def list_of_dicts(reply: Any) -> list[dict[Any, Any]]:
    return [pairs(item) for item in reply]


def is_pong(reply: Any) -> bool:
    return reply in (b"PONG", "PONG")


_TABLE = dict[str, Callback]


def _table(groups: dict[Callback, str]) -> _TABLE:
    return {
        name.strip(): callback
        for callback, names in groups.items()
        for name in names.split(",")
        if name.strip()
    }


_ALWAYS = _table({
    bool: "AUTH, CLIENT UNBLOCK, COPY, EXPIRE, EXPIREAT, HEXISTS, HMSET, MOVE, MSETNX, PERSIST, PEXPIRE, "
    "PEXPIREAT, PSETEX, RENAMENX, SETEX, SETNX, SMOVE",
    float: "HINCRBYFLOAT, INCRBYFLOAT",
    is_ok: "ACL LOAD, ACL SAVE, ACL SETUSER, ASKING, CLIENT PAUSE, CLIENT SETINFO, CLIENT SETNAME, "
    "CONFIG RESETSTAT, CONFIG SET, FLUSHALL, FLUSHDB, LSET, LTRIM, MEMORY PURGE, MSET, QUIT, READONLY, "
    "READWRITE, RENAME, SAVE, SELECT, SHUTDOWN, SLAVEOF, SLOWLOG RESET, SWAPDB, UNWATCH, WATCH",
    acl_log: "ACL LOG",
    acl_user: "ACL GETUSER",
    client_info: "CLIENT INFO",
    client_list: "CLIENT LIST",
    commands: "COMMAND",
    hscan: "HSCAN",
    info: "INFO",
    is_pong: "PING",
    killed: "CLIENT KILL",
    local_time: "LASTSAVE",
    scan: "SCAN, SSCAN",
    set_reply: "SET",
    slow_commands: "SLOWLOG GET",
    sort_groups: "SORT",
    time_pair: "TIME",
    as_set: "SDIFF, SINTER, SMEMBERS, SUNION",
    config: "CONFIG GET",
})  # fmt: skip

_TEXTS = _table(
    {
        text: "ACL GENPASS, ACL WHOAMI, CLIENT GETNAME, RESET",
        text_list: "ACL CAT, ACL HELP, ACL LIST, ACL USERS",
    }
)

# What RESP2 gives and its shapes want, whichever protocol is on the wire.
_LEGACY = {
    **_TEXTS,
    **_table(
        {
            always_true: "BGREWRITEAOF, BGSAVE",
            debug_object: "DEBUG OBJECT",
            pop_tuple: "BLPOP, BRPOP",
            text_list: "COMMAND GETKEYS",
        }
    ),
}

_RESP2_LEGACY = {
    **_LEGACY,
    **_table(
        {
            list_of_dicts: "HOTKEYS GET, MODULE LIST",
            memory_stats_text: "MEMORY STATS",
            pairs: "HGETALL",
            stralgo: "STRALGO",
            text_list: "CLIENT TRACKINGINFO",
        }
    ),
}

_RESP3_AS_RESP2 = {
    **_LEGACY,
    **_table(
        {
            acl_user_with_lists: "ACL GETUSER",
            hash_pairs_flat: "HRANDFIELD",
            lcs_flat: "LCS",
            memory_stats: "MEMORY STATS",
            tracking_list: "CLIENT TRACKINGINFO",
        }
    ),
}

_RESP3_LEGACY = _table(
    {
        acl_log_plain: "ACL LOG",
        commands_as_they_come: "COMMAND",
        memory_stats: "MEMORY STATS",
        stralgo_text: "STRALGO",
    }
)

_UNIFIED = {
    **_TEXTS,
    **_table(
        {
            commands_with_sets: "COMMAND",
            lcs_dict: "LCS",
            memory_stats: "MEMORY STATS",
            stralgo_lists: "STRALGO",
            tracking_dict: "CLIENT TRACKINGINFO",
        }
    ),
}

_RESP2_UNIFIED = {
    **_UNIFIED,
    **_table(
        {
            acl_user_with_dicts: "ACL GETUSER",
            always_true: "BGREWRITEAOF, BGSAVE",
            debug_object: "DEBUG OBJECT",
            hash_pairs: "HRANDFIELD",
            list_of_dicts: "HOTKEYS GET, MODULE LIST",
            pairs: "HGETALL",
        }
    ),
}


@cache
def _merged(protocol: int | None, legacy_responses: bool) -> _TABLE:
    others: _TABLE = {}
    for callbacks in (sorted_set_callbacks, stream_callbacks, geo_callbacks, topology_callbacks):
        others |= callbacks(protocol, legacy_responses)
    if legacy_responses:
        own = {None: _RESP3_AS_RESP2, 3: _RESP3_LEGACY}.get(protocol, _RESP2_LEGACY)
    else:
        own = _UNIFIED if protocol in (None, 3) else _RESP2_UNIFIED
    return {**_ALWAYS, **own, **others}


def response_callbacks(protocol: int | None, legacy_responses: bool) -> dict[str, Callback]:
    """A new table from a command's name to what converts its reply: `callback(reply, **options)`.

    Without a protocol RESP3 is on the wire, and with `legacy_responses` RESP2's shapes are given.  A
    command whose replies are given as they come is not in the table.
    """
    return dict(_merged(protocol if protocol is None else int(protocol), bool(legacy_responses)))
