"""Whether what happened to a connection may happen, by the oracle's word."""

from pointsman.conformance.lab import NODE, EchoReply, Outcome, Reply
from pointsman.core.addresses import format_address, parse_address
from pointsman.core.model import Protocol
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
        if endpoint in verdict.masqueraded
        else reply.client == format_address(packet.source)
        for endpoint in verdict.endpoints
        if endpoint.address in addresses and endpoint.port == reply.port
    }
    return seen == {True}


def _left_alone(where: Scene, packet: Packet, outcome: Outcome, answer: object) -> bool:
    """Whether routes and sockets decided: the owner of the address answers as it likes, nobody else does."""
    owner = NODE if packet.to_node else where.owner(format_address(packet.destination))
    if isinstance(outcome, Reply):
        return outcome.pod == owner and outcome.client == format_address(packet.source)
    if isinstance(outcome, EchoReply):
        return owner is not None
    if owner is None:
        return answer is Failure.UNANSWERED
    # Nobody may listen there: TCP says so by a reset, UDP by the same error that a proxy uses.
    unreachable = Failure.REJECTED if packet.protocol is Protocol.UDP else Failure.RESET
    return answer in (Failure.RESET, unreachable)


def _said(verdict: Verdict) -> str:
    if verdict.action is not Action.FORWARD:
        return str(verdict.action)
    ways = (f"{e}{' masqueraded' if e in verdict.masqueraded else ''}" for e in verdict.endpoints)
    return f"forward to {', '.join(ways)}"
