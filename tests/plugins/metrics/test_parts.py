"""Metrics of the parts of the process, as they are scraped."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from pointsman.core.addresses import IPFamily
from pointsman.core.errors import SyncError
from pointsman.core.model import Protocol, ServicePortName
from pointsman.core.rejections import Rejections
from pointsman.core.source import Rejection
from pointsman.plugins.http.messages import Request
from pointsman.plugins.metrics.exposition import exposition
from pointsman.plugins.metrics.parts import (
    Asked,
    ClientMetrics,
    ConntrackMetrics,
    HealthMetrics,
    conntrack_metrics,
    packet_metrics,
    process_metrics,
    rejection_metrics,
    source_metrics,
    traffic_metrics,
)


class Kind(NamedTuple):
    """How it stands with a kind of object."""

    heard: float | None
    failures: int
    lists: int
    watches: int


def scraped(registry: CollectorRegistry) -> list[str]:
    return exposition(registry, Request("GET", "/metrics")).body.decode().splitlines()


def lines(metrics: Iterable[Metric]) -> list[str]:
    """What a function's metrics come to."""
    registry, made = CollectorRegistry(), list(metrics)
    Asked(registry, lambda: made)
    return [line for line in scraped(registry) if not line.startswith("# HELP")]


def test_MET_08_answers_of_the_health_server() -> None:
    registry = CollectorRegistry()
    metrics = HealthMetrics(registry)
    for path, status in (("/healthz", 200), ("/healthz", 503), ("/healthz", 503), ("/livez", 200)):
        metrics.answered(path, status)
    found = scraped(registry)
    assert 'kubeproxy_proxy_healthz_total{code="200"} 1.0' in found
    assert 'kubeproxy_proxy_healthz_total{code="503"} 2.0' in found
    assert 'kubeproxy_proxy_livez_total{code="200"} 1.0' in found
    assert "# TYPE kubeproxy_proxy_livez_total counter" in found


def test_connections_by_service_port() -> None:
    def silent() -> Mapping[ServicePortName, int]:
        raise SyncError("nftables", "can't read the table")

    web = ServicePortName("shop", "web", "http", Protocol.TCP)
    told = {IPFamily.IPV4: lambda: {web: 3}, IPFamily.IPV6: silent}
    assert lines(traffic_metrics(told)) == [
        "# TYPE pointsman_service_connections_total counter",
        'pointsman_service_connections_total{ip_family="IPv4",namespace="shop",port="http",protocol="TCP",'
        'service="web"} 3.0',
    ]
    assert lines(traffic_metrics({})) == []


def test_MET_14_conntrack_reconciliation() -> None:
    registry = CollectorRegistry()
    metrics = ConntrackMetrics(registry, (IPFamily.IPV4,))
    metrics.reconciled(IPFamily.IPV4, 0.003, 12)
    found = scraped(registry)
    name = "kubeproxy_conntrack_reconciler_"
    assert f'{name}deleted_entries_total{{ip_family="IPv4"}} 12.0' in found
    assert f'{name}sync_duration_seconds_bucket{{ip_family="IPv4",le="0.002"}} 0.0' in found
    assert f'{name}sync_duration_seconds_bucket{{ip_family="IPv4",le="0.004"}} 1.0' in found
    assert f'{name}sync_duration_seconds_bucket{{ip_family="IPv4",le="16.384"}} 1.0' in found


def test_MET_15_requests_process_build_and_gates() -> None:
    registry = CollectorRegistry()
    requests = ClientMetrics(registry)
    requests.requested("200", "GET", "10.0.0.1:443", 0.02)
    requests.requested("<error>", "GET", "10.0.0.1:443", 5)
    process_metrics(registry, "9.9", {"ComponentFlagz": True, "Other": False})
    found = scraped(registry)
    assert 'rest_client_requests_total{code="200",host="10.0.0.1:443",method="GET"} 1.0' in found
    assert 'rest_client_requests_total{code="<error>",host="10.0.0.1:443",method="GET"} 1.0' in found
    assert 'rest_client_request_duration_seconds_count{host="10.0.0.1:443",verb="GET"} 2.0' in found
    assert 'kubernetes_feature_enabled{name="ComponentFlagz",stage=""} 1.0' in found
    assert 'kubernetes_feature_enabled{name="Other",stage=""} 0.0' in found
    assert any(line.startswith('kubernetes_build_info{git_version="v1.36.0+pointsman-9.9"') for line in found)
    names = {line.split("{")[0].split(" ")[0] for line in found}
    assert names >= {
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_start_time_seconds",
        "process_open_fds",
        "process_max_fds",
        "pointsman_build_info",
    }


def test_what_is_rejected() -> None:
    rejections = Rejections()
    rejections.report("a", [Rejection("Service", "shop/web", "$", "no"), Rejection("Node", "n", "$", "no")])
    rejections.report("a", [Rejection("Service", "shop/web", "$", "no")])
    assert lines(rejection_metrics(rejections)) == [
        "# TYPE pointsman_rejected gauge",
        'pointsman_rejected{kind="Service"} 1.0',
        "# TYPE pointsman_rejections_total counter",
        "pointsman_rejections_total 2.0",
    ]


def test_how_full_connection_tracking_is() -> None:
    found = lines(conntrack_metrics(lambda: (10, 1000, 250)))
    assert "pointsman_conntrack_entries 10.0" in found
    assert "pointsman_conntrack_entries_limit 1000.0" in found
    assert "pointsman_conntrack_buckets 250.0" in found


@pytest.mark.parametrize(
    ("counter", "metric"),
    [
        ("ct_state_invalid_dropped_pkts", "ct_state_invalid_dropped"),
        ("localhost_nps_accepted_pkts", "localhost_nodeports_accepted"),
    ],
)
def test_MET_12_packets_that_met_rules(counter: str, metric: str) -> None:
    name = f"kubeproxy_iptables_{metric}_packets_total"
    assert lines(packet_metrics(lambda: {counter: 7})) == [f"# TYPE {name} counter", f"{name} 7.0"]


def test_MET_12_packets_that_are_not_counted() -> None:
    def none() -> dict[str, int]:
        raise PermissionError

    assert lines(packet_metrics(none)) == []


def test_no_connection_tracking() -> None:
    def none() -> tuple[int, int, int]:
        raise FileNotFoundError

    assert lines(conntrack_metrics(none)) == []


def test_how_fresh_what_is_known_is() -> None:
    status = {"Service": Kind(100.0, 0, 1, 3), "Node": Kind(None, 5, 0, 0)}
    found = lines(source_metrics(status, clock=lambda: 142.0))
    assert 'pointsman_source_staleness_seconds{kind="Service"} 42.0' in found
    assert not any(line.startswith('pointsman_source_staleness_seconds{kind="Node"') for line in found)
    assert 'pointsman_source_failures{kind="Node"} 5.0' in found
    assert 'pointsman_source_lists_total{kind="Service"} 1.0' in found
    assert 'pointsman_source_watches_total{kind="Service"} 3.0' in found
