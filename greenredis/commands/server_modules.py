"""The server's modules: loading and unloading them. Their commands are in greenredis.modules."""

from __future__ import annotations

from typing import Any

from .options import Commands


class ModuleCommands(Commands):
    def module_load(self, path: Any, *args: Any) -> bool:
        """True, when the module of that file is loaded, with `args` for it; ModuleError if it cannot be."""
        return self.execute_command("MODULE LOAD", path, *args)

    def module_loadex(
        self, path: str, options: list[str] | None = None, args: list[str] | None = None
    ) -> Any:
        """OK; as `module_load`, with `options`, the name and value of each setting in turn."""
        words = [] if options is None else ["CONFIG", *options]
        words += [] if args is None else ["ARGS", *args]
        return self.execute_command("MODULE LOADEX", path, *words)

    def module_unload(self, name: Any) -> bool:
        """True, when the module is gone; ModuleError if it cannot go."""
        return self.execute_command("MODULE UNLOAD", name)

    def module_list(self) -> list[dict[Any, Any]]:
        """Name, version, path and arguments of each module."""
        return self.execute_command("MODULE LIST")
