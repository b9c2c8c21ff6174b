"""Keys of any type."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from ..exceptions import DataError
from .options import (
    Commands,
    Key,
    Keys,
    Moment,
    Pattern,
    Seconds,
    Word,
    list_or_args,
    milliseconds,
    options,
    seconds,
    unix_time,
)


class KeyCommands(Commands):
    def delete(self, *names: Key) -> int:
        """How many of the keys were deleted."""
        return self.execute_command("DEL", *names)

    def __delitem__(self, name: Key) -> None:
        self.delete(name)

    def delex(
        self,
        name: Key,
        ifeq: bytes | str | None = None,
        ifne: bytes | str | None = None,
        ifdeq: str | None = None,
        ifdne: str | None = None,
    ) -> int:
        """1 if the key was deleted, on a condition as in `set`; ValueError for two conditions."""
        words = options(IFEQ=ifeq, IFNE=ifne, IFDEQ=ifdeq, IFDNE=ifdne)
        if len(words) > 2:
            raise ValueError("Only one of IFEQ/IFNE/IFDEQ/IFDNE may be specified")
        return self.execute_command("DELEX", name, *words)

    def unlink(self, *names: Key) -> int:
        """How many of the keys were deleted, their memory in the background."""
        return self.execute_command("UNLINK", *names)

    def exists(self, *names: Key) -> int:
        """How many of the keys exist; one named twice counts twice."""
        return self.execute_command("EXISTS", *names)

    __contains__ = exists

    def touch(self, *args: Key) -> int:
        """How many of the keys exist; they count as used now."""
        return self.execute_command("TOUCH", *args)

    def type(self, name: Key) -> Any:
        """The type of the value, "none" if there is none."""
        return self.execute_command("TYPE", name)

    def copy(
        self, source: str, destination: str, destination_db: str | None = None, replace: bool = False
    ) -> bool:
        """Whether the value was copied; never over another without `replace`."""
        words = options(DB=destination_db, REPLACE=bool(replace))
        return self.execute_command("COPY", source, destination, *words)

    def rename(self, src: Key, dst: Key) -> bool:
        """True, after moving the value to the key `dst`."""
        return self.execute_command("RENAME", src, dst)

    def renamenx(self, src: Key, dst: Key) -> bool:
        """Whether the key `dst` was new, and so got the value."""
        return self.execute_command("RENAMENX", src, dst)

    def move(self, name: Key, db: int) -> bool:
        """Whether the key was moved to the database `db`."""
        return self.execute_command("MOVE", name, db)

    def randomkey(self, **kwargs: Any) -> Any:
        """Any key, None if there is none."""
        return self.execute_command("RANDOMKEY", **kwargs)

    def keys(self, pattern: Pattern = "*", **kwargs: Any) -> list[Any]:
        """All keys that match. Holds up the server; `scan_iter` does not."""
        return self.execute_command("KEYS", pattern, **kwargs)

    # -- expiry

    def expire(
        self,
        name: Key,
        time: Seconds,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> bool:
        """Whether the key expires in `time` seconds now.

        Only if it did not expire so far (`nx`), if it did (`xx`), if that is later (`gt`) or sooner (`lt`).
        """
        return self.execute_command("EXPIRE", name, seconds(time), *_conditions(nx, xx, gt, lt))

    def expireat(
        self,
        name: Key,
        when: Moment,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> bool:
        """As `expire`, at a datetime or a Unix time in seconds."""
        return self.execute_command("EXPIREAT", name, unix_time(when), *_conditions(nx, xx, gt, lt))

    def pexpire(
        self,
        name: Key,
        time: Seconds,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> bool:
        """As `expire`, in milliseconds."""
        return self.execute_command("PEXPIRE", name, milliseconds(time), *_conditions(nx, xx, gt, lt))

    def pexpireat(
        self,
        name: Key,
        when: Moment,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> bool:
        """As `expireat`, in milliseconds."""
        return self.execute_command("PEXPIREAT", name, unix_time(when, 1000), *_conditions(nx, xx, gt, lt))

    def expiretime(self, key: str) -> int:
        """The Unix time of expiry; -1 if the key does not expire, -2 if there is none."""
        return self.execute_command("EXPIRETIME", key)

    def pexpiretime(self, key: str) -> int:
        """As `expiretime`, in milliseconds."""
        return self.execute_command("PEXPIRETIME", key)

    def ttl(self, name: Key) -> int:
        """Seconds until expiry; -1 if the key does not expire, -2 if there is none."""
        return self.execute_command("TTL", name)

    def pttl(self, name: Key) -> int:
        """As `ttl`, in milliseconds."""
        return self.execute_command("PTTL", name)

    def persist(self, name: Key) -> bool:
        """Whether an expiry was taken away."""
        return self.execute_command("PERSIST", name)

    # -- between servers

    def dump(self, name: Key) -> bytes | None:
        """The value in Redis's own format, for `restore`; bytes even where replies are decoded."""
        return self.execute_command("DUMP", name, NEVER_DECODE=True)

    def restore(
        self,
        name: Key,
        ttl: float,
        value: Word,
        replace: bool = False,
        absttl: bool = False,
        idletime: int | None = None,
        frequency: int | None = None,
    ) -> Any:
        """OK, after making a key of what `dump` gave; it expires in `ttl` milliseconds, 0 for never."""
        words = options(
            REPLACE=bool(replace),
            ABSTTL=bool(absttl),
            IDLETIME=_whole("idletime", idletime),
            FREQ=_whole("frequency", frequency),
        )
        return self.execute_command("RESTORE", name, ttl, value, *words)

    def migrate(
        self,
        host: str,
        port: int,
        keys: Keys,
        destination_db: int,
        timeout: int,
        copy: bool = False,
        replace: bool = False,
        auth: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """OK, after moving keys to another server, whose pauses may last `timeout` milliseconds."""
        names = list_or_args(keys, None)
        if not names:
            raise DataError("MIGRATE requires at least one key")
        words = options(COPY=bool(copy), REPLACE=bool(replace), AUTH=auth or None)
        return self.execute_command(
            "MIGRATE", host, port, "", destination_db, timeout, *words, "KEYS", *names, **kwargs
        )

    # -- sorting

    def sort(
        self,
        name: Key,
        start: int | None = None,
        num: int | None = None,
        by: str | None = None,
        get: list[str] | None = None,
        desc: bool = False,
        alpha: bool = False,
        store: str | None = None,
        groups: bool | None = False,
    ) -> Any:
        """The sorted elements of a list, set or sorted set; with `store` how many were stored there.

        `start` and `num` choose a part; `by` and `get` are patterns of other keys, in which `*` stands
        for the element and `#` is the element itself; `groups` gives tuples of what `get` names.
        """
        if (start is None) != (num is None):
            raise DataError("start and num must both be specified")
        gets = [] if get is None else list_or_args(get, None)
        if groups and (isinstance(get, (bytes, str)) or len(gets) < 2):
            raise DataError("groups needs a list of at least two keys in get")
        words: list[Any] = options(BY=by)
        if start is not None:
            words += ("LIMIT", start, num)
        for pattern in gets:
            words += ("GET", pattern)
        words += options(DESC=bool(desc), ALPHA=bool(alpha), STORE=store)
        if groups:
            return self.execute_command("SORT", name, *words, groups=len(gets))
        return self.execute_command("SORT", name, *words)

    def sort_ro(
        self,
        key: str,
        start: int | None = None,
        num: int | None = None,
        by: str | None = None,
        get: list[str] | None = None,
        desc: bool = False,
        alpha: bool = False,
    ) -> Any:
        """As `sort`, without storing."""
        return self.sort(key, start=start, num=num, by=by, get=get, desc=desc, alpha=alpha)

    # -- iterating

    def scan(
        self,
        cursor: int = 0,
        match: Pattern | None = None,
        count: int | None = None,
        _type: str | None = None,
        **kwargs: Any,
    ) -> tuple[int, list[Any]]:
        """The next cursor, 0 at the end, and some keys; about `count` are looked at."""
        words = options(MATCH=match, COUNT=count, TYPE=_type)
        return self.execute_command("SCAN", cursor, *words, **kwargs)

    def scan_iter(
        self,
        match: Pattern | None = None,
        count: int | None = None,
        _type: str | None = None,
        **kwargs: Any,
    ) -> Iterator[Any]:
        """All keys that match, one by one; some may come twice."""
        cursor, found = self.scan(match=match, count=count, _type=_type, **kwargs)
        yield from found
        while cursor != 0:
            cursor, found = self.scan(cursor=cursor, match=match, count=count, _type=_type, **kwargs)
            yield from found

    # -- transactions

    def watch(self, *names: Key) -> None:
        """Nothing but a warning: a client has no connection that could watch. A pipeline has."""
        warnings.warn(DeprecationWarning("Call WATCH from a Pipeline object"), stacklevel=2)

    def unwatch(self) -> None:
        """Nothing but a warning, as `watch`."""
        warnings.warn(DeprecationWarning("Call UNWATCH from a Pipeline object"), stacklevel=2)


def _conditions(nx: bool, xx: bool, gt: bool, lt: bool) -> list[Any]:
    return options(NX=bool(nx), XX=bool(xx), GT=bool(gt), LT=bool(lt))


def _whole(name: str, value: Any) -> int | None:
    try:
        return None if value is None else int(value)
    except ValueError as error:
        raise DataError(f"{name} must be an integer") from error
