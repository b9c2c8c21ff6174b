"""What all groups of commands are written with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from ..exceptions import DataError
from ..protocol import Word as Word  # for the groups

Key = str | bytes | memoryview
Keys = Key | Iterable[Key]
Pattern = str | bytes | memoryview
Seconds = int | timedelta
Moment = int | datetime

_Reply = TypeVar("_Reply")


class Commands:
    """The base of the groups. All they need is `execute_command`."""

    if TYPE_CHECKING:
        # Generic in the reply, so that each method can say what its own is.
        def execute_command(self, *words: Any, **options: Any) -> _Reply:  # type: ignore[type-var]
            """The converted reply to a command."""

        def get_encoder(self) -> Any:
            """What encodes words."""


def options(**given: Any) -> list[Any]:
    """The words of the options that are given: `options(EX=5, NX=True, PX=None)` is `["EX", 5, "NX"]`."""
    words: list[Any] = []
    for name, value in given.items():
        if value is True:
            words.append(name)
        elif value is not None and value is not False:
            words += (name, value)
    return words


def list_or_args(keys: Any, args: Iterable[Any] | None) -> list[Any]:
    """One new list of `keys`, a single one or any iterable, and `args`."""
    if isinstance(keys, (str, bytes, bytearray, memoryview)) or not hasattr(keys, "__iter__"):
        return [keys, *(args or ())]
    return [*keys, *(args or ())]


def flat(mapping: Mapping[Any, Any]) -> list[Any]:
    """Keys and values of a mapping, in turn."""
    return [word for pair in mapping.items() for word in pair]


def exclude(**given: bool) -> None:
    """DataError if more than one of these is true."""
    if sum(map(bool, given.values())) > 1:
        *names, last = given
        raise DataError(f"{', '.join(names)} and {last} are mutually exclusive")


def expiry(ex: Any, px: Any, exat: Moment | None, pxat: Moment | None, **flags: bool) -> list[Any]:
    """The words of at most one expiry; DataError for more, or for one beside any of `flags`."""
    given = [pair for pair in (("EX", ex), ("PX", px), ("EXAT", exat), ("PXAT", pxat)) if pair[1] is not None]
    if len(given) + sum(map(bool, flags.values())) > 1:
        raise DataError(f"ex, px, exat, pxat and {', '.join(flags)} are mutually exclusive")
    return [given[0][0], _TIMES[given[0][0]](given[0][1])] if given else []


def _duration(name: str, value: Any, unit: int) -> int:
    if isinstance(value, int):
        return value
    if isinstance(value, timedelta):
        return int(value.total_seconds() * unit)
    if name == "ex" and isinstance(value, str) and value.isdigit():
        return int(value)
    raise DataError(f"{name} must be datetime.timedelta or int")


_TIMES: dict[str, Callable[[Any], Any]] = {
    "EX": lambda value: _duration("ex", value, 1),
    "PX": lambda value: _duration("px", value, 1000),
    "EXAT": lambda value: unix_time(value),
    "PXAT": lambda value: unix_time(value, 1000),
}


def seconds(time: Any) -> Any:
    """Whole seconds, where `time` is a timedelta."""
    return int(time.total_seconds()) if isinstance(time, timedelta) else time


def milliseconds(time: Any) -> Any:
    """Whole milliseconds, where `time` is a timedelta."""
    return int(time.total_seconds() * 1000) if isinstance(time, timedelta) else time


def unix_time(when: Any, unit: int = 1) -> Any:
    """Seconds since 1970 times `unit`, where `when` is a datetime."""
    return int(when.timestamp() * unit) if isinstance(when, datetime) else when
