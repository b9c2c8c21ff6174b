"""Functions: scripts that the server keeps with its data, in libraries."""

from __future__ import annotations

from typing import Any

from .options import Commands, options


class FunctionCommands(Commands):
    """The first `numkeys` of `keys_and_args` are keys; the rest are the function's arguments."""

    def fcall(self, function: Any, numkeys: int, *keys_and_args: Any) -> Any:
        """What the function returns."""
        return self.execute_command("FCALL", function, numkeys, *keys_and_args)

    def fcall_ro(self, function: Any, numkeys: int, *keys_and_args: Any) -> Any:
        """As `fcall`, for a function that writes nothing."""
        return self.execute_command("FCALL_RO", function, numkeys, *keys_and_args)

    def function_load(self, code: str, replace: bool | None = False) -> Any:
        """The library's name, when the server has it; it may `replace` one of that name."""
        return self.execute_command("FUNCTION LOAD", *options(REPLACE=bool(replace)), code)

    def function_delete(self, library: str) -> bool:
        """True, after deleting the library."""
        return self.execute_command("FUNCTION DELETE", library)

    def function_flush(self, mode: str = "SYNC") -> bool:
        """True, after deleting all libraries, or by ASYNC soon."""
        return self.execute_command("FUNCTION FLUSH", mode)

    def function_list(self, library: str | None = "*", withcode: bool | None = False) -> list[Any]:
        """The libraries that match, with their functions."""
        return self.execute_command(
            "FUNCTION LIST", "LIBRARYNAME", library, *options(WITHCODE=bool(withcode))
        )

    def function_dump(self) -> bytes:
        """All libraries, for `function_restore`; bytes even where replies are decoded."""
        return self.execute_command("FUNCTION DUMP", NEVER_DECODE=True)

    def function_restore(self, payload: str, policy: str | None = "APPEND") -> bool:
        """True, after adding the dumped libraries to those there are, or by FLUSH or REPLACE instead."""
        return self.execute_command("FUNCTION RESTORE", payload, policy)

    def function_kill(self) -> Any:
        """OK, after ending the function that runs; ResponseError if none does or it has written."""
        return self.execute_command("FUNCTION KILL")

    def function_stats(self) -> Any:
        """The function that runs, and how many there are for each engine."""
        return self.execute_command("FUNCTION STATS")
