"""What is known of each command: may it be sent again, share a connection, does it wait, where does it go."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from math import isfinite
from typing import Any, Literal, NamedTuple, TypeVar, cast

from .command_table import REFUSALS, TABLE

WordT = TypeVar("WordT")


class Traits(NamedTuple):
    """Of one command; the defaults are those of a command that is not known."""

    read_only: bool = False  # may be sent again: it changes nothing
    shareable: bool = False  # may travel on a connection that others use at the same time
    blocking: bool = False  # waits in the server, on these words
    state: bool = False  # changes its connection, which is closed when released
    refused: str | None = None  # why not outside of single_connection_client, and what to do instead
    is_fixed: bool = True  # the same whatever words follow the first
    timeout_at: int = 0  # the word that says how long a blocking command waits
    timeout_unit: float = 1.0  # in seconds

    def block_seconds(self, words: Sequence[Any]) -> float | None:
        """How long these words let the server wait: None if they do not, 0 for ever."""
        if not self.blocking:
            return None
        try:
            found = words[self.timeout_at]
            seconds = (
                float(found if isinstance(found, (str, int, float)) else bytes(found)) * self.timeout_unit
            )
        except (IndexError, TypeError, ValueError, OverflowError):
            return None  # the server answers such words with an error, at once
        return seconds if isfinite(seconds) and seconds >= 0 else None


Where = Literal["slot", "slots", "slot_number", "any", "all_primaries", "all_nodes", "special"]
Join = Literal[
    "", "by_key", "chained", "special", "one_succeeded", "all_succeeded",
    "agg_logical_and", "agg_min", "agg_sum",
]  # fmt: skip


class Route(NamedTuple):
    """Where a command goes in a cluster, and how the replies of several nodes become one.

    `where`: `slot` to the node of its keys' slot, to any primary where this line has none; `slots` is split
    by slot; `slot_number` to the node of the slot whose number follows the name; `any` to one node;
    `special` where it alone knows: SCAN from one primary to the next, FT.CURSOR to the node of its cursor.

    `join`: "" is one node's reply as it came; `by_key` in the order of the keys; `chained` one list of all;
    `all_succeeded` any reply, or the first error; `one_succeeded` the first that is none; `agg_*` of numbers,
    in lists element by element.  All but `chained` and `by_key` are names of the servers' command tips.
    """

    where: Where = "any"
    join: Join = ""


class _Row(NamedTuple):
    find_keys: tuple[Callable[[Sequence[Any]], Iterable[int]], ...]
    route: Route


def traits_of(words: Sequence[Any]) -> Traits:
    """What is known of the command: its name in any case, in one word or two, as str or bytes."""
    try:
        return _BY_NAME[words[0]]
    except (KeyError, TypeError):
        return _look_up(words)


def keys_of(words: Sequence[WordT]) -> list[WordT]:
    """The words of a command line that are keys, or channels of a shard, which are routed as keys are.

    Of a command that is not known it is the second word, where most commands have their only key.  A line
    that the server would refuse may have none.
    """
    name, line = _split(words)
    places = [at for find in _row(name).find_keys for at in find(line)]
    return [line[at] for at in places if at < len(line)]


def route_of(words: Sequence[Any]) -> Route:
    """Where the command goes in a cluster, by its name alone; one that is not known goes where its key is."""
    return _row(_split(words)[0]).route


# What CLIENT learns one day is likely to be about the connection.
_UNKNOWN_SUBCOMMANDS = {"CLIENT": Traits(state=True, is_fixed=False)}
_UNKNOWN_SUBCOMMAND = Traits(is_fixed=False)
_UNKNOWN = Traits()

# How many words an option takes with its values; others take one.
_OPTION_WIDTHS = {
    "AUTH": 2, "AUTH2": 3, "BLOCK": 2, "BY": 2, "CLAIM": 2, "COUNT": 2, "GET": 2, "GROUP": 3, "LIMIT": 3,
    "STORE": 2, "STOREDIST": 2,
}  # fmt: skip


def _look_up(words: Sequence[Any]) -> Traits:
    if not _BY_NAME:  # read when first asked for, which importing greenredis does not wait for
        _fill()
        return traits_of(words)
    name, line = _split(words)
    if name in _WAIT_BY_OPTION:
        return _by_block_option(name, line)
    container = name.partition("|")[0]
    if container in _CONTAINERS:
        return _BY_SUBCOMMAND.get(name, _UNKNOWN_SUBCOMMANDS.get(container, _UNKNOWN_SUBCOMMAND))
    return _BY_NAME.get(name, _UNKNOWN)


def _split(words: Sequence[Any]) -> tuple[str, list[Any]]:
    """The name as the table has it, and the line with a word for each part of the name."""
    parts = _upper(words[0]).split() or [""]
    line = [*parts, *words[1:]]
    if parts[0] in _CONTAINERS and len(line) > 1:
        return f"{parts[0]}|{_upper(line[1])}", line
    return parts[0], line


def _upper(word: Any) -> str:
    if isinstance(word, (bytes, bytearray, memoryview)):
        word = str(word, "latin-1")
    return str(word).upper()


def _by_block_option(name: str, line: Sequence[Any]) -> Traits:
    read_only = _WAIT_BY_OPTION[name]
    for at, option in _options(line, 3 if name == "TS.READ" else 1):
        if option == "STREAMS":
            break
        if option == "BLOCK" and at < len(line) - 1:
            return Traits(read_only, blocking=True, is_fixed=False, timeout_at=at + 1, timeout_unit=0.001)
    return Traits(read_only, shareable=True, is_fixed=False)


def _options(line: Sequence[Any], at: int) -> Iterator[tuple[int, str]]:
    while at < len(line):
        option = _upper(line[at])
        yield at, option
        at += _OPTION_WIDTHS.get(option, 1)


# -- Where keys stand: each function is for one form that the table explains


def _between(first: int, last: int, step: int, line: Sequence[Any]) -> Iterable[int]:
    return range(first, (last if last >= 0 else len(line) + last) + 1, step)


def _counted(at: int, step: int, line: Sequence[Any]) -> Iterable[int]:
    try:
        count = int(_upper(line[at]))
    except (IndexError, ValueError):
        return ()
    return range(at + 1, min(at + 1 + count * step, len(line)), step)


def _stored(at: int, line: Sequence[Any]) -> Iterable[int]:
    found = [place + 1 for place, option in _options(line, at) if option in ("STORE", "STOREDIST")]
    return found[-1:]


def _streams(at: int, line: Sequence[Any]) -> Iterable[int]:
    for place, option in _options(line, at):
        if option == "STREAMS":
            return range(place + 1, place + 1 + (len(line) - place - 1) // 2)
    return ()


def _migrated(at: int, line: Sequence[Any]) -> Iterable[int]:
    if len(line) > at and _upper(line[at]):
        return (at,)
    for place, option in _options(line, at + 3):
        if option == "KEYS":
            return range(place + 1, len(line))
    return ()


_OPTION_FORMS = {"STORE": _stored, "STREAMS": _streams, "KEYS": _migrated}


def _finder(form: str) -> Callable[[Sequence[Any]], Iterable[int]]:
    option, _, at = form.partition("@")
    if at:
        return partial(_OPTION_FORMS[option], int(at))
    span, _, step = form.partition("/")
    if span[0] == "#":
        return partial(_counted, int(span[1:]), int(step or 1))
    first, dots, last = span.partition("..")
    return partial(_between, int(first), int(last or (-1 if dots else first)), int(step or 1))


# -- The table


def _lines() -> Iterator[tuple[str, str, str, list[str]]]:
    for line in filter(None, TABLE.splitlines()):
        head, _, names = line.partition(": ")
        does, keys, *route = head.split()
        yield does, keys, "".join(route), names.split()


def _traits(does: str, is_fixed: bool = True) -> Traits:
    facts = dict(fact.partition("=")[::2] for fact in does.split(","))
    blocks, refused = facts.get("blocks", ""), REFUSALS.get(facts.get("refused", ""))
    return Traits(
        read_only="read" in facts,
        shareable="read" in facts or "write" in facts,
        blocking=bool(blocks),
        state="state" in facts or (bool(refused) and not blocks),
        refused=refused,
        is_fixed=is_fixed,
        timeout_at=int(blocks.removesuffix("ms") or 0),
        timeout_unit=0.001 if blocks.endswith("ms") else 1.0,
    )


@cache
def _rows() -> dict[str, _Row]:
    """Keys and routes: a plain client never asks, and does not pay for them."""
    rows = {}
    for _, keys, route, names in _lines():
        where, _, join = (route or ("any" if keys == "-" else "slot")).partition("/")
        find_keys = tuple(_finder(form) for form in keys.split(",") if form != "-")
        row = _Row(find_keys, Route(cast(Where, where), cast(Join, join)))
        rows.update(dict.fromkeys(names, row))
    return rows


def _row(name: str) -> _Row:
    unknown = _UNKNOWN_SUBCOMMAND_ROW if name.partition("|")[0] in _CONTAINERS else _UNKNOWN_ROW
    return _rows().get(name, unknown)


def _fill() -> None:
    for does, _, _, names in _lines():
        command, subcommand = _traits(does), _traits(does, is_fixed=False)
        for name in names:
            if "option" in does:
                _WAIT_BY_OPTION[name] = command.read_only
            elif "|" in name or name in _CONTAINERS:
                _BY_SUBCOMMAND[name] = subcommand
            else:
                _BY_NAME[name] = _BY_NAME[name.encode()] = command


_UNKNOWN_ROW = _Row((partial(_between, 1, 1, 1),), Route("slot"))
_UNKNOWN_SUBCOMMAND_ROW = _Row((), Route())

_CONTAINERS = frozenset(re.findall(r"([A-Z]+)\|", TABLE))
_BY_NAME: dict[Any, Traits] = {}
_BY_SUBCOMMAND: dict[str, Traits] = {}
_WAIT_BY_OPTION: dict[str, bool] = {}  # whether it is read-only
