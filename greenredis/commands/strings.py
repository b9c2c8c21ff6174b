"""Strings, and the bits in them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Literal

from ..exceptions import DataError
from .bits import BitCommands
from .options import (
    Key,
    Keys,
    Moment,
    Seconds,
    Word,
    exclude,
    expiry,
    flat,
    list_or_args,
    milliseconds,
    options,
    seconds,
)


class DataPersistOptions(Enum):
    """When `msetex` sets: if none (NX), or all (XX), of the keys exist."""

    NX = "NX"
    XX = "XX"


class StringCommands(BitCommands):
    def get(self, name: Key) -> Any:
        """The value, None if there is none."""
        return self.execute_command("GET", name)

    def set(
        self,
        name: Key,
        value: Word,
        ex: Seconds | None = None,
        px: Seconds | None = None,
        nx: bool = False,
        xx: bool = False,
        keepttl: bool = False,
        get: bool = False,
        exat: Moment | None = None,
        pxat: Moment | None = None,
        ifeq: bytes | str | None = None,
        ifne: bytes | str | None = None,
        ifdeq: str | None = None,
        ifdne: str | None = None,
    ) -> Any:
        """True, None if a condition failed; with `get` the old value.

        Expires after `ex` seconds or `px` milliseconds, or at the Unix time `exat` or `pxat`; `keepttl`
        keeps the expiry.  `nx` sets only a new key, `xx` only an old one, `ifeq` and `ifne` by its value,
        `ifdeq` and `ifdne` by the value's digest.  DataError for two expiries or two conditions.
        """
        timed = not (ex is None and px is None and exat is None and pxat is None) or keepttl
        matched = not (ifeq is None and ifne is None and ifdeq is None and ifdne is None)
        if not (timed or matched or nx or xx or get):
            return self.execute_command("SET", name, value)
        words = expiry(ex, px, exat, pxat, keepttl=keepttl)
        if keepttl:
            words.append("KEEPTTL")
        if matched or nx or xx or get:
            words = _conditions(nx, xx, ifeq, ifne, ifdeq, ifdne) + options(GET=bool(get)) + words
        if get:
            return self.execute_command("SET", name, value, *words, get=True)
        return self.execute_command("SET", name, value, *words)

    def __getitem__(self, name: Key) -> Any:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __setitem__(self, name: Key, value: Word) -> None:
        self.set(name, value)

    def append(self, key: Key, value: Word) -> int:
        """The value's length after appending `value`."""
        return self.execute_command("APPEND", key, value)

    def decrby(self, name: Key, amount: int = 1) -> int:
        """The value after subtracting `amount`."""
        return self.execute_command("DECRBY", name, amount)

    decr = decrby

    def incrby(self, name: Key, amount: int = 1) -> int:
        """The value after adding `amount`."""
        return self.execute_command("INCRBY", name, amount)

    incr = incrby

    def incrbyfloat(self, name: Key, amount: float = 1.0) -> float:
        """The value after adding `amount`."""
        return self.execute_command("INCRBYFLOAT", name, amount)

    def increx(
        self,
        name: Key,
        *,
        byfloat: Word | None = None,
        byint: Word | None = None,
        lbound: Word | None = None,
        ubound: Word | None = None,
        saturate: bool = False,
        ex: Seconds | None = None,
        px: Seconds | None = None,
        exat: Moment | None = None,
        pxat: Moment | None = None,
        persist: bool = False,
        enx: bool = False,
    ) -> Any:
        """The value and the increment used, by default 1, within the bounds, with a new expiry."""
        exclude(byfloat=byfloat is not None, byint=byint is not None)
        times = expiry(ex, px, exat, pxat, persist=persist)
        if enx and not times:
            raise DataError("enx requires one of ex, px, exat and pxat")
        words = options(BYFLOAT=byfloat, BYINT=byint, LBOUND=lbound, UBOUND=ubound, SATURATE=bool(saturate))
        words += times + options(PERSIST=bool(persist), ENX=bool(enx))
        return self.execute_command("INCREX", name, *words)

    def getdel(self, name: Key) -> Any:
        """The value, which is deleted."""
        return self.execute_command("GETDEL", name)

    def getex(
        self,
        name: Key,
        ex: Seconds | None = None,
        px: Seconds | None = None,
        exat: Moment | None = None,
        pxat: Moment | None = None,
        persist: bool = False,
    ) -> Any:
        """The value, with a new expiry as in `set`, or without one by `persist`."""
        words = expiry(ex, px, exat, pxat, persist=persist) + options(PERSIST=bool(persist))
        return self.execute_command("GETEX", name, *words)

    def getrange(self, key: Key, start: int, end: int) -> Any:
        """The part from `start` to `end`, both included; negative ones count from the end."""
        return self.execute_command("GETRANGE", key, start, end)

    def substr(self, name: Key, start: int, end: int = -1) -> Any:
        """As `getrange`, by its old name."""
        return self.execute_command("SUBSTR", name, start, end)

    def getset(self, name: Key, value: Word) -> Any:
        """The old value, after setting `value`."""
        return self.execute_command("GETSET", name, value)

    def mget(self, keys: Keys, *args: Word) -> list[Any]:
        """The values in the order of the keys, None for a missing one; [] for no keys."""
        words = list_or_args(keys, args)
        if not words:
            return self.execute_command("MGET", EMPTY_RESPONSE=[])
        return self.execute_command("MGET", *words)

    def mset(self, mapping: Mapping[Any, Word]) -> bool:
        """True, after setting each key to its value at once."""
        return self.execute_command("MSET", *flat(mapping))

    def msetex(
        self,
        mapping: Mapping[Any, Word],
        data_persist_option: DataPersistOptions | None = None,
        ex: Seconds | None = None,
        px: Seconds | None = None,
        exat: Moment | None = None,
        pxat: Moment | None = None,
        keepttl: bool = False,
    ) -> int:
        """1 if all keys were set, with an expiry as in `set`, 0 if the condition failed."""
        words = [data_persist_option.value] if data_persist_option else []
        words += expiry(ex, px, exat, pxat, keepttl=keepttl) + options(KEEPTTL=bool(keepttl))
        return self.execute_command("MSETEX", len(mapping), *flat(mapping), *words)

    def msetnx(self, mapping: Mapping[Any, Word]) -> bool:
        """Whether all keys were new, and so were set."""
        return self.execute_command("MSETNX", *flat(mapping))

    def psetex(self, name: Key, time_ms: Seconds, value: Word) -> bool:
        """True, after setting `value` for `time_ms` milliseconds."""
        return self.execute_command("PSETEX", name, milliseconds(time_ms), value)

    def setex(self, name: Key, time: Seconds, value: Word) -> bool:
        """True, after setting `value` for `time` seconds."""
        return self.execute_command("SETEX", name, seconds(time), value)

    def setnx(self, name: Key, value: Word) -> bool:
        """Whether the key was new, and so was set."""
        return self.execute_command("SETNX", name, value)

    def setrange(self, name: Key, offset: int, value: Word) -> int:
        """The value's length, after overwriting from the byte `offset` on."""
        return self.execute_command("SETRANGE", name, offset, value)

    def strlen(self, name: Key) -> int:
        """The value's length in bytes, 0 if there is none."""
        return self.execute_command("STRLEN", name)

    def digest(self, name: Key) -> Any:
        """The XXH3 digest of the value in hexadecimal, None if there is none."""
        return self.execute_command("DIGEST", name)

    def digest_local(self, value: bytes | str) -> bytes | str:
        """The digest that the server would give for `value`; needs the package `xxhash`."""
        try:
            from xxhash import xxh3_64  # type: ignore[import-not-found, unused-ignore]
        except ImportError as error:
            raise NotImplementedError("digest_local() needs the package xxhash") from error
        digest: str = xxh3_64(value).hexdigest()
        return digest if self.get_encoder().decode_responses else digest.encode()

    def lcs(
        self,
        key1: str,
        key2: str,
        len: bool | None = False,
        idx: bool | None = False,
        minmatchlen: int | None = 0,
        withmatchlen: bool | None = False,
    ) -> Any:
        """The longest common subsequence of two values, its length, or with `idx` where it is."""
        words = options(
            LEN=bool(len), IDX=bool(idx), MINMATCHLEN=minmatchlen or None, WITHMATCHLEN=bool(withmatchlen)
        )
        return self.execute_command("LCS", key1, key2, *words)

    def stralgo(
        self,
        algo: Literal["LCS"],
        value1: Key,
        value2: Key,
        specific_argument: Literal["strings"] | Literal["keys"] = "strings",
        len: bool = False,
        idx: bool = False,
        minmatchlen: int | None = None,
        withmatchlen: bool = False,
        **kwargs: Any,
    ) -> Any:
        """As `lcs`, for two keys or two strings; only in Redis 6."""
        if algo != "LCS":
            raise DataError("The supported algorithms are: LCS")
        if specific_argument not in ("keys", "strings"):
            raise DataError("specific_argument can be only keys or strings")
        if len and idx:
            raise DataError("len and idx cannot be provided together.")
        words = options(LEN=len, IDX=idx, MINMATCHLEN=minmatchlen, WITHMATCHLEN=withmatchlen)
        given = {"len": len, "idx": idx, "minmatchlen": minmatchlen, "withmatchlen": withmatchlen}
        return self.execute_command(
            "STRALGO", algo, specific_argument.upper(), value1, value2, *words, **given, **kwargs
        )


def _conditions(nx: bool, xx: bool, ifeq: Any, ifne: Any, ifdeq: Any, ifdne: Any) -> list[Any]:
    given = {"ifeq": ifeq, "ifne": ifne, "ifdeq": ifdeq, "ifdne": ifdne}
    exclude(nx=nx, xx=xx, **{option: match is not None for option, match in given.items()})
    return options(NX=bool(nx), XX=bool(xx), IFEQ=ifeq, IFNE=ifne, IFDEQ=ifdeq, IFDNE=ifdne)
