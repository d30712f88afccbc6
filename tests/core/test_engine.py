"""The engine: events in, syncs out, and what people are told."""

import logging
from typing import Any

import pytest

from pointsman.core import frontends, proxy
from pointsman.core.addresses import IPFamily
from pointsman.core.apis import ApiObject, EndpointSlice, Kind, Service, ServiceCIDR
from pointsman.core.config import ProxyConfig
from pointsman.core.endpointsmap import TRIGGER_TIME
from pointsman.core.engine import IDLE_SECONDS, KINDS
from pointsman.core.model import Masquerade, NamespacedName, ServiceFrontends
from pointsman.core.servicemap import ServiceMap, ServicePort
from pointsman.core.source import Rejection

from .fakes import Bench, failure
from .objects import (
    NODE,
    draining,
    endpoint,
    endpoint_slice,
    node,
    port_name,
    service,
    service_cidr,
    service_port,
)


def test_observers_learn_of_stale_udp_endpoints_that_no_frontend_used() -> None:
    """A draining endpoint, in no pool any more, goes: there are flows to clean, and no rule to write."""
    bench = Bench()
    dns = [{"name": "", "port": 5353, "protocol": "UDP"}]
    bench.list_all()
    bench.engine.updated(service("dns", ports=[service_port(53, protocol="UDP")]))
    both = [endpoint("10.0.0.1"), draining("10.0.0.2")]
    bench.engine.updated(endpoint_slice(both, service="dns", ports=dns))
    bench.run()
    bench.engine.updated(endpoint_slice([endpoint("10.0.0.1")], service="dns", ports=dns))
    bench.run()
    plan, report, error = bench.listener.after[-1]
    assert not plan.delta
    assert plan.stale_udp == {NamespacedName("shop", "dns")}
    assert report is not None
    assert error is None


def test_observers_learn_of_triggers_of_changes_that_no_frontend_shows() -> None:
    bench = Bench()
    bench.list_all()
    bench.engine.updated(service())
    bench.engine.updated(endpoint_slice([endpoint("10.0.0.1")]))
    bench.run()
    bench.engine.updated(
        endpoint_slice(
            [endpoint("10.0.0.1"), endpoint("10.0.0.2", ready=False)],
            annotations={TRIGGER_TIME: "2026-01-01T00:00:00Z"},
        )
    )
    bench.run()
    plan, _, _ = bench.listener.after[-1]
    assert not plan.delta
    assert [trigger.time for trigger in plan.triggers] == [1767225600.0]


def conflicts(bench: Bench) -> dict[str, str]:
    """What is said of addresses that a service does not get."""
    return {r.name: r.reason for r in bench.engine.rejections if "belongs to" in r.reason}


def test_a_service_that_gets_none_of_its_addresses_is_reported() -> None:
    bench = Bench()
    bench.list_all()
    bench.engine.updated(service("first"))
    bench.engine.updated(service("second"))
    bench.run()
    assert conflicts(bench) == {"shop/second": "it belongs to shop/first/tcp already"}


def test_a_conflict_that_goes_away_is_taken_back() -> None:
    bench = Bench()
    bench.list_all()
    bench.engine.updated(service("first"))
    bench.engine.updated(service("second"))
    bench.run()
    bench.engine.deleted(Service, NamespacedName("shop", "second"))
    bench.run()
    assert conflicts(bench) == {}


def test_a_conflict_names_the_service_that_has_the_address_now() -> None:
    bench = Bench()
    bench.list_all()
    for number in (1, 2, 3):
        bench.engine.updated(service(f"svc-{number}", f"10.96.0.{number}", externalIPs=["198.51.100.1"]))
    bench.run()
    assert set(conflicts(bench).values()) == {"it belongs to shop/svc-1/tcp already"}
    bench.engine.deleted(Service, NamespacedName("shop", "svc-1"))
    bench.run()
    assert conflicts(bench) == {"shop/svc-3": "it belongs to shop/svc-2/tcp already"}


def test_a_conflict_is_reported_though_the_sync_fails() -> None:
    bench = Bench()
    bench.list_all()
    bench.engine.updated(service("first"))
    bench.engine.updated(service("second"))
    bench.script.failures = [failure()]
    bench.run()
    assert conflicts(bench) == {"shop/second": "it belongs to shop/first/tcp already"}


def test_SYNC_01_nothing_is_written_before_the_first_lists_are_complete() -> None:
    bench = Bench()
    bench.engine.updated(service())
    for kind in KINDS - {ServiceCIDR}:
        bench.engine.replaced(kind, [])
        bench.engine.run_due()
    assert bench.script.plans == []
    bench.engine.replaced(ServiceCIDR, [])
    bench.engine.run_due()
    assert len(bench.script.plans) == 1


def test_what_was_wrong_with_an_object_is_forgotten_when_a_list_lacks_it() -> None:
    bench = Bench()
    bench.engine.replaced(Service, [service(ip="no address")])
    assert [rejection.name for rejection in bench.engine.rejections] == ["shop/web"]
    bench.engine.replaced(Service, [])
    assert list(bench.engine.rejections) == []


def test_a_change_of_the_nodes_addresses_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """A Node is updated every few seconds, by its heartbeat."""
    bench = Bench()
    bench.engine.updated(node())
    for _ in range(3):
        bench.engine.updated(node(addresses=[("InternalIP", "192.0.2.77")]))
    assert [record.message for record in caplog.records] == ["node_ips_changed"]


def test_settings_hold_without_any_node_object() -> None:
    bench = Bench(ProxyConfig(NODE, families=(IPFamily.IPV4,), masquerade_all=True))
    for kind in KINDS:
        bench.engine.replaced(kind, [service()] if kind is Service else [])
    bench.engine.run_due()
    (state,) = bench.script.plans[-1].desired.services.values()
    assert state.frontends[0].near.masquerade is Masquerade.ALWAYS


def test_a_part_of_a_cold_start_that_fails_stops_it_until_the_retry() -> None:
    bench = Bench()
    bench.script.chunk = 1
    bench.engine.probe()
    for kind in KINDS:
        services = [service(f"svc-{n}", f"10.96.0.{n}") for n in (1, 2, 3)]
        bench.engine.replaced(kind, services if kind is Service else [])
    carried_out = len(bench.script.plans)
    bench.script.on_sync = lambda plan: bench.script.failures.extend(
        [failure()] if len(bench.script.plans) == carried_out + 2 else []
    )
    assert [plan.complete for plan in bench.run()] == [False, False]
    assert bench.run() == []
    bench.clock.advance(bench.config.sync_period)
    plans = bench.run()
    assert [plan.complete for plan in plans] == [False, True]
    assert [plan.full for plan in plans] == [True, True]
    assert len(plans[-1].desired.services) == 3


def test_an_idle_engine_looks_at_the_kernel_now_and_then() -> None:
    bench = Bench()
    bench.list_all()
    assert bench.engine.wait() == IDLE_SECONDS
    bench.clock.advance(IDLE_SECONDS)
    (plan,) = bench.run()
    assert plan.full
    assert not plan.delta


def test_a_look_at_the_kernel_can_be_asked_for() -> None:
    bench = Bench()
    bench.list_all()
    bench.engine.request_full(IPFamily.IPV4)
    assert bench.engine.wait() == 0
    (plan,) = bench.run()
    assert plan.full


def test_what_sources_find_wrong_is_told_and_forgotten() -> None:
    bench = Bench()
    wrong = Rejection("Service", "shop/web", "$", "not JSON", "web.json")
    bench.engine.rejected("web.json", [wrong])
    assert list(bench.engine.rejections) == [wrong]
    bench.engine.rejected("web.json", [])
    assert list(bench.engine.rejections) == []


def test_syncs_and_failures_are_logged_with_what_was_kept(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bench = Bench()
    bench.script.failures = [failure("no memory")]
    bench.list_all()
    bench.clock.advance(bench.config.sync_period)
    bench.engine.updated(service())
    bench.run()
    failed, synced = (vars(record) for record in caplog.records if record.name.endswith("engine"))
    assert (failed["message"], failed["error"]) == ("sync_failed", "script: no memory")
    assert failed["kept"]
    assert (synced["message"], synced["services"], synced["changed"], synced["full"]) == (
        "synced",
        1,
        1,
        True,
    )


def test_what_a_list_lacks_is_gone() -> None:
    bench = Bench()
    bench.list_all()
    full: dict[Kind, list[ApiObject]] = {
        Service: [service(), service("db", "10.96.0.2")],
        EndpointSlice: [
            endpoint_slice([endpoint("10.0.0.1")]),
            endpoint_slice([endpoint("10.0.0.2")], name="b"),
        ],
        ServiceCIDR: [service_cidr("a", "10.96.0.0/16"), service_cidr("b", "10.97.0.0/16")],
    }
    for kind, objects in full.items():
        bench.engine.replaced(kind, objects)
    bench.run()
    for kind, objects in full.items():
        bench.engine.replaced(kind, objects[1:])
    (plan,) = bench.run()
    assert set(plan.desired.services) == {port_name("db")}
    assert list(map(str, plan.desired.node.service_cidrs)) == ["10.97.0.0/16"]
    assert [name.name for name in bench.engine.families[IPFamily.IPV4].proxy.endpoints.current] == ["b"]


def test_what_a_list_has_but_nobody_can_read_stays_as_it_was() -> None:
    bench = Bench()
    bench.list_all()
    bench.engine.replaced(Service, [service(), service("db", "10.96.0.2")])
    bench.engine.replaced(EndpointSlice, [endpoint_slice([endpoint("10.0.0.1")], service="db")])
    bench.run()
    bench.engine.replaced(Service, [service()], [NamespacedName("shop", "db"), NamespacedName("", "?")])
    assert not bench.run()
    served = bench.engine.families[IPFamily.IPV4].proxy.services.current
    assert {name.name for name in served} == {service().metadata.name, "db"}


def test_SYNC_11_a_crash_in_planning_stops_neither_the_loop_nor_the_other_family(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A Service that trips over a bug of ours; another one, in the same plan, comes with the retry."""
    bench = Bench(ProxyConfig(NODE, min_sync_period=0))
    bench.list_all()
    whole = frontends.service_frontends

    def poisoned(port: ServicePort, *rest: Any) -> ServiceFrontends:
        if port.name.name == "poison" and len(port.cluster_ip) == 4:
            raise ZeroDivisionError
        return whole(port, *rest)

    both: dict[str, Any] = {"ipFamilies": ["IPv4", "IPv6"], "type": "ClusterIP"}
    monkeypatch.setattr(proxy, "service_frontends", poisoned)
    for number, name in enumerate(("poison", "web")):
        addresses = [f"10.96.0.{number}", f"fd00:96::{number}"]
        bench.engine.updated(service(name, addresses[0], clusterIPs=addresses, **both))
    assert bench.run() == []
    assert [record.message for record in caplog.records] == ["planning_failed"]
    assert bench.engine.crashes == 1
    assert len(bench.scripts[IPFamily.IPV6].plans[-1].desired.services) == 2
    assert bench.engine.families[IPFamily.IPV4].runner.wait() == bench.config.sync_period
    monkeypatch.undo()
    bench.clock.advance(bench.config.sync_period)
    [plan] = bench.run()
    assert plan.full
    assert {name.name for name in plan.desired.services} == {"poison", "web"}


def test_an_object_that_meets_a_bug_is_skipped_and_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """SYNC-11: the others are served on, it by its last good version, also after the next list."""
    right = ServiceMap.update

    def buggy(self: ServiceMap, updated: Service, now: float | None = None) -> list[Rejection]:
        if "trap" in (updated.metadata.annotations or {}):
            raise ZeroDivisionError("a bug")
        return right(self, updated, now)

    monkeypatch.setattr(ServiceMap, "update", buggy)
    bench = Bench()
    bench.list_all()
    bench.engine.updated(service())
    trapped = service(ip="10.96.0.99", metadata={"annotations": {"trap": ""}})
    for _ in range(2):
        bench.engine.updated(trapped)
    bench.engine.replaced(Service, [trapped, service("db", "10.96.0.11")])
    bench.run()
    assert {str(name.service) for name in bench.script.plans[-1].desired.services} == {"shop/web", "shop/db"}
    [rejection] = bench.engine.rejections
    assert (rejection.kind, rejection.name) == ("Service", "shop/web")
    assert "ZeroDivisionError" in rejection.reason
    assert bench.engine.crashes == 3
    assert [record.message for record in caplog.records].count("object_failed") == 1
    bench.engine.updated(service())
    assert not list(bench.engine.rejections)
