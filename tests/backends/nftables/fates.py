"""What may become of packets, by the rules and by the oracle, in terms that can be compared."""

from collections.abc import Sequence
from fractions import Fraction

from pointsman.backends.memory.oracle import Oracle
from pointsman.backends.nftables.machine import State
from pointsman.core.model import Model
from pointsman.core.packet import Action, Packet, Verdict

End = tuple[Action, bytes, int, bool]
"""What may become of a packet; where it is forwarded to, and whether it is masqueraded, if it is."""


def ends(ways: Sequence[State]) -> dict[End, Fraction]:
    """What the rules make of a packet, with what probability."""
    found: dict[End, Fraction] = {}
    for way in ways:
        end = (way.action, way.destination, way.port, way.masqueraded)
        end = end if way.action is Action.FORWARD else (way.action, b"", 0, False)
        found[end] = found.get(end, Fraction()) + way.probability
    return found


def meant(verdict: Verdict) -> dict[End, Fraction]:
    """What the oracle makes of it."""
    if verdict.action is not Action.FORWARD:
        return {(verdict.action, b"", 0, False): Fraction(1)}
    total = sum(endpoint.weight for endpoint in verdict.endpoints)
    return {
        (Action.FORWARD, e.address, e.port, e in verdict.masqueraded): Fraction(e.weight, total)
        for e in verdict.endpoints
    }


def right(packet: Packet, *models: Model) -> list[dict[End, Fraction]]:
    """What each of some models has in store for a packet."""
    return [meant(Oracle.of(model).judge(packet)) for model in models]
