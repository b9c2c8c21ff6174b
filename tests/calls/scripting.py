"""Scripts, functions, messages and the server's modules."""

from __future__ import annotations

from typing import Any

from .base import Call, call, each

SETUP = ["SCRIPT FLUSH", "FUNCTION FLUSH"]

_LUA = "return {KEYS[1], ARGV[1], 5}"
_SHA = "a" * 40
_LIBRARY = "#!lua name=lib\nredis.register_function('give', function(keys, args) return args[1] end)"

CALLS: list[Call] = [
    *each("eval eval_ro", _LUA, 1, "key", b"word"),
    *each("eval eval_ro", "return 1", 0),
    *each("evalsha evalsha_ro", _SHA, 1, "key", 2),
    call("script_exists", _SHA, "b" * 40),
    call("script_exists"),
    *each("script_flush script_kill"),
    *each("script_flush", "SYNC"),
    *each("script_flush", "ASYNC"),
    *each("script_load", _LUA),
    *each("script_load", _LUA.encode()),
    *each("fcall fcall_ro", "give", 1, "key", 2),
    *each("function_dump function_flush function_kill function_list function_stats"),
    call("function_delete", "lib"),
    call("function_flush", "ASYNC"),
    call("function_list", "l*", True),
    call("function_load", _LIBRARY),
    call("function_load", _LIBRARY, True),
    call("function_restore", b"payload"),
    call("function_restore", b"payload", "FLUSH"),
    call("publish", "channel", "message"),
    call("spublish", b"channel", 5),
    *each("pubsub_channels pubsub_shardchannels pubsub_numpat pubsub_numsub pubsub_shardnumsub"),
    *each("pubsub_channels pubsub_shardchannels", "c*"),
    *each("pubsub_numsub pubsub_shardnumsub", "a", b"b"),
    call("module_list"),
    call("module_load", "/no/module.so"),
    call("module_load", "/no/module.so", "a", 1),
    call("module_loadex", "/no/module.so"),
    call("module_loadex", "/no/module.so", ["a", "b"], ["c"]),
    call("module_loadex", "/no/module.so", [], []),
    call("module_unload", "no"),
]

WORDS_ONLY: set[str] = set()

ERRORS: list[Call] = [call("script_flush", "NOW"), *each("script_debug"), call("script_debug", "YES")]

_FLAT = [
    b"library_name", b"lib", b"engine", b"LUA",
    b"functions", [[b"name", b"give", b"description", None, b"flags", [b"no-writes"]]],
    b"library_code", b"#!lua",
]  # fmt: skip
_NESTED = {
    b"library_name": b"lib",
    b"engine": b"LUA",
    b"functions": [{b"name": b"give", b"description": None, b"flags": {b"no-writes"}}],
    b"library_code": b"#!lua",
}

REPLIES: list[tuple[str, dict[str, Any], Any, Any]] = [
    ("FUNCTION LIST", {}, [_FLAT], [_NESTED]),
    ("FUNCTION LIST", {}, [], []),
    ("FUNCTION LIST", {}, None, None),
    ("FUNCTION LIST", {}, [["functions", [["name", "give"]]]], [{"functions": [{"name": "give"}]}]),
    ("FUNCTION DELETE", {}, b"OK", b"OK"),
    ("FUNCTION RESTORE", {}, b"OK", "OK"),
    ("MODULE LOAD", {}, b"OK", b"OK"),
    ("MODULE UNLOAD", {}, b"OK", b"OK"),
    ("SCRIPT KILL", {}, b"OK", b"OK"),
    ("SCRIPT EXISTS", {}, [1, 0], [1, 0]),
    ("PUBSUB NUMSUB", {}, [b"a", 1, b"b", 0], [b"a", 1, b"b", 0]),
]
