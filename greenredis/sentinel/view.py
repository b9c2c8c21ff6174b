"""Which of the sentinels' answers to believe. No I/O: claims go in, the master's place comes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import NamedTuple

Place = tuple[str, int]  # host and port


class Claim(NamedTuple):
    """Where a sentinel says the master is, since which configuration epoch."""

    place: Place
    epoch: int


class MasterView:
    """What the sentinels that answer claim, and which claim is believed.

    The first claim is, provisionally.  A higher epoch displaces what is believed; an equal one does
    if the majority of those who answer claims it.  A lower epoch, to which SENTINEL REMOVE and
    MONITOR lead, is only a candidate, whose ROLE must be asked: if that majority agrees and nobody
    who answers claims the old place any more.
    """

    def __init__(self) -> None:
        self.believed: Claim | None = None
        self.claims: dict[Hashable, Claim] = {}

    def __repr__(self) -> str:
        return f"<MasterView {self.believed} of {self.claims}>"

    def hear(self, sentinel: Hashable, claim: Claim) -> None:
        """Note what a sentinel claims now."""
        self.claims[sentinel] = claim

    def forget(self, sentinel: Hashable) -> None:
        """A sentinel does not answer any more."""
        self.claims.pop(sentinel, None)

    def decide(self) -> Claim | None:
        """The claim to believe from now on; None if there is no better one."""
        if not self.claims:
            return None
        newest = max(claim.epoch for claim in self.claims.values())
        if self.believed is None or newest > self.believed.epoch:
            return self._most([claim for claim in self.claims.values() if claim.epoch == newest])
        if newest < self.believed.epoch and {claim.place for claim in self.claims.values()} == {
            self.believed.place
        }:
            self.believed = Claim(self.believed.place, newest)  # counted anew, and nothing else changed
        if newest == self.believed.epoch:
            found = self._majority()
            if found is not None and found.epoch == newest:
                return found
        return None

    def candidate(self) -> Claim | None:
        """A claim with a lower epoch that may be believed if its place says that it is a master."""
        found = self._majority()
        if found is None or self.believed is None or found.epoch >= self.believed.epoch:
            return None
        old = self.believed.place
        return None if any(claim.place == old for claim in self.claims.values()) else found

    def believe(self, claim: Claim) -> None:
        """Take a claim for true."""
        self.believed = claim

    def _majority(self) -> Claim | None:
        """What more than half of those who answer claim, if that is another place than is believed."""
        if not self.claims:
            return None
        found = self._most(list(self.claims.values()))
        votes = sum(claim.place == found.place for claim in self.claims.values())
        if votes * 2 <= len(self.claims) or (self.believed and found.place == self.believed.place):
            return None
        return found

    @staticmethod
    def _most(claims: list[Claim]) -> Claim:
        """The place that most of them name, with its highest epoch."""
        place = Counter(claim.place for claim in claims).most_common(1)[0][0]
        return max((claim for claim in claims if claim.place == place), key=lambda claim: claim.epoch)
