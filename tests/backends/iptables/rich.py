"""A model that every kind of rule is made for."""

from pointsman.core.addresses import IPFamily, parse_network
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
    NodePortAddresses,
    Pool,
    Protocol,
    Refusal,
    ServiceFrontends,
    ServicePortName,
)
from pointsman.core.plan import advance
from tests.strategies import WORLDS

NEAR, FAR = Answer(Pool.CLUSTER, Masquerade.UNLESS_LOCAL), Answer(Pool.LOCAL, Masquerade.NEVER)
MASQUERADED = Answer(Pool.CLUSTER, Masquerade.ALWAYS)


def rich(family: IPFamily, loopback: bool = False) -> Model:
    """Services of all sorts; whether node ports answer on loopback addresses is up to who asks."""
    world = WORLDS[family]
    node = NodeContext(
        family,
        local=LocalNetwork(world.pod_networks[0]),
        node_ports=NodePortAddresses(world.node[:2], loopback),
        service_cidrs=world.service_networks[1:],
    )
    services = [_plain(family), _limited(family), _far_alone(family), *_empty(family)]
    return advance(Model(node), [(service.name, service) for service in services], node)[0]


def _name(name: str, protocol: Protocol = Protocol.TCP) -> ServicePortName:
    return ServicePortName("default", name, "http", protocol)


def _pods(family: IPFamily, *weights: int) -> tuple[Endpoint, ...]:
    pods = sorted(WORLDS[family].pods)
    return tuple(Endpoint(pod, 8080, weight) for pod, weight in zip(pods, weights, strict=False))


def _plain(family: IPFamily) -> ServiceFrontends:
    """A cluster IP and an external one, sticky, weighted."""
    name, virtual = _name("plain"), WORLDS[family].virtual
    return ServiceFrontends(
        name,
        (
            Frontend(Match(virtual[0], name.protocol, 80), FrontendKind.CLUSTER_IP, NEAR),
            Frontend(Match(virtual[3], name.protocol, 80), FrontendKind.EXTERNAL_IP, MASQUERADED),
        ),
        cluster=_pods(family, 1, 2, 3),
        affinity=600,
    )


def _limited(family: IPFamily) -> ServiceFrontends:
    """A load balancer with source ranges, a node port, and a port for health checks."""
    name, virtual = _name("limited"), WORLDS[family].virtual
    sources = WORLDS[family].source_networks[:2]
    return ServiceFrontends(
        name,
        (
            Frontend(Match(virtual[1], name.protocol, 80), FrontendKind.CLUSTER_IP, NEAR),
            Frontend(Match(virtual[3], name.protocol, 443), FrontendKind.LOAD_BALANCER, NEAR, FAR, sources),
            Frontend(Match(None, name.protocol, 30080), FrontendKind.NODE_PORT, NEAR, FAR),
        ),
        cluster=_pods(family, 1, 1),
        local=_pods(family, 1),
        health_check_node_port=32000,
    )


def _far_alone(family: IPFamily) -> ServiceFrontends:
    """A load balancer that has nobody for clients from afar, and limits them as well."""
    name = _name("far", Protocol.UDP)
    match = Match(WORLDS[family].virtual[3], name.protocol, 53)
    sources = (parse_network("198.51.100.0/24" if family is IPFamily.IPV4 else "2001:db8:51::/48"),)
    frontend = Frontend(match, FrontendKind.LOAD_BALANCER, NEAR, FAR, sources)
    node_port = Frontend(Match(None, name.protocol, 30053), FrontendKind.NODE_PORT, NEAR, FAR)
    return ServiceFrontends(
        name, (frontend, node_port), cluster=_pods(family, 1), health_check_node_port=32001
    )


def _empty(family: IPFamily) -> list[ServiceFrontends]:
    """Nobody there: at cluster IPs, at an external address, at a node port."""
    virtual = WORLDS[family].virtual
    places = (
        (virtual[2], FrontendKind.CLUSTER_IP),
        (virtual[4], FrontendKind.EXTERNAL_IP),
        (None, FrontendKind.NODE_PORT),
    )
    return [
        ServiceFrontends(
            name := _name(f"empty-{number}"),
            (Frontend(Match(address, name.protocol, 31000 + number), kind, NEAR),),
            when_empty=list(Refusal)[number % 2],
        )
        for number, (address, kind) in enumerate(places)
    ]
