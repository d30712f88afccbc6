"""Whether what happened to a connection may happen, by the oracle's word."""

from pointsman.conformance.lab import NODE, EchoReply, Outcome, Reply
from pointsman.core.addresses import format_address, parse_address
from pointsman.core.model import Endpoint, Protocol
from pointsman.core.packet import Action, Packet, Trace, Verdict

from .answers import Failure, classified
from .scene import Scene


def objection(where: Scene, packet: Packet, outcome: Outcome, trace: Trace) -> str | None:
    """What is wrong with an outcome, None if nothing is."""
    if _admitted(where, packet, outcome, trace.verdict):
        return None
    steps = "".join(f"\n  {step.topic}: {step.text}" for step in trace.steps)
    return f"{packet}: {_said(trace.verdict)} was due, but the outcome is {outcome}{steps}"


def _admitted(where: Scene, packet: Packet, outcome: Outcome, verdict: Verdict) -> bool:
    answer = classified(where, packet, outcome)
    match verdict.action:
        case Action.FORWARD:
            return isinstance(outcome, Reply) and _arrived(where, packet, outcome, verdict)
        case Action.REJECT:
            return answer is Failure.REJECTED
        case Action.DROP:
            return answer is Failure.UNANSWERED
        case Action.PASS:
            return _left_alone(where, packet, outcome, answer)


def _arrived(where: Scene, packet: Packet, reply: Reply, verdict: Verdict) -> bool:
    """Whether an endpoint of the verdict answered, and saw whom it should."""
    addresses = {parse_address(text) for text in where.addresses(reply.pod)}
    seen = {
        reply.client in where.node_addresses
        if masqueraded(where, endpoint, verdict)
        else reply.client == format_address(packet.source)
        for endpoint in verdict.endpoints
        if endpoint.address in addresses and endpoint.port == reply.port
    }
    return seen == {True}


def masqueraded(where: Scene, endpoint: Endpoint, verdict: Verdict) -> bool:
    """Whether an endpoint sees the node instead of its client.

    One that is the node's own does not: sources are rewritten when packets leave, and those stay.
    """
    return endpoint in verdict.masqueraded and format_address(endpoint.address) not in where.node_addresses


def _left_alone(where: Scene, packet: Packet, outcome: Outcome, answer: object) -> bool:
    """Whether routes and sockets decided: the owner of the address answers as it likes, nobody else does."""
    owner = NODE if packet.to_node else where.owner(format_address(packet.destination))
    if isinstance(outcome, Reply):
        return outcome.pod == owner and outcome.client == format_address(packet.source)
    if isinstance(outcome, EchoReply):
        return owner is not None
    if owner is None:
        return answer is Failure.UNANSWERED
    # Nobody may listen there: TCP says so by a reset, UDP by the same error that a proxy uses, and of SCTP
    # nobody is told which of the two it was.
    unreachable = Failure.RESET if packet.protocol is Protocol.TCP else Failure.REJECTED
    return answer in (Failure.RESET, unreachable)


def _said(verdict: Verdict) -> str:
    if verdict.action is not Action.FORWARD:
        return str(verdict.action)
    ways = (f"{e}{' masqueraded' if e in verdict.masqueraded else ''}" for e in verdict.endpoints)
    return f"forward to {', '.join(ways)}"
