"""Replies with scores: as each protocol sends them, in the shape that the client's user expects."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

Callback = Callable[..., Any]
Shape = Callable[[Any], Any]


def pairs(
    reply: Any,
    shape: Shape,
    score: Callback,
    withscores: bool = False,
    score_cast_func: Any = float,
    **_: Any,
) -> Any:
    """Members and scores, each two as a `shape`; `score` is what the casting function is given."""
    if not reply or not withscores:
        return reply
    cast = _lenient(score_cast_func)
    return [shape((member, cast(score(value)))) for member, value in _by_two(reply)]


def flat(reply: Any, withscores: bool = False, **_: Any) -> Any:
    """RESP2's shape of pairs: member, score, member ..."""
    if not reply or not withscores:
        return reply
    return [word for member, score in reply for word in (member, as_bytes(score))]


def rank(reply: Any, score: Callback, withscore: bool = False, score_cast_func: Any = float, **_: Any) -> Any:
    """The rank, with `withscore` a list of rank and score."""
    if not reply or not withscore:
        return reply
    return [reply[0], _lenient(score_cast_func)(score(reply[1]))]


def popped(reply: Any, shape: Shape, **_: Any) -> Any:
    """Key, member and score; None if the time was over."""
    return shape((reply[0], reply[1], float(reply[2]))) if reply else None


def popped_many(reply: Any, score: Callback, **_: Any) -> Any:
    """The key, and a list of members and scores."""
    return [reply[0], [[member, score(value)] for member, value in reply[1]]] if reply else reply


def scanned(reply: Any, shape: Shape, score: Callback, score_cast_func: Any = float, **_: Any) -> Any:
    """The next cursor, and members with their scores."""
    cursor, found = reply
    cast = _lenient(score_cast_func)
    return int(cursor), [shape((member, cast(score(value)))) for member, value in _by_two(found)]


def added(reply: Any, as_score: bool = False, **_: Any) -> Any:
    """How many were added, or with INCR the score; None if a condition failed."""
    return None if reply is None else float(reply) if as_score else int(reply)


def number(reply: Any, **_: Any) -> float | None:
    return None if reply is None else float(reply)


def numbers(reply: Any, **_: Any) -> list[float | None]:
    return [number(score) for score in reply]


def as_sent(score: Any) -> Any:
    return score


def as_bytes(score: Any) -> bytes:
    """A score as RESP2 sends it."""
    if isinstance(score, str):
        return score.encode()
    return score if isinstance(score, bytes) else format(float(score), ".17g").encode()


def _lenient(cast: Callback) -> Callback:
    """`int`, say, takes no b"1.5": then it is given the float."""
    if cast is float:
        return cast

    def lenient(score: Any) -> Any:
        try:
            return cast(score)
        except (TypeError, ValueError):
            return cast(float(score))

    return lenient


def _by_two(reply: list[Any]) -> Iterable[Any]:
    if reply and isinstance(reply[0], list):
        return reply
    return zip(reply[::2], reply[1::2], strict=True)


_RANGES = ("ZRANGE", "ZRANGEBYSCORE", "ZREVRANGE", "ZREVRANGEBYSCORE", "ZUNION")
_RANKS, _POPS = ("ZRANK", "ZREVRANK"), ("ZPOPMAX", "ZPOPMIN")
_BLOCKING_POPS, _MANY_POPS = ("BZPOPMAX", "BZPOPMIN"), ("ZMPOP", "BZMPOP")


def _of(shape: Shape, score: Callback) -> dict[str, Callback]:
    """The table in which every reply with scores has that shape."""
    ranges = partial(pairs, shape=shape, score=score)
    return {
        **dict.fromkeys((*_RANGES, "ZINTER"), ranges),
        **dict.fromkeys(_POPS, partial(ranges, withscores=True)),
        **dict.fromkeys(_RANKS, partial(rank, score=score)),
        **dict.fromkeys(_BLOCKING_POPS, partial(popped, shape=shape)),
    }


def sorted_set_callbacks(protocol: int | None, legacy_responses: bool) -> dict[str, Callback]:
    """This file's part of `replies.response_callbacks`."""
    numeric = {"ZADD": added, "ZINCRBY": number, "ZMSCORE": numbers, "ZSCORE": number}
    if not legacy_responses:
        found = _of(list, float)
        found |= dict.fromkeys(("ZDIFF", "ZRANDMEMBER"), found["ZRANGE"])
        if protocol == 2:
            found |= numeric | dict.fromkeys(_MANY_POPS, partial(popped_many, score=float))
        return {**found, "ZSCAN": partial(scanned, shape=list, score=float)}
    legacy_scan = {"ZSCAN": partial(scanned, shape=tuple, score=as_sent)}
    if protocol == 2:
        return {**_of(tuple, as_sent), **numeric, **legacy_scan}
    if protocol == 3:
        found = dict.fromkeys(_RANGES, partial(pairs, shape=list, score=as_sent))
        return {**found, **dict.fromkeys(_RANKS, partial(rank, score=as_sent)), **legacy_scan}
    found = _of(tuple, as_bytes) | dict.fromkeys(("ZDIFF", "ZRANDMEMBER"), flat)
    return {**found, **dict.fromkeys(_MANY_POPS, partial(popped_many, score=as_bytes)), **legacy_scan}
