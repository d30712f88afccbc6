"""Who went where lately: what session affinity has to hold clients to (AFF-01…AFF-06).

Outcomes are known to have come about between two readings of a clock, so that some connections were made too
close to the timeout for anybody to say on which side of it. Those prove nothing and are held against nobody.
"""

from collections.abc import Iterable
from typing import NamedTuple

from pointsman.core.model import ServicePortName
from pointsman.core.packet import Affinity

GRAIN = 0.1
"""Seconds by which a kernel's own clock may be off."""

Place = tuple[bytes, int]


class Span(NamedTuple):
    """Seconds between which something happened, on any clock."""

    began: float
    ended: float


class _Visit(NamedTuple):
    span: Span
    era: int


class Remembered:
    """The endpoints that clients have met, by client and service port.

    What a change leaves of a memory is for cases to say: endpoints may have left, and memories with them. So
    only visits since the last change bind anybody here; a client may still be where it was before.
    """

    def __init__(self) -> None:
        self._visits: dict[tuple[bytes, ServicePortName], dict[Place, _Visit]] = {}
        self._era = 0

    def changed(self) -> None:
        """Something was changed that memories may depend on."""
        self._era += 1

    def learn(self, client: bytes, affinity: Affinity, place: Place, span: Span) -> None:
        """A connection was made."""
        self._visits.setdefault((client, affinity.service), {})[place] = _Visit(span, self._era)

    def bound(self, client: bytes, affinity: Affinity, pool: Iterable[Place], span: Span) -> frozenset[Place]:
        """Where a client's next connection has to go: one of these, anywhere if there are none.

        There may be several. A client that comes by addresses with different pools (external traffic policy
        Local) has met an endpoint in each, and the contract doesn't say which of them an address with both
        leads to; dataplanes differ in that.
        """
        visits = self._visits.get((client, affinity.service), {})
        known = {place: visit for place, visit in visits.items() if place in set(pool)}
        if not any(
            visit.era == self._era and span.ended - visit.span.began < affinity.seconds - GRAIN
            for visit in known.values()
        ):
            return frozenset()
        return frozenset(
            place
            for place, visit in known.items()
            if span.began - visit.span.ended < affinity.seconds + GRAIN
        )
