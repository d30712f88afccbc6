r"""What a lab looks like, as a value: machines, cables, addresses and routes.

::

    off-cluster clients   router (default gateway, swallows what it gets)
           |                 |
      -----+--------+--------+-----+----   192.168.77.0/24   fd00:192:168:77::/64
                    |              |
                  node           node2
                 /    \               \
             pods   (ptp veth)     remote pods
         10.244.1.0/24             10.244.2.0/24
      fd00:10:244:1::/64        fd00:10:244:2::/64

Pods hang on their node as the ptp CNI plugin does it: a host route per pod, one gateway address on all
host-side interfaces, no bridge. Every machine has both families.

What the node under test leaves alone goes to the router, which says nothing. `Lab.claim` gives it an address;
a server there then tells "the proxy did nothing" from "dropped".
"""

from collections import Counter
from enum import StrEnum

from msgspec import Struct

from pointsman.core.addresses import IPFamily, family_of, parse_address, parse_network

NODE = "node"
SECOND_NODE = "node2"
ROUTER = "router"

_UPLINK = "eth0"
_HOST_SIDE = "veth"
_NAME_LIMIT = 15 - len(_HOST_SIDE)  # IFNAMSIZ, less the terminator and the prefix
_PODS_LIMIT = 250
_SEGMENT = {IPFamily.IPV4: "192.168.77.{}", IPFamily.IPV6: "fd00:192:168:77::{}"}
_POD_NETWORK = {IPFamily.IPV4: "10.244.{}.{}", IPFamily.IPV6: "fd00:10:244:{}::{}"}
_PREFIX = {IPFamily.IPV4: 24, IPFamily.IPV6: 64}
_DEFAULT_ROUTE = {IPFamily.IPV4: "0.0.0.0/0", IPFamily.IPV6: "::/0"}
_ROUTER_HOST = 254
_FIRST_CLIENT_HOST = 100

POD_CIDRS = {family: f"{_POD_NETWORK[family].format(1, 0)}/{_PREFIX[family]}" for family in IPFamily}
"""The network of the pods on the node under test, by family."""

REMOTE_POD_CIDRS = {family: f"{_POD_NETWORK[family].format(2, 0)}/{_PREFIX[family]}" for family in IPFamily}
"""The network of the pods on the second node, by family."""

SERVICE_CIDRS = {IPFamily.IPV4: "10.96.0.0/12", IPFamily.IPV6: "fd00:96::/112"}
"""Where the ClusterIPs of a lab lie, by family."""

EXTERNAL_CIDRS = {IPFamily.IPV4: "198.51.100.0/24", IPFamily.IPV6: "2001:db8:100::/64"}
"""Where a lab's load balancer and external IPs lie, by family."""


class Role(StrEnum):
    """What a machine is for."""

    NODE = "node"
    POD = "pod"
    CLIENT = "client"
    ROUTER = "router"


class Client(Struct, frozen=True):
    """An off-cluster client; ``sources`` are more addresses it may send from, in or outside the segment."""

    name: str
    sources: tuple[str, ...] = ()


class LabSpec(Struct, frozen=True):
    """What to build.

    ``node_addresses`` are further addresses of the node under test, on its uplink. ``virtual_networks`` are
    those off-cluster clients reach by way of the node under test.
    """

    pods: tuple[str, ...] = ("pod-a", "pod-b")
    remote_pods: tuple[str, ...] = ("remote-a",)
    clients: tuple[Client, ...] = (Client("client"),)
    node_addresses: tuple[str, ...] = ()
    virtual_networks: tuple[str, ...] = (*SERVICE_CIDRS.values(), *EXTERNAL_CIDRS.values())


class Interface(Struct, frozen=True):
    """An interface and its addresses, each with its prefix length."""

    name: str
    addresses: tuple[tuple[str, int], ...] = ()


class Route(Struct, frozen=True):
    """A route; without ``gateway`` its destination is on the link. ``source`` is the preferred one."""

    destination: str
    interface: str
    gateway: str | None = None
    source: str | None = None


class Machine(Struct, frozen=True):
    """A network namespace to be. The router's interfaces, but for the first, are ports of that first one."""

    name: str
    role: Role
    addresses: tuple[str, ...]
    interfaces: tuple[Interface, ...]
    routes: tuple[Route, ...]

    def addresses_of(self, family: IPFamily) -> tuple[str, ...]:
        """Its own addresses of a family, the main one first."""
        return tuple(address for address in self.addresses if _family(address) == family)


class Cable(Struct, frozen=True):
    """A veth pair: machine and interface at either end."""

    machine: str
    interface: str
    far_machine: str
    far_interface: str


class Topology(Struct, frozen=True):
    """A whole lab, laid out."""

    machines: tuple[Machine, ...]
    cables: tuple[Cable, ...]


def lay_out(spec: LabSpec) -> Topology:
    """Decide every name, address, cable and route of a lab.

    Raises:
        ValueError: a name is taken twice or makes no interface name, an address is malformed or taken
            twice, or there are too many machines; the message names it.
    """
    _check_names(spec)
    clients = tuple(_client(spec, index) for index in range(len(spec.clients)))
    nodes = (
        _node(spec, NODE, 1, spec.pods, peer=(2, REMOTE_POD_CIDRS), more=spec.node_addresses),
        _node(spec, SECOND_NODE, 2, spec.remote_pods, peer=(1, POD_CIDRS), more=()),
    )
    pods = tuple(_pod(name, 1, index) for index, name in enumerate(spec.pods))
    remote_pods = tuple(_pod(name, 2, index) for index, name in enumerate(spec.remote_pods))
    on_segment = (*nodes, *clients)
    machines = (_router(spec, on_segment), *on_segment, *pods, *remote_pods)
    _check_addresses(machines)
    return Topology(
        machines,
        (
            *(Cable(ROUTER, _port(machine.name), machine.name, _UPLINK) for machine in on_segment),
            *(Cable(NODE, _port(name), name, _UPLINK) for name in spec.pods),
            *(Cable(SECOND_NODE, _port(name), name, _UPLINK) for name in spec.remote_pods),
        ),
    )


def _check_names(spec: LabSpec) -> None:
    names = [NODE, SECOND_NODE, ROUTER, *spec.pods, *spec.remote_pods, *(one.name for one in spec.clients)]
    for name, times in Counter(names).items():
        if times > 1:
            raise ValueError(f"{times} machines of the lab are called {name!r}; names must differ")
        if not 0 < len(name) <= _NAME_LIMIT or not name.isascii() or not name.replace("-", "").isalnum():
            raise ValueError(
                f"machine name {name!r} does not fit {_HOST_SIDE}NAME, the interface on its node; "
                f"use up to {_NAME_LIMIT} letters, digits and hyphens"
            )
    for kind, many in (("pods", spec.pods), ("remote_pods", spec.remote_pods)):
        if len(many) > _PODS_LIMIT:
            raise ValueError(f"{len(many)} {kind} do not fit a node; use up to {_PODS_LIMIT}")
    if len(spec.clients) > _ROUTER_HOST - _FIRST_CLIENT_HOST:
        raise ValueError(f"{len(spec.clients)} clients do not fit the segment; give one client more sources")


def _check_addresses(machines: tuple[Machine, ...]) -> None:
    owners: dict[bytes, str] = {}
    for machine in machines:
        for address in machine.addresses:
            owner = owners.setdefault(parse_address(address), machine.name)
            if owner != machine.name:
                raise ValueError(f"both {owner} and {machine.name} have the address {address}")


def _node(
    spec: LabSpec,
    name: str,
    number: int,
    pods: tuple[str, ...],
    peer: tuple[int, dict[IPFamily, str]],
    more: tuple[str, ...],
) -> Machine:
    """A cluster node; ``peer`` is the other one's number and pod networks."""
    other, other_cidrs = peer
    gateways = tuple((_POD_NETWORK[family].format(number, 1), _bits(family)) for family in IPFamily)
    routes = [
        Route(f"{_POD_NETWORK[family].format(number, 2 + index)}/{_bits(family)}", _port(pod))
        for index, pod in enumerate(pods)
        for family in IPFamily
    ]
    for family in IPFamily:
        routes.append(Route(other_cidrs[family], _UPLINK, gateway=_SEGMENT[family].format(other)))
        routes.append(_by_router(family))
    return Machine(
        name,
        Role.NODE,
        (*_on_segment(number), *more),
        (_uplink(number, more), *(Interface(_port(pod), gateways) for pod in pods)),
        (*routes, *_to_foreign_sources(spec)),
    )


def _pod(name: str, node: int, index: int) -> Machine:
    addresses = tuple(_POD_NETWORK[family].format(node, 2 + index) for family in IPFamily)
    gateways = {family: _POD_NETWORK[family].format(node, 1) for family in IPFamily}
    return Machine(
        name,
        Role.POD,
        addresses,
        (Interface(_UPLINK, tuple((address, _bits(_family(address))) for address in addresses)),),
        (
            *(Route(f"{gateways[family]}/{_bits(family)}", _UPLINK) for family in IPFamily),
            *(Route(_DEFAULT_ROUTE[family], _UPLINK, gateway=gateways[family]) for family in IPFamily),
        ),
    )


def _client(spec: LabSpec, index: int) -> Machine:
    client = spec.clients[index]
    own = _FIRST_CLIENT_HOST + index
    routes = [_by_router(family) for family in IPFamily]
    for cidrs, node in ((POD_CIDRS, 1), (REMOTE_POD_CIDRS, 2)):
        routes += (
            Route(cidrs[family], _UPLINK, gateway=_SEGMENT[family].format(node)) for family in IPFamily
        )
    for network in spec.virtual_networks:
        form = _SEGMENT[_family(network)]
        routes.append(Route(network, _UPLINK, gateway=form.format(1), source=form.format(own)))
    return Machine(
        client.name,
        Role.CLIENT,
        (*_on_segment(own), *client.sources),
        (_uplink(own, client.sources),),
        tuple(routes),
    )


def _router(spec: LabSpec, on_segment: tuple[Machine, ...]) -> Machine:
    bridge = _uplink(_ROUTER_HOST, ())
    ways = (
        Route(cidrs[family], bridge.name, gateway=_SEGMENT[family].format(node))
        for cidrs, node in ((POD_CIDRS, 1), (REMOTE_POD_CIDRS, 2))
        for family in IPFamily
    )
    return Machine(
        ROUTER,
        Role.ROUTER,
        _on_segment(_ROUTER_HOST),
        (bridge, *(Interface(_port(machine.name)) for machine in on_segment)),
        (*ways, *_to_foreign_sources(spec)),
    )


def _to_foreign_sources(spec: LabSpec) -> tuple[Route, ...]:
    """The way back to client addresses that lie outside the segment."""
    routes = []
    for index, client in enumerate(spec.clients):
        for source in client.sources:
            family = _family(source)
            if parse_address(source) not in parse_network(_segment_cidr(family)):
                gateway = _SEGMENT[family].format(_FIRST_CLIENT_HOST + index)
                routes.append(Route(f"{source}/{_bits(family)}", _UPLINK, gateway=gateway))
    return tuple(routes)


def _by_router(family: IPFamily) -> Route:
    return Route(_DEFAULT_ROUTE[family], _UPLINK, gateway=_SEGMENT[family].format(_ROUTER_HOST))


def _uplink(host: int, more: tuple[str, ...]) -> Interface:
    """The interface on the segment: the machine's own addresses with the prefix, ``more`` as single hosts."""
    own = tuple((_SEGMENT[family].format(host), _PREFIX[family]) for family in IPFamily)
    return Interface(_UPLINK, (*own, *((address, _bits(_family(address))) for address in more)))


def _on_segment(host: int) -> tuple[str, ...]:
    return tuple(_SEGMENT[family].format(host) for family in IPFamily)


def _segment_cidr(family: IPFamily) -> str:
    return f"{_SEGMENT[family].format(0)}/{_PREFIX[family]}"


def _port(name: str) -> str:
    """The near end of the cable to a machine."""
    return f"{_HOST_SIDE}{name}"


def _bits(family: IPFamily) -> int:
    return family.address_length * 8


def _family(text: str) -> IPFamily:
    return family_of(parse_address(text.partition("/")[0]))
