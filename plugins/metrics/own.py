"""Metrics that kube-proxy doesn't have: what users ask of a service proxy, and what operators ask of ours."""

from pointsman.core.audit import AuditResult
from pointsman.core.plan import Cause, SyncPlan, SyncReport

from . import buckets
from .making import Maker


class OwnMetrics:
    """What syncs and audits tell, under the prefix ``pointsman_``.

    The latency of changes has no label for the Service: a series each would be a hundred thousand. Which
    ones were slowest is on the status page.
    """

    def __init__(self, make: Maker) -> None:
        self._programming = make.histogram(
            "pointsman_programming_duration_seconds",
            "Seconds from a change of any kind to the kernel's rules: of endpoints since a Pod changed, of"
            " Services and of what was removed since that was heard.",
            buckets.PROGRAMMING,
            cause=[cause.value for cause in Cause],
        )
        self._syncs = make.counter(
            "pointsman_syncs_total", "Syncs.", kind=("full", "partial"), result=("done", "failed")
        )
        self._transactions = make.counter("pointsman_transactions_total", "Kernel transactions committed.")
        self._writes = make.counter("pointsman_writes_total", "Kernel objects written or removed.")
        self._services = make.gauge("pointsman_service_ports", "Service ports that the kernel holds.")
        self._endpoints = make.gauge("pointsman_endpoint_addresses", "Endpoint addresses that it holds.")
        self._audits = make.counter(
            "pointsman_audits_total", "Comparisons of kernel and model.", result=("same", "different")
        )
        self._differences = make.gauge(
            "pointsman_audit_differences", "Differences that the last audit found; they are mended at once."
        )
        self._audited = make.gauge("pointsman_audit_last_timestamp_seconds", "When the last audit ended.")
        self._audit_seconds = make.gauge(
            "pointsman_audit_duration_seconds", "Seconds that the last audit took."
        )

    def synced(self, plan: SyncPlan, report: SyncReport | None) -> None:
        """Count a sync."""
        family = str(plan.family)
        result = "failed" if report is None else "done"
        self._syncs.labels(family, "full" if plan.full else "partial", result).inc()
        if report is not None:
            self._transactions.labels(family).inc(report.transactions)
            self._writes.labels(family).inc(report.writes)
            self._services.labels(family).set(len(plan.desired.services))
            self._endpoints.labels(family).set(len(plan.desired.endpoint_addresses))

    def programmed(self, family: str, cause: Cause, seconds: float) -> None:
        """Count a change that has reached the kernel."""
        self._programming.labels(family, cause.value).observe(seconds)

    def audited(self, audit: AuditResult, now: float) -> None:
        """Count an audit."""
        family = str(audit.family)
        self._audits.labels(family, "different" if audit.differences else "same").inc()
        self._differences.labels(family).set(audit.differences)
        self._audited.labels(family).set(now)
        self._audit_seconds.labels(family).set(audit.seconds)
