"""The real redis-py, also where `import redis` gives greenredis: its modules' commands are used here."""

from __future__ import annotations

import builtins
import importlib
import pkgutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

from gevent.lock import RLock

_NAME = "redis"
_PRIVATE = "greenredis._redis_py"
_NEEDED = ("commands", "auth", "keyspace_notifications")  # beside what the package imports itself
_MISSING = (
    "commands of modules (json, ft, ts, bf, vset ...) and keyspace_notifications are redis-py's own, "
    "which is not installed, or older than 8.1: pip install 'greenredis[modules]'"
)

_lock = RLock()  # importing takes long, and another greenlet may run meanwhile
_modules: dict[str, ModuleType] = {}  # by redis-py's own names


def load() -> ModuleType:
    """The package redis-py, whole.  ImportError says what to install.

    It is the one that `import redis` gives, or gave before `keep()`.  Where `import redis` gives something
    else, and always did, it is one of our own, under a private name.
    """
    with _lock:
        if not _modules:
            _modules.update(_imported())
    return _modules[_NAME]


def module(name: str) -> ModuleType:
    """A module of redis-py, by redis-py's own name for it: `module("redis.commands.json")`."""
    load()
    try:
        return _modules[name]
    except KeyError:
        raise ImportError(f"redis-py has no {name}", name=name) from None


def keep() -> None:
    """To be called before something else takes redis-py's names: if it is imported, `load` goes on giving it.

    So classes that were taken from it before, such as a search's Query, are those of `load` afterwards.
    """
    if _is_real(sys.modules.get(_NAME)):
        with suppress(ImportError):
            load()


def _imported() -> dict[str, ModuleType]:
    try:
        prefix = _NAME if _is_real(importlib.import_module(_NAME)) else _private()
        package = importlib.import_module(prefix)
        for name in _NEEDED:
            _import_whole(f"{prefix}.{name}")
    except ImportError as error:
        raise ImportError(_MISSING, name=_NAME) from error
    if not hasattr(package.commands.helpers, "get_legacy_responses"):
        raise ImportError(_MISSING, name=_NAME)
    own = [name for name in sys.modules if name == prefix or name.startswith(prefix + ".")]
    return {_NAME + name.removeprefix(prefix): sys.modules[name] for name in own}


def _import_whole(name: str) -> None:
    """Import a module with all that is below it, so that nothing is left for later."""
    found = importlib.import_module(name)
    for each in pkgutil.iter_modules(getattr(found, "__path__", ()), name + "."):
        _import_whole(each.name)


def _is_real(found: ModuleType | None) -> bool:
    spec = PathFinder.find_spec(_NAME)
    return found is not None and spec is not None and vars(found).get("__file__") == spec.origin


# -- under the private name


def _private() -> str:
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())  # before the one that finds any file of a package
    return _PRIVATE


class _Finder(MetaPathFinder):
    """Finds redis-py's files for the modules under the private name."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _PRIVATE and not fullname.startswith(_PRIVATE + "."):
            return None
        top = fullname == _PRIVATE
        spec = PathFinder.find_spec(_NAME if top else fullname, None if top else path)
        if spec is None or spec.origin is None:
            return None
        spec.name = fullname
        spec.loader = _Loader(fullname, spec.origin)
        return spec


class _Loader(SourceFileLoader):
    """Runs a module of redis-py whose imports of redis-py, also those at call time, find the private one."""

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": _import}
        super().exec_module(module)


def _import(
    name: str,
    globals: Mapping[str, object] | None = None,
    locals: Mapping[str, object] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> Any:
    if level or (name != _NAME and not name.startswith(_NAME + ".")):
        return builtins.__import__(name, globals, locals, fromlist or (), level)
    found = importlib.import_module(_PRIVATE + name[len(_NAME) :])
    if not fromlist:
        return sys.modules[_PRIVATE]
    return builtins.__import__(found.__name__, globals, locals, fromlist, 0)
