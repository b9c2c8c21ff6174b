"""Names of commands in any case."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class CaseInsensitiveDict(dict[str, Any]):
    """A dict of upper-case names that takes names in any case; `changed()` is called at each change."""

    changed: Callable[[], None] = lambda *_: None

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).upper())

    def __getitem__(self, name: str) -> Any:
        return super().__getitem__(name.upper())

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name.upper(), value)
        self.changed()

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name.upper())
        self.changed()

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.upper(), default)

    def update(self, *others: Any, **named: Any) -> None:
        for name, value in dict(*others, **named).items():
            self[name] = value
