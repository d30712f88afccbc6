"""One family's half of the engine: plans, their outcomes, and what is pending in between."""

import pytest

from pointsman.core.addresses import IPFamily
from pointsman.core.config import ProxyConfig
from pointsman.core.endpointsmap import TRIGGER_TIME
from pointsman.core.model import NamespacedName, NodeContext
from pointsman.core.plan import SyncPlan
from pointsman.core.proxy import FamilyProxy

from .objects import NODE, endpoint, endpoint_slice, port_name, service, service_port, target


def make_proxy() -> FamilyProxy:
    return FamilyProxy(IPFamily.IPV4, ProxyConfig(NODE), NodeContext(IPFamily.IPV4))


def settled_proxy() -> FamilyProxy:
    """A proxy whose dataplane holds one service with one endpoint."""
    proxy = make_proxy()
    proxy.services.update(service())
    proxy.endpoints.update(endpoint_slice([endpoint("10.0.0.1")]))
    proxy.done(proxy.plan())
    return proxy


def test_a_service_edit_taken_back_after_a_failed_sync_is_taken_back() -> None:
    proxy = settled_proxy()
    before = proxy.applied
    proxy.services.update(service(ip="10.96.0.99"))
    proxy.plan()
    proxy.failed()
    proxy.services.update(service())
    plan = proxy.plan()
    assert plan.desired == before
    assert not plan.delta
    assert plan.full


def test_an_endpoint_edit_taken_back_after_a_failed_sync_is_taken_back() -> None:
    proxy = settled_proxy()
    before = proxy.applied
    proxy.endpoints.update(endpoint_slice([endpoint("10.0.0.2")]))
    proxy.plan()
    proxy.failed()
    proxy.endpoints.update(endpoint_slice([endpoint("10.0.0.1")]))
    assert proxy.plan().desired == before


def test_SYNC_04_and_SYNC_07_a_failed_sync_loses_nothing_and_makes_the_next_one_full() -> None:
    proxy = settled_proxy()
    proxy.endpoints.update(endpoint_slice([endpoint("10.0.0.2")]))
    first = proxy.plan()
    proxy.failed()
    proxy.services.update(service(ip="10.96.0.99"))
    second = proxy.plan()
    assert first.desired.services[port_name()].cluster == (target("10.0.0.2"),)
    assert second.desired.services[port_name()].cluster == (target("10.0.0.2"),)
    assert second.full
    assert second.delta.services[0].old == proxy.applied.services[port_name()]


def cold_proxy(*names: str) -> FamilyProxy:
    """A proxy that has seen services and planned nothing."""
    proxy = make_proxy()
    for number, name in enumerate(names, 1):
        ports = [service_port(53, protocol="UDP")] if name == "dns" else [service_port(80)]
        namespace = {"namespace": "default"} if name == "kubernetes" else {}
        proxy.services.update(service(name, f"10.96.0.{number}", ports, metadata=namespace))
        proxy.endpoints.update(endpoint_slice([endpoint(f"10.0.0.{number}")], service=name, name=name))
    return proxy


def parts(proxy: FamilyProxy, chunk: int | None) -> list[SyncPlan]:
    """The plans of a cold start, each of them carried out."""
    plans = []
    while proxy.pending():
        plans.append(proxy.plan(chunk))
        proxy.done(plans[-1])
    return plans


def test_a_cold_start_in_parts_begins_with_what_everything_waits_for() -> None:
    plans = parts(cold_proxy("a", "b", "dns", "kubernetes"), 1)
    assert [plan.delta.services[0].name.name for plan in plans] == ["kubernetes", "dns", "a", "b"]
    assert [plan.complete for plan in plans] == [False, False, False, True]
    assert [len(plan.desired.services) for plan in plans] == [1, 2, 3, 4]


def test_the_first_and_the_last_part_look_at_the_kernel() -> None:
    plans = parts(cold_proxy("a", "b", "c"), 1)
    assert [plan.full for plan in plans] == [True, False, True]


@pytest.mark.parametrize("chunk", [None, 3, 4])
def test_what_fits_is_one_part(chunk: int | None) -> None:
    (plan,) = parts(cold_proxy("a", "b", "c"), chunk)
    assert plan.full
    assert plan.complete


def test_only_a_cold_start_comes_in_parts() -> None:
    proxy = cold_proxy("a", "b", "c")
    parts(proxy, 1)
    for name in ("a", "b", "c"):
        proxy.endpoints.delete(NamespacedName("shop", name), 0.0)
    (plan,) = parts(proxy, 1)
    assert len(plan.delta.services) == 3
    assert not plan.full


def test_observers_are_told_of_causes_once_all_parts_are_there() -> None:
    proxy = cold_proxy("a", "dns")
    slice_ports = [{"name": "", "port": 53, "protocol": "UDP"}]
    times = {TRIGGER_TIME: "2026-01-01T00:00:00Z"}
    proxy.endpoints.update(
        endpoint_slice([endpoint("10.0.0.9")], service="dns", name="x", ports=slice_ports, annotations=times)
    )
    first, second = parts(proxy, 1)
    assert (first.triggers, first.stale_udp) == ((), frozenset())
    assert [trigger.service.name for trigger in second.triggers] == ["dns"]
    assert second.stale_udp == {NamespacedName("shop", "dns")}


def test_a_part_that_fails_is_planned_again_with_what_came_meanwhile() -> None:
    proxy = cold_proxy("a", "b", "c")
    proxy.done(proxy.plan(1))
    proxy.plan(1)
    proxy.failed()
    proxy.services.delete(NamespacedName("shop", "a"))
    plans = parts(proxy, 1)
    assert [plan.full for plan in plans] == [True, False, True]
    assert set(plans[-1].desired.services) == {port_name("b"), port_name("c")}


def test_nothing_is_pending_once_all_is_done() -> None:
    proxy = settled_proxy()
    assert not proxy.pending()
    proxy.request_full()
    assert proxy.pending()
    plan = proxy.plan()
    assert plan.full
    assert not plan.delta
    proxy.done(plan)
    assert not proxy.pending()
