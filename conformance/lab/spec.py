"""What to build, and where things lie."""

from msgspec import Struct

from pointsman.core.addresses import IPFamily

NODE = "node"
"""The name of the node under test."""

SECOND_NODE = "node2"
"""The name of the node with the remote pods."""

ROUTER = "router"
"""The name of the default gateway."""

POD_CIDRS = {IPFamily.IPV4: "10.244.1.0/24", IPFamily.IPV6: "fd00:10:244:1::/64"}
"""The network of the pods on the node under test, by family."""

REMOTE_POD_CIDRS = {IPFamily.IPV4: "10.244.2.0/24", IPFamily.IPV6: "fd00:10:244:2::/64"}
"""The network of the pods on the second node, by family."""

SEGMENT_CIDRS = {IPFamily.IPV4: "192.168.77.0/24", IPFamily.IPV6: "fd00:192:168:77::/64"}
"""The network that nodes, clients and the router share, by family."""

SERVICE_CIDRS = {IPFamily.IPV4: "10.96.0.0/12", IPFamily.IPV6: "fd00:96::/112"}
"""Where the ClusterIPs of a lab lie, by family."""

EXTERNAL_CIDRS = {IPFamily.IPV4: "198.51.100.0/24", IPFamily.IPV6: "2001:db8:100::/64"}
"""Where a lab's load balancer and external IPs lie, by family."""


class Client(Struct, frozen=True):
    """An off-cluster client.

    ``sources`` are more addresses it may send from, in or outside the segment. ``networks`` are whole
    networks of such addresses, of which no interface has any.
    """

    name: str
    sources: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()


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
