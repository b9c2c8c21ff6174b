"""Arrays, which no server at hand knows."""

from __future__ import annotations

from typing import Any

from redis.commands.core import ArrayAggregateOperations, ArrayPredicateCombinator, ArrayPredicateType

from .base import Call, call, each

SETUP: list[str] = []
CALLS: list[Call] = [
    call("arset", "a", 0, "x", b"y"),
    call("armset", "a", {0: "x", 5: "y"}),
    call("arget", "a", 1),
    call("armget", "a", 1, 2),
    call("argetrange", "a", 0, 9),
    call("arscan", "a", 0, 9),
    call("arscan", "a", 0, 9, 5),
    call("arscan", "a", 0, 9, limit=0),
    call("argrep", "a", 0, 9, [(ArrayPredicateType.EXACT, "x")]),
    call(
        "argrep", "a", 0, 9, [(ArrayPredicateType.GLOB, "x*"), (ArrayPredicateType.RE, "y")],
        ArrayPredicateCombinator.OR, limit=3, withvalues=True, nocase=True,
    ),
    call("ardel", "a", 1, 2),
    call("ardelrange", "a", (0, 1), (5, 9)),
    *each("arcount arlen arnext arinfo", "a"),
    call("arinfo", "a", full=True),
    call("arseek", "a", 5),
    call("arinsert", "a", "x", "y"),
    call("arring", "a", 10, "x", "y"),
    call("arlastitems", "a", 3),
    call("arlastitems", "a", 3, rev=True),
    call("arop", "a", 0, 9, ArrayAggregateOperations.SUM),
    call("arop", "a", 0, 9, ArrayAggregateOperations.MATCH, "x"),
]  # fmt: skip
WORDS_ONLY: set[str] = set()
ERRORS: list[Call] = []
REPLIES: list[tuple[str, dict[str, Any], Any, Any]] = [
    ("ARINFO", {}, [b"length", 3, b"kind", b"dense"], {b"length": 3, b"kind": b"dense"}),
]
