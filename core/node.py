"""The node: what its API object says, and the context it gives to every frontend."""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from .addresses import IPFamily, Network, family_of, host_network, parse_address, parse_network
from .apis import Node
from .config import LocalMode, ProxyConfig
from .model import (
    LocalInterface,
    LocalInterfacePrefix,
    LocalNetwork,
    LocalTraffic,
    NodeContext,
    NodePortAddresses,
)
from .source import Rejection

ZONE = "topology.kubernetes.io/zone"
AUTOSCALER_TAINT = "ToBeDeletedByClusterAutoscaler"
LOOPBACK = Network(bytes((127, 0, 0, 0)), 8)


class NodeFacts(Struct, frozen=True):
    """What the Node object says of this node (IN-NODE-02, -06, -07).

    ``ips`` holds at most one address a family, the primary one first. ``eligible`` is false while the node is
    about to go.
    """

    zone: str = ""
    ips: tuple[bytes, ...] = ()
    pod_cidrs: tuple[Network, ...] = ()
    eligible: bool = True

    def ip(self, family: IPFamily) -> bytes | None:
        """The node's address of a family, None if unknown."""
        return next((ip for ip in self.ips if family_of(ip) is family), None)


def node_facts(node: Node) -> tuple[NodeFacts, list[Rejection]]:
    """Read a Node; what was wrong with parts of it comes along."""
    rejections: list[Rejection] = []

    def reject(field: str, error: ValueError) -> None:
        rejections.append(Rejection("Node", node.metadata.name, field, f"{error}; it is skipped"))

    by_type: dict[str, list[bytes]] = {"InternalIP": [], "ExternalIP": []}
    for entry in (node.status.addresses if node.status else None) or ():
        if entry.type in by_type:
            try:
                by_type[entry.type].append(parse_address(entry.address))
            except ValueError as error:
                reject("$.status.addresses", error)
    pod_cidrs = []
    for text in (node.spec.pod_cidrs if node.spec else None) or ():
        try:
            pod_cidrs.append(parse_network(text))
        except ValueError as error:
            reject("$.spec.podCIDRs", error)
    leaving = node.metadata.deletion_timestamp is not None or any(
        taint.key == AUTOSCALER_TAINT for taint in (node.spec.taints if node.spec else None) or ()
    )
    # The first address of all is the primary one; of the other family, the first there is (IN-NODE-02).
    ips: dict[IPFamily, bytes] = {}
    for ip in (*by_type["InternalIP"], *by_type["ExternalIP"]):
        ips.setdefault(family_of(ip), ip)
    facts = NodeFacts(
        zone=(node.metadata.labels or {}).get(ZONE, ""),
        ips=tuple(ips.values()),
        pod_cidrs=tuple(pod_cidrs),
        eligible=not leaving,
    )
    return facts, rejections


def with_bind_address(facts: NodeFacts, address: bytes | None) -> NodeFacts:
    """The facts with the address that this proxy binds to, if it is one, as the primary one (IN-NODE-02)."""
    if address is None or not any(address):
        return facts
    return replace(facts, ips=(address, *(ip for ip in facts.ips if len(ip) != len(address))))


def node_context(
    config: ProxyConfig,
    family: IPFamily,
    facts: NodeFacts,
    interface_addresses: Iterable[bytes],
    service_cidrs: Iterable[Network],
) -> NodeContext:
    """What holds for every frontend of a family: configuration and the node's facts, resolved."""
    ours = {cidr for cidr in service_cidrs if family_of(cidr.address) is family}
    return NodeContext(
        family=family,
        masquerade_mark=1 << config.masquerade_bit,
        local=_local_traffic(config, family, facts),
        node_ports=_node_port_addresses(config, family, facts, interface_addresses),
        service_cidrs=tuple(sorted(ours)),
        drop_invalid=config.drop_invalid,
    )


def _local_traffic(config: ProxyConfig, family: IPFamily, facts: NodeFacts) -> LocalTraffic | None:
    """How local pods are told from others (MSQ-06); None where there is no way (MTX-08)."""
    if config.local_mode is LocalMode.BRIDGE_INTERFACE:
        return LocalInterface(config.bridge_interface)
    if config.local_mode is LocalMode.INTERFACE_NAME_PREFIX:
        return LocalInterfacePrefix(config.interface_name_prefix)
    networks = facts.pod_cidrs if config.local_mode is LocalMode.NODE_CIDR else config.cluster_cidrs
    first = next((network for network in networks if family_of(network.address) is family), None)
    return None if first is None else LocalNetwork(first)


def _node_port_addresses(
    config: ProxyConfig, family: IPFamily, facts: NodeFacts, interface_addresses: Iterable[bytes]
) -> NodePortAddresses:
    """The addresses node ports answer on (SVC-NP-01…SVC-NP-07)."""
    networks = config.node_port_addresses
    if networks is None:  # primary (SVC-NP-05)
        ip = facts.ip(family)
        networks = () if ip is None else (host_network(ip),)
    ours = [network for network in networks if family_of(network.address) is family]
    loopback = family is IPFamily.IPV4 and config.localhost_node_ports
    # None of this family, or one that holds everything: all local addresses (SVC-NP-03, SVC-NP-04).
    if not ours or any(network.prefix == 0 for network in ours):
        return NodePortAddresses(None, loopback=loopback)
    covered = {a for a in interface_addresses if any(a in network for network in ours)}
    loopback = loopback and any(network.address[0] == 127 or LOOPBACK.address in network for network in ours)
    return NodePortAddresses(tuple(sorted(a for a in covered if not is_loopback(a))), loopback=loopback)


def is_loopback(address: bytes) -> bool:
    """Whether an address never leaves its node: 127.0.0.0/8 or ::1."""
    return address in LOOPBACK or address == bytes(15) + b"\x01"
