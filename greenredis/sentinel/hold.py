"""Writes that wait while a replica is being promoted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..transport.multiplexer import Multiplexer

if TYPE_CHECKING:
    from ..protocol import Packed, Word
    from ..traits import Traits
    from .pool import SentinelConnectionPool


class HoldingMultiplexer(Multiplexer):
    """As Multiplexer; what may write waits until the pool lets it."""

    def __init__(self, pool: SentinelConnectionPool) -> None:
        super().__init__(pool)
        self._wait_to_write = pool.wait_to_write

    def execute(self, words: Sequence[Word], traits: Traits, decode: bool = True) -> Any:
        self._wait_to_write(traits)
        return super().execute(words, traits, decode)

    def execute_many(self, packed: Packed, count: int) -> list[Any]:
        self._wait_to_write()
        return super().execute_many(packed, count)
