"""Lua scripts."""

from __future__ import annotations

from typing import Any, Literal

from ..exceptions import DataError
from .options import Commands, Word


class ScriptCommands(Commands):
    """The first `numkeys` of `keys_and_args` are keys: the script's KEYS; the rest is its ARGV."""

    def eval(self, script: str, numkeys: int, *keys_and_args: Word) -> Any:
        """What the script returns."""
        return self.execute_command("EVAL", script, numkeys, *keys_and_args)

    def eval_ro(self, script: str, numkeys: int, *keys_and_args: Word) -> Any:
        """As `eval`, for a script that writes nothing."""
        return self.execute_command("EVAL_RO", script, numkeys, *keys_and_args)

    def evalsha(self, sha: str, numkeys: int, *keys_and_args: Word) -> Any:
        """As `eval`, for a script that the server has, by its SHA1; NoScriptError if it has not."""
        return self.execute_command("EVALSHA", sha, numkeys, *keys_and_args)

    def evalsha_ro(self, sha: str, numkeys: int, *keys_and_args: Word) -> Any:
        """As `evalsha`, for a script that writes nothing."""
        return self.execute_command("EVALSHA_RO", sha, numkeys, *keys_and_args)

    def script_exists(self, *args: str) -> list[bool]:
        """Whether the server has each script, by its SHA1."""
        return self.execute_command("SCRIPT EXISTS", *args)

    def script_debug(self, *args: Any) -> None:
        """Not offered, as in redis-py."""
        raise NotImplementedError("SCRIPT DEBUG is intentionally not implemented in the client.")

    def script_flush(self, sync_type: Literal["SYNC", "ASYNC"] | None = None) -> bool:
        """True, after forgetting all scripts, or by ASYNC soon."""
        if sync_type not in ("SYNC", "ASYNC", None):
            raise DataError(f"sync_type must be SYNC, ASYNC or None, not {sync_type!r}")
        return self.execute_command("SCRIPT FLUSH", *([] if sync_type is None else [sync_type]))

    def script_kill(self) -> bool:
        """True, after ending the script that runs; ResponseError if none does or it has written."""
        return self.execute_command("SCRIPT KILL")

    def script_load(self, script: str | bytes | memoryview) -> str:
        """The script's SHA1, when the server has it."""
        return self.execute_command("SCRIPT LOAD", script)
