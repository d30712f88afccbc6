"""The node-local model: what this node must do, in a language of frontends.

This is the narrow waist of Pointsman. Whatever depends on API objects, policies, topology, termination or
flags has been decided by the time a value of this module exists; a dataplane only translates it. All values
are immutable: they may be kept, compared and shared between threads.
"""

from collections.abc import Iterator
from enum import IntEnum, StrEnum
from typing import NamedTuple

from immutables import Map
from msgspec import Struct

from .addresses import IPFamily, Network, format_endpoint


class Protocol(IntEnum):
    """A transport protocol; the value is the IP protocol number."""

    TCP = 6
    UDP = 17
    SCTP = 132


class NamespacedName(NamedTuple):
    """The name of an object within its kind."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"


class ServicePortName(NamedTuple):
    """One port of a Service: the unit of work of a service proxy (IN-SVC-04)."""

    namespace: str
    name: str
    port: str
    protocol: Protocol

    @property
    def service(self) -> NamespacedName:
        """The Service this port belongs to."""
        return NamespacedName(self.namespace, self.name)

    def __str__(self) -> str:
        """``namespace/name:port/tcp``, without ``:port`` where the port has no name."""
        port = f":{self.port}" if self.port else ""
        return f"{self.namespace}/{self.name}{port}/{self.protocol.name.lower()}"


class Endpoint(Struct, frozen=True, gc=False, order=True):
    """One place a connection may go to.

    ``weight`` is its share relative to its pool's others; Kubernetes itself knows only equal shares (SEL-10).
    """

    address: bytes
    port: int
    weight: int = 1

    def __str__(self) -> str:
        """``ip:port``."""
        return format_endpoint(self.address, self.port)


class Pool(StrEnum):
    """Which of a service port's two endpoint sets an answer draws from (SEL-01, SEL-02)."""

    CLUSTER = "cluster"
    LOCAL = "local"


class Masquerade(StrEnum):
    """When a connection's source is rewritten to the node's own; hairpins always are (MSQ-03)."""

    ALWAYS = "always"
    UNLESS_LOCAL = "unless-local"  # not for local pods, as NodeContext.local tells them
    NEVER = "never"


class Refusal(StrEnum):
    """What a new connection meets where the pool it would draw from is empty (NOEP-*)."""

    REJECT = "reject"
    DROP = "drop"


class FrontendKind(StrEnum):
    """The sort of address a frontend stands for, in the order in which they win a conflict (SVC-XIP-02)."""

    CLUSTER_IP = "ClusterIP"
    LOAD_BALANCER = "LoadBalancer"
    EXTERNAL_IP = "ExternalIP"
    NODE_PORT = "NodePort"


class Match(NamedTuple):
    """The destination a frontend answers for; no two frontends of a model share one.

    ``address`` None means a node port: every address in ``NodeContext.node_ports``.
    """

    address: bytes | None
    protocol: Protocol
    port: int

    def __str__(self) -> str:
        """``ip:port/tcp``, or ``*:port/tcp`` for a node port."""
        at = f"*:{self.port}" if self.address is None else format_endpoint(self.address, self.port)
        return f"{at}/{self.protocol.name.lower()}"


class Answer(Struct, frozen=True, gc=False):
    """What one audience gets from a frontend."""

    pool: Pool
    masquerade: Masquerade


class Frontend(Struct, frozen=True, gc=False):
    """One destination of a service port and what is done with new connections to it.

    ``near`` answers local pods and the node itself. ``far`` answers everyone else; None says that everyone
    gets ``near``. External traffic policy Local is what makes the two differ (MTX-02, MTX-07).

    ``sources`` are the only networks a connection may come from, all others being dropped (SVC-LB-02);
    None admits everyone. The addresses of SVC-LB-04 are already among them.
    """

    match: Match
    kind: FrontendKind
    near: Answer
    far: Answer | None = None
    sources: tuple[Network, ...] | None = None

    @property
    def answers(self) -> tuple[Answer, ...]:
        """The distinct answers this frontend can give."""
        return (self.near,) if self.far is None else (self.near, self.far)


class ServiceFrontends(Struct, frozen=True, gc=False):
    """A service port on this node: its endpoint pools, and the frontends that lead to them.

    A pool that no frontend draws from is empty. Pools are sorted and free of duplicates, so that equal states
    are equal values. ``when_empty`` holds for every answer of this service port whose pool is empty.
    ``affinity`` is the ClientIP timeout in seconds, 0 for none; it is shared by all frontends (AFF-02).
    ``drain`` is how many seconds flows to an endpoint that has left are still let be. Load balancers ask for
    this node's health on ``health_check_node_port``, a TCP port that must not be closed to them (SEC-04); 0
    means that they don't. ``scheduler`` names a way to pick endpoints other than the dataplane's usual one,
    for dataplanes that have several.
    """

    name: ServicePortName
    frontends: tuple[Frontend, ...]
    cluster: tuple[Endpoint, ...] = ()
    local: tuple[Endpoint, ...] = ()
    when_empty: Refusal = Refusal.REJECT
    affinity: int = 0
    drain: int = 0
    health_check_node_port: int = 0
    scheduler: str = ""

    def pool(self, answer: Answer) -> tuple[Endpoint, ...]:
        """The endpoints an answer draws from."""
        return self.cluster if answer.pool is Pool.CLUSTER else self.local


class LocalNetwork(Struct, frozen=True):
    """Local pods are those with a source in ``network`` (ClusterCIDR and NodeCIDR, MSQ-06)."""

    network: Network


class LocalInterface(Struct, frozen=True):
    """Local pods are those whose packets come in by ``interface`` (BridgeInterface, MSQ-06)."""

    interface: str


class LocalInterfacePrefix(Struct, frozen=True):
    """Local pods are those whose packets come in by an interface named ``prefix…`` (MSQ-06)."""

    prefix: str


LocalTraffic = LocalNetwork | LocalInterface | LocalInterfacePrefix


class NodePortAddresses(Struct, frozen=True):
    """The local addresses on which node ports answer.

    ``addresses`` None means every address local to the node (SVC-NP-01). Loopback addresses count only with
    ``loopback`` (SVC-NP-07), whatever ``addresses`` holds.
    """

    addresses: tuple[bytes, ...] | None = None
    loopback: bool = False


class NodeContext(Struct, frozen=True):
    """What holds for every frontend of one family on this node.

    ``local`` tells local pods from others; None where no way is known (MTX-08). ``masquerade_mark`` is the
    packet mark bit used between DNAT and SNAT (MSQ-01). New connections into ``service_cidrs`` that no
    ClusterIP holds are dropped (SVC-CIP-04). ``drop_invalid`` says whether forwarded packets that conntrack
    calls invalid are dropped (SEC-02).
    """

    family: IPFamily
    masquerade_mark: int = 1 << 14
    local: LocalTraffic | None = None
    node_ports: NodePortAddresses = NodePortAddresses()
    service_cidrs: tuple[Network, ...] = ()
    drop_invalid: bool = True


class Model(Struct, frozen=True):
    """Everything this node must do for one family.

    ``cluster_ips`` and ``endpoint_addresses`` count the frontends and pools that use an address: a dataplane
    that keeps sets of them learns from a `Delta` when the last user goes.
    """

    node: NodeContext
    services: Map[ServicePortName, ServiceFrontends] = Map()
    cluster_ips: Map[bytes, int] = Map()
    endpoint_addresses: Map[bytes, int] = Map()

    def frontends(self) -> Iterator[tuple[ServiceFrontends, Frontend]]:
        """Every frontend with the service port it belongs to, in the order of names."""
        for name in sorted(self.services):
            service = self.services[name]
            for frontend in service.frontends:
                yield service, frontend
