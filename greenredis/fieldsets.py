"""HIMPORT: hashes of the same fields, for which only the values travel."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .commands.shapes import is_ok
from .exceptions import DataError
from .executor import Executor
from .protocol import Word
from .traits import Traits


class FieldsetCommands(Executor):
    """A fieldset is known to the pool.

    The server keeps fieldsets for each connection; so each `himport_set` prepares, uses and discards
    its own, in one unbroken piece, and leaves the connection as it was.
    """

    def himport_prepare(self, fieldset_name: str, fields: Iterable[Word]) -> bool:
        """True; `himport_set` may name these fields from now on. Nothing is sent."""
        given = _several("fields", fields)
        if not given:
            raise DataError(f"fieldset {fieldset_name!r} needs a field")
        self.connection_pool.fieldsets[fieldset_name] = given
        return True

    def himport_set(self, key: Word, fieldset_name: str, values: Iterable[Word]) -> bool:
        """True, after setting the hash to the fieldset's fields with these values.

        DataError for a fieldset that was not prepared.
        """
        given = _several("values", values)
        fields = self.connection_pool.fieldsets.get(fieldset_name)
        if fields is None:
            raise DataError(f"no fieldset {fieldset_name!r}: call himport_prepare first")
        commands = (
            ("HIMPORT", "PREPARE", fieldset_name, *fields),
            ("HIMPORT", "SET", key, fieldset_name, *given),
            ("HIMPORT", "DISCARD", fieldset_name),
        )
        packed = b"".join(map(self.connection_pool.packer.pack_whole, commands))

        def attempt() -> Any:
            prepared, reply, _ = self._transport.execute_many(packed, len(commands))
            return prepared if isinstance(prepared, Exception) else reply

        return is_ok(self._complete(attempt, Traits()))

    def himport_discard(self, fieldset_name: str) -> int:
        """1 if there was such a fieldset, which is forgotten; otherwise 0. Nothing is sent."""
        return 0 if self.connection_pool.fieldsets.pop(fieldset_name, None) is None else 1

    def himport_discard_all(self) -> int:
        """How many fieldsets there were, which are forgotten. Nothing is sent."""
        count = len(self.connection_pool.fieldsets)
        self.connection_pool.fieldsets.clear()
        return count


def _several(what: str, given: Iterable[Word]) -> tuple[Word, ...]:
    if isinstance(given, (str, bytes, bytearray, memoryview)):
        raise DataError(f"{what} must be a list, not the one word {given!r}")
    return tuple(given)
