"""Who takes part in a case, and at which addresses: the same in a lab and in a simulation.

The node under test has three pods, another node has two, and one client is off the cluster. Every pod serves
on every port of `PORTS`, by every protocol. A real load balancer stands off the cluster, too: the router has
its address, and answers on one port.
"""

from functools import cache
from ipaddress import ip_network

from pointsman.conformance.lab import (
    EXTERNAL_CIDRS,
    NODE,
    POD_CIDRS,
    REMOTE_POD_CIDRS,
    ROUTER,
    SECOND_NODE,
    SERVICE_CIDRS,
    Client,
    LabSpec,
    Machine,
)
from pointsman.conformance.lab.layout import lay_out
from pointsman.core.addresses import IPFamily, family_of, format_address, parse_address, parse_network
from pointsman.core.model import Protocol
from pointsman.core.node import is_loopback
from pointsman.core.packet import Packet

LOCAL_PODS = ("pod-a", "pod-b", "pod-c")
REMOTE_PODS = ("remote-a", "remote-b")
PODS = (*LOCAL_PODS, *REMOTE_PODS)

# The clients, unless a case wants another pod.
POD = "pod-c"
"""A pod on the node under test."""
REMOTE_POD = "remote-b"
"""A pod on another node."""
OUTSIDE = "client"
"""A client that is not in the cluster."""

PORTS = (8080, 9090)
"""Where pods serve."""

REAL_PORT = 80
"""Where the load balancer off the cluster serves."""

CLUSTER_CIDRS = {IPFamily.IPV4: "10.244.0.0/16", IPFamily.IPV6: "fd00:10:244::/48"}
"""The network of all pods, by family."""

ZONE = "zone-1"
"""Where the node under test is."""

CROWD_CIDRS = {IPFamily.IPV4: "198.18.0.0/15", IPFamily.IPV6: "2001:db8:18::/64"}
"""The networks that the client off the cluster may send from as if it were many, by family."""

SPEC = LabSpec(
    pods=LOCAL_PODS,
    remote_pods=REMOTE_PODS,
    clients=(
        Client(
            OUTSIDE,
            sources=("192.168.77.150", "203.0.113.5", "fd00:192:168:77::150", "2001:db8:7::5"),
            networks=tuple(CROWD_CIDRS.values()),
        ),
    ),
    node_addresses=("192.168.77.11", "10.200.0.1", "fd00:192:168:77::11", "fd00:200::1"),
)
SECOND_ADDRESS_CIDRS = {IPFamily.IPV4: "10.200.0.0/16", IPFamily.IPV6: "fd00:200::/64"}
"""Networks that hold one address of the node under test and no other machine's."""

_TOPOLOGY = lay_out(SPEC)
_MACHINES = {machine.name: machine for machine in _TOPOLOGY.machines}
# By which interface of the node under test its neighbours' packets come in; all others' come by the uplink.
_WAYS_IN = {cable.far_machine: cable.interface for cable in _TOPOLOGY.cables if cable.machine == NODE}
_UPLINK = next(cable.far_interface for cable in _TOPOLOGY.cables if cable.far_machine == NODE)
_FIRST_HOST, _HOSTS_OF_A_KIND = 16, 64


class Scene:
    """The addresses of one family."""

    def __init__(self, family: IPFamily) -> None:
        self.family = family
        self.node_addresses = frozenset(self.machine(NODE).addresses_of(family))
        self.real_load_balancer_ip = _host(EXTERNAL_CIDRS[family], 2 * _HOSTS_OF_A_KIND)
        self._owners = {
            **{address: name for name in PODS for address in self.addresses(name)},
            **{
                address: name
                for name in (OUTSIDE, ROUTER, SECOND_NODE, NODE)
                for address in self.addresses(name)
            },
            self.real_load_balancer_ip: ROUTER,
        }

    def machine(self, name: str) -> Machine:
        """How a machine is laid out. KeyError if there is none of that name."""
        return _MACHINES[name]

    def addresses(self, name: str) -> tuple[str, ...]:
        """A machine's addresses, the main one first."""
        return self.machine(name).addresses_of(self.family)

    def address(self, name: str) -> str:
        """A machine's main address."""
        return self.addresses(name)[0]

    def owner(self, address: str) -> str | None:
        """The machine that has an address, None if nobody has."""
        return self._owners.get(address)

    def node_of(self, machine: str) -> str | None:
        """The node that a machine is on; a node is on itself, and what is off the cluster on none."""
        if machine in (NODE, *LOCAL_PODS):
            return NODE
        return SECOND_NODE if machine in (SECOND_NODE, *REMOTE_PODS) else None

    def interface_of(self, machine: str) -> str:
        """The interface of the node under test that leads to another machine."""
        return _WAYS_IN.get(machine, _UPLINK)

    def node_address_towards(self, machine: str) -> str:
        """The address that the node under test sends from to a machine: its interface's first (MSQ-02)."""
        interfaces = {interface.name: interface for interface in self.machine(NODE).interfaces}
        texts = (address.text for address in interfaces[self.interface_of(machine)].addresses)
        return next(text for text in texts if family_of(parse_address(text)) is self.family)

    def node_address_in(self, network: str) -> str:
        """The address of the node under test in a network that holds but one of them."""
        [address] = (one for one in self.node_addresses if parse_address(one) in parse_network(network))
        return address

    def cluster_ip(self, index: int = 0) -> str:
        """A service address; those of other indices are others."""
        return _host(SERVICE_CIDRS[self.family], index)

    def load_balancer_ip(self, index: int = 0) -> str:
        """An address outside the cluster that no machine has."""
        return _host(EXTERNAL_CIDRS[self.family], index)

    def external_ip(self, index: int = 0) -> str:
        """Another address outside the cluster that no machine has."""
        return _host(EXTERNAL_CIDRS[self.family], _HOSTS_OF_A_KIND + index)

    def crowd(self, count: int) -> list[str]:
        """Addresses that the client off the cluster may send from, beside its own."""
        return [_host(CROWD_CIDRS[self.family], index) for index in range(count)]

    def packet(
        self, client: str, destination: str, port: int, protocol: Protocol | None, source: str | None = None
    ) -> Packet:
        """The first packet of a connection as the node under test meets it."""
        packed = parse_address(destination)
        to_node = destination in self.node_addresses or is_loopback(packed)
        interface = None if client == NODE else self.interface_of(client)
        source = source or self._source(client, destination, to_node=to_node)
        return Packet(parse_address(source), packed, port, protocol, interface, to_node)

    def _source(self, client: str, destination: str, *, to_node: bool) -> str:
        """The address that a client's kernel chooses: sending to itself, the one that it sends to."""
        if client != NODE:
            return self.address(client)
        return destination if to_node else self.node_address_towards(self.owner(destination) or ROUTER)

    def pod_cidr(self) -> str:
        """The network of the pods on the node under test."""
        return POD_CIDRS[self.family]

    def remote_pod_cidr(self) -> str:
        """The network of the pods on the other node."""
        return REMOTE_POD_CIDRS[self.family]


@cache
def scene(family: IPFamily) -> Scene:
    """The scene of a family."""
    return Scene(family)


def _host(network: str, index: int) -> str:
    first = parse_address(str(ip_network(network).network_address))
    return format_address((int.from_bytes(first) + _FIRST_HOST + index).to_bytes(len(first)))
