"""The transport that shares one connection of a pool among all greenlets of a hub."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from time import monotonic
from typing import Any

import gevent
from gevent.hub import get_hub

from .. import deadlines
from ..config import Address
from ..exceptions import ConnectionError, TimeoutError, fresh
from ..protocol import BIG_WORD, Packed, Word
from ..traits import Traits
from .link import Link
from .pool import ConnectionPool
from .share import Share

MOST_SHARED = 128

log = logging.getLogger("greenredis")


class Multiplexer:
    """Sends what may share a connection over the hub's link, everything else through the pool.

    The link is one of the pool's connections, lent for good; with one slot there is no link.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self.pool = pool
        self._shares = pool._shares
        self._pack = pool.packer.pack

    def __repr__(self) -> str:
        share = self._shares.get(get_hub())
        return f"<Multiplexer of {self.pool!r}: {share.link if share else None}>"

    def execute(self, words: Sequence[Word], traits: Traits, decode: bool = True) -> Any:
        """The reply to one command; an error reply is returned, not raised."""
        if not traits.shareable:
            return self.pool.execute(words, traits, decode)
        packed = self._pack(words)
        if packed.__class__ is not bytes:
            return self.pool.execute(words, traits, decode)
        share = self._shares.get(get_hub())
        if share is None or (link := share.link) is None or link.address is not share.locator.address:
            link = self._open_link()
        return link.execute(packed)

    def execute_many(self, packed: Packed, count: int) -> list[Any]:
        """The replies to `count` packed commands, written as one piece; errors among them.

        More than 128 commands or 64 KB would hold up others: they take a connection of their own.
        """
        if count > MOST_SHARED or not isinstance(packed, bytes) or len(packed) > BIG_WORD:
            return self.pool.execute_many(packed, count)
        return self.link().execute_many(packed, count)

    def link(self) -> Link:
        """This hub's link, opened if need be."""
        share = self.pool.share()
        link = share.link
        if link is None or link.address is not share.locator.address:
            link = self._open_link()
        return link

    def lend(self) -> AbstractContextManager[Any]:
        """A connection of the caller's own for the block."""
        return self.pool.lend()

    def close(self) -> None:
        """Close the link and the pool's connections."""
        self.pool.close()

    def _open_link(self, address: Address | None = None) -> Link:
        """A new link, to this address if there are several. All callers share one opening.

        The switch points: the waits for the server's address and for the opening.
        """
        if gevent.getcurrent() is get_hub():
            raise RuntimeError("a command cannot wait in the hub: spawn a greenlet for it")
        share = self.pool.share()
        share.locate()
        opening = share.openings.get(address)
        if opening is None:
            opening = share.openings[address] = gevent.spawn(self._finish_opening, share, address)
        until = deadlines.current()
        opening.join(None if until is None else max(0.0, until - monotonic()))
        if not opening.ready():
            raise share.locator.explained(TimeoutError(f"no link to {self.pool.where()} by the deadline"))
        outcome = opening.value
        if isinstance(outcome, Exception):
            raise fresh(outcome)
        if not isinstance(outcome, Link):
            raise ConnectionError(f"the link to {self.pool.where()} was not opened: {outcome}")
        return outcome

    def _finish_opening(self, share: Share, address: Address | None) -> Link | Exception:
        try:
            return self._new_link(share, address)
        except Exception as error:
            return error
        finally:
            share.openings.pop(address, None)

    def _new_link(self, share: Share, address: Address | None) -> Link:
        if share.link is not None:
            share.link.retire()
            share.link = None
        link = share.link = Link(share.lend(), partial(_forget, share))
        share.links += 1
        return link


def _forget(share: Share, link: Link) -> None:
    """The link has died: its slot is free."""
    address = link.connection.address
    if share.link is link or share.spread.get(address) is link:
        share.spread.pop(address, None)
        share.link = None
        if not link.is_expected:
            share.link_lost = True
            waited = len(link.waiting) + len(link.unsent)
            level = logging.WARNING if waited else logging.INFO
            log.log(level, "link lost: %s; %d commands waited", link.error, waited)
    share.links -= 1
    share.release(link.connection)
