"""patch_redis(): `import redis` and its submodules give greenredis."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from . import real_redis, rebinding
from .exceptions import ConnectionError
from .rebinding import PatchWarning
from .redis_names import ABSENT, BORROWED, BORROWED_NAMES, PLACEHOLDERS, SERVED, VERSION

__all__ = ["PatchWarning", "is_patched", "patch_redis"]

_PACKAGE = "redis"
_MODULES = frozenset((*SERVED, *PLACEHOLDERS))
_ANY = DistributionFinder.Context()


def patch_redis() -> None:
    """Serve redis-py's modules by greenredis, for the whole process, from now on.

    Modules that were imported before are served too, and other modules' attributes that are redis-py's
    classes and functions become greenredis's.  What cannot be reached, such as a subclass made earlier, is
    said in a PatchWarning; so patch first.  Before or after gevent's own patching; a second call does
    nothing.  Processes that are started afterwards, other than by fork, patch for themselves.
    """
    if is_patched():
        return
    real_redis.keep()
    old = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_of(name, (_PACKAGE,))}
    sys.meta_path.insert(0, _Finder())
    importlib.import_module(_PACKAGE)
    if old:
        rebinding.rebind({module: importlib.import_module(name) for name, module in _served(old)})


def is_patched() -> bool:
    """Whether `import redis` gives greenredis."""
    return any(isinstance(finder, _Finder) for finder in sys.meta_path)


def _served(old: dict[str, ModuleType]) -> Iterable[tuple[str, ModuleType]]:
    return [(name, module) for name, module in old.items() if name in _MODULES]


def _is_of(name: str, packages: Iterable[str]) -> bool:
    """Whether a module is one of the packages, or below it."""
    return any(name == package or name.startswith(package + ".") for package in packages)


# -- importing


class _Finder(MetaPathFinder):
    """Finds redis-py's modules in greenredis, and what the package's metadata says."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in _MODULES:
            return _spec(fullname, _Served())
        if _is_of(fullname, BORROWED):
            return _spec(fullname, _Borrowed())
        return _spec(fullname, _Absent()) if _is_of(fullname, ABSENT) else None

    def find_distributions(self, context: Any = _ANY) -> Iterable[Distribution]:
        """The package's metadata, for whoever asks for it by name."""
        name = str(context.name).lower()
        return [_Metadata()] if name == _PACKAGE and context.path is sys.path else []


def _spec(name: str, loader: Loader) -> ModuleSpec:
    spec = ModuleSpec(name, loader, origin="greenredis")
    if any(each.startswith(name + ".") for each in (*_MODULES, *BORROWED)):
        spec.submodule_search_locations = []
    return spec


class _Served(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return ServedModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__doc__ = f"{module.__name__}, served by greenredis"
        values = attributes(module.__name__)
        vars(module).update(values)
        module.__all__ = sorted(name for name in values if name[0] != "_")  # type: ignore[attr-defined]


class _Borrowed(Loader):
    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = real_redis.module(module.__name__)


class _Absent(Loader):
    def create_module(self, spec: ModuleSpec) -> None:
        reason = next(why for package, why in ABSENT.items() if _is_of(spec.name, (package,)))
        raise ImportError(f"greenredis, which serves redis, has no {spec.name}: {reason}", name=spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Never reached."""


class ServedModule(ModuleType):
    """A module of redis-py that greenredis serves."""

    def __getattr__(self, name: str) -> Any:
        full = f"{self.__name__}.{name}"
        if full in _MODULES or full in BORROWED:
            return importlib.import_module(full)
        for home, names in BORROWED_NAMES.get(self.__name__, {}).items():
            if name in names.split():
                return getattr(importlib.import_module(home), name)
        raise AttributeError(
            f"module {self.__name__!r} has no attribute {name!r}: greenredis serves it, without that",
            name=name,
            obj=self,
        )

    def __dir__(self) -> list[str]:
        return sorted({*vars(self), *(full.rpartition(".")[2] for full in _children(self.__name__))})


def _children(module: str) -> list[str]:
    return [name for name in _MODULES if name.rpartition(".")[0] == module]


# -- what the modules hold


def attributes(module: str) -> dict[str, Any]:
    """The names that a module of redis-py's has here, with their values."""
    reason, classes = PLACEHOLDERS.get(module, ("", ""))
    found: dict[str, Any] = {name: _placeholder(module, name, reason) for name in classes.split()}
    for home, names in SERVED.get(module, {}).items():
        source = importlib.import_module(home if _is_of(home, (_PACKAGE,)) else f"greenredis.{home}")
        for name in names.split():
            theirs, _, ours = name.partition("=")
            found[theirs] = getattr(source, ours or theirs)
    return found


@cache
def _placeholder(module: str, name: str, reason: str) -> type:
    """A class that can be imported and subclassed; an error, which nobody raises, can be caught too."""
    if name.endswith("Error"):
        return type(name, (ConnectionError,), {"__module__": module, "__doc__": reason})

    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(f"{module}.{name}: {reason}")

    return type(name, (), {"__module__": module, "__doc__": reason, "__init__": refuse, "from_url": refuse})


class _Metadata(Distribution):
    """What importlib.metadata says of the distribution `redis`."""

    def read_text(self, filename: str) -> str | None:
        version = ".".join(map(str, VERSION))
        text = f"Metadata-Version: 2.1\nName: {_PACKAGE}\nVersion: {version}\nSummary: served by greenredis\n"
        return text if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Path:
        return Path(__file__).parent.joinpath(path)
