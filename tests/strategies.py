"""Random models, edits and packets for property tests of whatever reads the node-local model.

All values come from pools so small that they collide: packets meet frontends, clients are endpoints of the
service they ask, service ports pass destinations on to each other, ports of node ports are asked elsewhere.
What is drawn keeps the rules that `pointsman.core.model` states: it is what the engine could make of some
objects, and for the combinations of pools and masquerading a little more.
"""

from collections.abc import Callable, Collection, Sequence
from functools import cache
from typing import NamedTuple, TypeVar

from hypothesis import strategies as st

from pointsman.core.addresses import IPFamily, Network, parse_address, parse_network
from pointsman.core.model import (
    Answer,
    Endpoint,
    Frontend,
    FrontendKind,
    LocalInterface,
    LocalInterfacePrefix,
    LocalNetwork,
    LocalTraffic,
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
from pointsman.core.packet import Packet
from pointsman.core.plan import Delta, advance

T = TypeVar("T")

INTERFACES = ("eth0", "cni0", "veth1", "veth2")
PORTS = (53, 80, 30080)
SERVICE_PORT_NAMES = tuple(
    ServicePortName("default", name, port, protocol)
    for name in ("api", "web")
    for port in ("", "http")
    for protocol in Protocol
)
ANSWERS = st.sampled_from([Answer(pool, masquerade) for pool in Pool for masquerade in Masquerade])
MAYBE_ANSWERS = st.none() | ANSWERS


class World(NamedTuple):
    """The addresses that one family's models and packets are made of.

    ``node`` are the node's own, its last one also being in ``virtual``, as an external IP may be; ``pods``
    are local as far as they are in the first of ``pod_networks``.
    """

    virtual: tuple[bytes, ...]
    pods: tuple[bytes, ...]
    node: tuple[bytes, ...]
    loopback: tuple[bytes, ...]
    strangers: tuple[bytes, ...]
    pod_networks: tuple[Network, ...]
    service_networks: tuple[Network, ...]
    source_networks: tuple[Network, ...]

    @property
    def addresses(self) -> tuple[bytes, ...]:
        """All addresses, once each."""
        return tuple(dict.fromkeys((*self.virtual, *self.pods, *self.node, *self.loopback, *self.strangers)))


def _each(parse: Callable[[str], T], *texts: str) -> tuple[T, ...]:
    return tuple(parse(text) for text in texts)


WORLDS = {
    IPFamily.IPV4: World(
        virtual=_each(parse_address, "10.96.0.1", "10.96.0.2", "10.96.1.1", "192.0.2.1", "172.18.0.9"),
        pods=_each(parse_address, "10.244.1.1", "10.244.1.2", "10.244.2.1"),
        node=_each(parse_address, "172.18.0.2", "172.19.0.2", "172.18.0.9"),
        loopback=_each(parse_address, "127.0.0.1", "127.1.2.3"),
        strangers=_each(parse_address, "203.0.113.7", "198.51.100.7", "10.96.0.77", "10.97.0.1"),
        pod_networks=_each(parse_network, "10.244.1.0/24", "10.244.0.0/16", "0.0.0.0/0"),
        service_networks=_each(parse_network, "10.96.0.0/24", "10.96.0.0/16", "10.97.0.0/30"),
        source_networks=_each(
            parse_network, "203.0.113.0/24", "10.244.1.1/32", "172.18.0.2/32", "10.0.0.0/8", "192.0.2.1/32"
        ),
    ),
    IPFamily.IPV6: World(
        virtual=_each(parse_address, "fd00:96::1", "fd00:96::2", "fd00:96:1::1", "2001:db8::1", "fd00:18::9"),
        pods=_each(parse_address, "fd00:244:1::1", "fd00:244:1::2", "fd00:244:2::1"),
        node=_each(parse_address, "fd00:18::2", "fd00:19::2", "fd00:18::9"),
        loopback=_each(parse_address, "::1"),
        strangers=_each(parse_address, "2001:db8:113::7", "2001:db8:51::7", "fd00:96::77", "fd00:97::1"),
        pod_networks=_each(parse_network, "fd00:244:1::/64", "fd00:244::/32", "::/0"),
        service_networks=_each(parse_network, "fd00:96::/64", "fd00:96::/32", "fd00:97::/126"),
        source_networks=_each(
            parse_network, "2001:db8:113::/48", "fd00:244:1::1/128", "fd00:18::2/128", "fd00::/16",
            "2001:db8::1/128",
        ),
    ),
}  # fmt: skip

families = st.sampled_from(IPFamily)


# A strategy is checked when it is first drawn from, which takes longer than drawing: they are made once.
BOOLEANS = st.booleans()
WEIGHTS = st.integers(1, 4)
VIRTUAL_KINDS = tuple(kind for kind in FrontendKind if kind is not FrontendKind.NODE_PORT)
QUARTERS, TENTHS = st.integers(0, 3), st.integers(0, 9)
MAYBE_INTERFACES = st.none() | st.sampled_from(INTERFACES)


@cache
def _index(count: int) -> st.SearchStrategy[int]:
    return st.sampled_from(range(count))


@cache
def _indices(count: int, most: int) -> st.SearchStrategy[set[int]]:
    return st.sets(_index(count), max_size=most)


def one_of(draw: st.DrawFn, values: Sequence[T]) -> T:
    """One of some values."""
    return values[draw(_index(len(values)))]


def some_of(draw: st.DrawFn, values: Sequence[T], most: int = 3) -> tuple[T, ...]:
    """Some of the values, each once, in the order in which they stand."""
    return tuple(values[index] for index in sorted(draw(_indices(len(values), most))))


def subsets(values: Sequence[T], most: int = 3) -> st.SearchStrategy[tuple[T, ...]]:
    """As `some_of`, always of the same values."""
    return _indices(len(values), most).map(lambda indices: tuple(values[index] for index in sorted(indices)))


@cache
@st.composite
def pools(draw: st.DrawFn, family: IPFamily) -> tuple[Endpoint, ...]:
    """Up to three endpoints, pods or processes in the node's own network."""
    world = WORLDS[family]
    places = [(address, port) for address in (*world.pods, world.node[0]) for port in (80, 8080)]
    weighted = draw(BOOLEANS)
    chosen = some_of(draw, places)
    return tuple(sorted(Endpoint(*place, draw(WEIGHTS) if weighted else 1) for place in chosen))


@cache
@st.composite
def frontends(draw: st.DrawFn, family: IPFamily, match: Match) -> Frontend:
    """A frontend for a destination. Only load balancers limit sources, and ClusterIPs know only near."""
    world = WORLDS[family]
    kind = FrontendKind.NODE_PORT if match.address is None else one_of(draw, VIRTUAL_KINDS)
    far = None if kind is FrontendKind.CLUSTER_IP else draw(MAYBE_ANSWERS)
    limits = kind is FrontendKind.LOAD_BALANCER and draw(BOOLEANS)
    sources = some_of(draw, world.source_networks) if limits else None
    return Frontend(match, kind, draw(ANSWERS), far, sources)


@st.composite
def service_frontends(
    draw: st.DrawFn, family: IPFamily, name: ServicePortName, taken: Collection[Match] = ()
) -> ServiceFrontends:
    """A state of a service port that leaves alone the destinations in ``taken``."""
    every = [Match(a, name.protocol, port) for a in (*WORLDS[family].virtual, None) for port in PORTS]
    free = [match for match in every if match not in taken]
    chosen = some_of(draw, free)
    leading = tuple(draw(frontends(family, match)) for match in chosen)
    used = {answer.pool for frontend in leading for answer in frontend.answers}
    return ServiceFrontends(
        name=name,
        frontends=leading,
        cluster=draw(pools(family)) if Pool.CLUSTER in used else (),
        local=draw(pools(family)) if Pool.LOCAL in used else (),
        when_empty=one_of(draw, tuple(Refusal)),
        affinity=one_of(draw, (0, 1, 10800)),
        drain=one_of(draw, (0, 30)),
        health_check_node_port=one_of(draw, (0, 32000)),
        scheduler=one_of(draw, ("", "lc", "nonesuch")),
    )


@cache
def local_traffic(family: IPFamily) -> st.SearchStrategy[LocalTraffic | None]:
    """A way to tell local pods from others, or none."""
    return st.one_of(
        st.none(),
        st.sampled_from(WORLDS[family].pod_networks).map(LocalNetwork),
        st.sampled_from(INTERFACES).map(LocalInterface),
        st.sampled_from(("veth", "cni0")).map(LocalInterfacePrefix),
    )


@cache
def node_contexts(family: IPFamily) -> st.SearchStrategy[NodeContext]:
    """What holds for a whole node; loopback node ports are for IPv4 alone (SVC-NP-07)."""
    world = WORLDS[family]
    return st.builds(
        NodeContext,
        family=st.just(family),
        local=local_traffic(family),
        node_ports=st.builds(
            NodePortAddresses,
            addresses=st.none() | subsets(world.node),
            loopback=st.booleans() if family is IPFamily.IPV4 else st.just(False),
        ),
        service_cidrs=subsets(world.service_networks),
        drop_invalid=st.booleans(),
    )


@st.composite
def successors(draw: st.DrawFn, model: Model, max_changes: int = 3) -> tuple[Model, Delta]:
    """What a model may become: some service ports come, change or go, sometimes the node changes too."""
    family = model.node.family
    names = some_of(draw, SERVICE_PORT_NAMES, max_changes)
    taken = {frontend.match for service, frontend in model.frontends() if service.name not in names}
    changes = []
    for name in names:
        gone = name in model.services and draw(BOOLEANS)
        state = None if gone else draw(service_frontends(family, name, taken))
        taken.update(frontend.match for frontend in (state.frontends if state else ()))
        changes.append((name, state))
    node = draw(node_contexts(family)) if draw(BOOLEANS) else model.node
    return advance(model, changes, node)


@cache
def models(family: IPFamily) -> st.SearchStrategy[Model]:
    """A model of up to eight service ports."""
    return successors(Model(NodeContext(family)), max_changes=8).map(lambda step: step[0])


@cache
@st.composite
def histories(
    draw: st.DrawFn, family: IPFamily, min_size: int = 1, max_size: int = 4
) -> list[tuple[Model, Delta]]:
    """Models, each with the delta that leads there from the one before; the first follows an empty one."""
    steps = [draw(successors(Model(NodeContext(family)), max_changes=6))]
    for _ in range(one_of(draw, range(min_size - 1, max_size))):
        steps.append(draw(successors(steps[-1][0])))
    return steps


@st.composite
def packets(draw: st.DrawFn, model: Model) -> Packet:
    """A first packet from anywhere to anywhere, most often to a frontend. Loopback never leaves the node."""
    world = WORLDS[model.node.family]
    matches = sorted((frontend.match for _, frontend in model.frontends()), key=str)
    if matches and draw(QUARTERS) > 0:
        address, protocol, port = one_of(draw, matches)
        destination = address or one_of(draw, world.node + world.loopback)
    else:
        destination = one_of(draw, world.addresses)
        protocol, port = one_of(draw, tuple(Protocol)), one_of(draw, PORTS)
    inside = destination in world.loopback
    sources = world.addresses if inside else [a for a in world.addresses if a not in world.loopback]
    echo = draw(TENTHS) == 9
    return Packet(
        source=one_of(draw, sources),
        destination=destination,
        port=0 if echo else port,
        protocol=None if echo else protocol,
        interface=None if inside else draw(MAYBE_INTERFACES),
        to_node=destination in world.node or inside,
    )
