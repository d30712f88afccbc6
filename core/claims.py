"""Who answers for an address that several service ports claim (SVC-XIP-02).

A match has one winner: ClusterIPs before load balancer addresses before external IPs before node ports,
then the older Service, then the name. So the outcome depends on the objects alone, never on the order in
which they came, and nobody takes over an address in use by claiming it later.
"""

from collections.abc import Iterable, Mapping
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
        self._states.pop(name, None)
        if before is not None:
            for match in {frontend.match for frontend in before[0].frontends}:
                claims = [claim for claim in self._claims[match] if claim.name != name]
                affected.update(claim.name for claim in claims)
                if claims:
                    self._claims[match] = claims
                else:
                    del self._claims[match]
        if state is not None:
            self._states[name] = (state, created)
            for frontend in state.frontends:
                claims = self._claims.setdefault(frontend.match, [])
                affected.update(claim.name for claim in claims)
                claims.append(_Claim(_RANK[frontend.kind], created, name))
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

    def conflicts(self, names: Iterable[ServicePortName]) -> Mapping[ServicePortName, list[Conflict]]:
        """For each of some service ports, the addresses it doesn't get."""
        found: dict[ServicePortName, list[Conflict]] = {}
        for name in names:
            state, created = self._states.get(name, (None, ""))
            found[name] = [
                Conflict(name, frontend.match, min(self._claims[frontend.match]).name)
                for frontend in (state.frontends if state else ())
                if not self._wins(frontend, created, name)
            ]
        return found

    def _wins(self, frontend: Frontend, created: str, name: ServicePortName) -> bool:
        return min(self._claims[frontend.match]) == _Claim(_RANK[frontend.kind], created, name)
