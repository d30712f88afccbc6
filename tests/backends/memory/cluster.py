"""The cluster that the oracle's tests speak of: a node, its pods, others' pods, a client, and one service."""

from collections.abc import Iterable
from typing import NamedTuple

from pointsman.core.addresses import IPFamily, Network, parse_address, parse_network
from pointsman.core.model import (
    Answer,
    Endpoint,
    Frontend,
    FrontendKind,
    LocalNetwork,
    Masquerade,
    Match,
    Model,
    NodeContext,
    Pool,
    Protocol,
    ServiceFrontends,
    ServicePortName,
)
from pointsman.core.packet import Action, Packet, Verdict
from pointsman.core.plan import advance

WEB = ServicePortName("default", "web", "http", Protocol.TCP)
API = ServicePortName("default", "api", "", Protocol.TCP)
PORT, NODE_PORT = 80, 30080

# The answers that a Kubernetes service's frontends are made of.
INTERNAL = Answer(Pool.CLUSTER, Masquerade.UNLESS_LOCAL)
INTERNAL_LOCAL = Answer(Pool.LOCAL, Masquerade.UNLESS_LOCAL)
EXTERNAL = Answer(Pool.CLUSTER, Masquerade.ALWAYS)
EXTERNAL_LOCAL = (Answer(Pool.CLUSTER, Masquerade.UNLESS_LOCAL), Answer(Pool.LOCAL, Masquerade.NEVER))


class Cluster(NamedTuple):
    """Who and what there is, in one family."""

    family: IPFamily
    pod: bytes
    remote_pod: bytes
    node: bytes
    client: bytes
    cluster_ip: bytes
    load_balancer: bytes
    external_ip: bytes
    unused_service_ip: bytes
    pod_network: Network
    service_network: Network
    client_network: Network
    local: Endpoint
    remote: Endpoint

    @property
    def context(self) -> NodeContext:
        """The node, knowing local pods by their network."""
        return NodeContext(
            self.family, local=LocalNetwork(self.pod_network), service_cidrs=(self.service_network,)
        )

    def from_pod(self, destination: bytes, port: int = PORT, *, to_node: bool = False) -> Packet:
        """A packet from a pod on the node."""
        return Packet(self.pod, destination, port, Protocol.TCP, "veth1", to_node)

    def from_remote_pod(self, destination: bytes, port: int = PORT, *, to_node: bool = False) -> Packet:
        """A packet from a pod elsewhere."""
        return Packet(self.remote_pod, destination, port, Protocol.TCP, "eth0", to_node)

    def from_node(self, destination: bytes, port: int = PORT, *, to_node: bool = False) -> Packet:
        """A packet that the node itself sends."""
        return Packet(self.node, destination, port, Protocol.TCP, None, to_node)

    def from_client(self, destination: bytes, port: int = PORT, *, to_node: bool = False) -> Packet:
        """A packet from outside the cluster."""
        return Packet(self.client, destination, port, Protocol.TCP, "eth0", to_node)


IPV4 = Cluster(
    family=IPFamily.IPV4,
    pod=parse_address("10.244.1.5"),
    remote_pod=parse_address("10.244.2.5"),
    node=parse_address("172.18.0.2"),
    client=parse_address("203.0.113.9"),
    cluster_ip=parse_address("10.96.0.10"),
    load_balancer=parse_address("192.0.2.10"),
    external_ip=parse_address("192.0.2.20"),
    unused_service_ip=parse_address("10.96.0.99"),
    pod_network=parse_network("10.244.1.0/24"),
    service_network=parse_network("10.96.0.0/16"),
    client_network=parse_network("203.0.113.0/24"),
    local=Endpoint(parse_address("10.244.1.10"), 8080),
    remote=Endpoint(parse_address("10.244.2.10"), 8080),
)
IPV6 = Cluster(
    family=IPFamily.IPV6,
    pod=parse_address("fd00:244:1::5"),
    remote_pod=parse_address("fd00:244:2::5"),
    node=parse_address("fd00:18::2"),
    client=parse_address("2001:db8:113::9"),
    cluster_ip=parse_address("fd00:96::10"),
    load_balancer=parse_address("2001:db8::10"),
    external_ip=parse_address("2001:db8::20"),
    unused_service_ip=parse_address("fd00:96::99"),
    pod_network=parse_network("fd00:244:1::/64"),
    service_network=parse_network("fd00:96::/112"),
    client_network=parse_network("2001:db8:113::/48"),
    local=Endpoint(parse_address("fd00:244:1::10"), 8080),
    remote=Endpoint(parse_address("fd00:244:2::10"), 8080),
)


def web(
    cluster: Cluster,
    internal: Answer = INTERNAL,
    external: tuple[Answer, Answer | None] = (EXTERNAL, None),
    sources: tuple[Network, ...] | None = None,
) -> ServiceFrontends:
    """Service web with one address of each kind, a local endpoint and a remote one."""

    def at(address: bytes | None, kind: FrontendKind) -> Frontend:
        port = NODE_PORT if address is None else PORT
        near, far = (internal, None) if kind is FrontendKind.CLUSTER_IP else external
        limits = sources if kind is FrontendKind.LOAD_BALANCER else None
        return Frontend(Match(address, Protocol.TCP, port), kind, near, far, limits)

    return ServiceFrontends(
        name=WEB,
        frontends=(
            at(cluster.cluster_ip, FrontendKind.CLUSTER_IP),
            at(cluster.load_balancer, FrontendKind.LOAD_BALANCER),
            at(cluster.external_ip, FrontendKind.EXTERNAL_IP),
            at(None, FrontendKind.NODE_PORT),
        ),
        cluster=(cluster.local, cluster.remote),
        local=(cluster.local,),
    )


def model(node: NodeContext, *services: ServiceFrontends) -> Model:
    """The model of some service ports."""
    return advance(Model(node), ((service.name, service) for service in services), node)[0]


def forward(endpoints: Iterable[Endpoint], masqueraded: Iterable[Endpoint] = ()) -> Verdict:
    """A verdict that sends connections on."""
    return Verdict(Action.FORWARD, tuple(endpoints), frozenset(masqueraded))


REJECT, DROP, PASS = Verdict(Action.REJECT), Verdict(Action.DROP), Verdict(Action.PASS)
