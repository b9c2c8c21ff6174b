"""Hashes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

from ..exceptions import DataError
from .options import (
    Commands,
    Key,
    Moment,
    Pattern,
    Seconds,
    Word,
    expiry,
    flat,
    list_or_args,
    options,
    unix_time,
)
from .options import milliseconds as _milliseconds
from .options import seconds as _seconds


class HashDataPersistOptions(Enum):
    """When `hsetex` sets: if none (FNX), or all (FXX), of the fields exist."""

    FNX = "FNX"
    FXX = "FXX"


_CONDITIONS = ("NX", "XX", "GT", "LT")


class HashExpiryCommands(Commands):
    """Expiry of single fields: a list with an int for each field, -2 where there is none.

    Setting gives 1 where it was done, 0 where the condition failed, 2 where the field expired at once.
    """

    def hexpire(
        self,
        name: Key,
        seconds: Seconds,
        *fields: Word,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> list[int]:
        """Let fields expire in `seconds`; ValueError for two conditions, which are those of `expire`."""
        return self._expire("HEXPIRE", name, _seconds(seconds), fields, (nx, xx, gt, lt))

    def hpexpire(
        self,
        name: Key,
        milliseconds: Seconds,
        *fields: Word,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> list[int]:
        """As `hexpire`, in milliseconds."""
        return self._expire("HPEXPIRE", name, _milliseconds(milliseconds), fields, (nx, xx, gt, lt))

    def hexpireat(
        self,
        name: Key,
        unix_time_seconds: Moment,
        *fields: Word,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> list[int]:
        """As `hexpire`, at a datetime or a Unix time in seconds."""
        return self._expire("HEXPIREAT", name, unix_time(unix_time_seconds), fields, (nx, xx, gt, lt))

    def hpexpireat(
        self,
        name: Key,
        unix_time_milliseconds: Moment,
        *fields: Word,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> list[int]:
        """As `hexpireat`, in milliseconds."""
        when = unix_time(unix_time_milliseconds, 1000)
        return self._expire("HPEXPIREAT", name, when, fields, (nx, xx, gt, lt))

    def _expire(
        self, command: str, name: Key, time: Any, fields: Sequence[Word], conditions: tuple[bool, ...]
    ) -> list[int]:
        words = [word for word, wanted in zip(_CONDITIONS, conditions, strict=True) if wanted]
        if len(words) > 1:
            raise ValueError("Only one of 'nx', 'xx', 'gt', 'lt' can be specified.")
        return self.execute_command(command, name, time, *words, "FIELDS", len(fields), *fields)

    def hpersist(self, name: Key, *fields: Word) -> list[int]:
        """1 for each field whose expiry was taken away, -1 where it had none."""
        return self.execute_command("HPERSIST", name, "FIELDS", len(fields), *fields)

    def hexpiretime(self, key: Key, *fields: Word) -> list[int]:
        """The Unix times at which fields expire, -1 where they do not."""
        return self.execute_command("HEXPIRETIME", key, "FIELDS", len(fields), *fields)

    def hpexpiretime(self, key: Key, *fields: Word) -> list[int]:
        """As `hexpiretime`, in milliseconds."""
        return self.execute_command("HPEXPIRETIME", key, "FIELDS", len(fields), *fields)

    def httl(self, key: Key, *fields: Word) -> list[int]:
        """Seconds until fields expire, -1 where they do not."""
        return self.execute_command("HTTL", key, "FIELDS", len(fields), *fields)

    def hpttl(self, key: Key, *fields: Word) -> list[int]:
        """As `httl`, in milliseconds."""
        return self.execute_command("HPTTL", key, "FIELDS", len(fields), *fields)


class HashCommands(HashExpiryCommands):
    def hdel(self, name: Key, *keys: Word) -> int:
        """How many of the fields were deleted."""
        return self.execute_command("HDEL", name, *keys)

    def hexists(self, name: Key, key: Word) -> bool:
        """Whether there is such a field."""
        return self.execute_command("HEXISTS", name, key)

    def hget(self, name: Key, key: Word) -> Any:
        """The field's value, None if there is none."""
        return self.execute_command("HGET", name, key)

    def hgetall(self, name: Key) -> dict[Any, Any]:
        """All fields and their values."""
        return self.execute_command("HGETALL", name)

    def hgetdel(self, name: Key, *keys: Word) -> list[Any]:
        """The fields' values, None where there is none; the fields are deleted."""
        if not keys:
            raise DataError("'hgetdel' should have at least one key provided")
        return self.execute_command("HGETDEL", name, "FIELDS", len(keys), *keys)

    def hgetex(
        self,
        name: Key,
        *keys: Word,
        ex: Seconds | None = None,
        px: Seconds | None = None,
        exat: Moment | None = None,
        pxat: Moment | None = None,
        persist: bool = False,
    ) -> list[Any]:
        """The fields' values, None where there is none; with a new expiry, or none by `persist`."""
        if not keys:
            raise DataError("'hgetex' should have at least one key provided")
        words = expiry(ex, px, exat, pxat, persist=persist) + options(PERSIST=bool(persist))
        return self.execute_command("HGETEX", name, *words, "FIELDS", len(keys), *keys)

    def hincrby(self, name: Key, key: Word, amount: int = 1) -> int:
        """The field's value after adding `amount`."""
        return self.execute_command("HINCRBY", name, key, amount)

    def hincrbyfloat(self, name: Key, key: Word, amount: float = 1.0) -> float:
        """The field's value after adding `amount`."""
        return self.execute_command("HINCRBYFLOAT", name, key, amount)

    def hkeys(self, name: Key) -> list[Any]:
        """All fields."""
        return self.execute_command("HKEYS", name)

    def hlen(self, name: Key) -> int:
        """How many fields there are."""
        return self.execute_command("HLEN", name)

    def hset(
        self,
        name: Key,
        key: Word | None = None,
        value: Word | None = None,
        mapping: Mapping[Any, Word] | None = None,
        items: Sequence[Word] | None = None,
    ) -> int:
        """How many fields are new, of one field, those of a mapping, or of items: field, value, field ..."""
        if mapping is None and items is None and key is not None:
            return self.execute_command("HSET", name, key, value)
        return self.execute_command("HSET", name, *_fields("hset", key, value, mapping, items))

    def hsetex(
        self,
        name: Key,
        key: Word | None = None,
        value: Word | None = None,
        mapping: Mapping[Any, Word] | None = None,
        items: Sequence[Word] | None = None,
        ex: Seconds | None = None,
        px: Seconds | None = None,
        exat: Moment | None = None,
        pxat: Moment | None = None,
        data_persist_option: HashDataPersistOptions | None = None,
        keepttl: bool = False,
    ) -> int:
        """1 if the fields of `hset` were set, with an expiry, 0 if the condition failed."""
        fields = _fields("hsetex", key, value, mapping, items)
        if items and len(items) % 2:
            raise DataError("'hsetex' with odd number of items: they are field, value, field ...")
        words = expiry(ex, px, exat, pxat, keepttl=keepttl)
        words += [data_persist_option.value] if data_persist_option else []
        words += options(KEEPTTL=bool(keepttl))
        return self.execute_command("HSETEX", name, *words, "FIELDS", len(fields) // 2, *fields)

    def hsetnx(self, name: Key, key: Word, value: Word) -> int:
        """1 if the field was new, and so was set, otherwise 0."""
        return self.execute_command("HSETNX", name, key, value)

    def hmset(self, name: Key, mapping: Mapping[Any, Word]) -> bool:
        """True, after setting the fields; `hset` does it too."""
        if not mapping:
            raise DataError("'hmset' with 'mapping' of length 0")
        return self.execute_command("HMSET", name, *flat(mapping))

    def hmget(self, name: Key, keys: Word | Iterable[Word], *args: Word) -> list[Any]:
        """The fields' values in their order, None where there is none."""
        return self.execute_command("HMGET", name, *list_or_args(keys, args))

    def hvals(self, name: Key) -> list[Any]:
        """All values."""
        return self.execute_command("HVALS", name)

    def hstrlen(self, name: Key, key: Word) -> int:
        """The length of the field's value in bytes, 0 if there is none."""
        return self.execute_command("HSTRLEN", name, key)

    def hrandfield(self, key: Key, count: int | None = None, withvalues: bool = False) -> Any:
        """A random field, or a list of up to `count`; if negative, of as many, perhaps repeated."""
        words = [] if count is None else [count]
        if withvalues:
            return self.execute_command("HRANDFIELD", key, *words, "WITHVALUES", withvalues=True)
        return self.execute_command("HRANDFIELD", key, *words)

    def hscan(
        self,
        name: Key,
        cursor: int = 0,
        match: Pattern | None = None,
        count: int | None = None,
        no_values: bool | None = None,
    ) -> tuple[int, Any]:
        """The next cursor, 0 at the end, and a dict of some fields, or by `no_values` a list of them."""
        words = options(MATCH=match, COUNT=count)
        if no_values:
            return self.execute_command("HSCAN", name, cursor, *words, "NOVALUES", no_values=True)
        return self.execute_command("HSCAN", name, cursor, *words)

    def hscan_iter(
        self,
        name: Key,
        match: Pattern | None = None,
        count: int | None = None,
        no_values: bool | None = None,
    ) -> Iterator[Any]:
        """All fields that match, with their values or without, one by one; some may come twice."""
        cursor: int | None = None
        while cursor != 0:
            cursor, found = self.hscan(
                name, cursor=cursor or 0, match=match, count=count, no_values=no_values
            )
            yield from found if no_values else found.items()


def _fields(
    command: str, key: Any, value: Any, mapping: Mapping[Any, Any] | None, items: Sequence[Any] | None
) -> list[Any]:
    if key is None and not mapping and not items:
        raise DataError(f"'{command}' with no key value pairs")
    fields = list(items or ())
    if key is not None:
        fields += (key, value)
    return fields + flat(mapping or {})
