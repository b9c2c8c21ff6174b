"""What is known of each command agrees with what the servers tell of it, and redis-py with where it goes."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from command_lines import Command, commands  # type: ignore[import-not-found]
from redis.cluster import RedisCluster

from greenredis import traits
from greenredis.command_table import REFUSALS
from greenredis.testing import Server
from greenredis.testing.pytest_plugin import heal
from greenredis.traits import Join, Route, Traits, Where, route_of, traits_of

# Read-only to the server, but sent for what it changes.
FLAGGED_BUT_NOT_READ = {"TOUCH"}
# These answer without reading keys, and have no flag.
CONTAINERS_THAT_READ = {
    "ACL", "CLIENT", "CLUSTER", "COMMAND", "COMMANDLOG", "CONFIG", "FUNCTION", "LATENCY", "MEMORY", "MODULE",
    "OBJECT", "PUBSUB", "SCRIPT", "SLOWLOG", "XGROUP", "XINFO",
}  # fmt: skip
READ_WITHOUT_FLAG = {"COMMAND", "ECHO", "INFO", "LASTSAVE", "PING", "ROLE", "TIME"}

# No server of the three knows them: of Redis 8.4 and later, of Redis 6, or of some builds only.
OF_OTHER_SERVERS = """
    ARCOUNT ARDEL ARDELRANGE ARGET ARGETRANGE ARGREP ARINFO ARINSERT ARLASTITEMS ARLEN ARMGET ARMSET ARNEXT
    AROP ARRING ARSCAN ARSEEK ARSET BLMOVEM CLUSTER|MIGRATION DELEX DIGEST HIMPORT|DISCARD HIMPORT|DISCARDALL
    HIMPORT|PREPARE HIMPORT|SET HOTKEYS|GET HOTKEYS|HELP HOTKEYS|RESET HOTKEYS|START HOTKEYS|STOP INCREX
    LMOVEM SDIFFCARD SFLUSH STRALGO SUNIONCARD TRIMSLOTS VRANGE XCFGSET XNACK
""".split()
# Modules that are not started here, and Sentinel.
ELSEWHERE = ("BF.", "CF.", "CMS.", "FT.", "JSON.", "SENTINEL|", "TDIGEST.", "TOPK.", "TS.")

# The tips say all nodes, or nothing.
ROUTED_OTHERWISE = {
    **dict.fromkeys(("CLIENT|SETINFO", "CLIENT|SETNAME"), "about one connection, which is closed afterwards"),
    **dict.fromkeys(
        (
            "CLUSTER|COUNTKEYSINSLOT", "CLUSTER|DELSLOTS", "CLUSTER|DELSLOTSRANGE", "CLUSTER|GETKEYSINSLOT",
            "CLUSTER|SETSLOT",
        ),
        "the node of that slot, as in redis-py",
    ),
}  # fmt: skip
# Redis 7.0 tells nothing of these, or what later servers tell otherwise.
CORRECTED_SINCE_REDIS_7 = {
    "ACL|DELUSER", "ACL|SAVE", "ACL|SETUSER", "CONFIG|RESETSTAT", "CONFIG|REWRITE", "LATENCY|RESET", "MSETNX",
    "RANDOMKEY",
}  # fmt: skip
# redis-py sends these to its default node; here the servers' tips count.
ON_ONE_NODE_IN_REDIS_PY = {
    "ACL DELUSER", "ACL SAVE", "ACL SETUSER", "CONFIG RESETSTAT", "CONFIG REWRITE", "CONFIG SET", "DBSIZE",
    "KEYS", "LATENCY RESET", "MEMORY PURGE", "PING", "SLOWLOG GET", "SLOWLOG LEN", "SLOWLOG RESET", "WAIT",
    "WAITAOF",
}  # fmt: skip
# redis-py sends these to all primaries: the same functions are on all; replicas run scripts too.
ON_PRIMARIES_IN_REDIS_PY = {"FUNCTION LIST": "any", "SCRIPT FLUSH": "all_nodes", "SCRIPT LOAD": "all_nodes"}
# Of a module that is no more.
UNKNOWN_HERE = {"TFCALL", "TFCALLASYNC", "TFUNCTION DELETE", "TFUNCTION LIST", "TFUNCTION LOAD"}


@pytest.fixture(params=["valkey", "redis_server", "redis8"])
def each_server(request: pytest.FixtureRequest) -> Server:
    """Each that there is, whatever servers are chosen: together they know all commands."""
    return heal(request.getfixturevalue(request.param))


def names_in_table() -> list[str]:
    return [name for *_, names in traits._lines() for name in names]


def test_traits_agree_with_the_servers_own_table(each_server: Server) -> None:
    wrong = []
    for name, command in commands(each_server.port).items():
        found = traits_of(name.split("|"))
        if found.read_only != may_be_read_only(command, found):
            wrong.append(f"{name} read_only={found.read_only}, flags {command.flags}")
        if "blocking" in command.flags and not found.blocking and name not in traits._WAIT_BY_OPTION:
            wrong.append(f"{name} blocks")
        if name not in names_in_table():
            wrong.append(f"{name} is not known")
    assert wrong == []


def may_be_read_only(command: Command, found: Traits) -> bool:
    container, _, subcommand = command.name.partition("|")
    without_flag = container in CONTAINERS_THAT_READ if subcommand else container in READ_WITHOUT_FLAG
    if without_flag and not command.flags & {"readonly", "write"}:
        return found.read_only
    return "readonly" in command.flags and container not in FLAGGED_BUT_NOT_READ


def test_what_no_server_of_the_three_knows(valkey: Server, redis_server: Server, redis8: Server) -> None:
    told = {name for server in (valkey, redis_server, redis8) for name in commands(heal(server).port)}
    unknown = {name for name in names_in_table() if not name.startswith(ELSEWHERE)} - told
    assert unknown == set(OF_OTHER_SERVERS)


def test_routes_agree_with_the_servers_tips(each_server: Server) -> None:
    told = commands(each_server.port)
    otherwise = {
        name for name, command in told.items() if tuple(route_of(name.split("|"))) != route_told(command)
    }
    is_old = each_server.info("server")["redis_version"].startswith("7.0.")
    allowed = {*ROUTED_OTHERWISE, *(CORRECTED_SINCE_REDIS_7 if is_old else ())}
    assert otherwise <= allowed
    assert is_old or allowed & told.keys() == otherwise


def route_told(command: Command) -> tuple[str, str]:
    request, response = command.tips.get("request_policy"), command.tips.get("response_policy")
    if request in ("all_shards", "all_nodes"):
        if response == "special":  # nobody says how to join them: one node's, as in redis-py
            return "any", ""
        return ("all_primaries" if request == "all_shards" else request), response or "chained"
    if request == "multi_shard":
        return "slots", response or "by_key"
    if request == "special":
        return "special", "special"
    return ("slot" if command.has_keys else "any"), ""


def test_routes_agree_with_redis_py() -> None:
    ours = {"default-node": "any", "random": "any", "primaries": "all_primaries", "slot-id": "slot_number"}
    wrong = {
        name: route_of(name.split()).where
        for name, flag in RedisCluster.COMMAND_FLAGS.items()
        if route_of([name]).where != ours[flag]
    }
    assert wrong.pop("SCAN") == "special"  # it goes from one primary to the next
    assert {name for name in wrong if wrong[name] == "slot"} == UNKNOWN_HERE
    assert {name: where for name, where in wrong.items() if name in ON_PRIMARIES_IN_REDIS_PY} == (
        ON_PRIMARIES_IN_REDIS_PY
    )
    assert wrong.keys() - UNKNOWN_HERE - ON_PRIMARIES_IN_REDIS_PY.keys() == ON_ONE_NODE_IN_REDIS_PY


@pytest.mark.parametrize(
    ("words", "route"),
    [
        (["GET", "a"], Route("slot")),
        ([b"mget", b"a"], Route("slots", "by_key")),
        (["EVAL", "script", 0], Route("slot")),
        (["script load", "x"], Route("all_nodes", "all_succeeded")),
        ([b"SCRIPT", b"exists", "x"], Route("all_primaries", "agg_logical_and")),
        (["FT.CURSOR", "READ", "index", 1], Route("special")),
        (["NOSUCH", "a"], Route("slot")),
        (["CLUSTER", "NOSUCH"], Route("any")),
        (["CONFIG"], Route("any")),
        (["COMMAND"], Route("any")),
    ],
)
def test_routes(words: list[Any], route: Route) -> None:
    assert route_of(words) == route


def test_what_blocks_or_changes_its_connection_is_never_shared() -> None:
    assert traits.traits_of(("GET",)).read_only  # the tables are read when first asked for
    for found in (*traits._BY_NAME.values(), *traits._BY_SUBCOMMAND.values()):
        assert found.shareable != bool(found.blocking or found.state or found.refused)
        assert not (found.read_only and (found.state or found.refused))


def test_no_name_stands_twice() -> None:
    assert sorted(names_in_table()) == sorted(set(names_in_table()))


def test_all_refusals_are_used_and_all_policies_are_known() -> None:
    used = {does.partition("refused=")[2] for does, *_ in traits._lines() if "refused=" in does}
    assert used == set(REFUSALS)
    for row in traits._rows().values():
        assert row.route.where in get_args(Where) and row.route.join in get_args(Join)


@pytest.mark.parametrize(
    "words",
    [
        ["CONFIG", "GET", "x"], ["config get", "x"], [b"Config Get"], [b"CONFIG", b"get"],
        [bytearray(b"config"), memoryview(b"get")], ["GET"], [b"GET"], ["get"], [bytearray(b"gEt")],
    ],
)  # fmt: skip
def test_names_in_any_form(words: list[Any]) -> None:
    assert traits_of(words)[:5] == Traits(read_only=True, shareable=True)[:5]


def test_what_is_not_known_is_not_shared() -> None:
    for words in (["NOSUCH"], ["CONFIG", "NOSUCH"], ["CONFIG"], [""], [5], [b"\xff"]):
        assert traits_of(words)[:5] == Traits()[:5]
    assert traits_of(["CLIENT", "NOSUCH"]).state
    assert traits_of(["NOSUCH"]).is_fixed
    assert not traits_of(["CONFIG", "GET"]).is_fixed
    assert traits_of(["GET"]).is_fixed


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("GET key", None),
        ("BLPOP key 0", 0.0),
        ("BLPOP a b 1.5", 1.5),
        ("blpop a b 2", 2.0),
        ("BLPOP key -1", None),
        ("BLPOP key x", None),
        ("BLPOP key inf", None),
        ("BLPOP", None),
        ("BRPOPLPUSH a b 3", 3.0),
        ("BLMOVE a b LEFT RIGHT 4", 4.0),
        ("BLMOVEM a b LEFT RIGHT 5 COUNT 2 OBO", 5.0),
        ("BLMPOP 6 1 key LEFT COUNT 2", 6.0),
        ("BZMPOP 7 1 key MIN", 7.0),
        ("BZPOPMIN a b 8", 8.0),
        ("WAIT 1 1500", 1.5),
        ("WAIT 1 0", 0.0),
        ("WAITAOF 1 0 2500", 2.5),
        ("XREAD STREAMS a 0", None),
        ("XREAD STREAMS BLOCK 0", None),
        ("XREAD COUNT 5 STREAMS a 0", None),
        ("XREAD COUNT 5 BLOCK 1500 STREAMS a $", 1.5),
        ("xread block 0 streams a $", 0.0),
        ("TS.READ BLOCK 0 MAX_COUNT 5", None),
        ("TS.READ key 0 BLOCK 1500 1", 1.5),
        ("XREADGROUP GROUP BLOCK me COUNT 1 STREAMS a >", None),
        ("XREADGROUP GROUP g STREAMS COUNT 1 BLOCK 250 NOACK STREAMS a >", 0.25),
    ],
)
def test_how_long_words_block(line: str, seconds: float | None) -> None:
    for words in (line.split(), line.encode().split()):
        found = traits_of(words)
        assert found.block_seconds(words) == seconds
        assert not (found.shareable and seconds is not None)


def test_numbers_as_words() -> None:
    assert traits_of(("BLPOP", "key", 3)).block_seconds(("BLPOP", "key", 3)) == 3.0
    words = ("XREAD", "BLOCK", 1500, "STREAMS", "a", "$")
    assert traits_of(words).block_seconds(words) == 1.5


@pytest.mark.parametrize(
    ("line", "way"),
    [
        ("MULTI", "pipeline()"),
        ("exec", "single_connection_client"),
        ("SELECT 1", "Redis(db=...)"),
        ("SUBSCRIBE a", "pubsub()"),
        ("SUNSUBSCRIBE", "pubsub()"),
        ("MONITOR", "monitor()"),
        ("CLIENT REPLY OFF", "get_connection()"),
        ("WAITAOF 1 1 0", "pipeline()"),
    ],
)
def test_refusals_name_the_right_way(line: str, way: str) -> None:
    assert way in (traits_of(line.split()).refused or "")


@pytest.mark.parametrize(
    "line",
    [
        "AUTH x",
        "HELLO 3",
        "CLIENT TRACKING ON",
        "CLIENT SETNAME x",
        "READONLY",
        "WATCH a",
        "SCRIPT DEBUG YES",
        "DEBUG SLEEP 1",
    ],
)
def test_commands_that_change_their_connection(line: str) -> None:
    assert traits_of(line.split()).state


@pytest.mark.parametrize(
    "line", ["EVAL x 0", "SCRIPT LOAD x", "FUNCTION LOAD x", "GETEX a", "PUBLISH a b", "TOUCH a"]
)
def test_what_is_not_sent_again(line: str) -> None:
    assert not traits_of(line.split()).read_only
    assert traits_of(line.split()).shareable
