"""What is counted of syncs, audits and changes, in the words in which it is scraped."""

from collections.abc import Iterable

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from pointsman.core.addresses import IPFamily
from pointsman.core.audit import AuditResult
from pointsman.core.backlog import Backlog
from pointsman.core.model import Model, NamespacedName, NodeContext
from pointsman.core.plan import Cause, Delta, Facts, SyncPlan, SyncReport, TableRules, Trigger
from pointsman.plugins.http.messages import Request
from pointsman.plugins.metrics.exposition import exposition
from pointsman.plugins.metrics.syncs import SyncMetrics

V4, V6 = IPFamily.IPV4, IPFamily.IPV6
WEB = NamespacedName("shop", "web")
NOW = 1e9
PREFIX = "kubeproxy_sync_proxy_rules_"


class Bench:
    """Metrics, and who scrapes them."""

    def __init__(self, mode: str = "nftables") -> None:
        self.registry = CollectorRegistry()
        self.now, self.clock = NOW, 0.0
        self.metrics = SyncMetrics(
            self.registry, (V4, V6), mode, now=lambda: self.now, clock=lambda: self.clock
        )

    def sync(
        self,
        family: IPFamily = V4,
        *,
        ok: bool = True,
        full: bool = False,
        complete: bool = True,
        seconds: float = 0.0,
        triggers: Iterable[Trigger] = (),
        facts: Facts | None = None,
    ) -> None:
        plan = SyncPlan(
            family,
            Model(NodeContext(family)),
            Delta(),
            full=full,
            complete=complete,
            triggers=tuple(triggers),
            facts=facts or Facts(),
        )
        self.metrics.pointsman_before_sync(plan)
        self.clock += seconds
        self.metrics.pointsman_after_sync(plan, SyncReport(transactions=2, writes=5) if ok else None)

    def text(self) -> str:
        return exposition(self.registry, Request("GET", "/metrics")).body.decode()

    def value(self, series: str) -> float:
        """The value of a series, written as scraped."""
        for line in self.text().splitlines():
            name, _, value = line.rpartition(" ")
            if name == series:
                return float(value)
        raise KeyError(series)

    def types(self) -> dict[str, str]:
        return {
            words[2]: words[3]
            for words in map(str.split, self.text().splitlines())
            if words[:2] == ["#", "TYPE"]
        }


@pytest.fixture
def bench() -> Bench:
    return Bench()


def bounds(text: str, histogram: str) -> list[str]:
    """The upper bounds of a histogram's buckets."""
    prefix = f'{histogram}_bucket{{ip_family="IPv4",le="'
    return [
        line.removeprefix(prefix).partition('"')[0] for line in text.splitlines() if line.startswith(prefix)
    ]


def test_MET_01_duration_of_syncs_failed_ones_among_them(bench: Bench) -> None:
    name = f"{PREFIX}duration_seconds"
    bench.sync(seconds=0.003)
    bench.sync(seconds=0.5, ok=False)
    assert bounds(bench.text(), name) == [
        "0.001",
        "0.002",
        "0.004",
        "0.008",
        "0.016",
        "0.032",
        "0.064",
        "0.128",
        "0.256",
        "0.512",
        "1.024",
        "2.048",
        "4.096",
        "8.192",
        "16.384",
        "+Inf",
    ]
    assert bench.value(f'{name}_bucket{{ip_family="IPv4",le="0.004"}}') == 1
    assert bench.value(f'{name}_count{{ip_family="IPv4"}}') == 2
    assert bench.value(f'{name}_sum{{ip_family="IPv4"}}') == pytest.approx(0.503)
    assert bench.value(f'{name}_count{{ip_family="IPv6"}}') == 0
    assert bench.types()[name] == "histogram"


def test_MET_02_full_and_partial_syncs(bench: Bench) -> None:
    bench.sync(full=True)
    bench.sync(full=False)
    bench.sync(full=False)
    for kind, number in (("full", 1), ("partial", 2)):
        name = f"kubeproxy_sync_{kind}_proxy_rules_duration_seconds"
        assert bench.value(f'{name}_count{{ip_family="IPv4"}}') == number
        assert bounds(bench.text(), name) == bounds(bench.text(), f"{PREFIX}duration_seconds")
    assert "kubeproxy_sync_full" not in Bench("ipvs").text()


def test_MET_03_when_rules_were_written_and_asked_for(bench: Bench) -> None:
    last, queued = f"{PREFIX}last_timestamp_seconds", f"{PREFIX}last_queued_timestamp_seconds"
    series = '{ip_family="IPv4"}'
    bench.sync(ok=False)
    bench.sync(complete=False)
    assert bench.value(last + series) == bench.value(queued + series) == 0
    bench.metrics.pointsman_backlog(Backlog(V4, None, services=3, service_events=3))
    assert bench.value(queued + series) == 0, "nothing is asked for before the first lists are complete"
    bench.metrics.pointsman_backlog(Backlog(V4, 5.0, services=3, service_events=3))
    assert bench.value(queued + series) == NOW
    bench.now += 7
    bench.sync()
    assert (bench.value(last + series), bench.value(queued + series)) == (NOW + 7, NOW)
    assert bench.types()[last] == bench.types()[queued] == "gauge"


def test_MET_04_latency_of_endpoint_changes_alone(bench: Bench) -> None:
    name = "kubeproxy_network_programming_duration_seconds"
    changes = [Trigger(WEB, NOW - 2.5), Trigger(WEB, NOW + 5), Trigger(WEB, NOW - 100, Cause.REMOVAL)]
    bench.sync(triggers=changes, ok=False)
    bench.sync(triggers=changes)
    assert bench.value(f'{name}_count{{ip_family="IPv4"}}') == 2
    assert bench.value(f'{name}_sum{{ip_family="IPv4"}}') == 2.5
    assert bench.value(f'{name}_bucket{{ip_family="IPv4",le="3"}}') == 2
    assert bounds(bench.text(), name) == (
        ["0.25", "0.5"]
        + [str(second) for second in range(1, 60)]
        + [str(second) for second in range(60, 120, 5)]
        + ["120", "150", "180", "210", "240", "270", "300", "+Inf"]
    )


def test_MET_05_and_MET_06_changes_that_wait_and_all_of_them(bench: Bench) -> None:
    bench.metrics.pointsman_backlog(Backlog(V4, 1.0, 2, 3, 10, 20))
    bench.metrics.pointsman_backlog(Backlog(V6, 1.0, 1, 0, 10, 0))
    bench.metrics.pointsman_backlog(Backlog(V4, None, 0, 0, 11, 21))
    assert bench.value(f"{PREFIX}service_changes_pending") == 1
    assert bench.value(f"{PREFIX}endpoint_changes_pending") == 0
    assert bench.value(f"{PREFIX}service_changes_total") == 21
    assert bench.value(f"{PREFIX}endpoint_changes_total") == 21
    types = bench.types()
    assert types[f"{PREFIX}service_changes_pending"] == "gauge"
    assert types[f"{PREFIX}endpoint_changes_total"] == "counter"


def test_MET_07_and_DIV_27_service_ports_without_local_endpoints(bench: Bench) -> None:
    name = f"{PREFIX}no_local_endpoints_total"
    bench.sync(facts=Facts(no_local_internal=2, no_local_external=3))
    bench.sync(facts=Facts(), ok=False)
    assert bench.value(f'{name}{{ip_family="IPv4",traffic_policy="internal"}}') == 2
    assert bench.value(f'{name}{{ip_family="IPv4",traffic_policy="external"}}') == 3
    assert bench.types()[name] == "gauge"


def test_MET_09_and_MET_10_failures_of_iptables() -> None:
    bench = Bench("iptables")
    bench.sync(ok=False, full=True)
    bench.sync(ok=False, full=False)
    series = '{ip_family="IPv4"}'
    assert bench.value(f"{PREFIX}iptables_restore_failures_total{series}") == 2
    assert bench.value(f"{PREFIX}iptables_partial_restore_failures_total{series}") == 1
    assert bench.types()[f"{PREFIX}iptables_restore_failures_total"] == "counter"
    ipvs = Bench("ipvs").text()
    assert f"{PREFIX}iptables_restore_failures_total" in ipvs
    assert f"{PREFIX}iptables_partial" not in ipvs


def test_MET_11_rules_by_table() -> None:
    bench = Bench("iptables")
    plan = SyncPlan(V4, Model(NodeContext(V4)), Delta(), full=False)
    report = SyncReport(1, 3, (TableRules("nat", 70, 3), TableRules("filter", 9, 0)))
    bench.metrics.pointsman_after_sync(plan, report)
    for table, held, written in report.tables:
        series = f'{{ip_family="IPv4",table="{table}"}}'
        assert bench.value(f"{PREFIX}iptables_total{series}") == held
        assert bench.value(f"{PREFIX}iptables_last{series}") == written
    assert bench.types()[f"{PREFIX}iptables_total"] == bench.types()[f"{PREFIX}iptables_last"] == "gauge"
    assert "iptables" not in Bench("ipvs").text().replace("iptables_restore_failures", "")


@pytest.mark.parametrize("variant", ["iptables-legacy", "iptables-nft"])
def test_the_variants_of_iptables_have_its_metrics(variant: str) -> None:
    assert Bench(variant).types() == Bench("iptables").types()


def test_MET_13_failures_of_nftables(bench: Bench) -> None:
    bench.sync(ok=False)
    assert bench.value(f'{PREFIX}nftables_sync_failures_total{{ip_family="IPv4"}}') == 1
    assert bench.value(f'{PREFIX}nftables_cleanup_failures_total{{ip_family="IPv4"}}') == 0
    assert "nftables" not in Bench("iptables").text()


def test_syncs_and_what_they_wrote(bench: Bench) -> None:
    bench.sync(full=True)
    bench.sync(ok=False)
    assert bench.value('pointsman_syncs_total{ip_family="IPv4",kind="full",result="done"}') == 1
    assert bench.value('pointsman_syncs_total{ip_family="IPv4",kind="partial",result="failed"}') == 1
    assert bench.value('pointsman_transactions_total{ip_family="IPv4"}') == 2
    assert bench.value('pointsman_writes_total{ip_family="IPv4"}') == 5


@pytest.mark.parametrize("cause", Cause)
def test_latency_of_every_change_removals_included(bench: Bench, cause: Cause) -> None:
    bench.sync(triggers=[Trigger(WEB, NOW - 0.4, cause)])
    name = "pointsman_programming_duration_seconds"
    assert bench.value(f'{name}_bucket{{cause="{cause}",ip_family="IPv4",le="0.25"}}') == 0
    assert bench.value(f'{name}_bucket{{cause="{cause}",ip_family="IPv4",le="0.5"}}') == 1


def test_audits(bench: Bench) -> None:
    bench.metrics.pointsman_audited(AuditResult(V4, 7, ("one",), 0.25))
    bench.metrics.pointsman_audited(AuditResult(V4, 0, (), 0.5))
    bench.metrics.pointsman_audited(AuditResult(V6, 7, ("one",), 0.25))
    assert bench.value('pointsman_audits_total{ip_family="IPv4",result="different"}') == 1
    assert bench.value('pointsman_audits_total{ip_family="IPv4",result="same"}') == 1
    assert bench.value('pointsman_audit_differences{ip_family="IPv4"}') == 0
    assert bench.value('pointsman_audit_differences{ip_family="IPv6"}') == 7
    assert bench.value('pointsman_audit_last_timestamp_seconds{ip_family="IPv4"}') == NOW


def test_all_that_is_scraped_reads_and_says_how_stable_it_is(bench: Bench) -> None:
    bench.sync()
    families = list(text_string_to_metric_families(bench.text()))
    assert len(families) > 15
    assert all(family.documentation.startswith("[ALPHA] ") for family in families)
    assert "_created" not in bench.text()
