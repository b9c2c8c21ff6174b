"""Sorted sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..exceptions import DataError
from .options import Commands, Key, Keys, Pattern, Word, exclude, list_or_args, options

Bound = float | str
Cast = type | Callable[..., Any]
Weighted = Sequence[Key] | Mapping[Any, float]


class SortedSetCommands(Commands):
    """Members with scores, in the order of their scores; equal ones in the order of their bytes.

    `withscores` gives each member with its score, made of the server's by `score_cast_func`.  Bounds of
    scores are numbers, "(1" without the end itself, "-inf" and "+inf"; those of members "[a", "(a", "-", "+".
    """

    def zadd(
        self,
        name: Key,
        mapping: Mapping[Any, Word],
        nx: bool = False,
        xx: bool = False,
        ch: bool = False,
        incr: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> Any:
        """How many members were new; with `ch` how many were changed, with `incr` the new score.

        `mapping`: scores by member.  `nx` only adds, `xx` only updates; `gt` and `lt` only raise, or lower,
        a score.  `incr` adds to one member's score; None if a condition failed.
        """
        if not mapping:
            raise DataError("ZADD needs at least one member and its score")
        if incr and len(mapping) != 1:
            raise DataError("incr is for a single member and its score")
        exclude(nx=nx, xx=xx)
        exclude(gt=gt, lt=lt)
        exclude(nx=nx, gt=gt)
        exclude(nx=nx, lt=lt)
        words = options(NX=bool(nx), XX=bool(xx), CH=bool(ch), INCR=bool(incr), GT=bool(gt), LT=bool(lt))
        words += [word for member, score in mapping.items() for word in (score, member)]
        if incr:
            return self.execute_command("ZADD", name, *words, as_score=True)
        return self.execute_command("ZADD", name, *words)

    def zcard(self, name: Key) -> int:
        """How many members there are."""
        return self.execute_command("ZCARD", name)

    def zcount(self, name: Key, min: Bound, max: Bound) -> int:
        """How many members have a score from `min` to `max`."""
        return self.execute_command("ZCOUNT", name, min, max)

    def zdiff(self, keys: Keys, withscores: bool = False) -> Any:
        """The first one's members that are in none of the others."""
        return self._combine("ZDIFF", [], [*keys], withscores=withscores)

    def zdiffstore(self, dest: Key, keys: Keys) -> int:
        """How many members `zdiff` gives, stored at `dest`."""
        return self._combine("ZDIFFSTORE", [dest], [*keys])  # type: ignore[no-any-return]

    def zincrby(self, name: Key, amount: float, value: Word) -> float:
        """The member's score after adding `amount`."""
        return self.execute_command("ZINCRBY", name, amount, value)

    def zinter(self, keys: Keys, aggregate: str | None = None, withscores: bool = False) -> Any:
        """The members that are in all; `keys`: also a dict with the weight of each one's scores.

        `aggregate`: SUM, MIN, MAX or COUNT of the scores.
        """
        return self._combine("ZINTER", [], keys, aggregate, withscores)

    def zinterstore(self, dest: Key, keys: Weighted, aggregate: str | None = None) -> int:
        """How many members `zinter` gives, stored at `dest`."""
        return self._combine("ZINTERSTORE", [dest], keys, aggregate)  # type: ignore[no-any-return]

    def zintercard(self, numkeys: int, keys: list[str], limit: int = 0) -> int:
        """How many members are in all, counted up to `limit` (0: all)."""
        return self.execute_command("ZINTERCARD", numkeys, *keys, "LIMIT", limit)

    def zlexcount(self, name: Key, min: Word, max: Word) -> int:
        """How many members are from `min` to `max`, where all scores are equal."""
        return self.execute_command("ZLEXCOUNT", name, min, max)

    def zpopmax(self, name: Key, count: int | None = None) -> Any:
        """The members with the highest scores, one or up to `count`, with the scores, removed."""
        return self.execute_command("ZPOPMAX", name, *([] if count is None else [count]), withscores=True)

    def zpopmin(self, name: Key, count: int | None = None) -> Any:
        """As `zpopmax`, with the lowest scores."""
        return self.execute_command("ZPOPMIN", name, *([] if count is None else [count]), withscores=True)

    def zrandmember(self, key: Key, count: int | None = None, withscores: bool = False) -> Any:
        """A random member, or a list of up to `count`; if negative, of as many, perhaps repeated."""
        words = ([] if count is None else [count]) + options(WITHSCORES=bool(withscores))
        return self.execute_command("ZRANDMEMBER", key, *words, withscores=withscores)

    def bzpopmax(self, keys: Keys, timeout: float | None = 0) -> Any:
        """Key, member and score: the highest of the first that has any; None if the time is over."""
        return self.execute_command("BZPOPMAX", *list_or_args(keys, None), 0 if timeout is None else timeout)

    def bzpopmin(self, keys: Keys, timeout: float | None = 0) -> Any:
        """As `bzpopmax`, the lowest."""
        return self.execute_command("BZPOPMIN", *list_or_args(keys, None), 0 if timeout is None else timeout)

    def zmpop(
        self,
        num_keys: int,
        keys: list[str],
        min: bool | None = False,
        max: bool | None = False,
        count: int | None = 1,
    ) -> Any:
        """Key and up to `count` members with the lowest (`min`) or highest (`max`) scores, removed."""
        words = ["COUNT", count] if count != 1 else []
        return self.execute_command("ZMPOP", num_keys, *keys, _end(min, max), *words)

    def bzmpop(
        self,
        timeout: float,
        numkeys: int,
        keys: list[str],
        min: bool | None = False,
        max: bool | None = False,
        count: int | None = 1,
    ) -> Any:
        """As `zmpop`; None if the time is over."""
        return self.execute_command("BZMPOP", timeout, numkeys, *keys, _end(min, max), "COUNT", count)

    def zrange(
        self,
        name: Key,
        start: Word,
        end: Word,
        desc: bool = False,
        withscores: bool = False,
        score_cast_func: Cast = float,
        byscore: bool = False,
        bylex: bool = False,
        offset: int | None = None,
        num: int | None = None,
    ) -> Any:
        """The members from rank `start` to `end`, both included; negative ones count from the end.

        `byscore`: from score `start` to `end`; `bylex`: from member to member.  `desc`: in reverse order.
        `offset` and `num`: only `num` of them, without the first `offset`.
        """
        if desc and not (byscore or bylex) and offset is None and num is None:
            return self.zrevrange(name, start, end, withscores, score_cast_func)  # type: ignore[arg-type]
        exclude(bylex=bylex, withscores=withscores)
        words = [*_range(byscore, bylex, desc, offset, num), *options(WITHSCORES=bool(withscores))]
        return self.execute_command(
            "ZRANGE", name, start, end, *words, withscores=withscores, score_cast_func=score_cast_func
        )

    def zrevrange(
        self, name: Key, start: int, end: int, withscores: bool = False, score_cast_func: Cast = float
    ) -> Any:
        """As `zrange`, from the highest score down."""
        words = options(WITHSCORES=bool(withscores))
        return self.execute_command(
            "ZREVRANGE", name, start, end, *words, withscores=withscores, score_cast_func=score_cast_func
        )

    def zrangestore(
        self,
        dest: Key,
        name: Key,
        start: Word,
        end: Word,
        byscore: bool = False,
        bylex: bool = False,
        desc: bool = False,
        offset: int | None = None,
        num: int | None = None,
    ) -> int:
        """How many members `zrange` gives, stored at `dest`."""
        words = _range(byscore, bylex, desc, offset, num)
        return self.execute_command("ZRANGESTORE", *([dest] if dest else []), name, start, end, *words)

    def zrangebylex(
        self, name: Key, min: Word, max: Word, start: int | None = None, num: int | None = None
    ) -> list[Any]:
        """The members from `min` to `max`, where all scores are equal; `start` and `num` limit them."""
        return self.execute_command("ZRANGEBYLEX", name, min, max, *_limit(start, num))

    def zrevrangebylex(
        self, name: Key, max: Word, min: Word, start: int | None = None, num: int | None = None
    ) -> list[Any]:
        """As `zrangebylex`, from `max` down."""
        return self.execute_command("ZREVRANGEBYLEX", name, max, min, *_limit(start, num))

    def zrangebyscore(
        self,
        name: Key,
        min: Bound,
        max: Bound,
        start: int | None = None,
        num: int | None = None,
        withscores: bool = False,
        score_cast_func: Cast = float,
    ) -> Any:
        """The members with a score from `min` to `max`; `start` and `num` limit them."""
        words = [*_limit(start, num), *options(WITHSCORES=bool(withscores))]
        return self.execute_command(
            "ZRANGEBYSCORE", name, min, max, *words, withscores=withscores, score_cast_func=score_cast_func
        )

    def zrevrangebyscore(
        self,
        name: Key,
        max: Bound,
        min: Bound,
        start: int | None = None,
        num: int | None = None,
        withscores: bool = False,
        score_cast_func: Cast = float,
    ) -> Any:
        """As `zrangebyscore`, from `max` down."""
        words = [*_limit(start, num), *options(WITHSCORES=bool(withscores))]
        return self.execute_command(
            "ZREVRANGEBYSCORE", name, max, min, *words, withscores=withscores, score_cast_func=score_cast_func
        )

    def zrank(self, name: Key, value: Word, withscore: bool = False, score_cast_func: Cast = float) -> Any:
        """The member's rank, from 0 for the lowest score, or with its score; None if it is no member."""
        words = options(WITHSCORE=bool(withscore))
        return self.execute_command(
            "ZRANK", name, value, *words, withscore=withscore, score_cast_func=score_cast_func
        )

    def zrem(self, name: Key, *values: Word) -> int:
        """How many of the values were members, and were removed."""
        return self.execute_command("ZREM", name, *values)

    def zremrangebylex(self, name: Key, min: Word, max: Word) -> int:
        """How many members `zrangebylex` would give, which were removed."""
        return self.execute_command("ZREMRANGEBYLEX", name, min, max)

    def zremrangebyrank(self, name: Key, min: int, max: int) -> int:
        """How many members there were from rank `min` to `max`, which were removed."""
        return self.execute_command("ZREMRANGEBYRANK", name, min, max)

    def zremrangebyscore(self, name: Key, min: Bound, max: Bound) -> int:
        """How many members had a score from `min` to `max`, and were removed."""
        return self.execute_command("ZREMRANGEBYSCORE", name, min, max)

    def zrevrank(self, name: Key, value: Word, withscore: bool = False, score_cast_func: Cast = float) -> Any:
        """As `zrank`, from 0 for the highest score."""
        words = options(WITHSCORE=bool(withscore))
        return self.execute_command(
            "ZREVRANK", name, value, *words, withscore=withscore, score_cast_func=score_cast_func
        )

    def zscore(self, name: Key, value: Word) -> float | None:
        """The member's score; None if it is no member."""
        return self.execute_command("ZSCORE", name, value)

    def zunion(
        self,
        keys: Weighted,
        aggregate: str | None = None,
        withscores: bool = False,
        score_cast_func: Cast = float,
    ) -> Any:
        """The members that are in any; weights and `aggregate` as in `zinter`."""
        return self._combine("ZUNION", [], keys, aggregate, withscores, score_cast_func=score_cast_func)

    def zunionstore(self, dest: Key, keys: Weighted, aggregate: str | None = None) -> int:
        """How many members `zunion` gives, stored at `dest`."""
        return self._combine("ZUNIONSTORE", [dest], keys, aggregate)  # type: ignore[no-any-return]

    def zmscore(self, key: Key, members: list[str]) -> list[float | None]:
        """The members' scores, None for one that is no member."""
        if not members:
            raise DataError("ZMSCORE needs at least one member")
        return self.execute_command("ZMSCORE", key, *members)

    def zscan(
        self,
        name: Key,
        cursor: int = 0,
        match: Pattern | None = None,
        count: int | None = None,
        score_cast_func: Cast = float,
    ) -> tuple[int, list[Any]]:
        """The next cursor, 0 at the end, and some members with scores; about `count` are looked at."""
        words = options(MATCH=match, COUNT=count)
        return self.execute_command("ZSCAN", name, cursor, *words, score_cast_func=score_cast_func)

    def zscan_iter(
        self,
        name: Key,
        match: Pattern | None = None,
        count: int | None = None,
        score_cast_func: Cast = float,
    ) -> Iterator[Any]:
        """All members that match, with scores, one by one; some may come twice."""
        cursor, found = self.zscan(name, match=match, count=count, score_cast_func=score_cast_func)
        yield from found
        while cursor != 0:
            cursor, found = self.zscan(name, cursor, match, count, score_cast_func)
            yield from found

    def _combine(
        self,
        command: str,
        dest: list[Key],
        keys: Any,
        aggregate: str | None = None,
        withscores: bool = False,
        **casting: Any,
    ) -> Any:
        weights = ["WEIGHTS", *keys.values()] if isinstance(keys, dict) and keys else []
        if aggregate and aggregate.upper() not in ("SUM", "MIN", "MAX", "COUNT"):
            raise DataError(f"aggregate can be sum, min, max or count, not {aggregate!r}")
        words = [*dest, len(keys), *keys, *weights, *options(AGGREGATE=aggregate or None)]
        words += options(WITHSCORES=bool(withscores))
        if withscores:
            casting["withscores"] = True
        return self.execute_command(command, *words, **casting)


def _end(min: bool | None, max: bool | None) -> str:
    if bool(min) == bool(max):
        raise DataError("give either min or max")
    return "MIN" if min else "MAX"


def _limit(start: int | None, num: int | None) -> list[Any]:
    if (start is None) != (num is None):
        raise DataError("start and num go together")
    return [] if start is None else ["LIMIT", start, num]


def _range(byscore: bool, bylex: bool, desc: bool, offset: int | None, num: int | None) -> list[Any]:
    exclude(byscore=byscore, bylex=bylex)
    if (offset is None) != (num is None):
        raise DataError("offset and num go together")
    words = options(BYSCORE=bool(byscore), BYLEX=bool(bylex), REV=bool(desc))
    return words if offset is None else [*words, "LIMIT", offset, num]
