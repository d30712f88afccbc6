"""What the node-local model means, said as an interpreter: the oracle that kernels are compared with.

An `Oracle` holds what one node must do for one IP family, indexed by destination, and answers for the first
packet of a connection. It may be built from a model, or moved along by deltas; both lead to the same answers.
"""

from collections.abc import Iterable
from typing import Self

from msgspec import Struct

from pointsman.core.addresses import Network
from pointsman.core.model import (
    Endpoint,
    Frontend,
    LocalInterface,
    LocalInterfacePrefix,
    LocalNetwork,
    LocalTraffic,
    Masquerade,
    Match,
    Model,
    NodeContext,
    ServiceFrontends,
)
from pointsman.core.packet import Action, Affinity, Packet, Trace, Verdict
from pointsman.core.plan import Delta

from .decision import Client, Decision
from .story import tell

LOOPBACK_IPV4 = Network(bytes((127, 0, 0, 0)), 8)
LOOPBACK_IPV6 = bytes(15) + b"\x01"


class Oracle(Struct):
    """A node-local model, ready to be asked.

    ``frontends`` holds every frontend and its service port by destination, ``cluster_ips`` the addresses of
    which every port is ours (SVC-CIP-03).
    """

    node: NodeContext
    frontends: dict[Match, tuple[ServiceFrontends, Frontend]]
    cluster_ips: set[bytes]

    @classmethod
    def of(cls, model: Model) -> Self:
        """The oracle of a model."""
        frontends = {frontend.match: (service, frontend) for service, frontend in model.frontends()}
        return cls(model.node, frontends, set(model.cluster_ips))

    def apply(self, delta: Delta) -> None:
        """Move on to the model that ``delta`` leads to from the present one."""
        # All that goes before all that comes: a destination may pass from one service port to another.
        for change in delta.services:
            for frontend in change.old.frontends if change.old else ():
                del self.frontends[frontend.match]
        for change in delta.services:
            if change.new:
                self.frontends.update(
                    (frontend.match, (change.new, frontend)) for frontend in change.new.frontends
                )
        self.cluster_ips.update(delta.cluster_ips.added)
        self.cluster_ips.difference_update(delta.cluster_ips.removed)
        if delta.node:
            self.node = delta.node[1]

    def judge(self, packet: Packet) -> Verdict:
        """What becomes of a packet."""
        return self.decide(packet).verdict

    def trace(self, packet: Packet) -> Trace:
        """What becomes of a packet, and why."""
        decision = self.decide(packet)
        return Trace(decision.verdict, tuple(tell(packet, decision)), _affinity(decision))

    def decide(self, packet: Packet) -> Decision:
        """What becomes of a packet, with every choice made on the way."""
        client = client_of(packet, self.node.local)
        found = self._lookup(packet)
        if found is None:
            return Decision(client, Verdict(self._unclaimed(packet)))
        service, frontend = found
        # Before the pool is looked at: who isn't admitted isn't told either that nobody is there (DIV-12).
        if not admits(frontend.sources, packet.source):
            return Decision(client, Verdict(Action.DROP), service, frontend)
        answer = frontend.far if frontend.far and client is Client.OTHER else frontend.near
        pool = service.pool(answer)
        if not pool:
            return Decision(client, Verdict(Action(service.when_empty.value)), service, frontend, answer)
        masqueraded = frozenset(e for e in pool if masquerades(answer.masquerade, e, packet, client))
        return Decision(client, Verdict(Action.FORWARD, pool, masqueraded), service, frontend, answer)

    def _lookup(self, packet: Packet) -> tuple[ServiceFrontends, Frontend] | None:
        """The frontend a packet is for: its very address comes before node ports."""
        if packet.protocol is None:
            return None
        found = self.frontends.get(Match(packet.destination, packet.protocol, packet.port))
        if found is None and packet.to_node and has_node_ports(packet.destination, self.node):
            found = self.frontends.get(Match(None, packet.protocol, packet.port))
        return found

    def _unclaimed(self, packet: Packet) -> Action:
        """What becomes of a packet that no frontend is for."""
        # Only what the node forwards or sends is refused; what others send to the node's own addresses is
        # for its sockets to answer (SVC-CIP-03, SVC-CIP-04).
        if packet.to_node and packet.interface is not None:
            return Action.PASS
        if packet.destination in self.cluster_ips:
            return Action.REJECT
        if any(packet.destination in network for network in self.node.service_cidrs):
            return Action.DROP
        return Action.PASS


def _affinity(decision: Decision) -> Affinity | None:
    service = decision.service
    if service is None or not service.affinity or decision.verdict.action is not Action.FORWARD:
        return None
    return Affinity(service.name, service.affinity)


def client_of(packet: Packet, local: LocalTraffic | None) -> Client:
    """Who sent a packet; one that the node sends from the pods' network counts as a pod's (MSQ-06)."""
    if is_local_pod(packet, local):
        return Client.LOCAL_POD
    return Client.NODE if packet.interface is None else Client.OTHER


def is_local_pod(packet: Packet, local: LocalTraffic | None) -> bool:
    """Whether a packet counts as a local pod's, by its source or by where it came in (MSQ-06)."""
    match local:
        case LocalNetwork(network):
            return packet.source in network
        case LocalInterface(interface):
            return packet.interface == interface
        case LocalInterfacePrefix(prefix):
            return packet.interface is not None and packet.interface.startswith(prefix)
        case None:
            return False


def has_node_ports(address: bytes, node: NodeContext) -> bool:
    """Whether node ports answer on an address, given that it is one of the node's (SVC-NP-01, SVC-NP-07)."""
    if len(address) != node.family.address_length or address == LOOPBACK_IPV6:
        return False
    if address in LOOPBACK_IPV4:
        return node.node_ports.loopback
    return node.node_ports.addresses is None or address in node.node_ports.addresses


def admits(sources: Iterable[Network] | None, source: bytes) -> bool:
    """Whether a frontend may be used from an address (SVC-LB-02)."""
    return sources is None or any(source in network for network in sources)


def masquerades(rule: Masquerade, endpoint: Endpoint, packet: Packet, client: Client) -> bool:
    """Whether an endpoint sees an address of the node instead of the client's."""
    if endpoint.address == packet.source:  # a hairpin: it would answer itself, past the NAT (MSQ-03)
        return True
    return rule is Masquerade.ALWAYS or (rule is Masquerade.UNLESS_LOCAL and client is not Client.LOCAL_POD)


def judge(model: Model, packet: Packet) -> Verdict:
    """What becomes of one packet; ask an `Oracle` where there are several."""
    return Oracle.of(model).judge(packet)


def trace(model: Model, packet: Packet) -> Trace:
    """What becomes of one packet, and why; ask an `Oracle` where there are several."""
    return Oracle.of(model).trace(packet)
