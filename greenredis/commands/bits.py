"""Bits of strings."""

from __future__ import annotations

from typing import Any

from ..exceptions import DataError
from .options import Commands, Key

Offset = int | str


class BitFieldOperation:
    """Collects operations on one bit field; `execute()` sends them as one BITFIELD.

    Formats are `u8`, `i16` ...; an offset counts bits, or fields as "#2".
    """

    def __init__(self, client: Commands, key: Key, default_overflow: str | None = None) -> None:
        self.client = client
        self.key = key
        self._default_overflow = default_overflow
        self.reset()

    def reset(self) -> None:
        """Forget all operations."""
        self.operations: list[tuple[Any, ...]] = []
        self._last_overflow = "WRAP"
        self.overflow(self._default_overflow or self._last_overflow)

    def overflow(self, overflow: str) -> BitFieldOperation:
        """Let increments from here on WRAP, SAT (stop at the limit) or FAIL when they overflow."""
        overflow = overflow.upper()
        if overflow != self._last_overflow:
            self._last_overflow = overflow
            self.operations.append(("OVERFLOW", overflow))
        return self

    def incrby(
        self, fmt: str, offset: Offset, increment: int, overflow: str | None = None
    ) -> BitFieldOperation:
        """Add to a field; the result is its new value."""
        if overflow is not None:
            self.overflow(overflow)
        self.operations.append(("INCRBY", fmt, offset, increment))
        return self

    def get(self, fmt: str, offset: Offset) -> BitFieldOperation:
        """Read a field; the result is its value."""
        self.operations.append(("GET", fmt, offset))
        return self

    def set(self, fmt: str, offset: Offset, value: int) -> BitFieldOperation:
        """Set a field; the result is its old value."""
        self.operations.append(("SET", fmt, offset, value))
        return self

    @property
    def command(self) -> list[Any]:
        """The words as they would be sent now."""
        return ["BITFIELD", self.key, *(word for operation in self.operations for word in operation)]

    def execute(self) -> Any:
        """The results of all operations, which are forgotten."""
        words = self.command
        self.reset()
        return self.client.execute_command(*words)


class BitCommands(Commands):
    def bitcount(
        self, key: Key, start: int | None = None, end: int | None = None, mode: str | None = None
    ) -> int:
        """How many bits are set, from `start` to `end`, in bytes, or in bits by the mode "BIT"."""
        if (start is None) != (end is None):
            raise DataError("Both start and end must be specified")
        return self.execute_command("BITCOUNT", key, *_given(start, end, mode))

    def bitpos(
        self,
        key: Key,
        bit: int,
        start: int | None = None,
        end: int | None = None,
        mode: str | None = None,
    ) -> int:
        """Where the first bit of that value is, -1 if there is none; range and mode as in `bitcount`."""
        if bit not in (0, 1):
            raise DataError("bit must be 0 or 1")
        if start is None and end is not None:
            raise DataError("start argument is not set, when end is specified")
        return self.execute_command("BITPOS", key, bit, *_given(start, end, mode))

    def bitop(self, operation: str, dest: Key, *keys: Key) -> int:
        """The length of the result of AND, OR, XOR, NOT ..., which is stored at `dest`."""
        return self.execute_command("BITOP", operation, dest, *keys)

    def bitfield(self, key: Key, default_overflow: str | None = None) -> BitFieldOperation:
        """A collector of operations on the value as an array of integers."""
        return BitFieldOperation(self, key, default_overflow=default_overflow)

    def bitfield_ro(
        self, key: Key, encoding: str, offset: Offset, items: list[tuple[str, Offset]] | None = None
    ) -> list[int]:
        """The integers at `offset` and at those of `items`, pairs of format and offset."""
        words: list[Any] = ["GET", encoding, offset]
        for item in items or ():
            words += ("GET", *item)
        return self.execute_command("BITFIELD_RO", key, *words)

    def getbit(self, name: Key, offset: int) -> int:
        """The bit at `offset`, 0 beyond the end."""
        return self.execute_command("GETBIT", name, offset)

    def setbit(self, name: Key, offset: int, value: int) -> int:
        """The old bit at `offset`, which is set to whether `value` is true."""
        return self.execute_command("SETBIT", name, offset, 1 if value else 0)


def _given(*words: Any) -> list[Any]:
    return [word for word in words if word is not None]
