"""What packets are to meet, in terms that the rules can be held to."""

from msgspec.structs import replace

from pointsman.backends.memory.oracle import judge
from pointsman.core.backend import lowest_terms
from pointsman.core.model import Model, Refusal, ServicePortName
from pointsman.core.packet import Action, Packet, Verdict
from tests.strategies import WORLDS


def fate(model: Model, packet: Packet) -> Verdict:
    """What the oracle says, with weights in lowest terms, since probabilities don't tell others."""
    verdict = judge(model, packet)
    endpoints = lowest_terms(verdict.endpoints)
    masqueraded = {(endpoint.address, endpoint.port) for endpoint in verdict.masqueraded}
    return replace(
        verdict,
        endpoints=tuple(sorted(endpoints)),
        masqueraded=frozenset(e for e in endpoints if (e.address, e.port) in masqueraded),
    )


def fates(old: Model, new: Model, packet: Packet) -> tuple[Verdict, ...]:
    """What a packet may meet on the way from one model to another.

    Whoever asks for a service that goes may be refused before the node forgets that it had the address; one
    that comes may be guarded already while it isn't there yet. Where an address passes from one service port
    to another, or refuses in another way than before, it may be as if nobody had it for a moment: the tables
    are written one after the other. But nobody is ever led to what neither model has.
    """
    before, after = fate(old, packet), fate(new, packet)
    if _owners(old, packet) != _owners(new, packet):
        return before, after, *(Verdict(action) for action in (Action.REJECT, Action.DROP, Action.PASS))
    served = [verdict.action is Action.FORWARD for verdict in (before, after)]
    if served == [True, False]:
        return before, after, Verdict(Action.REJECT)
    if served == [False, True]:
        return before, after, Verdict(Action.DROP)
    return before, after


def _owners(model: Model, packet: Packet) -> dict[ServicePortName, Refusal]:
    """The service ports that a packet may be meant for, and how they refuse."""
    where = (packet.port, packet.protocol)
    return {
        service.name: service.when_empty
        for service, frontend in model.frontends()
        if (frontend.match.port, frontend.match.protocol) == where
        and frontend.match.address in (None, packet.destination)
    }


def ours(model: Model, packet: Packet) -> bool:
    """Whether a packet gets as far as the rules, and the model has a word for what becomes of it.

    Nobody else can send from the node's own addresses: the kernel calls such packets martians. The guard of
    SEC-01 is not of the model.
    """
    martian = packet.interface is not None and packet.source in WORLDS[model.node.family].node
    guarded = packet.destination[0] == 127 and packet.source[0] != 127
    return not martian and not (model.node.node_ports.loopback and guarded)
