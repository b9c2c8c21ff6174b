"""Lists."""

from __future__ import annotations

from typing import Any, Literal

from ..exceptions import DataError
from .options import Commands, Key, Keys, Word, list_or_args, options

_Mode = Literal["COUNT", "EXACTLY"] | None
_Ordering = Literal["OBO", "BULK"] | None


class ListCommands(Commands):
    """Blocking commands wait up to `timeout` seconds, 0 for ever, on a connection of their own."""

    def blpop(self, keys: Keys, timeout: float | None = 0) -> Any:
        """Key and element, the first of the first list that has one; None if the time is over."""
        return self.execute_command("BLPOP", *list_or_args(keys, None), 0 if timeout is None else timeout)

    def brpop(self, keys: Keys, timeout: float | None = 0) -> Any:
        """Key and element, the last of the first list that has one; None if the time is over."""
        return self.execute_command("BRPOP", *list_or_args(keys, None), 0 if timeout is None else timeout)

    def brpoplpush(self, src: Key, dst: Key, timeout: float | None = 0) -> Any:
        """The last element of `src`, moved to the front of `dst`; None if the time is over."""
        return self.execute_command("BRPOPLPUSH", src, dst, 0 if timeout is None else timeout)

    def blmpop(self, timeout: float, numkeys: int, *args: str, direction: str, count: int | None = 1) -> Any:
        """As `lmpop`; None if the time is over."""
        return self.execute_command("BLMPOP", timeout, numkeys, *args, direction, "COUNT", count)

    def lmpop(self, num_keys: int, *args: str, direction: str, count: int | None = 1) -> Any:
        """Key and up to `count` elements from the LEFT or RIGHT of the first list that has any."""
        words = ["COUNT", count] if count != 1 else []
        return self.execute_command("LMPOP", num_keys, *args, direction, *words)

    def lmove(self, first_list: str, second_list: str, src: str = "LEFT", dest: str = "RIGHT") -> Any:
        """The element, moved from the one list's `src` end to the other's `dest` end; None if none."""
        return self.execute_command("LMOVE", first_list, second_list, src, dest)

    def blmove(
        self, first_list: str, second_list: str, timeout: int, src: str = "LEFT", dest: str = "RIGHT"
    ) -> Any:
        """As `lmove`; None if the time is over."""
        return self.execute_command("BLMOVE", first_list, second_list, src, dest, timeout)

    def lmovem(
        self,
        first_list: str,
        second_list: str,
        src: str = "LEFT",
        dest: str = "RIGHT",
        count: int | None = None,
        mode: _Mode = None,
        ordering: _Ordering = None,
    ) -> Any:
        """The elements moved, up to `count` or EXACTLY as many, one by one (OBO) or as a BULK."""
        words = _how_many(count, mode, ordering)
        return self.execute_command("LMOVEM", first_list, second_list, src, dest, *words)

    def blmovem(
        self,
        first_list: str,
        second_list: str,
        timeout: float,
        src: str = "LEFT",
        dest: str = "RIGHT",
        count: int | None = None,
        mode: _Mode = None,
        ordering: _Ordering = None,
    ) -> Any:
        """As `lmovem`; None if the time is over."""
        words = _how_many(count, mode, ordering)
        return self.execute_command("BLMOVEM", first_list, second_list, src, dest, timeout, *words)

    def lindex(self, name: Key, index: int) -> Any:
        """The element there, from the end if negative; None if there is none."""
        return self.execute_command("LINDEX", name, index)

    def linsert(self, name: Key, where: str, refvalue: str, value: str) -> int:
        """The length after inserting BEFORE or AFTER the first `refvalue`; -1 if it is not there."""
        return self.execute_command("LINSERT", name, where, refvalue, value)

    def llen(self, name: Key) -> int:
        """The length."""
        return self.execute_command("LLEN", name)

    def lpop(self, name: Key, count: int | None = None) -> Any:
        """The first element, or a list of up to `count`; None if there is none."""
        if count is None:
            return self.execute_command("LPOP", name)
        return self.execute_command("LPOP", name, count)

    def lpush(self, name: Key, *values: Word) -> int:
        """The length after putting the values in front, one after another."""
        return self.execute_command("LPUSH", name, *values)

    def lpushx(self, name: Key, *values: Word) -> int:
        """As `lpush`, but 0 and nothing more if there is no list."""
        return self.execute_command("LPUSHX", name, *values)

    def lrange(self, name: Key, start: int, end: int) -> list[Any]:
        """The elements from `start` to `end`, both included; negative ones count from the end."""
        return self.execute_command("LRANGE", name, start, end)

    def lrem(self, name: Key, count: int, value: str) -> int:
        """How many equal to `value` were removed: `count` from the front, if negative the end, or all (0)."""
        return self.execute_command("LREM", name, count, value)

    def lset(self, name: Key, index: int, value: str) -> bool:
        """True, after replacing the element there."""
        return self.execute_command("LSET", name, index, value)

    def ltrim(self, name: Key, start: int, end: int) -> bool:
        """True, after removing all but what `lrange` would give."""
        return self.execute_command("LTRIM", name, start, end)

    def rpop(self, name: Key, count: int | None = None) -> Any:
        """The last element, or a list of up to `count`; None if there is none."""
        if count is None:
            return self.execute_command("RPOP", name)
        return self.execute_command("RPOP", name, count)

    def rpoplpush(self, src: Key, dst: Key) -> Any:
        """The last element of `src`, moved to the front of `dst`; None if there is none."""
        return self.execute_command("RPOPLPUSH", src, dst)

    def rpush(self, name: Key, *values: Word) -> int:
        """The length after appending the values."""
        return self.execute_command("RPUSH", name, *values)

    def rpushx(self, name: Key, *values: str) -> int:
        """As `rpush`, but 0 and nothing more if there is no list."""
        return self.execute_command("RPUSHX", name, *values)

    def lpos(
        self,
        name: Key,
        value: str,
        rank: int | None = None,
        count: int | None = None,
        maxlen: int | None = None,
    ) -> Any:
        """Where `value` is first, or a list of up to `count` places (0: all); None if nowhere.

        Starts with the match number `rank`, from the end if negative; looks at `maxlen` elements.
        """
        return self.execute_command("LPOS", name, value, *options(RANK=rank, COUNT=count, MAXLEN=maxlen))


def _how_many(count: int | None, mode: _Mode, ordering: _Ordering) -> list[Any]:
    if count is None:
        if mode is not None or ordering is not None:
            raise DataError("count is required when mode or ordering is set")
        return []
    if ordering is None:
        raise DataError("ordering (OBO or BULK) is required when count is set")
    return [mode or "COUNT", count, ordering]
