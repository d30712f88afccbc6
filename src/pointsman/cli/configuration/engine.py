"""What the engine and the dataplanes are given of a configuration, by proxy mode (CFG-10…CFG-21).

kube-proxy has a section of settings for each proxy mode. The one that counts is that of the mode that is
*asked for*: where none is, kube-proxy runs ``iptables`` and its users set what they need there, so that
section counts, although it is nftables that carries it out.
"""

from collections.abc import Sequence
from typing import NamedTuple

from pointsman.core.addresses import IPFamily
from pointsman.core.config import ProxyConfig

from . import rules
from .gates import ALLOW_EXTERNAL_IPS, in_force
from .v1alpha1 import IPVS, IPTables, KubeProxyConfiguration, NFTables

AUTO = "auto"
DEFAULT_MODE = "nftables"
KUBERNETES_SOURCE = "kubernetes"


class Masquerading(NamedTuple):
    """What hangs on the proxy mode besides its periods."""

    bit: int
    all: bool
    localhost_node_ports: bool
    node_ports_are_primary: bool


def periods(config: KubeProxyConfiguration, mode: str) -> IPTables | IPVS | NFTables:
    """The section that says how often to sync (CFG-14, CFG-15)."""
    if mode == "ipvs":
        return config.ipvs
    return config.nftables if mode == "nftables" else config.iptables


def masquerading(config: KubeProxyConfiguration, mode: str) -> Masquerading:
    """What a proxy mode means for masquerading and node ports (CFG-11…CFG-13, CFG-21)."""
    section = config.nftables if mode == "nftables" else config.iptables
    return Masquerading(
        section.masquerade_bit,
        section.masquerade_all,
        localhost_node_ports=mode.startswith("iptables") and config.iptables.localhost_node_ports,
        node_ports_are_primary=mode == "nftables",
    )


def source_of(config: KubeProxyConfiguration) -> tuple[str, str]:
    """The kind of source that objects come from, and its argument: an API server, unless another is named."""
    name, _, argument = config.pointsman.source.partition(":")
    return name or KUBERNETES_SOURCE, argument


def proxy_config(config: KubeProxyConfiguration, backend: str, families: Sequence[IPFamily]) -> ProxyConfig:
    """The engine's configuration, for a backend that serves some families."""
    mode = backend if config.mode == AUTO else config.mode
    section, masquerade = periods(config, mode), masquerading(config, mode)
    node_ports = rules.node_port_addresses(config.node_port_addresses)
    return ProxyConfig(
        node_name=rules.node_name(config.hostname_override),
        proxy_mode=backend,
        instance=config.pointsman.instance,
        families=tuple(families),
        masquerade_bit=masquerade.bit,
        masquerade_all=masquerade.all,
        local_mode=rules.local_mode(config.detect_local_mode),
        cluster_cidrs=rules.cluster_cidrs(config.cluster_cidr),
        bridge_interface=config.detect_local.bridge_interface,
        interface_name_prefix=config.detect_local.interface_name_prefix,
        node_port_addresses=None if node_ports == () and masquerade.node_ports_are_primary else node_ports,
        bind_address=rules.bind_address(config.bind_address),
        localhost_node_ports=masquerade.localhost_node_ports,
        external_ips_allowed=in_force(config.feature_gates)[ALLOW_EXTERNAL_IPS],
        drop_invalid=not config.conntrack.tcp_be_liberal,
        min_sync_period=section.min_sync_period.seconds,
        sync_period=section.sync_period.seconds,
    )
