"""Administration of cluster nodes and sentinels."""

from __future__ import annotations

from typing import Any

from .base import Call, call, each

SETUP: list[str] = []

CALLS: list[Call] = [
    *each("readonly readwrite"),
    *each("cluster", "info"),
    call("cluster", "addslots", 1, 2),
    call("cluster", "GETKEYSINSLOT", 1, 10),
    call("cluster", "setslot", 1, "NODE", "a" * 40),
    *each("sentinel_masters sentinel_flushconfig"),
    *each("sentinel_get_master_addr_by_name sentinel_master sentinel_sentinels", "main"),
    *each("sentinel_get_master_addr_by_name sentinel_master sentinel_sentinels", "main", True),
    *each("sentinel_slaves sentinel_remove sentinel_reset sentinel_failover sentinel_ckquorum", "main"),
    call("sentinel_monitor", "main", "127.0.0.1", 6379, 2),
    call("sentinel_set", "main", "quorum", 3),
]

# What changes the state of the connection, which the next calls use.
WORDS_ONLY: set[str] = {"readonly", "readwrite"}

ERRORS: list[Call] = []

_MASTER = {
    b"name": b"main", b"ip": b"127.0.0.1", b"port": b"6379", b"runid": b"a1",
    b"flags": b"master,s_down,o_down",
    b"link-pending-commands": b"0", b"last-ping-sent": b"0", b"last-ok-ping-reply": b"12",
    b"down-after-milliseconds": b"30000", b"info-refresh": b"none", b"role-reported": b"master",
    b"num-slaves": b"1", b"num-other-sentinels": b"2", b"quorum": b"2",
}  # fmt: skip
_REPLICA = {
    b"name": b"127.0.0.1:6380", b"flags": b"slave,disconnected,master_down", b"master-link-down-time": b"0",
    b"slave-priority": b"100", b"slave-repl-offset": b"76660", b"master-host": b"127.0.0.1",
    b"master-port": b"6379", b"replica-announced": b"1",
}  # fmt: skip
_SENTINEL = {b"name": b"s1", b"flags": b"sentinel", b"voted-leader": b"?", b"voted-leader-epoch": b"0"}
_INFO = b"cluster_state:ok\r\ncluster_slots_assigned:16384\r\n\r\ncluster_my_epoch:2\r\n"
_NODES = (
    b"1a 127.0.0.1:7001@17001,host1,shard-id=9 myself,master - 0 0 1 connected 0-5 7 [8->-2b] [9-<-3c]\n"
    b"2b 127.0.0.1:7002@17002 slave 1a 0 1426238317239 4 disconnected\n"
    b"3c [::1]:7003 master - 5 6 3 connected\n"
)
_LINK = {b"direction": b"to", b"node": b"2b", b"create-time": 1639442739375, b"events": b"rw"}


def _flat(state: dict[bytes, Any]) -> list[Any]:
    return [word for pair in state.items() for word in pair]


def _texts(state: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in state.items()}


REPLIES: list[tuple[str, dict[str, Any], Any, Any]] = [
    ("SENTINEL GET-MASTER-ADDR-BY-NAME", {"once": True}, [b"127.0.0.1", b"6379"], [b"::1", b"6379"]),
    ("SENTINEL GET-MASTER-ADDR-BY-NAME", {"return_responses": True}, None, None),
    ("SENTINEL MASTER", {}, _flat(_MASTER), _MASTER),
    ("SENTINEL MASTER", {"return_responses": True}, _flat(_REPLICA), _REPLICA),
    ("SENTINEL MASTER", {}, ["flags", "master", "port", "x"], _texts(_MASTER)),
    ("SENTINEL MASTERS", {}, [_flat(_MASTER)], [_MASTER]),
    ("SENTINEL MASTERS", {}, [], []),
    ("SENTINEL SENTINELS", {}, [_flat(_SENTINEL)], [_SENTINEL]),
    ("SENTINEL SLAVES", {}, [_flat(_REPLICA), _flat(_REPLICA)], [_REPLICA]),
    ("SENTINEL SLAVES", {}, [], []),
    *[
        (f"SENTINEL {name}", {}, b"OK", "OK")
        for name in ("FAILOVER", "FLUSHCONFIG", "MONITOR", "REMOVE", "SET")
    ],
    ("SENTINEL RESET", {"once": True}, 1, 0),
    ("SENTINEL CKQUORUM", {"once": True}, b"OK 3 usable Sentinels.", b"OK"),
    ("CLUSTER INFO", {}, _INFO, _INFO.decode()),
    ("CLUSTER NODES", {}, _NODES, _NODES.decode()),
    ("CLUSTER REPLICAS", {}, _NODES.splitlines(), _NODES.decode().splitlines()),
    ("CLUSTER SLAVES", {}, [], _NODES.splitlines()[1:]),
    ("CLUSTER LINKS", {}, [_flat(_LINK)], [_LINK]),
    ("CLUSTER LINKS", {}, None, None),
    ("CLUSTER GETKEYSINSLOT", {}, [b"a", b"b"], [b"a", b"b"]),
    *[
        (f"CLUSTER {name}", {}, b"OK", b"OK")
        for name in (
            "ADDSLOTS", "ADDSLOTSRANGE", "DELSLOTS", "DELSLOTSRANGE", "FAILOVER", "FORGET", "MEET",
            "REPLICATE", "RESET", "SAVECONFIG", "SET-CONFIG-EPOCH", "SETSLOT",
        )
    ],
]  # fmt: skip
