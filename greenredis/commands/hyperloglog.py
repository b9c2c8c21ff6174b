"""HyperLogLogs, which estimate how many different elements they have seen."""

from __future__ import annotations

from .options import Commands, Key, Word


class HyperlogCommands(Commands):
    def pfadd(self, name: Key, *values: Word) -> int:
        """1 if the estimate changed, otherwise 0."""
        return self.execute_command("PFADD", name, *values)

    def pfcount(self, *sources: Key) -> int:
        """About how many different elements all sources have seen, within 0.81%."""
        return self.execute_command("PFCOUNT", *sources)

    def pfmerge(self, dest: Key, *sources: Key) -> bool:
        """True, when `dest` has seen what it and all sources have."""
        return self.execute_command("PFMERGE", dest, *sources)
