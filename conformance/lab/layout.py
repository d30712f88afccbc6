"""Decide a lab's names, addresses, cables and routes.

An address follows from its machine's place in the specification: the first pod is 10.244.1.2 and
fd00:10:244:1::2, the first client 192.168.77.100 and fd00:192:168:77::100.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from pointsman.core.addresses import IPFamily, family_of, parse_address, parse_network

from .spec import NODE, POD_CIDRS, REMOTE_POD_CIDRS, ROUTER, SECOND_NODE, SEGMENT_CIDRS, LabSpec
from .topology import Address, Cable, Interface, Machine, Role, Route, Topology

_UPLINK = "eth0"
_LOOPBACK = "lo"
_HOST_SIDE = "veth"
_NAME_LIMIT = 15 - len(_HOST_SIDE)  # IFNAMSIZ, less the terminator and the prefix
_PODS_LIMIT = 250
_SEGMENT = {IPFamily.IPV4: "192.168.77.{}", IPFamily.IPV6: "fd00:192:168:77::{}"}
_POD_NETWORK = {IPFamily.IPV4: "10.244.{}.{}", IPFamily.IPV6: "fd00:10:244:{}::{}"}
_PREFIX = {IPFamily.IPV4: 24, IPFamily.IPV6: 64}
_DEFAULT_ROUTE = {IPFamily.IPV4: "0.0.0.0/0", IPFamily.IPV6: "::/0"}
_NODE_HOST, _SECOND_NODE_HOST, _FIRST_CLIENT_HOST, _ROUTER_HOST = 1, 2, 100, 254
_SEGMENT_ROUTER = {family: form.format(_ROUTER_HOST) for family, form in _SEGMENT.items()}
_GATEWAY, _FIRST_POD = 1, 2


class _Site(NamedTuple):
    """A node and its pods; ``host`` is its place on the segment and in the names of its pod networks."""

    name: str
    host: int
    pods: tuple[str, ...]
    more: tuple[str, ...] = ()


def lay_out(spec: LabSpec) -> Topology:
    """Decide every name, address, cable and route of a lab.

    Raises:
        ValueError: a name is taken twice or makes no interface name, an address is malformed or taken
            twice, or there are too many machines; the message names it.
    """
    _check_names(spec)
    sites = (
        _Site(NODE, _NODE_HOST, spec.pods, spec.node_addresses),
        _Site(SECOND_NODE, _SECOND_NODE_HOST, spec.remote_pods),
    )
    clients = (_client(spec, index) for index in range(len(spec.clients)))
    on_segment = (*(_node(spec, site) for site in sites), *clients)
    pods = (_pod(site.host, name, index) for site in sites for index, name in enumerate(site.pods))
    machines = (_router(spec, on_segment), *on_segment, *pods)
    _check_addresses(machines)
    to_segment = (Cable(ROUTER, _port(machine.name), machine.name, _UPLINK) for machine in on_segment)
    to_pods = (Cable(site.name, _port(name), name, _UPLINK) for site in sites for name in site.pods)
    return Topology(machines, (*to_segment, *to_pods))


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
            packed = parse_address(address)
            if packed in owners:
                owner = owners[packed]
                raise ValueError(f"{machine.name} can't have the address {address}, which is {owner}'s")
            owners[packed] = machine.name


def _node(spec: LabSpec, site: _Site) -> Machine:
    gateways = tuple(_POD_NETWORK[family].format(site.host, _GATEWAY) for family in IPFamily)
    routes = [
        Route(_host_cidr(address), _port(pod))
        for index, pod in enumerate(site.pods)
        for address in _pod_addresses(site.host, index)
    ]
    return Machine(
        site.name,
        Role.NODE,
        (*_on_segment(site.host), *site.more, *(gateways if site.pods else ())),
        (_uplink(site.host, site.more), *(Interface(_port(pod), _single(gateways)) for pod in site.pods)),
        (*routes, *_to_others(spec, site.host), *_by_default(_SEGMENT_ROUTER)),
    )


def _pod(node: int, name: str, index: int) -> Machine:
    addresses = _pod_addresses(node, index)
    gateways = {family: _POD_NETWORK[family].format(node, _GATEWAY) for family in IPFamily}
    return Machine(
        name,
        Role.POD,
        addresses,
        (Interface(_UPLINK, _single(addresses)),),
        (*(Route(_host_cidr(gateway), _UPLINK) for gateway in gateways.values()), *_by_default(gateways)),
    )


def _client(spec: LabSpec, index: int) -> Machine:
    client = spec.clients[index]
    own = _FIRST_CLIENT_HOST + index
    virtual = (
        Route(network, _UPLINK, gateway=_SEGMENT[_family(network)].format(_NODE_HOST))
        for network in spec.virtual_networks
    )
    return Machine(
        client.name,
        Role.CLIENT,
        (*_on_segment(own), *client.sources),
        (_uplink(own, client.sources),),
        (
            *(Route(network, _LOOPBACK, own=True) for network in client.networks),
            *virtual,
            *_to_others(spec, own),
            *_by_default(_SEGMENT_ROUTER),
        ),
    )


def _router(spec: LabSpec, on_segment: tuple[Machine, ...]) -> Machine:
    return Machine(
        ROUTER,
        Role.ROUTER,
        _on_segment(_ROUTER_HOST),
        (_uplink(_ROUTER_HOST, ()), *(Interface(_port(machine.name)) for machine in on_segment)),
        tuple(_to_others(spec, _ROUTER_HOST)),
    )


def _to_others(spec: LabSpec, own: int) -> Iterator[Route]:
    """From one host of the segment to what lies behind the others, or is theirs but outside its networks."""
    behind = [(_NODE_HOST, network) for network in POD_CIDRS.values()]
    behind += ((_SECOND_NODE_HOST, network) for network in REMOTE_POD_CIDRS.values())
    clients = tuple(enumerate(spec.clients, _FIRST_CLIENT_HOST))
    behind += ((host, network) for host, client in clients for network in client.networks)
    for host, addresses in (
        (_NODE_HOST, spec.node_addresses),
        *((host, client.sources) for host, client in clients),
    ):
        behind += ((host, _host_cidr(address)) for address in addresses if not _in_segment(address))
    for host, network in behind:
        if host != own:
            yield Route(network, _UPLINK, gateway=_SEGMENT[_family(network)].format(host))


def _by_default(gateways: dict[IPFamily, str]) -> Iterator[Route]:
    return (Route(_DEFAULT_ROUTE[family], _UPLINK, gateway=gateways[family]) for family in IPFamily)


def _uplink(host: int, more: tuple[str, ...]) -> Interface:
    """The interface on the segment: the machine's own addresses with the prefix, ``more`` as single hosts."""
    own = (Address(_SEGMENT[family].format(host), _PREFIX[family]) for family in IPFamily)
    return Interface(_UPLINK, (*own, *_single(more, preferred=False)))


def _on_segment(host: int) -> tuple[str, ...]:
    return tuple(_SEGMENT[family].format(host) for family in IPFamily)


def _in_segment(address: str) -> bool:
    return parse_address(address) in parse_network(SEGMENT_CIDRS[_family(address)])


def _pod_addresses(node: int, index: int) -> tuple[str, ...]:
    return tuple(_POD_NETWORK[family].format(node, _FIRST_POD + index) for family in IPFamily)


def _single(addresses: tuple[str, ...], *, preferred: bool = True) -> tuple[Address, ...]:
    return tuple(Address(address, _host_prefix(address), preferred) for address in addresses)


def _host_cidr(address: str) -> str:
    return f"{address}/{_host_prefix(address)}"


def _host_prefix(address: str) -> int:
    """The prefix length of a network of one host."""
    return _family(address).address_length * 8


def _port(name: str) -> str:
    """The near end of the cable to a machine."""
    return f"{_HOST_SIDE}{name}"


def _family(text: str) -> IPFamily:
    """The family of an address or network."""
    return family_of(parse_address(text.partition("/")[0]))
