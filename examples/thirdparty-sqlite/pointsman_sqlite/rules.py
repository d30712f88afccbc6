"""What the database holds, and what it means for a packet."""

from msgspec import Struct

from pointsman.core.addresses import Network, collapse
from pointsman.core.backend import ObservedAnswer, ObservedFrontend, lowest_terms
from pointsman.core.model import (
    Answer,
    Endpoint,
    Frontend,
    LocalInterface,
    LocalInterfacePrefix,
    LocalNetwork,
    Masquerade,
    NodeContext,
    Refusal,
    ServiceFrontends,
    ServicePortName,
)
from pointsman.core.packet import Action, Affinity, Packet, Trace, Verdict

_LOOPBACK_IPV4 = Network(bytes((127, 0, 0, 0)), 8)
_LOOPBACK_IPV6 = bytes(15) + b"\x01"


class Target(Struct, frozen=True):
    """What one audience gets: one of the endpoints, or a refusal."""

    endpoints: tuple[Endpoint, ...]
    masquerade: Masquerade
    when_empty: Refusal

    def observed(self) -> ObservedAnswer:
        """The same in Pointsman's words."""
        if not self.endpoints:
            return ObservedAnswer(frozenset(), Masquerade.NEVER, self.when_empty)
        return ObservedAnswer(lowest_terms(self.endpoints), self.masquerade)


class Rule(Struct, frozen=True):
    """A frontend as a row has it."""

    service: ServicePortName
    near: Target
    far: Target | None
    sources: tuple[Network, ...] | None
    affinity: int

    def observed(self) -> ObservedFrontend:
        """The same in Pointsman's words."""
        near = self.near.observed()
        far = None if self.far is None else self.far.observed()
        served = any(one.endpoints for one in (near, far) if one is not None)
        return ObservedFrontend(
            near,
            None if far == near else far,
            None if self.sources is None else collapse(self.sources),
            self.affinity if served else 0,
        )

    def trace(self, packet: Packet, node: "Node") -> Trace:
        """What becomes of a packet that the rule is for."""
        if self.sources is not None and not any(packet.source in network for network in self.sources):
            return Trace(Verdict(Action.DROP), ())
        local = node.is_local_pod(packet)
        outsider = not local and packet.interface is not None
        target = self.far if self.far is not None and outsider else self.near
        if not target.endpoints:
            return Trace(Verdict(Action(target.when_empty.value)), ())
        always = target.masquerade is Masquerade.ALWAYS
        wanted = always or (target.masquerade is Masquerade.UNLESS_LOCAL and not local)
        masqueraded = frozenset(
            one
            for one in target.endpoints
            if wanted or one.address == packet.source  # a hairpin
        )
        affinity = Affinity(self.service, self.affinity) if self.affinity else None
        return Trace(Verdict(Action.FORWARD, target.endpoints, masqueraded), (), affinity)


class Node(Struct, frozen=True):
    """A node's settings; ``interface``, by which local pods are told, ends with ``*`` if it is a prefix."""

    service_cidrs: tuple[Network, ...] = ()
    pods: Network | None = None
    interface: str = ""
    node_port_addresses: tuple[bytes, ...] | None = None
    loopback: bool = False

    def is_local_pod(self, packet: Packet) -> bool:
        """Whether a packet counts as a local pod's."""
        if self.pods is not None:
            return packet.source in self.pods
        if packet.interface is None or not self.interface:
            return False
        if self.interface.endswith("*"):
            return packet.interface.startswith(self.interface[:-1])
        return packet.interface == self.interface

    def has_node_ports(self, packet: Packet) -> bool:
        """Whether a packet goes to an address on which node ports answer."""
        if not packet.to_node or packet.destination == _LOOPBACK_IPV6:
            return False
        if packet.destination in _LOOPBACK_IPV4:
            return self.loopback
        return self.node_port_addresses is None or packet.destination in self.node_port_addresses


def rule_of(service: ServiceFrontends, frontend: Frontend) -> Rule:
    """The row for a frontend."""

    def target(answer: Answer) -> Target:
        return Target(service.pool(answer), answer.masquerade, service.when_empty)

    far = None if frontend.far is None else target(frontend.far)
    return Rule(service.name, target(frontend.near), far, frontend.sources, service.affinity)


def node_of(context: NodeContext) -> Node:
    """The settings of a node."""
    pods, interface = None, ""
    match context.local:
        case LocalNetwork(network):
            pods = network
        case LocalInterface(name):
            interface = name
        case LocalInterfacePrefix(prefix):
            interface = f"{prefix}*"
    ports = context.node_ports
    return Node(context.service_cidrs, pods, interface, ports.addresses, ports.loopback)
