"""kube-proxy's metrics and pages, and what becomes of each here (MET-01…MET-15, HZ-01, HTTP-01)."""

from collections.abc import Sequence
from typing import NamedTuple

from .configuration.settings import Verdict


class Served(NamedTuple):
    """Something to be asked for over HTTP; ``where`` says of which modes, or at which address."""

    name: str
    where: str
    verdict: Verdict = Verdict.SAME
    note: str = ""


_SYNC = "kubeproxy_sync_proxy_rules_"
NFACCT = "where the kernel has nfacct"
_PARTIAL = "what changed is written alone, so nearly all syncs are partial"

METRICS: Sequence[Served] = (
    Served("kubeproxy_sync_proxy_rules_duration_seconds", "all"),
    Served("kubeproxy_sync_full_proxy_rules_duration_seconds", "iptables, nftables"),
    Served("kubeproxy_sync_partial_proxy_rules_duration_seconds", "iptables, nftables", note=_PARTIAL),
    Served(f"{_SYNC}last_timestamp_seconds", "all"),
    Served(f"{_SYNC}last_queued_timestamp_seconds", "all"),
    Served("kubeproxy_network_programming_duration_seconds", "all"),
    Served(f"{_SYNC}endpoint_changes_pending", "all"),
    Served(f"{_SYNC}service_changes_pending", "all"),
    Served(f"{_SYNC}endpoint_changes_total", "all"),
    Served(f"{_SYNC}service_changes_total", "all"),
    Served(f"{_SYNC}no_local_endpoints_total", "all", Verdict.BETTER, "service ports in ipvs too"),
    Served("kubeproxy_proxy_healthz_total", "all"),
    Served("kubeproxy_proxy_livez_total", "all"),
    Served(f"{_SYNC}iptables_total", "iptables"),
    Served(f"{_SYNC}iptables_last", "iptables"),
    Served(f"{_SYNC}iptables_restore_failures_total", "iptables, ipvs"),
    Served(f"{_SYNC}iptables_partial_restore_failures_total", "iptables"),
    Served("kubeproxy_iptables_ct_state_invalid_dropped_packets_total", "iptables", note=NFACCT),
    Served("kubeproxy_iptables_localhost_nodeports_accepted_packets_total", "iptables", note=NFACCT),
    Served(f"{_SYNC}nftables_sync_failures_total", "nftables"),
    Served(f"{_SYNC}nftables_cleanup_failures_total", "nftables"),
    Served("kubeproxy_conntrack_reconciler_sync_duration_seconds", "all"),
    Served("kubeproxy_conntrack_reconciler_deleted_entries_total", "all"),
    Served("kubernetes_build_info", "all"),
    Served("kubernetes_feature_enabled", "all"),
    Served("process_cpu_seconds_total", "all", note="and the other series of a process"),
)

STATUS, HEALTH = "metricsBindAddress", "healthzBindAddress"

PAGES: Sequence[Served] = (
    Served("/healthz", HEALTH),
    Served("/livez", HEALTH),
    Served("/metrics", STATUS, Verdict.BETTER, "series of our own beside kube-proxy's, by pointsman_"),
    Served("/metrics/slis", STATUS),
    Served("/healthz", STATUS),
    Served("/proxyMode", STATUS, note="the backend that serves"),
    Served("/configz", STATUS, note="the field pointsman comes along"),
    Served("/flagz", STATUS),
    Served("/statusz", STATUS),
    Served("/", STATUS, Verdict.OURS, "services, endpoints, syncs and rejections, for people"),
)
