"""How replies are converted, by the command's name in any case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..protocol import Word
from ..traits import Traits


class Plan:
    """What a client knows of a command before it has seen its words."""

    __slots__ = ("callback", "name", "traits")

    def __init__(self, traits: Traits, callback: Callable[..., Any] | None, name: tuple[Word, ...]) -> None:
        self.traits = traits
        self.callback = callback
        self.name = name


class CaseInsensitiveDict(dict[str, Any]):
    """A dict of upper-case names that takes names in any case."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).upper())

    def __getitem__(self, name: str) -> Any:
        return super().__getitem__(name.upper())

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name.upper(), value)

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name.upper())

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.upper(), default)

    def update(self, *others: Any, **named: Any) -> None:
        for name, value in dict(*others, **named).items():
            self[name] = value


class Callbacks(CaseInsensitiveDict):
    """The conversions of a client and its pipelines, and the plans that were made with them."""

    def __init__(self, callbacks: Mapping[str, Callable[..., Any]]) -> None:
        super().__init__({name.upper(): callback for name, callback in callbacks.items()})
        self.plans: dict[Any, Plan] = {}

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        self.plans.clear()

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self.plans.clear()
