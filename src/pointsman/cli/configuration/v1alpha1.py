"""``KubeProxyConfiguration``, version v1alpha1: its fields with their types and defaults (CFG-01, CFG-10…37).

An object of these types is complete: what a file leaves out, or says null to, has its default. `Pointsman` is
our own part of the file.
"""

from typing import Annotated

from msgspec import Meta, Struct

from pointsman.cli.durations import Duration

API_VERSION = "kubeproxy.config.k8s.io/v1alpha1"
KIND = "KubeProxyConfiguration"
KUBERNETES = (1, 36)
"""The release whose kube-proxy this is to be taken for."""

Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
UInt32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]

_SECOND = 10**9

# Go's names keep initialisms in capitals.
_INITIALISMS = {
    "cluster_cidr": "clusterCIDR",
    "enable_dsr": "enableDSR",
    "exclude_cidrs": "excludeCIDRs",
    "strict_arp": "strictARP",
}


def _api_name(name: str) -> str:
    first, *others = name.split("_")
    return _INITIALISMS.get(name, first + "".join(word.capitalize() for word in others))


def _seconds(count: float) -> Duration:
    return Duration(int(count * _SECOND))


class Section(Struct, frozen=True, rename=_api_name):
    """A mapping of the file."""


class ClientConnection(Section, frozen=True):
    """How to talk to the API server."""

    kubeconfig: str = ""
    accept_content_types: str = ""
    content_type: str = "application/vnd.kubernetes.protobuf"
    qps: float = 5.0
    burst: Int32 = 10


class VModuleItem(Section, frozen=True):
    """A verbosity for some of kube-proxy's source files."""

    file_pattern: str
    verbosity: UInt32


class TextOptions(Section, frozen=True):
    """Options of kube-proxy's text log."""

    split_stream: bool = False
    info_buffer_size: str | int = "0"


class JsonOptions(Section, frozen=True):
    """Options of kube-proxy's JSON log."""

    split_stream: bool = False
    info_buffer_size: str | int = "0"


class FormatOptions(Section, frozen=True):
    """Options of kube-proxy's log formats."""

    text: TextOptions = TextOptions()
    json: JsonOptions = JsonOptions()


class Logging(Section, frozen=True):
    """What is logged, and how."""

    format: str = "text"
    flush_frequency: Duration = _seconds(5)
    verbosity: UInt32 = 0
    vmodule: tuple[VModuleItem, ...] = ()
    options: FormatOptions = FormatOptions()


class IPTables(Section, frozen=True):
    """Settings of the proxy mode ``iptables``."""

    masquerade_bit: Int32 = 14
    masquerade_all: bool = False
    localhost_node_ports: bool = True
    sync_period: Duration = _seconds(30)
    min_sync_period: Duration = _seconds(1)


class IPVS(Section, frozen=True):
    """Settings of the proxy mode ``ipvs``."""

    sync_period: Duration = _seconds(30)
    min_sync_period: Duration = _seconds(0)
    scheduler: str = ""
    exclude_cidrs: tuple[str, ...] = ()
    strict_arp: bool = False
    tcp_timeout: Duration = _seconds(0)
    tcp_fin_timeout: Duration = _seconds(0)
    udp_timeout: Duration = _seconds(0)


class NFTables(Section, frozen=True):
    """Settings of the proxy mode ``nftables``."""

    masquerade_bit: Int32 = 14
    masquerade_all: bool = False
    sync_period: Duration = _seconds(30)
    min_sync_period: Duration = _seconds(1)


class Winkernel(Section, frozen=True):
    """Settings of the proxy mode of Windows."""

    network_name: str = ""
    source_vip: str = ""
    enable_dsr: bool = False
    root_hns_endpoint_name: str = ""
    forward_health_check_vip: bool = False


class DetectLocal(Section, frozen=True):
    """How local pods are told from others, where their networks don't say it."""

    bridge_interface: str = ""
    interface_name_prefix: str = ""


class Conntrack(Section, frozen=True):
    """Limits and time-outs of the kernel's connection tracking (CT-08, CT-09)."""

    max_per_core: Int32 = 32 * 1024
    min: Int32 = 128 * 1024
    tcp_established_timeout: Duration = _seconds(24 * 3600)
    tcp_close_wait_timeout: Duration = _seconds(3600)
    tcp_be_liberal: bool = False
    udp_timeout: Duration = _seconds(0)
    udp_stream_timeout: Duration = _seconds(0)


class Pointsman(Section, frozen=True):
    """Our own settings. kube-proxy warns about this field, which it doesn't know, and goes on.

    ``backends`` holds, by the name of a backend, the settings that it declares itself
    (`pointsman.core.backend.BackendSpec.options`). ``traffic_counters`` asks for a
    series of each service port.
    """

    instance: str = "pointsman"
    source: str = ""
    ip_family: str = "dual"
    traffic_counters: bool = False
    backends: dict[str, dict[str, object]] = {}


class KubeProxyConfiguration(Section, frozen=True):
    """All there is to say to a service proxy."""

    api_version: str = API_VERSION
    kind: str = KIND
    feature_gates: dict[str, bool] = {}
    client_connection: ClientConnection = ClientConnection()
    logging: Logging = Logging()
    hostname_override: str = ""
    bind_address: str = "0.0.0.0"
    healthz_bind_address: str = ""
    metrics_bind_address: str = ""
    bind_address_hard_fail: bool = False
    enable_profiling: bool = False
    show_hidden_metrics_for_version: str = ""
    mode: str = ""
    iptables: IPTables = IPTables()
    ipvs: IPVS = IPVS()
    nftables: NFTables = NFTables()
    winkernel: Winkernel = Winkernel()
    detect_local_mode: str = "ClusterCIDR"
    detect_local: DetectLocal = DetectLocal()
    cluster_cidr: str = ""
    node_port_addresses: tuple[str, ...] = ()
    oom_score_adj: Int32 = -999
    conntrack: Conntrack = Conntrack()
    config_sync_period: Duration = _seconds(15 * 60)
    port_range: str = ""
    windows_run_as_service: bool = False
    pointsman: Pointsman = Pointsman()
