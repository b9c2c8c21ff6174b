"""Arrays: values by index, with gaps (Redis 8.4 and later)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from .options import Commands, Key, Word, flat, options


class ArrayAggregateOperations(Enum):
    """What `arop` makes of the values in a range; MATCH and USED count them."""

    SUM = "SUM"
    MIN = "MIN"
    MAX = "MAX"
    AND = "AND"
    OR = "OR"
    XOR = "XOR"
    MATCH = "MATCH"
    USED = "USED"


class ArrayPredicateType(Enum):
    """How `argrep` compares: the same, containing, as a glob pattern or a regular expression."""

    EXACT = "EXACT"
    MATCH = "MATCH"
    GLOB = "GLOB"
    RE = "RE"


class ArrayPredicateCombinator(Enum):
    """Whether all predicates of `argrep` must hold, or one."""

    AND = "AND"
    OR = "OR"


class ArrayCommands(Commands):
    """Ranges include both ends."""

    def arset(self, name: Key, index: int, *values: Word) -> int:
        """How many places were empty, of those from `index` on that now have the values."""
        return self.execute_command("ARSET", name, index, *values)

    def armset(self, name: Key, mapping: Mapping[int, Word]) -> int:
        """As `arset`, with a value for each index."""
        return self.execute_command("ARMSET", name, *flat(mapping))

    def arget(self, name: Key, index: int) -> Any:
        """The value, None if there is none."""
        return self.execute_command("ARGET", name, index)

    def armget(self, name: Key, *indices: int) -> list[Any]:
        """The values, None for a missing one."""
        return self.execute_command("ARMGET", name, *indices)

    def argetrange(self, name: Key, start: int, end: int) -> list[Any]:
        """The values from `start` to `end`, None for a missing one."""
        return self.execute_command("ARGETRANGE", name, start, end)

    def arscan(self, name: Key, start: int, end: int, limit: int | None = None) -> list[Any]:
        """Up to `limit` indices with their values, without the gaps."""
        return self.execute_command("ARSCAN", name, start, end, *options(LIMIT=limit))

    def argrep(
        self,
        name: Key,
        start: int,
        end: int,
        predicates: list[tuple[ArrayPredicateType, Word]],
        combinator: ArrayPredicateCombinator | None = None,
        limit: int | None = None,
        withvalues: bool = False,
        nocase: bool = False,
    ) -> list[Any]:
        """Up to `limit` indices, or with their values, of what meets the predicates."""
        words = [word for kind, value in predicates for word in (kind.value, value)]
        words += [] if combinator is None else [combinator.value]
        words += options(LIMIT=limit, WITHVALUES=bool(withvalues), NOCASE=bool(nocase))
        return self.execute_command("ARGREP", name, start, end, *words)

    def ardel(self, name: Key, *indices: int) -> int:
        """How many values were deleted."""
        return self.execute_command("ARDEL", name, *indices)

    def ardelrange(self, name: Key, *ranges: tuple[int, int]) -> int:
        """How many values were deleted in the ranges."""
        return self.execute_command("ARDELRANGE", name, *(end for pair in ranges for end in pair))

    def arcount(self, name: Key) -> int:
        """How many values there are."""
        return self.execute_command("ARCOUNT", name)

    def arlen(self, name: Key) -> int:
        """The highest index and one, gaps included."""
        return self.execute_command("ARLEN", name)

    def arinfo(self, name: Key, full: bool = False) -> dict[str, Any]:
        """How the array is stored."""
        return self.execute_command("ARINFO", name, *options(FULL=bool(full)))

    def arnext(self, name: Key) -> int | None:
        """Where `arinsert` would put the next value."""
        return self.execute_command("ARNEXT", name)

    def arseek(self, name: Key, index: int) -> int:
        """1, when `arinsert` goes on at `index`; 0 if there is no array."""
        return self.execute_command("ARSEEK", name, index)

    def arinsert(self, name: Key, *values: Word) -> int:
        """The last index written, after putting the values at the insertion point."""
        return self.execute_command("ARINSERT", name, *values)

    def arring(self, name: Key, size: int, *values: Word) -> int:
        """As `arinsert`, in a ring of `size`, where new values replace the oldest."""
        return self.execute_command("ARRING", name, size, *values)

    def arlastitems(self, name: Key, count: int, rev: bool = False) -> list[Any]:
        """Up to `count` values inserted last, the newest first with `rev`."""
        return self.execute_command("ARLASTITEMS", name, count, *options(REV=bool(rev)))

    def arop(
        self, name: Key, start: int, end: int, operation: ArrayAggregateOperations, value: Word | None = None
    ) -> Any:
        """What the operation makes of the values in the range; `value` is what MATCH looks for."""
        words = [] if value is None else [value]
        return self.execute_command("AROP", name, start, end, operation.value, *words)
