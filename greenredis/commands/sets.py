"""Sets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .options import Commands, Key, Keys, Pattern, Word, list_or_args, options


class SetCommands(Commands):
    def sadd(self, name: Key, *values: Word) -> int:
        """How many of the values were new."""
        return self.execute_command("SADD", name, *values)

    def scard(self, name: Key) -> int:
        """How many members there are."""
        return self.execute_command("SCARD", name)

    def sdiff(self, keys: Keys, *args: Key) -> Any:
        """A set of the first one's members that are in none of the others."""
        return self.execute_command("SDIFF", *list_or_args(keys, args))

    def sdiffcard(self, numkeys: int, keys: list[Key], limit: int = 0) -> int:
        """How many `sdiff` would give, counted up to `limit` (0: all)."""
        return self.execute_command("SDIFFCARD", numkeys, *keys, "LIMIT", limit)

    def sdiffstore(self, dest: str, keys: Keys, *args: Key) -> int:
        """How many members `sdiff` gives, stored at `dest`."""
        return self.execute_command("SDIFFSTORE", dest, *list_or_args(keys, args))

    def sinter(self, keys: Keys, *args: Key) -> Any:
        """A set of the members that are in all."""
        return self.execute_command("SINTER", *list_or_args(keys, args))

    def sintercard(self, numkeys: int, keys: list[Key], limit: int = 0) -> int:
        """How many `sinter` would give, counted up to `limit` (0: all)."""
        return self.execute_command("SINTERCARD", numkeys, *keys, "LIMIT", limit)

    def sinterstore(self, dest: Key, keys: Keys, *args: Key) -> int:
        """How many members `sinter` gives, stored at `dest`."""
        return self.execute_command("SINTERSTORE", dest, *list_or_args(keys, args))

    def sismember(self, name: Key, value: str) -> int:
        """1 if `value` is a member, otherwise 0."""
        return self.execute_command("SISMEMBER", name, value)

    def smembers(self, name: Key) -> Any:
        """A set of all members."""
        return self.execute_command("SMEMBERS", name)

    def smismember(self, name: Key, values: Keys, *args: Key) -> list[int]:
        """1 for each value that is a member, otherwise 0."""
        return self.execute_command("SMISMEMBER", name, *list_or_args(values, args))

    def smove(self, src: Key, dst: Key, value: str) -> bool:
        """Whether the member was moved."""
        return self.execute_command("SMOVE", src, dst, value)

    def spop(self, name: Key, count: int | None = None) -> Any:
        """A random member, or a list of up to `count`, removed; None if there is none."""
        if count is None:
            return self.execute_command("SPOP", name)
        return self.execute_command("SPOP", name, count)

    def srandmember(self, name: Key, number: int | None = None) -> Any:
        """A random member, or a list of up to `number`; if negative, of as many, perhaps repeated."""
        if number is None:
            return self.execute_command("SRANDMEMBER", name)
        return self.execute_command("SRANDMEMBER", name, number)

    def srem(self, name: Key, *values: Word) -> int:
        """How many of the values were members, and were removed."""
        return self.execute_command("SREM", name, *values)

    def sunion(self, keys: Keys, *args: Key) -> Any:
        """A set of the members that are in any."""
        return self.execute_command("SUNION", *list_or_args(keys, args))

    def sunioncard(self, numkeys: int, keys: list[Key], limit: int = 0, approx: bool = False) -> int:
        """How many `sunion` would give, counted up to `limit` (0: all), or estimated by `approx`."""
        words = options(APPROX=bool(approx))
        return self.execute_command("SUNIONCARD", numkeys, *keys, *words, "LIMIT", limit)

    def sunionstore(self, dest: Key, keys: Keys, *args: Key) -> int:
        """How many members `sunion` gives, stored at `dest`."""
        return self.execute_command("SUNIONSTORE", dest, *list_or_args(keys, args))

    def sscan(
        self, name: Key, cursor: int = 0, match: Pattern | None = None, count: int | None = None
    ) -> tuple[int, list[Any]]:
        """The next cursor, 0 at the end, and some members; about `count` are looked at."""
        return self.execute_command("SSCAN", name, cursor, *options(MATCH=match, COUNT=count))

    def sscan_iter(self, name: Key, match: Pattern | None = None, count: int | None = None) -> Iterator[Any]:
        """All members that match, one by one; some may come twice."""
        cursor, found = self.sscan(name, match=match, count=count)
        yield from found
        while cursor != 0:
            cursor, found = self.sscan(name, cursor=cursor, match=match, count=count)
            yield from found
