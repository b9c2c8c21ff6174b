"""Streams and their consumer groups."""

from __future__ import annotations

from math import inf
from typing import Any, Literal

from ..exceptions import DataError
from .options import Commands, Key, Word, flat, options

_Fields = dict[Any, Any]
_Streams = dict[Any, Any]
_Policy = Literal["KEEPREF", "DELREF", "ACKED"]
_Nack = Literal["SILENT", "FAIL", "FATAL"]


class StreamCommands(Commands):
    """Times are milliseconds unless said otherwise; an entry is a tuple of its id and a dict of its fields.

    `ref_policy` says what becomes of the groups' references to entries that are removed: KEEPREF keeps
    them, DELREF deletes them, ACKED removes only what every group has acknowledged.  DataError for any
    other, for numbers out of their range, and for options that exclude each other.
    """

    def xack(self, name: Key, groupname: Word, *ids: Word) -> int:
        """How many were pending in the group, and are acknowledged now."""
        return self.execute_command("XACK", name, groupname, *ids)

    def xackdel(self, name: Key, groupname: Word, *ids: Word, ref_policy: _Policy = "KEEPREF") -> list[int]:
        """For each id 1 if acknowledged and deleted, 2 if still referred to, -1 if there is none."""
        words = [_policy(ref_policy), "IDS", *_counted(ids)]
        return self.execute_command("XACKDEL", name, groupname, *words)

    def xadd(
        self,
        name: Key,
        fields: _Fields,
        id: Word = "*",
        maxlen: int | None = None,
        approximate: bool = True,
        nomkstream: bool = False,
        minid: Word | None = None,
        limit: int | None = None,
        ref_policy: _Policy | None = None,
        idmpauto: str | None = None,
        idmp: tuple[str, bytes] | None = None,
    ) -> Any:
        """The new entry's id; None with `nomkstream` if there is no stream.

        Trims as `xtrim` does.  A producer's entry that is there already is not added again: the same by
        its fields (`idmpauto` names the producer), or by its own id (`idmp`, producer and id).
        """
        _whole(maxlen=maxlen)
        words = options(NOMKSTREAM=bool(nomkstream)) + _policy_if_given(ref_policy)
        words += _idempotence(id, idmpauto, idmp)
        words += _trimming(maxlen, minid, approximate) + options(LIMIT=limit)
        return self.execute_command("XADD", name, *words, id, *flat(_filled(fields)))

    def xcfgset(self, name: Key, idmp_duration: int | None = None, idmp_maxsize: int | None = None) -> Any:
        """OK, after setting for how many seconds (1-300) and entries (1-1000000) producers' ids last."""
        if idmp_duration is None and idmp_maxsize is None:
            raise DataError("idmp_duration or idmp_maxsize must be given")
        _whole(1, 300, idmp_duration=idmp_duration)
        _whole(1, 1_000_000, idmp_maxsize=idmp_maxsize)
        words = options(**{"IDMP-DURATION": idmp_duration, "IDMP-MAXSIZE": idmp_maxsize})
        return self.execute_command("XCFGSET", name, *words)

    def xautoclaim(
        self,
        name: Key,
        groupname: Word,
        consumername: Word,
        min_idle_time: int,
        start_id: Word = "0-0",
        count: int | None = None,
        justid: bool = False,
    ) -> list[Any]:
        """Where to go on, the entries claimed, and the ids that are gone; only the ids with `justid`.

        Up to `count` pending entries from `start_id` that have been idle for so long become the consumer's.
        """
        _is_natural(min_idle_time)
        words = ["COUNT", count] if _is_natural(count) else []
        words += options(JUSTID=bool(justid))
        return self.execute_command(
            "XAUTOCLAIM", name, groupname, consumername, min_idle_time, start_id, *words, **_justid(justid)
        )

    def xclaim(
        self,
        name: Key,
        groupname: Word,
        consumername: Word,
        min_idle_time: int,
        message_ids: list[Word] | tuple[Word, ...],
        idle: int | None = None,
        time: int | None = None,
        retrycount: int | None = None,
        force: bool = False,
        justid: bool = False,
    ) -> list[Any]:
        """The entries that are the consumer's now, as they had been idle for so long; ids with `justid`.

        Sets how long each has been `idle`, or since which Unix `time`, and its number of deliveries;
        `force` claims also what was not pending.
        """
        if min_idle_time is None or not message_ids or not isinstance(message_ids, (list, tuple)):
            raise DataError("min_idle_time and a list or tuple of message_ids must be given")
        _whole(min_idle_time=min_idle_time)
        _whole(-inf, idle=idle, time=time, retrycount=retrycount)
        if not isinstance(force or False, bool) or not isinstance(justid or False, bool):
            raise DataError("force and justid must be bool")
        words = [
            *message_ids,
            *options(IDLE=idle, TIME=time, RETRYCOUNT=retrycount, FORCE=force, JUSTID=justid),
        ]
        return self.execute_command(
            "XCLAIM", name, groupname, consumername, min_idle_time, *words, **_justid(justid)
        )

    def xdel(self, name: Key, *ids: Word) -> int:
        """How many entries were deleted."""
        return self.execute_command("XDEL", name, *ids)

    def xdelex(self, name: Key, *ids: Word, ref_policy: _Policy = "KEEPREF") -> list[int]:
        """For each id 1 if deleted, 2 if still referred to, -1 if there is none."""
        return self.execute_command("XDELEX", name, _policy(ref_policy), "IDS", *_counted(ids))

    def xgroup_create(
        self,
        name: Key,
        groupname: Word,
        id: Word = "$",
        mkstream: bool = False,
        entries_read: int | None = None,
    ) -> bool:
        """True, after creating a group that gets what comes after `id`, `$` being the last.

        `mkstream` creates the stream too; `entries_read` is how many entries count as delivered, for the lag.
        """
        words = options(MKSTREAM=bool(mkstream), ENTRIESREAD=entries_read)
        return self.execute_command("XGROUP CREATE", name, groupname, id, *words)

    def xgroup_delconsumer(self, name: Key, groupname: Word, consumername: Word) -> int:
        """How many entries were pending for the consumer that is deleted."""
        return self.execute_command("XGROUP DELCONSUMER", name, groupname, consumername)

    def xgroup_destroy(self, name: Key, groupname: Word) -> bool:
        """Whether there was such a group."""
        return self.execute_command("XGROUP DESTROY", name, groupname)

    def xgroup_createconsumer(self, name: Key, groupname: Word, consumername: Word) -> int:
        """1 if the consumer is new, 0 if it is not."""
        return self.execute_command("XGROUP CREATECONSUMER", name, groupname, consumername)

    def xgroup_setid(self, name: Key, groupname: Word, id: Word, entries_read: int | None = None) -> bool:
        """True, after the group's last delivered id was set."""
        words = options(ENTRIESREAD=entries_read)
        return self.execute_command("XGROUP SETID", name, groupname, id, *words)

    def xinfo_consumers(self, name: Key, groupname: Word) -> list[dict[str, Any]]:
        """The consumers of a group."""
        return self.execute_command("XINFO CONSUMERS", name, groupname)

    def xinfo_groups(self, name: Key) -> list[dict[str, Any]]:
        """The groups of a stream."""
        return self.execute_command("XINFO GROUPS", name)

    def xinfo_stream(self, name: Key, full: bool = False) -> dict[str, Any]:
        """What is known of a stream; if `full` with its first entries, groups and consumers."""
        if full:
            return self.execute_command("XINFO STREAM", name, "FULL", full=full)
        return self.execute_command("XINFO STREAM", name)

    def xlen(self, name: Key) -> int:
        """How many entries there are."""
        return self.execute_command("XLEN", name)

    def xnack(
        self,
        name: Key,
        groupname: Word,
        mode: _Nack,
        *ids: Word,
        retrycount: int | None = None,
        force: bool = False,
    ) -> int:
        """How many pending entries were given back, for any consumer to get them.

        SILENT takes this delivery back from the count of deliveries, FAIL keeps it, FATAL makes the count
        the highest; or it becomes `retrycount`.  `force` gives back also what was not pending.
        """
        if mode not in ("SILENT", "FAIL", "FATAL"):
            raise DataError("mode must be SILENT, FAIL or FATAL")
        words = ["IDS", *_counted(ids), *options(RETRYCOUNT=retrycount, FORCE=bool(force))]
        if retrycount is not None and retrycount < 0:
            raise DataError("retrycount must not be negative")
        return self.execute_command("XNACK", name, groupname, mode, *words)

    def xpending(self, name: Key, groupname: Word) -> dict[str, Any]:
        """How many entries are pending in the group, their lowest and highest id, and the consumers'."""
        return self.execute_command("XPENDING", name, groupname)

    def xpending_range(
        self,
        name: Key,
        groupname: Word,
        min: Word | None,
        max: Word | None,
        count: int | None,
        consumername: Word | None = None,
        idle: int | None = None,
    ) -> Any:
        """Up to `count` pending entries, idle for so long; as `xpending` without a range.

        DataError if only some of `min`, `max` and `count` are given.
        """
        given = [bound is not None for bound in (min, max, count)]
        if not any(given) and consumername is None and idle is None:
            return self.xpending(name, groupname)
        if not all(given):
            raise DataError("min, max and count must be given together")
        words = ["IDLE", idle] if _is_natural(idle) else []
        words += [min, max, count] if _is_natural(count) else []  # type: ignore[list-item]
        words += [consumername] if consumername else []  # type: ignore[list-item]
        return self.execute_command("XPENDING", name, groupname, *words, parse_detail=True)

    def xrange(self, name: Key, min: Word = "-", max: Word = "+", count: int | None = None) -> Any:
        """Up to `count` entries from `min` to `max`, both included unless after a `(`."""
        _whole(1, count=count)
        return self.execute_command("XRANGE", name, min, max, *options(COUNT=count))

    def xread(
        self,
        streams: _Streams,
        count: int | None = None,
        block: int | None = None,
        max_count: int | None = None,
        max_size: int | None = None,
    ) -> Any:
        """The entries after the id given for each stream, empty if there are none.

        Waits up to `block` milliseconds, 0 for ever, on a connection of its own.  At most `count` of each
        stream, `max_count` of all, and `max_size` bytes.
        """
        _limits(count, max_count, max_size)
        _whole(block=block)
        words = options(BLOCK=block, COUNT=count, MAXCOUNT=max_count, MAXSIZE=max_size)
        return self.execute_command("XREAD", *words, "STREAMS", *_filled(streams), *streams.values())

    def xreadgroup(
        self,
        groupname: str,
        consumername: str,
        streams: _Streams,
        count: int | None = None,
        block: int | None = None,
        noack: bool = False,
        claim_min_idle_time: int | None = None,
        max_count: int | None = None,
        max_size: int | None = None,
    ) -> Any:
        """As `xread`, what no consumer of the group has got (`>`), or what is pending for this one.

        With `noack` nothing becomes pending.  `claim_min_idle_time` claims pending entries that have been
        idle for so long, first, and adds to each entry its idle time and number of deliveries.
        """
        _limits(count, max_count, max_size)
        _whole(block=block, claim_min_idle_time=claim_min_idle_time)
        claim = {} if claim_min_idle_time is None else {"claim_min_idle_time": claim_min_idle_time}
        words = options(COUNT=count, MAXCOUNT=max_count, MAXSIZE=max_size)
        words += options(BLOCK=block, NOACK=bool(noack), CLAIM=claim_min_idle_time)
        words += ["STREAMS", *_filled(streams), *streams.values()]
        return self.execute_command("XREADGROUP", "GROUP", groupname, consumername, *words, **claim)

    def xrevrange(self, name: Key, max: Word = "+", min: Word = "-", count: int | None = None) -> Any:
        """As `xrange`, the last entry first."""
        _whole(1, count=count)
        return self.execute_command("XREVRANGE", name, max, min, *options(COUNT=count))

    def xtrim(
        self,
        name: Key,
        maxlen: int | None = None,
        approximate: bool = True,
        minid: Word | None = None,
        limit: int | None = None,
        ref_policy: _Policy | None = None,
    ) -> int:
        """How many entries were removed, to leave `maxlen`, or none older than `minid`.

        An approximate trim may leave some more, and removes about `limit` at most.
        """
        words = _trimming(maxlen, minid, approximate)
        if not words:
            raise DataError("maxlen or minid must be given")
        return self.execute_command(
            "XTRIM", name, *words, *options(LIMIT=limit), *_policy_if_given(ref_policy)
        )


def _trimming(maxlen: int | None, minid: Word | None, approximate: bool) -> list[Any]:
    if maxlen is not None and minid is not None:
        raise DataError("maxlen and minid are mutually exclusive")
    name, bound = ("MAXLEN", maxlen) if minid is None else ("MINID", minid)
    if bound is None:
        return []
    return [name, "~", bound] if approximate else [name, bound]


def _idempotence(id: Word, idmpauto: Any, idmp: Any) -> list[Any]:
    if idmpauto is None and idmp is None:
        return []
    if id != "*" or None not in (idmpauto, idmp):
        raise DataError("idmpauto and idmp are mutually exclusive, and need the id '*'")
    if idmp is None:
        return ["IDMPAUTO", idmpauto]
    if not isinstance(idmp, tuple) or len(idmp) != 2:
        raise DataError("idmp must be a tuple of a producer and the entry's own id")
    return ["IDMP", *idmp]


def _policy(ref_policy: Any) -> Any:
    if ref_policy not in ("KEEPREF", "DELREF", "ACKED"):
        raise DataError("ref_policy must be KEEPREF, DELREF or ACKED")
    return ref_policy


def _policy_if_given(ref_policy: Any) -> list[Any]:
    return [] if ref_policy is None else [_policy(ref_policy)]


def _counted(ids: tuple[Word, ...]) -> list[Any]:
    if not ids:
        raise DataError("an id must be given")
    return [len(ids), *ids]


def _filled(mapping: Any) -> dict[Any, Any]:
    if not isinstance(mapping, dict) or not mapping:
        raise DataError("fields and streams must be a dict that is not empty")
    return mapping


def _limits(count: Any, max_count: Any, max_size: Any) -> None:
    _whole(1, count=count, max_count=max_count, max_size=max_size)
    if count is not None and max_count is not None and max_count < count:
        raise DataError("max_count must not be less than count")


def _whole(least: float = 0, most: float = inf, /, **given: Any) -> None:
    """DataError if any number that is given is no int within the range."""
    for name, value in given.items():
        if value is not None and not (isinstance(value, int) and least <= value <= most):
            raise DataError(f"{name} must be an integer from {least} to {most}")


def _is_natural(number: Any) -> bool:
    """Whether it is one, also as text; DataError if it is negative."""
    try:
        negative = int(number) < 0
    except TypeError:
        return False
    if negative:
        raise DataError("times and counts must not be negative")
    return True


def _justid(justid: bool) -> dict[str, Any]:
    """For the conversion of the reply."""
    return {"parse_justid": True} if justid else {}
