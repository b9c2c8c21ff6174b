"""What the groups of calls are written with."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

Call = tuple[str, tuple[Any, ...], dict[str, Any]]

DAY = timedelta(days=1, milliseconds=1)
WHEN = datetime(2040, 1, 1, tzinfo=timezone.utc)


def call(name: str, *args: Any, **kwargs: Any) -> Call:
    return name, args, kwargs


def each(names: str, *args: Any, **kwargs: Any) -> list[Call]:
    return [call(name, *args, **kwargs) for name in names.split()]
