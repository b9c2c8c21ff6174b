"""What the replies of sentinels, cluster nodes and the function engine are made into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .shapes import flatten, is_ok, pairs, text, text_list, text_pairs

_SENTINEL_NUMBERS = frozenset((
    "can-failover-its-master", "config-epoch", "down-after-milliseconds", "failover-timeout", "info-refresh",
    "last-hello-message", "last-ok-ping-reply", "last-ping-reply", "last-ping-sent", "master-link-down-time",
    "master-port", "num-other-sentinels", "num-slaves", "o-down-time", "parallel-syncs", "pending-commands",
    "port", "quorum", "role-reported-time", "s-down-time", "slave-priority", "slave-repl-offset",
    "voted-leader-epoch",
))  # fmt: skip
_SENTINEL_FLAGS = {
    "is_master": "master",
    "is_slave": "slave",
    "is_sdown": "s_down",
    "is_odown": "o_down",
    "is_sentinel": "sentinel",
    "is_disconnected": "disconnected",
    "is_master_down": "master_down",
}


# -- sentinels


def sentinel_state(reply: Any, **options: Any) -> dict[str, Any]:
    """What a sentinel knows of an instance; numbers as int, each flag as a bool too."""
    state = {name: _sentinel_value(name, text(value)) for name, value in text_pairs(reply).items()}
    flags = state["flags"].split(",")
    return state | {name: flag in flags for name, flag in _SENTINEL_FLAGS.items()}


def sentinel_state_with_set(reply: Any, **options: Any) -> dict[str, Any]:
    """As `sentinel_state`, with the flags as a set."""
    state = sentinel_state(reply)
    state["flags"] = set(state["flags"].split(","))
    return state


def sentinel_states(reply: Any, **options: Any) -> list[dict[str, Any]]:
    return [sentinel_state(item) for item in reply]


def sentinel_states_with_sets(reply: Any, **options: Any) -> list[dict[str, Any]]:
    return [sentinel_state_with_set(item) for item in reply]


def sentinel_masters(reply: Any, **options: Any) -> dict[str, dict[str, Any]]:
    """The states by the masters' names."""
    return {state["name"]: state for state in sentinel_states(reply)}


def sentinel_masters_with_sets(reply: Any, **options: Any) -> dict[str, dict[str, Any]]:
    return {state["name"]: state for state in sentinel_states_with_sets(reply)}


def sentinel_address(reply: Any, **options: Any) -> tuple[Any, int] | None:
    return (reply[0], int(reply[1])) if reply else None


def _sentinel_value(name: str, value: Any) -> Any:
    try:
        return int(value) if name in _SENTINEL_NUMBERS else value
    except ValueError:
        return value


# -- clusters


def cluster_info(reply: Any, **options: Any) -> dict[str, str]:
    """Names and values, all of str."""
    return dict(line.split(":", 1) for line in text(reply).splitlines() if line)


def cluster_nodes(reply: Any, **options: Any) -> dict[str, dict[str, Any]]:
    """The nodes by their address; from one text, or a list with one for each."""
    lines = reply.splitlines() if isinstance(reply, (str, bytes)) else reply
    return dict(_cluster_node(text(line)) for line in lines)


def _cluster_node(line: str) -> tuple[str, dict[str, Any]]:
    node_id, where, flags, master, ping, pong, epoch, state, *slots = line.split(" ")
    address, _, bus = where.partition("@")
    hostname = bus.split(",")[1] if "," in bus else ""
    moving = [slot for slot in slots if "->-" in slot or "-<-" in slot]
    return address, {
        "node_id": node_id,
        "hostname": hostname,
        "flags": flags,
        "master_id": master,
        "last_ping_sent": ping,
        "last_pong_rcvd": pong,
        "epoch": epoch,
        "slots": [slot.split("-") for slot in slots if slot not in moving],
        "migrations": [_migration(slot) for slot in moving],
        "connected": state == "connected",
    }


def _migration(slot: str) -> dict[str, str]:
    state, arrow = ("migrating", "->-") if "->-" in slot else ("importing", "-<-")
    number, _, node_id = slot[1:-1].partition(arrow)
    return {"slot": number, "node_id": node_id, "state": state}


def cluster_links(reply: Any, **options: Any) -> list[dict[str, Any]] | None:
    return None if reply is None else [text_pairs(link) for link in reply]


def cluster_links_flat(reply: Any, **options: Any) -> list[Any] | None:
    """RESP2's shape: name, value, name ..."""
    return None if reply is None else [flatten(link) if isinstance(link, dict) else link for link in reply]


# -- functions, scripts and messages


def function_list(reply: Any, **options: Any) -> list[Any] | None:
    """RESP3's shape: dicts of dicts."""
    return None if reply is None else [_library(pairs(library), pairs) for library in reply]


def function_list_flat(reply: Any, **options: Any) -> list[Any] | None:
    """RESP2's shape: name, value, name ..."""
    if reply is None:
        return None
    return [flatten(_library(each, flatten)) if isinstance(each, dict) else each for each in reply]


def _library(library: dict[Any, Any], shape: Any) -> dict[Any, Any]:
    return {
        name: [shape(each) for each in value] if text(name) == "functions" else value
        for name, value in library.items()
    }


def bools(reply: Any) -> list[bool]:
    return [bool(item) for item in reply]


def counts(reply: Any, **options: Any) -> list[tuple[Any, int]]:
    """Channel and number of subscribers, in pairs."""
    return list(zip(reply[::2], reply[1::2], strict=False))


# -- the tables

_Table = dict[str, Callable[..., Any]]
_ALWAYS: _Table = {
    **{
        f"CLUSTER {name}": is_ok
        for name in (
            "ADDSLOTS", "ADDSLOTSRANGE", "DELSLOTS", "DELSLOTSRANGE", "FAILOVER", "FORGET", "MEET",
            "REPLICATE", "RESET", "SAVECONFIG", "SET-CONFIG-EPOCH", "SETSLOT",
        )
    },
    "CLUSTER INFO": cluster_info,
    "CLUSTER NODES": cluster_nodes,
    "CLUSTER REPLICAS": cluster_nodes,
    "CLUSTER SLAVES": cluster_nodes,
    "FUNCTION DELETE": is_ok,
    "FUNCTION FLUSH": is_ok,
    "FUNCTION RESTORE": is_ok,
    "MODULE LOAD": bool,
    "MODULE UNLOAD": bool,
    "PUBSUB NUMSUB": counts,
    "PUBSUB SHARDNUMSUB": counts,
    "SCRIPT EXISTS": bools,
    "SCRIPT FLUSH": is_ok,
    "SCRIPT KILL": is_ok,
    "SCRIPT LOAD": text,
    "SENTINEL CKQUORUM": is_ok,
    "SENTINEL FAILOVER": is_ok,
    "SENTINEL FLUSHCONFIG": is_ok,
    "SENTINEL GET-MASTER-ADDR-BY-NAME": sentinel_address,
    "SENTINEL MONITOR": is_ok,
    "SENTINEL REMOVE": is_ok,
    "SENTINEL RESET": is_ok,
    "SENTINEL SET": is_ok,
}  # fmt: skip
_FLAGS_AS_TEXT = {
    "SENTINEL MASTER": sentinel_state,
    "SENTINEL MASTERS": sentinel_masters,
    "SENTINEL SENTINELS": sentinel_states,
    "SENTINEL SLAVES": sentinel_states,
}
_FLAGS_AS_SETS = {
    "SENTINEL MASTER": sentinel_state_with_set,
    "SENTINEL MASTERS": sentinel_masters_with_sets,
    "SENTINEL SENTINELS": sentinel_states_with_sets,
    "SENTINEL SLAVES": sentinel_states_with_sets,
}
_RESP2_LEGACY: _Table = {**_ALWAYS, **_FLAGS_AS_TEXT, "CLUSTER GETKEYSINSLOT": text_list}
_RESP3_AS_RESP2: _Table = {
    **_RESP2_LEGACY,
    "CLUSTER LINKS": cluster_links_flat,
    "FUNCTION LIST": function_list_flat,
}
_RESP3_LEGACY: _Table = {**_ALWAYS, **_FLAGS_AS_SETS}
_UNIFIED: _Table = {**_RESP3_LEGACY, "CLUSTER LINKS": cluster_links, "FUNCTION LIST": function_list}


def topology_callbacks(protocol: int | None, legacy_responses: bool) -> _Table:
    """This file's part of `replies.response_callbacks`."""
    if not legacy_responses:
        return _UNIFIED
    return {None: _RESP3_AS_RESP2, 3: _RESP3_LEGACY}.get(protocol, _RESP2_LEGACY)
