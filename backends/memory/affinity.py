"""Session affinity on top of the oracle: where the next connection may go, given the earlier ones."""

from collections.abc import Iterable

from msgspec import Struct

from pointsman.core.model import Endpoint, ServicePortName
from pointsman.core.packet import Packet, Verdict

from .oracle import Oracle


class Connection(Struct, frozen=True):
    """A connection that was made: the client's address before any rewriting, and where it went.

    ``time`` is in seconds on any clock that the caller reads throughout.
    """

    client: bytes
    service: ServicePortName
    endpoint: Endpoint
    time: float


def admissible(oracle: Oracle, packet: Packet, history: Iterable[Connection], now: float) -> Verdict:
    """The verdict on a packet at ``now``, narrowed to the endpoint that its client has to meet again.

    That is the endpoint of the client's last connection to the same service port, by whichever of its
    addresses (AFF-02, AFF-03, AFF-05), if that was less than the timeout ago (AFF-01) and the endpoint is
    still in the pool (AFF-04). ``history`` may hold any connections, in any order; those made while the
    service port had no affinity don't belong there, for nobody remembers them (AFF-06).
    """
    decision = oracle.decide(packet)
    verdict, service = decision.verdict, decision.service
    if service is None:
        return verdict
    earlier = [c for c in history if (c.client, c.service) == (packet.source, service.name) and c.time <= now]
    if not earlier:
        return verdict
    last = max(earlier, key=lambda connection: connection.time)
    if now - last.time >= service.affinity:
        return verdict
    place = (last.endpoint.address, last.endpoint.port)
    again = tuple(e for e in verdict.endpoints if (e.address, e.port) == place)
    return Verdict(verdict.action, again, verdict.masqueraded.intersection(again)) if again else verdict
