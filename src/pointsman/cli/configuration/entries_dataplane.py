"""Settings of the kernel's rules and its connection tracking; gates; what is for Windows (CFG-10…CFG-21)."""

from collections.abc import Sequence

from . import rules
from .settings import Setting, Verdict

NO_WINDOWS = "for Windows"


DATAPLANE: Sequence[Setting] = (
    Setting(
        "mode",
        ("--proxy-mode",),
        "the backend that programs the kernel, or auto for the best that works here; see pointsman backends",
        verdict=Verdict.BETTER,
        note="unset, it is nftables, with what is set for iptables; auto and any installed backend do too",
    ),
    Setting(
        "iptables.masqueradeBit",
        ("--iptables-masquerade-bit", "--masquerade-bit"),
        "the bit of the packet mark that is used between DNAT and masquerading, 0 to 31",
        rules.within(0, 31),
        also=("nftables.masqueradeBit",),
        verdict=Verdict.BETTER,
        note="the flag holds for nftables too",
    ),
    Setting("nftables.masqueradeBit", (), "the same for nftables", rules.within(0, 31)),
    Setting(
        "iptables.masqueradeAll",
        ("--masquerade-all",),
        "masquerade all traffic to ClusterIPs",
        also=("nftables.masqueradeAll",),
        alone="true",
    ),
    Setting("nftables.masqueradeAll", (), "the same for nftables"),
    Setting(
        "iptables.localhostNodePorts",
        ("--iptables-localhost-nodeports",),
        "have node ports answer on IPv4 loopback, with the backend iptables",
        alone="true",
    ),
    Setting(
        "iptables.syncPeriod",
        ("--iptables-sync-period",),
        "how long after a failed sync it is tried again, unless something happens before",
        rules.positive,
        also=("nftables.syncPeriod",),
        zero_is_default=True,
    ),
    Setting(
        "iptables.minSyncPeriod",
        ("--iptables-min-sync-period",),
        "the least time between two syncs",
        rules.not_negative,
        also=("nftables.minSyncPeriod",),
        zero_is_default=True,
    ),
    Setting("nftables.syncPeriod", (), "as for iptables", rules.positive, zero_is_default=True),
    Setting("nftables.minSyncPeriod", (), "as for iptables", rules.not_negative, zero_is_default=True),
    Setting(
        "ipvs.syncPeriod", ("--ipvs-sync-period",), "as for iptables", rules.positive, zero_is_default=True
    ),
    Setting(
        "ipvs.minSyncPeriod",
        ("--ipvs-min-sync-period",),
        "as for iptables",
        rules.not_negative,
        note="0 where nothing is set, in the file or by flag; kube-proxy's flag alone defaults to 1s",
    ),
    Setting(
        "ipvs.scheduler",
        ("--ipvs-scheduler",),
        "how IPVS picks endpoints: any scheduler that the kernel has, such as wrr, lc or sed; empty: mh",
        verdict=Verdict.BETTER,
        note="unset it is mh, by which a client finds the same endpoint on every node",
    ),
    Setting(
        "ipvs.excludeCIDRs",
        ("--ipvs-exclude-cidrs",),
        "networks of virtual servers that are somebody else's",
        rules.networks,
        verdict=Verdict.NONE,
        note="nobody else's virtual server is ever touched",
    ),
    Setting(
        "ipvs.strictARP",
        ("--ipvs-strict-arp",),
        "answer ARP for no virtual address",
        alone="true",
        verdict=Verdict.NONE,
        note="virtual addresses are on no interface, so nothing answers for them",
    ),
    Setting(
        "ipvs.tcpTimeout",
        ("--ipvs-tcp-timeout",),
        "IPVS' time-out of idle TCP connections; 0 leaves it",
        rules.not_negative,
        note="counts for schedulers that count connections; how long flows live is conntrack's",
    ),
    Setting(
        "ipvs.tcpFinTimeout",
        ("--ipvs-tcpfin-timeout",),
        "IPVS' time-out after a FIN; 0 leaves it",
        rules.not_negative,
        note="counts for schedulers that count connections; how long flows live is conntrack's",
    ),
    Setting(
        "ipvs.udpTimeout",
        ("--ipvs-udp-timeout",),
        "IPVS' time-out of UDP flows; 0 leaves it",
        rules.not_negative,
        note="counts for schedulers that count connections; how long flows live is conntrack's",
    ),
    Setting(
        "nodePortAddresses",
        ("--nodeport-addresses",),
        "networks of the local addresses that node ports answer on, or primary for the node's own"
        " (default: primary for nftables, else every local address)",
        rules.node_port_addresses,
        verdict=Verdict.BETTER,
        note="addresses that come and go count at once",
    ),
    # Connection tracking.
    Setting(
        "conntrack.maxPerCore",
        ("--conntrack-max-per-core",),
        "connections that are tracked, for each CPU; 0 leaves the limit",
        rules.not_negative,
    ),
    Setting(
        "conntrack.min",
        ("--conntrack-min",),
        "connections that are tracked at least",
        rules.not_negative,
    ),
    Setting(
        "conntrack.tcpEstablishedTimeout",
        ("--conntrack-tcp-timeout-established",),
        "time-out of idle TCP connections; 0 leaves it",
        rules.not_negative,
    ),
    Setting(
        "conntrack.tcpCloseWaitTimeout",
        ("--conntrack-tcp-timeout-close-wait",),
        "time-out of TCP connections in CLOSE_WAIT; 0 leaves it",
        rules.not_negative,
    ),
    Setting(
        "conntrack.tcpBeLiberal",
        ("--conntrack-tcp-be-liberal",),
        "take TCP packets that are outside the window for valid",
        alone="true",
    ),
    Setting(
        "conntrack.udpTimeout",
        ("--conntrack-udp-timeout",),
        "time-out of UDP flows without an answer; 0 leaves it",
        rules.not_negative,
    ),
    Setting(
        "conntrack.udpStreamTimeout",
        ("--conntrack-udp-timeout-stream",),
        "time-out of UDP flows with answers; 0 leaves it",
        rules.not_negative,
    ),
    # Gates, and what is not for Linux.
    Setting(
        "featureGates",
        ("--feature-gates",),
        "NAME=true or NAME=false, for any gate of Kubernetes",
        rules.feature_gates,
        note="heeded: AllowServiceExternalIPs, ComponentFlagz, ComponentStatusz",
    ),
    Setting(
        "portRange", (), "ports of the proxy mode userspace", verdict=Verdict.NONE, note="nor in kube-proxy"
    ),
    Setting("winkernel.networkName", (), "the HNS network", verdict=Verdict.NONE, note=NO_WINDOWS),
    Setting("winkernel.sourceVip", (), "the source address for NAT", verdict=Verdict.NONE, note=NO_WINDOWS),
    Setting("winkernel.enableDSR", (), "direct server return", verdict=Verdict.NONE, note=NO_WINDOWS),
    Setting("winkernel.rootHnsEndpointName", (), "the HNS endpoint", verdict=Verdict.NONE, note=NO_WINDOWS),
    Setting(
        "winkernel.forwardHealthCheckVip", (), "health checks by VIP", verdict=Verdict.NONE, note=NO_WINDOWS
    ),
    Setting("windowsRunAsService", (), "run as a Windows service", verdict=Verdict.NONE, note=NO_WINDOWS),
)
