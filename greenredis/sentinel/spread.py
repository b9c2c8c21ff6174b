"""A link to each of several addresses."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..transport.link import Link
from ..transport.multiplexer import Multiplexer, _forget

if TYPE_CHECKING:
    from ..config import Address
    from ..protocol import Word
    from ..traits import Traits
    from ..transport.share import Share

CURSORS = frozenset(
    word for name in ("SCAN", "SSCAN", "HSCAN", "ZSCAN") for word in (name, name.lower(), name.encode())
)


class SpreadMultiplexer(Multiplexer):
    """As Multiplexer, with a link to each of the locator's addresses, which take turns.

    SCAN and its kin stay with the first one, which alone knows their cursors.
    """

    def execute(self, words: Sequence[Word], traits: Traits, decode: bool = True) -> Any:
        if not traits.shareable:
            return self.pool.execute(words, traits, decode)
        packed = self._pack(words)
        if packed.__class__ is not bytes:
            return self.pool.execute(words, traits, decode)
        locator = self.pool.share().locator
        address = locator.address if words[0] in CURSORS else locator.pick()
        return self._link_to(address).execute(packed)

    def link(self) -> Link:
        """The link whose turn it is."""
        return self._link_to(self.pool.share().locator.pick())

    def _link_to(self, address: Address | None) -> Link:
        share = self.pool.share()
        if address is None:
            address = share.locate()
        link = share.spread.get(address)
        if link is not None:
            return link
        if share.spread and share.links + len(share.openings) >= self.pool.max_connections - 1:
            return next(iter(share.spread.values()))  # the last slot is not for links
        return self._open_link(address)

    def _new_link(self, share: Share, address: Address | None) -> Link:
        assert address is not None
        link = share.spread[address] = Link(share.lend_to(address), partial(_forget, share))
        share.links += 1
        return link
