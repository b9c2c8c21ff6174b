"""What was taken from redis-py before greenredis served it: rebound where it can be, told of where not."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from types import CellType, FunctionType, ModuleType
from typing import Any

_DEPTH = 3  # how deep to look into containers, closures and defaults
_LARGE = 1000  # a container that is not looked into
_CLIENTS = ("Redis", "PubSub", "Pipeline", "ConnectionPool", "AbstractConnection")


class PatchWarning(RuntimeWarning):
    """Something was taken from redis-py before `patch_redis()`, and stays redis-py's."""


def rebind(replaced: Mapping[ModuleType, ModuleType]) -> None:
    """Serve the old modules by the new ones, whoever holds them, and modules' attributes with them.

    Warns of what keeps redis-py: a PatchWarning for each module, which names it and the fix.
    """
    swaps = _Swaps(replaced)
    for old, new in replaced.items():
        _forward(old, new)
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] not in ("redis", "greenredis") and issubclass(type(module), ModuleType):
            _rebind_in(module, swaps)
            _warn_of(name, sorted(set(_left_in(name, module, swaps))))


class _Swaps:
    """redis-py's modules, classes and functions that have a counterpart, found by identity."""

    def __init__(self, replaced: Mapping[ModuleType, ModuleType]) -> None:
        self.new: dict[int, Any] = {id(old): new for old, new in replaced.items()}
        self.names: dict[int, str] = {}  # of the classes and functions
        self.clients: tuple[type, ...] = ()
        self._kept: list[Any] = []  # an id means something while its object lives
        for old, new in replaced.items():
            for name, value in list(vars(old).items()):
                if isinstance(value, (type, FunctionType)) and _home(value) == "redis" and name in vars(new):
                    self._add(name, value, vars(new)[name])

    def _add(self, name: str, value: Any, new: Any) -> None:
        self._kept.append(value)
        self.new[id(value)] = new
        self.names.setdefault(id(value), f"{value.__module__}.{value.__qualname__}")
        if name in _CLIENTS and isinstance(value, type):
            self.clients += (value,)


def _home(value: Any) -> str:
    """The package that a class or a function was written in."""
    return str(getattr(value, "__module__", None)).partition(".")[0]


def _forward(old: ModuleType, new: ModuleType) -> None:
    """Make the old module's attributes the new one's.

    Its dictionary stays as it is: redis-py's own functions, whose globals it is, go on as they were.
    """

    class Forward(ModuleType):
        def __getattribute__(self, name: str) -> Any:
            return super().__getattribute__(name) if name == "__dict__" else getattr(new, name)

        def __setattr__(self, name: str, value: Any) -> None:
            setattr(new, name, value)

        def __delattr__(self, name: str) -> None:
            delattr(new, name)

        def __dir__(self) -> Iterable[str]:
            return dir(new)

    object.__setattr__(old, "__class__", Forward)


# Nothing below asks an object of others for its class or its attributes: a lazy one would come to life.


def _own(module: ModuleType) -> list[tuple[str, Any]]:
    """A module's attributes; those of a lazy one as they are, without importing it."""
    return list(object.__getattribute__(module, "__dict__").items())


def _rebind_in(module: ModuleType, swaps: _Swaps) -> None:
    for name, value in _own(module):
        if id(value) in swaps.new:
            setattr(module, name, swaps.new[id(value)])


# -- what cannot be reached


def _left_in(name: str, module: ModuleType, swaps: _Swaps) -> Iterator[str]:
    """What keeps redis-py in a module, each with the place."""
    for attribute, value in _own(module):
        yield from _left(attribute, value, swaps, _DEPTH)
        if issubclass(type(value), type) and value.__module__ == name:
            for base in [base for base in value.__mro__[1:] if id(base) in swaps.names][:1]:
                yield f"{attribute} (a subclass of {swaps.names[id(base)]})"
            for inner, held in list(vars(value).items()):
                yield from _left(f"{attribute}.{inner}", held, swaps, _DEPTH)


def _left(place: str, value: Any, swaps: _Swaps, depth: int) -> Iterator[str]:
    if id(value) in swaps.names:
        yield f"{place} (holds {swaps.names[id(value)]})"
    elif issubclass(type(value), swaps.clients):
        yield f"{place} (a {type(value).__module__}.{type(value).__qualname__} in use)"
    elif depth:
        for part in _parts(value):
            yield from _left(place, part, swaps, depth - 1)


def _parts(value: Any) -> list[Any]:
    """What a small container, or a function's defaults and closure, hold."""
    kind = type(value)
    if kind in (staticmethod, classmethod):
        return [value.__func__]
    if kind is FunctionType:
        cells = [cell.cell_contents for cell in value.__closure__ or () if cell != CellType()]
        return [*cells, *(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
    if kind not in (dict, tuple, list, set, frozenset) or len(value) > _LARGE:
        return []
    return list(value.values() if kind is dict else value)


def _warn_of(module: str, places: list[str]) -> None:
    if places:
        warnings.warn(
            f"{module} was imported before greenredis.monkey.patch_redis(), and keeps redis-py in "
            f"{', '.join(places)}; call patch_redis() before importing {module}",
            PatchWarning,
            stacklevel=4,
        )
