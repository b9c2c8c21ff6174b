"""Sorted sets."""

from __future__ import annotations

from itertools import product
from typing import Any

from .base import Call, call, each

SETUP = [
    "ZADD z 1 a 2.5 b 3 c 1e300 d -inf e",
    "ZADD y 0.1 a 20 c 3 x",
    "ZADD lex 0 a 0 b 0 c 0 d",
]

_CASTS: list[dict[str, Any]] = [
    {},
    {"score_cast_func": int},
    {"score_cast_func": str},
    {"score_cast_func": repr},
]
_SMALL = ("y", 0, -1)

_ADDING = [
    call("zadd", "z", {"a": 5}),
    call("zadd", "z", {"a": 5, b"n": 1.5, "m": "inf"}),
    *[call("zadd", "z", {"a": 5, "n": 1}, **{name: True}) for name in ("nx", "xx", "ch", "gt", "lt")],
    call("zadd", "z", {"a": 5}, incr=True),
    call("zadd", "z", {"a": 5}, incr=True, nx=True),
    call("zadd", "z", {"a": 5}, xx=True, ch=True, gt=True),
    call("zadd", "z", {"a": 5}, False, False, True, False, False, True),
    call("zincrby", "z", 1.5, "a"),
    call("zincrby", "z", -2, "new"),
]

_LOOKING = [
    *each("zcard zpopmax zpopmin zrandmember", "z"),
    *each("zcard zpopmax zpopmin zrandmember", "none"),
    call("zcount", "z", 1, 3),
    call("zcount", "z", "-inf", "(3"),
    call("zlexcount", "lex", "-", "[c"),
    *each("zpopmax zpopmin", "y", 2),
    *each("zpopmax zpopmin", "y", 0),
    *each("zpopmax zpopmin", "y", count=1),
    call("zrandmember", "y", 10),
    call("zrandmember", "y", 10, withscores=True),
    call("zrandmember", "y", withscores=False),
    *[
        call(name, "y", "c", **options)
        for name in ("zrank", "zrevrank")
        for options in ({}, *({"withscore": True, **cast} for cast in _CASTS))
    ],
    *each("zrank zrevrank", "y", "none", withscore=True),
    *each("zrank zrevrank", "none", "none"),
    *each("zscore", "z", "b"),
    *each("zscore", "z", "none"),
    call("zmscore", "z", ["a", "none", "d"]),
    call("zscan", "y"),
    *[call("zscan", "y", 0, "*", 10, **cast) for cast in _CASTS],
    call("zscan", "y", cursor=0, match="a"),
    call("zscan_iter", "y", "*", 10),
    call("zscan_iter", "y", score_cast_func=int),
]

_TAKING = [
    *each("bzpopmax bzpopmin", ["none", "z"], 1),
    *each("bzpopmax bzpopmin", "z", None),
    *each("bzpopmax bzpopmin", "none", 0.01),
    call("bzpopmin", ("z", "y"), timeout=2),
    call("zmpop", 2, ["none", "y"], min=True),
    call("zmpop", 1, ["y"], max=True, count=2),
    call("zmpop", 1, ["none"], True),
    call("bzmpop", 1, 2, ["none", "y"], min=True),
    call("bzmpop", 1, 1, ["y"], max=True, count=2),
    call("bzmpop", 0.01, 1, ["none"], max=True),
    call("zrem", "z", "a", "none"),
    call("zremrangebylex", "lex", "[a", "(c"),
    call("zremrangebyrank", "z", 0, 1),
    call("zremrangebyscore", "z", "-inf", 3),
]

_RANGES = [
    *each("zrange zrevrange", *_SMALL),
    *each("zrange zrevrange", "none", 0, -1, withscores=True),
    *[
        call(name, *_SMALL, withscores=True, **cast)
        for name, cast in product(("zrange", "zrevrange"), _CASTS)
    ],
    call("zrange", *_SMALL, desc=True),
    call("zrange", *_SMALL, True, True),
    call("zrange", *_SMALL, desc=True, withscores=True, score_cast_func=int),
    call("zrange", "y", 0, "(20", byscore=True),
    call("zrange", "y", 20, 0, desc=True, byscore=True, withscores=True),
    call("zrange", "y", 0, 50, byscore=True, offset=1, num=2),
    call("zrange", "y", 0, 50, byscore=True, offset=0, num=0),
    call("zrange", "lex", "-", "+", bylex=True),
    call("zrange", "lex", "+", "-", desc=True, bylex=True, offset=1, num=2),
    call("zrangestore", "dest", *_SMALL),
    call("zrangestore", "dest", "y", 0, 50, byscore=True, offset=1, num=1),
    call("zrangestore", "dest", "lex", "+", "-", bylex=True, desc=True),
    call("zrangebylex", "lex", "-", "(c"),
    call("zrangebylex", "lex", "-", "+", 1, 2),
    call("zrevrangebylex", "lex", "+", "-"),
    call("zrevrangebylex", "lex", "+", "-", start=0, num=1),
    *[call("zrangebyscore", "y", 0, 50, withscores=True, **cast) for cast in _CASTS],
    *[call("zrevrangebyscore", "y", 50, 0, withscores=True, **cast) for cast in _CASTS],
    call("zrangebyscore", "z", "-inf", "+inf"),
    call("zrangebyscore", "y", 0, 50, 1, 1),
    call("zrevrangebyscore", "y", 50, 0, start=0, num=2),
    call("zrangebyscore", "z", 0, 5, withscores=True),
]

_COMBINED = [
    call("zdiff", ["z", "y"]),
    call("zdiff", ["y", "none"], withscores=True),
    call("zdiffstore", "dest", ["z", "y"]),
    call("zdiff", {"z": 1, "y": 2}),
    call("zdiffstore", "dest", {"z": 1, "y": 2}),
    *each("zinter zunion", ["z", "y"]),
    *each("zinter zunion", ("z", "y"), withscores=True),
    *each("zinter zunion", {"y": 2, "lex": 0.5}, "max", True),
    *each("zinter zunion", ["z", "y"], aggregate="MIN"),
    call("zunion", ["y", "lex"], withscores=True, score_cast_func=int),
    *each("zinterstore zunionstore", "dest", ["z", "y"]),
    *each("zinterstore zunionstore", "dest", {"z": 1, "y": 2}, "SUM"),
    call("zintercard", 2, ["z", "y"]),
    call("zintercard", 2, ["z", "y"], limit=1),
]

CALLS: list[Call] = [*_ADDING, *_LOOKING, *_TAKING, *_RANGES, *_COMBINED]
WORDS_ONLY: set[str] = set()
ERRORS: list[Call] = [
    call("zadd", "z", {}),
    call("zadd", "z", {"a": 1}, nx=True, xx=True),
    call("zadd", "z", {"a": 1}, gt=True, lt=True),
    call("zadd", "z", {"a": 1}, nx=True, gt=True),
    call("zadd", "z", {"a": 1}, nx=True, lt=True),
    call("zadd", "z", {"a": 1, "b": 2}, incr=True),
    call("zmpop", 1, ["z"]),
    call("zmpop", 1, ["z"], min=True, max=True),
    call("bzmpop", 1, 1, ["z"]),
    call("bzmpop", 1, 1, ["z"], min=True, max=True),
    call("zrange", "z", 0, 1, byscore=True, bylex=True),
    call("zrange", "z", 0, 1, offset=1),
    call("zrange", "z", 0, 1, byscore=True, num=1),
    call("zrange", "z", "-", "+", bylex=True, withscores=True),
    call("zrangestore", "d", "z", 0, 1, offset=1),
    *each("zrangebylex zrevrangebylex zrangebyscore zrevrangebyscore", "z", 0, 1, start=1),
    *each("zrangebylex zrevrangebylex zrangebyscore zrevrangebyscore", "z", 0, 1, num=1),
    *each("zinter zunion", ["z"], "avg"),
    call("zmscore", "z", []),
]  # fmt: skip
REPLIES: list[tuple[str, dict[str, Any], Any, Any]] = [
    ("ZPOPMIN", {}, [b"a", b"1"], [b"a", 1.0]),
    ("ZPOPMIN", {}, [], []),
    ("ZADD", {"as_score": True}, None, None),
    ("ZRANGE", {"withscores": True}, [b"a", b"inf"], [[b"a", float("inf")]]),
]
