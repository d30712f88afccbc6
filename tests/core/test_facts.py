"""What observers are told beside the model: health checks, serving endpoints, missing local ones."""

from typing import Any

import pytest

from pointsman.core.apis import Service
from pointsman.core.engine import KINDS
from pointsman.core.model import NamespacedName, Protocol
from pointsman.core.plan import Facts, HealthCheck, SyncReport

from .fakes import Bench, failure
from .objects import (
    NODE,
    draining,
    endpoint,
    endpoint_slice,
    port_name,
    service,
    service_port,
    target,
)

WEB = NamespacedName("shop", "web")
LOCAL_BALANCER: dict[str, Any] = {
    "type": "LoadBalancer",
    "externalTrafficPolicy": "Local",
    "healthCheckNodePort": 32000,
    "ingress": [{"ip": "198.51.100.1"}],
}


def told(bench: Bench) -> Facts:
    """What observers heard of facts last."""
    return next(plan.facts for plan, report, _ in reversed(bench.listener.after) if report is not None)


def started() -> Bench:
    bench = Bench()
    bench.list_all()
    return bench


def test_HC_02_a_health_check_counts_distinct_ready_addresses_on_this_node_over_all_ports() -> None:
    bench = started()
    ports = [service_port(80, "a"), service_port(443, "b")]
    bench.engine.updated(service(ports=ports, **LOCAL_BALANCER))
    here = [endpoint("10.0.0.1", NODE), endpoint("10.0.0.2", NODE), draining("10.0.0.3", NODE)]
    names = [{"name": name, "port": 8080, "protocol": "TCP"} for name in "ab"]
    bench.engine.updated(endpoint_slice([*here, endpoint("10.0.1.1")], ports=names))
    extra = endpoint_slice([endpoint("10.0.0.4", NODE)], name="web-2", ports=names[:1])
    bench.engine.updated(extra)
    bench.run()
    assert dict(told(bench).health_checks) == {WEB: HealthCheck(32000, 3)}


def test_HC_02_draining_endpoints_alone_fail_a_health_check_though_they_serve() -> None:
    bench = started()
    bench.engine.updated(service(**LOCAL_BALANCER))
    bench.engine.updated(endpoint_slice([draining("10.0.0.1", NODE)]))
    plans = bench.run()
    assert plans[-1].desired.services[port_name()].local == (target("10.0.0.1"),)
    assert dict(told(bench).health_checks) == {WEB: HealthCheck(32000, 0)}


def test_a_service_that_gets_none_of_its_addresses_still_has_a_health_check() -> None:
    bench = started()
    bench.engine.updated(service("first", "10.96.0.9"))
    bench.engine.updated(service("second", "10.96.0.9", **LOCAL_BALANCER | {"ingress": []}))
    bench.engine.updated(endpoint_slice([endpoint("10.0.0.1", NODE)], service="second"))
    plans = bench.run()
    assert port_name("second") not in plans[-1].desired.services
    assert dict(told(bench).health_checks) == {NamespacedName("shop", "second"): HealthCheck(32000, 1)}


def test_a_health_check_goes_with_its_service() -> None:
    bench = started()
    bench.engine.updated(service(**LOCAL_BALANCER))
    bench.run()
    assert bench.script.plans[-1].desired.services[port_name()].health_check_node_port == 32000
    bench.engine.deleted(Service, WEB)
    bench.run()
    assert told(bench) == Facts()


def test_CT_02_serving_endpoints_are_those_that_answer_wherever_they_are() -> None:
    bench = started()
    bench.engine.updated(service("dns", ports=[service_port(53, protocol="UDP"), service_port(53)]))
    endpoints = [
        endpoint("10.0.0.1", NODE),
        draining("10.0.0.2"),
        endpoint("10.0.0.3", ready=False, serving=False),
        endpoint("10.0.0.4", ready=False, serving=False, terminating=True),
    ]
    ports = [{"name": "", "port": 5353, "protocol": "UDP"}]
    bench.engine.updated(endpoint_slice(endpoints, service="dns", ports=ports))
    bench.run()
    dns = port_name("dns", protocol=Protocol.UDP)
    assert dict(told(bench).serving) == {dns: {target("10.0.0.1", 5353), target("10.0.0.2", 5353)}}


@pytest.mark.parametrize(
    ("fields", "endpoints", "internal", "external"),
    [
        ({"internalTrafficPolicy": "Local"}, [endpoint("10.0.0.1")], 1, 0),
        ({"internalTrafficPolicy": "Local"}, [endpoint("10.0.0.1", NODE)], 0, 0),
        ({"internalTrafficPolicy": "Local"}, [draining("10.0.0.1", NODE)], 0, 0),
        ({"internalTrafficPolicy": "Local"}, [], 0, 0),
        (LOCAL_BALANCER, [endpoint("10.0.0.1")], 0, 1),
        (LOCAL_BALANCER | {"internalTrafficPolicy": "Local"}, [draining("10.0.0.1")], 1, 1),
        ({"type": "NodePort", "externalTrafficPolicy": "Local"}, [endpoint("10.0.0.1")], 0, 0),
    ],
)
def test_MET_07_service_ports_without_the_local_endpoints_they_want_are_counted(
    fields: dict[str, Any], endpoints: list[dict[str, Any]], internal: int, external: int
) -> None:
    bench = started()
    bench.engine.updated(service(**fields))
    bench.engine.updated(endpoint_slice(endpoints))
    bench.run()
    assert (told(bench).no_local_internal, told(bench).no_local_external) == (internal, external)


def test_facts_are_told_though_there_is_nothing_to_write() -> None:
    """Whose Service has lost its address, an endpoint is in no rule; load balancers still ask for it."""
    bench = started()
    bench.engine.updated(service("first", "10.96.0.9"))
    bench.engine.updated(service("second", "10.96.0.9", **LOCAL_BALANCER | {"ingress": []}))
    bench.run()
    heard = len(bench.listener.after)
    bench.engine.updated(endpoint_slice([endpoint("10.0.0.1", NODE)], service="second"))
    assert bench.run() == []
    ((plan, report, error),) = bench.listener.after[heard:]
    assert not plan.delta
    assert (report, error) == (SyncReport(), None)
    assert dict(plan.facts.health_checks) == {NamespacedName("shop", "second"): HealthCheck(32000, 1)}


def test_facts_that_stay_are_the_same_object() -> None:
    bench = started()
    bench.engine.updated(service("dns", ports=[service_port(53, protocol="UDP")]))
    bench.run()
    before = told(bench)
    bench.engine.updated(service())
    bench.engine.updated(endpoint_slice([endpoint("10.0.0.1")]))
    bench.run()
    assert told(bench) is before


def test_health_checks_stay_the_same_object_while_other_facts_change() -> None:
    """Who follows them can tell at once that there is nothing to do."""
    bench = started()
    bench.engine.updated(service(**LOCAL_BALANCER))
    bench.engine.updated(service("dns", ports=[service_port(53, protocol="UDP")]))
    bench.run()
    before = told(bench)
    ports = [{"name": "", "port": 5353, "protocol": "UDP"}]
    bench.engine.updated(endpoint_slice([endpoint("10.0.0.9")], service="dns", name="dns-1", ports=ports))
    bench.run()
    assert told(bench).serving != before.serving
    assert told(bench).health_checks is before.health_checks
    bench.engine.updated(endpoint_slice([endpoint("10.0.0.1", NODE)]))
    bench.run()
    assert told(bench).health_checks != before.health_checks


def test_SYNC_07_a_failed_sync_does_not_pass_for_one_that_changed_the_facts() -> None:
    bench = started()
    bench.engine.updated(service(**LOCAL_BALANCER))
    bench.script.failures = [failure()]
    bench.run()
    proxy = next(iter(bench.engine.families.values())).proxy
    assert told(bench) == proxy.applied_facts == Facts()
    bench.clock.advance(bench.config.sync_period)
    bench.run()
    assert dict(told(bench).health_checks) == {WEB: HealthCheck(32000, 0)}


def test_early_parts_of_a_cold_start_keep_the_facts_for_the_last_one() -> None:
    bench = Bench()
    bench.script.chunk = 1
    bench.engine.probe()
    services = [service(name, f"10.96.0.{n}", **LOCAL_BALANCER) for n, name in enumerate(("a", "b"), 1)]
    for kind in KINDS:
        bench.engine.replaced(kind, services if kind is Service else [])
    plans = bench.run()
    assert [(plan.complete, len(plan.facts.health_checks)) for plan in plans] == [(False, 0), (True, 2)]
