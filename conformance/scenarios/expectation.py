"""What the oracle expects of connections, in full: all answers that they may get."""

from pointsman.conformance.answers import Answer, Answers, Arrival, Source, classified
from pointsman.conformance.lab import NODE
from pointsman.conformance.scene import Scene
from pointsman.conformance.simulation import SimulatedNetwork
from pointsman.core.addresses import format_address
from pointsman.core.model import Endpoint
from pointsman.core.packet import Action, Packet, Trace


def due(where: Scene, client: str, packet: Packet, trace: Trace) -> Answers:
    """The answers to connections that begin with a packet, by the oracle's word on it."""
    verdict = trace.verdict
    if verdict.action is Action.FORWARD:
        return frozenset(
            _arrival(where, client, endpoint, masqueraded=endpoint in verdict.masqueraded)
            for endpoint in verdict.endpoints
        )
    # What is not forwarded has one answer, whichever part of the lab gives it.
    network = SimulatedNetwork(lambda _: trace, "")
    assert packet.protocol is not None
    target = (format_address(packet.destination), packet.port)
    source = format_address(packet.source)
    [outcome] = network.burst(client, target, packet.protocol, count=1, wait=0, source=source)
    return frozenset({classified(where, packet, outcome)})


def comes_back(where: Scene, client: str, trace: Trace) -> bool:
    """Whether all answers come back through the node under test: what another got would go past it."""
    verdict = trace.verdict
    pods = {
        where.owner(format_address(endpoint.address))
        for endpoint in verdict.endpoints
        if endpoint not in verdict.masqueraded
    }
    return where.node_of(client) == NODE or all(where.node_of(pod) == NODE for pod in pods if pod is not None)


def _arrival(where: Scene, client: str, endpoint: Endpoint, *, masqueraded: bool) -> Answer:
    pod = where.owner(format_address(endpoint.address))
    source = Source.NODE if masqueraded or client == NODE else Source.KEPT
    return Arrival(f"{pod}:{endpoint.port}", source)
