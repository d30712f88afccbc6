"""Who answers for an address that several service ports claim (SVC-XIP-02).

A match has one winner: ClusterIPs before load balancer addresses before external IPs before node ports,
then the older Service, then the name. So the outcome depends on the objects alone, never on the order in
which they came, and nobody takes over an address in use by claiming it later.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import NamedTuple

from msgspec.structs import replace

from .model import Frontend, FrontendKind, Match, Pool, ServiceFrontends, ServicePortName

_RANK = {kind: rank for rank, kind in enumerate(FrontendKind)}


class Conflict(NamedTuple):
    """A service port that doesn't get an address, and the one that has it."""

    loser: ServicePortName
    match: Match
    winner: ServicePortName


class _Claim(NamedTuple):
    """A claim on a match; the least of them wins."""

    rank: int
    created: str
    name: ServicePortName


class Claims:
    """All service ports' frontends as they would be without each other, and who wins where they collide."""

    def __init__(self) -> None:
        self._states: dict[ServicePortName, tuple[ServiceFrontends, str]] = {}
        # Sorted, the winner first: any number of claims on one address stays cheap.
        self._claims: dict[Match, list[_Claim]] = {}

    def put(
        self, name: ServicePortName, state: ServiceFrontends | None, created: str
    ) -> set[ServicePortName]:
        """Set what a service port would answer for, None for nothing.

        ``created`` is the creation time of its Service, as text that sorts by age. Returns the service ports
        whose resolved state may have changed.
        """
        before = self._states.get(name)
        if before == (None if state is None else (state, created)):
            return set()
        affected = {name}
        if before is not None:
            del self._states[name]
            for frontend in before[0].frontends:
                affected |= self._remove(frontend.match, _claim(frontend, before[1], name))
        if state is not None:
            self._states[name] = (state, created)
            for frontend in state.frontends:
                affected |= self._add(frontend.match, _claim(frontend, created, name))
        return affected

    def resolved(self, name: ServicePortName) -> ServiceFrontends | None:
        """The state of a service port with only the frontends it wins; None if there is none."""
        known = self._states.get(name)
        if known is None:
            return None
        state, created = known
        won = tuple(frontend for frontend in state.frontends if self._wins(frontend, created, name))
        if len(won) == len(state.frontends):
            return state
        if not won:
            return None
        used = {answer.pool for frontend in won for answer in frontend.answers}
        return replace(
            state,
            frontends=won,
            cluster=state.cluster if Pool.CLUSTER in used else (),
            local=state.local if Pool.LOCAL in used else (),
        )

    def conflicts(self, names: Iterable[ServicePortName]) -> dict[ServicePortName, list[Conflict]]:
        """The addresses that some service ports claim and don't get, for those that have any."""
        found: dict[ServicePortName, list[Conflict]] = {}
        for name in names:
            state, created = self._states.get(name, (None, ""))
            for frontend in state.frontends if state else ():
                if not self._wins(frontend, created, name):
                    winner = self._claims[frontend.match][0].name
                    found.setdefault(name, []).append(Conflict(name, frontend.match, winner))
        return found

    def _wins(self, frontend: Frontend, created: str, name: ServicePortName) -> bool:
        claims = self._claims[frontend.match]
        return len(claims) == 1 or claims[0] == _claim(frontend, created, name)

    def _add(self, match: Match, claim: _Claim) -> set[ServicePortName]:
        """Add a claim; those whom a new winner concerns are returned."""
        claims = self._claims.setdefault(match, [])
        insort(claims, claim)
        return _names(claims) if claims[0] is claim else set()

    def _remove(self, match: Match, claim: _Claim) -> set[ServicePortName]:
        """Remove a claim; those whom a new winner concerns are returned."""
        claims = self._claims[match]
        place = bisect_left(claims, claim)
        del claims[place]
        if not claims:
            del self._claims[match]
        return _names(claims) if place == 0 else set()


def _claim(frontend: Frontend, created: str, name: ServicePortName) -> _Claim:
    return _Claim(_RANK[frontend.kind], created, name)


def _names(claims: Iterable[_Claim]) -> set[ServicePortName]:
    return {claim.name for claim in claims}
