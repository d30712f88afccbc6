"""Metrics of the other parts of the process, which are asked when somebody scrapes."""

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Protocol as Interface

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from pointsman.core.addresses import IPFamily
from pointsman.core.errors import DataplaneError
from pointsman.core.model import ServicePortName
from pointsman.core.rejections import Rejections

from . import buckets
from .making import Maker

KUBERNETES = ("1", "36")
"""The minor version of Kubernetes whose kube-proxy this one does the work of."""

REQUESTS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60)


class Watched(Interface):
    """How it stands with the watch of a kind; ``heard`` is in seconds of `time.monotonic`."""

    @property
    def heard(self) -> float | None:
        """When anything was last heard of it."""

    @property
    def failures(self) -> int:
        """Failures in a row since."""

    @property
    def lists(self) -> int:
        """Times all of it was listed."""

    @property
    def watches(self) -> int:
        """Times a watch was begun."""


class Asked(Collector):
    """Metrics that a function makes at each scrape."""

    def __init__(self, registry: CollectorRegistry, metrics: Callable[[], Iterable[Metric]]) -> None:
        self._metrics = metrics
        registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """None known beforehand: what they tell of may not exist yet."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """What is so now."""
        return self._metrics()


class HealthMetrics:
    """Counts what the health server answers (MET-08)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counters = {
            f"/{name}": Counter(
                f"kubeproxy_proxy_{name}_total",
                f"[ALPHA] Answers of /{name}, by HTTP status.",
                ("code",),
                registry=registry,
            )
            for name in ("healthz", "livez")
        }

    def answered(self, path: str, status: int) -> None:
        """Count an answer."""
        self._counters[path].labels(str(status)).inc()


class ConntrackMetrics:
    """Counts what the reconciler of connection tracking does (MET-14)."""

    def __init__(self, registry: CollectorRegistry, families: Sequence[IPFamily]) -> None:
        make = Maker(registry, families)
        name = "kubeproxy_conntrack_reconciler_"
        self._seconds = make.histogram(
            f"{name}sync_duration_seconds", "Seconds that one look at connection tracking took.", buckets.SYNC
        )
        self._deleted = make.counter(
            f"{name}deleted_entries_total", "Connection tracking entries that were deleted."
        )

    def reconciled(self, family: IPFamily, seconds: float, deleted: int) -> None:
        """Count a look."""
        self._seconds.labels(str(family)).observe(seconds)
        self._deleted.labels(str(family)).inc(deleted)


class ClientMetrics:
    """Counts requests to the API server (MET-15)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "rest_client_requests_total",
            "[ALPHA] Requests to the API server, by HTTP status.",
            ("code", "method", "host"),
            registry=registry,
        )
        self._seconds = Histogram(
            "rest_client_request_duration_seconds",
            "[ALPHA] Seconds until the API server began to answer.",
            ("verb", "host"),
            buckets=REQUESTS,
            registry=registry,
        )

    def requested(self, code: str, method: str, host: str, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(code, method, host).inc()
        self._seconds.labels(method, host).observe(seconds)


def process_metrics(registry: CollectorRegistry, version: str, gates: Mapping[str, bool]) -> None:
    """Add what all components of Kubernetes say of themselves (MET-15), and what this version is."""
    ProcessCollector(registry=registry)
    GCCollector(registry)
    major, minor = KUBERNETES
    build = Gauge(
        "kubernetes_build_info",
        "[ALPHA] Always 1; the labels say what this is.",
        ("major", "minor", "git_version", "platform"),
        registry=registry,
    )
    system = f"linux/{platform.machine()}"
    build.labels(major, minor, f"v{major}.{minor}.0+pointsman-{version}", system).set(1)
    ours = Gauge(
        "pointsman_build_info",
        "[ALPHA] Always 1; the labels say what this is.",
        ("version", "python"),
        registry=registry,
    )
    ours.labels(version, platform.python_version()).set(1)
    enabled = Gauge(
        "kubernetes_feature_enabled",
        "[BETA] Whether a feature gate is on.",
        ("name", "stage"),
        registry=registry,
    )
    for name, on in sorted(gates.items()):
        enabled.labels(name, "").set(on)


def rejection_metrics(rejections: Rejections) -> Iterator[Metric]:
    """What is wrong with objects now, and how often something was."""
    by_kind: dict[str, int] = {}
    for rejection in rejections:
        by_kind[rejection.kind] = by_kind.get(rejection.kind, 0) + 1
    now = GaugeMetricFamily(
        "pointsman_rejected", "[ALPHA] Objects, and parts of objects, that are not used.", labels=("kind",)
    )
    for kind, number in sorted(by_kind.items()):
        now.add_metric((kind,), number)
    yield now
    text = "[ALPHA] How often something appeared that is not used."
    yield CounterMetricFamily("pointsman_rejections", text, value=rejections.total)


def crash_metrics(crashes: int) -> Iterator[Metric]:
    """How often a bug of ours was in the way; anything but 0 is worth a report."""
    text = "[ALPHA] Plans that could not be made, and objects that could not be taken in, for a bug."
    yield CounterMetricFamily("pointsman_crashes", text, value=crashes)


def conntrack_metrics(occupancy: Callable[[], tuple[int, int, int]]) -> Iterator[Metric]:
    """How full the connection tracking table is; nothing where there is none."""
    try:
        entries, limit, buckets_ = occupancy()
    except OSError:
        return
    name = "pointsman_conntrack_"
    yield GaugeMetricFamily(f"{name}entries", "[ALPHA] Connections that are tracked.", entries)
    yield GaugeMetricFamily(f"{name}entries_limit", "[ALPHA] Connections that can be tracked.", limit)
    yield GaugeMetricFamily(f"{name}buckets", "[ALPHA] Buckets of the table.", buckets_)


def source_metrics(
    status: Mapping[str, Watched], clock: Callable[[], float] = time.monotonic
) -> Iterator[Metric]:
    """How fresh what is known of each kind is; what was never heard of has no age."""
    name = "pointsman_source_"
    stale = GaugeMetricFamily(
        f"{name}staleness_seconds",
        "[ALPHA] Seconds since the API server last told anything of a kind, be it that nothing changed.",
        labels=("kind",),
    )
    failing = GaugeMetricFamily(
        f"{name}failures", "[ALPHA] Failures in a row to hear of a kind; 0 is well.", labels=("kind",)
    )
    lists = CounterMetricFamily(f"{name}lists", "[ALPHA] Times all of a kind was listed.", labels=("kind",))
    watches = CounterMetricFamily(f"{name}watches", "[ALPHA] Times a watch was begun.", labels=("kind",))
    for kind, watched in sorted(status.items()):
        if watched.heard is not None:
            stale.add_metric((kind,), max(0.0, clock() - watched.heard))
        failing.add_metric((kind,), watched.failures)
        lists.add_metric((kind,), watched.lists)
        watches.add_metric((kind,), watched.watches)
    yield from (stale, failing, lists, watches)


def packet_metrics(counters: Callable[[], Mapping[str, int]]) -> Iterator[Metric]:
    """Packets that met certain rules of iptables (MET-12); nothing where they aren't counted."""
    texts = {
        "ct_state_invalid_dropped_pkts": (
            "ct_state_invalid_dropped",
            "[ALPHA] Packets dropped since connection tracking could make nothing of them.",
        ),
        "localhost_nps_accepted_pkts": (
            "localhost_nodeports_accepted",
            "[ALPHA] Packets to node ports on loopback addresses.",
        ),
    }
    try:
        counted = counters()
    except OSError:
        return
    for counter, packets in counted.items():
        name, text = texts[counter]
        yield CounterMetricFamily(f"kubeproxy_iptables_{name}_packets", text, packets)


def traffic_metrics(
    traffic: Mapping[IPFamily, Callable[[], Mapping[ServicePortName, int]]],
) -> Iterator[Metric]:
    """New connections by service port; those of a family are left out while the kernel doesn't tell them."""
    text = (
        "[ALPHA] New connections to a port of a Service that were led to an endpoint, since this was asked"
        " for the first time; the last ones before its rules are rewritten may be missing."
    )
    labels = ("ip_family", "namespace", "service", "port", "protocol")
    family = CounterMetricFamily("pointsman_service_connections", text, labels=labels)
    for ip_family, connections in sorted(traffic.items()):
        with suppress(DataplaneError):
            for name, number in connections().items():
                values = (str(ip_family), name.namespace, name.name, name.port, name.protocol.name)
                family.add_metric(values, number)
    if traffic:
        yield family


def sli_metrics(healthy: Mapping[str, bool]) -> Iterator[Metric]:
    """Whether each part is well, for ``/metrics/slis``."""
    text = "[STABLE] Whether a part is well: 1 if it is."
    family = GaugeMetricFamily("kubernetes_healthcheck", text, labels=("name", "type"))
    for name, well in healthy.items():
        family.add_metric((name, "livez"), well)
    yield family
