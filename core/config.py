"""The configuration the engine works by: values only; where they come from is the command line's business."""

from enum import StrEnum

from msgspec import Struct

from .addresses import IPFamily, Network


class LocalMode(StrEnum):
    """How local pods are told from others (CFG-18, MSQ-06)."""

    CLUSTER_CIDR = "ClusterCIDR"
    NODE_CIDR = "NodeCIDR"
    BRIDGE_INTERFACE = "BridgeInterface"
    INTERFACE_NAME_PREFIX = "InterfaceNamePrefix"


class ProxyConfig(Struct, frozen=True):
    """Settings of a service proxy; periods are in seconds.

    ``node_port_addresses`` are CIDRs; None means those of the node's own addresses (``primary``, SVC-NP-05),
    an empty tuple means every local address. ``bind_address``, unless unspecified, is the node's own whatever
    its object says (IN-NODE-02). ``instance`` names this proxy's kernel objects.
    """

    node_name: str
    proxy_mode: str = "nftables"
    instance: str = "pointsman"
    families: tuple[IPFamily, ...] = (IPFamily.IPV4, IPFamily.IPV6)
    masquerade_bit: int = 14
    masquerade_all: bool = False
    local_mode: LocalMode = LocalMode.CLUSTER_CIDR
    cluster_cidrs: tuple[Network, ...] = ()
    bridge_interface: str = ""
    interface_name_prefix: str = ""
    node_port_addresses: tuple[Network, ...] | None = ()
    bind_address: bytes | None = None
    localhost_node_ports: bool = False
    external_ips_allowed: bool = True
    drop_invalid: bool = True
    min_sync_period: float = 1.0
    sync_period: float = 30.0
