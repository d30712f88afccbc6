"""What syncs tell: kube-proxy's metrics of them, and ours."""

import time
from collections.abc import Callable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from pointsman.core.addresses import IPFamily
from pointsman.core.audit import AuditResult
from pointsman.core.backlog import Backlog
from pointsman.core.hookspecs import hookimpl
from pointsman.core.latency import Latencies
from pointsman.core.plan import Cause, SyncPlan, SyncReport

from . import buckets
from .making import Maker
from .own import OwnMetrics

_IPTABLES = frozenset({"iptables", "iptables-legacy", "iptables-nft"})
_WITH_PARTIAL_SYNCS = _IPTABLES | {"nftables"}


class SyncMetrics:
    """Counts what the engine tells; MET-01…MET-07, MET-09…MET-11 and MET-13.

    Args:
        registry: takes the metrics.
        families: those that are served; all their series are there from the start.
        mode: the dataplane's name, as some metrics are of some modes only.
        now: seconds since the epoch.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        families: Sequence[IPFamily],
        mode: str,
        *,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._now = now
        self._clock = clock
        self._began = clock()
        self._latencies = Latencies(now, clock)
        self._backlogs: Mapping[IPFamily, Backlog] = {family: Backlog(family) for family in families}
        make = Maker(registry, families)
        prefix = "kubeproxy_sync_"
        self._duration = make.histogram(
            prefix + "proxy_rules_duration_seconds", "Seconds that one sync took.", buckets.SYNC
        )
        self._by_kind: dict[bool, Histogram] = {}
        if mode in _WITH_PARTIAL_SYNCS:
            for full, kind in ((True, "full"), (False, "partial")):
                text = f"Seconds that one {kind} sync took."
                name = f"{prefix}{kind}_proxy_rules_duration_seconds"
                self._by_kind[full] = make.histogram(name, text, buckets.SYNC)
        rules = prefix + "proxy_rules_"
        self._last = make.gauge(rules + "last_timestamp_seconds", "When a sync last succeeded.")
        self._queued = make.gauge(rules + "last_queued_timestamp_seconds", "When a sync was last asked for.")
        self._programming = make.histogram(
            "kubeproxy_network_programming_duration_seconds",
            "Seconds from a Pod's or Service's change, as its EndpointSlice tells it, to the kernel's rules.",
            buckets.PROGRAMMING,
        )
        self._pending = {
            "endpoint": make.single(Gauge, rules + "endpoint_changes_pending", "EndpointSlices that wait."),
            "service": make.single(Gauge, rules + "service_changes_pending", "Services that wait."),
        }
        self._changes = {
            "endpoint": make.single(
                Counter, rules + "endpoint_changes_total", "EndpointSlice changes heard of."
            ),
            "service": make.single(Counter, rules + "service_changes_total", "Service changes heard of."),
        }
        self._no_local = make.gauge(
            rules + "no_local_endpoints_total",
            "Service ports with a Local traffic policy and with endpoints, but none on this node.",
            traffic_policy=("internal", "external"),
        )
        self._failures = _failures(make, mode)
        self._rules = self._written = None
        if mode in _IPTABLES:
            tables = ("filter", "nat")
            self._rules = make.gauge(f"{rules}iptables_total", "Rules there are.", table=tables)
            self._written = make.gauge(f"{rules}iptables_last", "Rules the last sync wrote.", table=tables)
        self._ours = OwnMetrics(make)

    @hookimpl
    def pointsman_backlog(self, backlog: Backlog) -> None:
        self._latencies.heard(backlog)
        before = self._backlogs[backlog.family]
        services = backlog.service_events - before.service_events
        slices = backlog.slice_events - before.slice_events
        self._changes["service"].inc(services)
        self._changes["endpoint"].inc(slices)
        self._backlogs = {**self._backlogs, backlog.family: backlog}
        self._pending["service"].set(sum(b.services for b in self._backlogs.values()))
        self._pending["endpoint"].set(sum(b.slices for b in self._backlogs.values()))
        if backlog.since is not None and (before.since is None or services or slices):
            self._queued.labels(str(backlog.family)).set(self._now())

    @hookimpl
    def pointsman_before_sync(self, plan: SyncPlan) -> None:
        self._began = self._clock()

    @hookimpl
    def pointsman_after_sync(self, plan: SyncPlan, report: SyncReport | None) -> None:
        family, now = str(plan.family), self._now()
        seconds = self._clock() - self._began
        self._duration.labels(family).observe(seconds)
        if self._by_kind:
            self._by_kind[plan.full].labels(family).observe(seconds)
        self._ours.synced(plan, report)
        if report is None:
            for partial_only, counter in self._failures:
                if not (partial_only and plan.full):
                    counter.labels(family).inc()
            return
        self._count_rules(family, report)
        if not plan.complete:
            return
        self._last.labels(family).set(now)
        self._no_local.labels(family, "internal").set(plan.facts.no_local_internal)
        self._no_local.labels(family, "external").set(plan.facts.no_local_external)
        for trigger in plan.triggers:
            latency = self._latencies.of(plan.family, trigger)
            self._ours.programmed(family, trigger.cause, latency)
            if trigger.cause is Cause.ENDPOINTS:
                self._programming.labels(family).observe(latency)

    def _count_rules(self, family: str, report: SyncReport) -> None:
        if self._rules is not None and self._written is not None:
            for table, held, written in report.tables:
                self._rules.labels(family, table).set(held)
                self._written.labels(family, table).set(written)

    @hookimpl
    def pointsman_audited(self, audit: AuditResult) -> None:
        self._ours.audited(audit, self._now())


def _failures(make: Maker, mode: str) -> list[tuple[bool, Counter]]:
    """Counters of failed syncs, each with whether it is for partial ones alone."""
    rules = "kubeproxy_sync_proxy_rules_"
    found = []
    if mode in _IPTABLES | {"ipvs"}:
        name, text = f"{rules}iptables_restore_failures_total", "Syncs that the kernel did not take."
        found.append((False, make.counter(name, text)))
    if mode in _IPTABLES:
        name = f"{rules}iptables_partial_restore_failures_total"
        found.append((True, make.counter(name, "Partial syncs that the kernel did not take.")))
    if mode == "nftables":
        name, text = f"{rules}nftables_sync_failures_total", "Syncs that the kernel did not take."
        found.append((False, make.counter(name, text)))
        # There is no separate cleaning up here that could fail: it is part of each transaction.
        make.counter(f"{rules}nftables_cleanup_failures_total", "Failures to remove what is stale.")
    return found
