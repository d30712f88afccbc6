"""TRK: which changes count, and what a plan says of them."""

import pytest

from pointsman.core.apis import EndpointSlice, Node, Service, ServiceCIDR
from pointsman.core.endpointsmap import TRIGGER_TIME
from pointsman.core.model import NamespacedName
from pointsman.core.plan import Cause, Trigger
from tests.core.fakes import Bench
from tests.core.objects import (
    NAMESPACE,
    draining,
    endpoint,
    endpoint_slice,
    node,
    port_name,
    service,
    service_port,
    target,
)

STARTED = 1_000_000.0
UDP_PORTS = ({"name": "", "port": 5353, "protocol": "UDP"},)


@pytest.fixture
def bench() -> Bench:
    """An engine that has synced one service with one endpoint."""
    bench = Bench(now=STARTED)
    bench.list_all()
    bench.engine.updated(service())
    bench.engine.updated(endpoint_slice([endpoint("10.0.0.1")]))
    bench.run()
    return bench


def owner(name: str = "web") -> NamespacedName:
    return NamespacedName(NAMESPACE, name)


def test_TRK_01_several_events_are_one_transition(bench: Bench) -> None:
    for last in (2, 3, 4):
        bench.engine.updated(service(ip=f"10.96.0.{last}"))
        bench.engine.updated(endpoint_slice([endpoint(f"10.0.0.{last}")]))
    (plan,) = bench.run()
    ((name, old, new),) = plan.delta.services
    assert name == port_name()
    assert old is not None
    assert new is not None
    assert (old.cluster, new.cluster) == ((target("10.0.0.1"),), (target("10.0.0.4"),))


def test_TRK_01_what_comes_and_goes_between_syncs_never_was(bench: Bench) -> None:
    bench.engine.updated(service("fleeting", "10.96.0.2"))
    bench.engine.updated(endpoint_slice([endpoint("10.0.0.9")], service="fleeting", name="fleeting"))
    bench.engine.deleted(Service, owner("fleeting"))
    bench.engine.deleted(EndpointSlice, owner("fleeting"))
    assert bench.run() == []
    assert len(bench.listener.before) == 2


def test_TRK_02_a_change_taken_back_is_dropped(bench: Bench) -> None:
    bench.engine.updated(service(ip="10.96.0.99"))
    bench.engine.updated(service())
    assert bench.engine.families[next(iter(bench.scripts))].proxy.pending() is False
    assert bench.run() == []


@pytest.mark.parametrize(
    "edited",
    [
        service(metadata={"annotations": {"note": "x"}, "labels": {"tier": "2"}}),
        service(selector={"app": "other"}),
        service(ports=[service_port(80, targetPort=9)]),
        endpoint_slice([endpoint("10.0.0.1")], labels={"tier": "2"}),
        endpoint_slice(
            [{**endpoint("10.0.0.1"), "zone": "z", "hostname": "h", "targetRef": {"kind": "Pod"}}]
        ),
        node(labels={"tier": "2"}),
    ],
)
def test_TRK_02_irrelevant_edits_never_sync(bench: Bench, edited: Service | EndpointSlice | Node) -> None:
    bench.engine.updated(node())
    bench.run()
    told = len(bench.listener.before)
    bench.engine.updated(edited)
    assert bench.engine.wait() is not None
    assert bench.run() == []
    assert len(bench.listener.before) == told


def test_TRK_03_the_same_slice_again_is_nothing(bench: Bench) -> None:
    bench.engine.updated(endpoint_slice([endpoint("10.0.0.1")]))
    assert bench.run() == []


def test_TRK_03_any_change_of_what_is_used_syncs(bench: Bench) -> None:
    bench.engine.updated(endpoint_slice([endpoint("10.0.0.1"), endpoint("10.0.0.2")]))
    assert len(bench.run()) == 1


def test_TRK_03_removing_an_unknown_slice_is_nothing(bench: Bench) -> None:
    bench.engine.deleted(EndpointSlice, owner("unknown"))
    assert bench.run() == []


def test_TRK_04_a_plan_names_what_it_touches_and_nothing_else(bench: Bench) -> None:
    for number in range(5):
        bench.engine.updated(
            service(f"svc-{number}", f"10.96.1.{number}", [service_port(80), service_port(81, "a")])
        )
    bench.run()
    bench.engine.updated(endpoint_slice([endpoint("10.0.0.5")], service="svc-3", name="svc-3"))
    bench.engine.updated(service("svc-1", "10.96.1.1"))
    (plan,) = bench.run()
    assert [change.name for change in plan.delta.services] == [
        port_name("svc-1", "a"),
        port_name("svc-3"),
    ]
    assert not plan.full
    assert plan.delta.services[0].new is None
    assert len(plan.desired.services) == 10


def test_TRK_05_udp_cleanup_follows_endpoint_changes(bench: Bench) -> None:
    bench.engine.updated(service("dns", "10.96.0.53", [service_port(53, protocol="UDP")]))
    (plan,) = bench.run()
    assert plan.stale_udp == frozenset()
    bench.engine.updated(endpoint_slice([endpoint("10.0.0.5")], service="dns", name="dns", ports=UDP_PORTS))
    (plan,) = bench.run()
    assert plan.stale_udp == {owner("dns")}
    bench.engine.updated(service("dns", "10.96.0.54", [service_port(53, protocol="UDP")]))
    (plan,) = bench.run()
    assert plan.stale_udp == frozenset()


def test_TRK_05_a_port_that_was_udp_counts_too(bench: Bench) -> None:
    slices = [
        endpoint_slice([endpoint("10.0.0.5")], service="dns", name="dns", ports=ports)
        for ports in (UDP_PORTS, [{"name": "", "port": 5353, "protocol": "TCP"}])
    ]
    bench.engine.updated(service("dns", "10.96.0.53", [service_port(53), service_port(53, "u", "UDP")]))
    bench.engine.updated(slices[0])
    bench.run()
    bench.engine.updated(slices[1])
    (plan,) = bench.run()
    assert plan.stale_udp == {owner("dns")}


def test_TRK_05_deletion_and_relabelling_ask_for_cleanup(bench: Bench) -> None:
    for name in ("dns", "other"):
        bench.engine.updated(service(name, f"10.96.0.{len(name)}", [service_port(53, protocol="UDP")]))
    bench.engine.updated(endpoint_slice([endpoint("10.0.0.5")], service="dns", name="dns", ports=UDP_PORTS))
    bench.run()
    bench.engine.updated(endpoint_slice([endpoint("10.0.0.5")], service="other", name="dns", ports=UDP_PORTS))
    (plan,) = bench.run()
    assert plan.stale_udp == {owner("dns"), owner("other")}
    bench.engine.deleted(EndpointSlice, owner("dns"))
    (plan,) = bench.run()
    assert plan.stale_udp == {owner("other")}


def test_TRK_05_it_is_asked_for_until_a_sync_succeeds(bench: Bench) -> None:
    bench.engine.updated(service("dns", "10.96.0.53", [service_port(53, protocol="UDP")]))
    bench.engine.updated(endpoint_slice([endpoint("10.0.0.5")], service="dns", name="dns", ports=UDP_PORTS))
    bench.script.failures = [RuntimeError("no")]
    bench.run()
    bench.clock.advance(30)
    (plan,) = bench.run()
    assert plan.stale_udp == {owner("dns")}


def triggered(time: str, *endpoints: str, name: str = "web-1") -> EndpointSlice:
    """A slice that says when its cause happened."""
    return endpoint_slice(map(endpoint, endpoints), name=name, annotations={TRIGGER_TIME: time})


def test_TRK_06_the_times_of_causes_reach_the_sync_that_satisfies_them(bench: Bench) -> None:
    bench.engine.updated(triggered("1970-01-12T13:46:45.123456789Z", "10.0.0.2"))
    bench.engine.updated(triggered("1970-01-12T13:46:44+00:00", "10.0.0.3"))
    bench.engine.updated(triggered("1970-01-12T13:46:46Z", "10.0.0.4", name="web-2"))
    bench.script.failures = [RuntimeError("no")]
    (failed,) = bench.run()
    bench.clock.advance(30)
    (plan,) = bench.run()
    assert (
        plan.triggers
        == failed.triggers
        == tuple(Trigger(owner(), STARTED + seconds) for seconds in (4, 5.123456, 6))
    )
    bench.engine.updated(service(ip="10.96.0.99"))
    (plan,) = bench.run()
    assert plan.triggers == (Trigger(owner(), bench.now, Cause.SERVICE),)


@pytest.mark.parametrize(
    ("time", "complaints"),
    [
        ("1970-01-12T13:46:39Z", 0),
        ("1970-01-12T13:46:40Z", 0),
        ("", 1),
        ("yesterday", 1),
        ("9999999-01-01T00:00:00Z", 1),
    ],
)
def test_TRK_06_times_before_the_start_and_none_do_not_count(
    bench: Bench, time: str, complaints: int
) -> None:
    bench.engine.updated(triggered(time, "10.0.0.2"))
    (plan,) = bench.run()
    assert plan.triggers == ()
    assert len(list(bench.engine.rejections)) == complaints


def test_TRK_06_a_removal_is_caused_when_it_is_seen(bench: Bench) -> None:
    """Upstream forgets it; users ask for how long a gone endpoint still got connections."""
    bench.engine.updated(triggered("1970-01-12T13:46:45Z", "10.0.0.2"))
    bench.run()
    bench.now = STARTED + 60
    bench.engine.deleted(EndpointSlice, owner("web-1"))
    (plan,) = bench.run()
    assert plan.triggers == (Trigger(owner(), STARTED + 60, Cause.REMOVAL),)


def test_TRK_06_what_comes_and_goes_leaves_no_time_behind(bench: Bench) -> None:
    bench.engine.updated(triggered("1970-01-12T13:46:45Z", "10.0.0.2", name="fleeting"))
    bench.engine.deleted(EndpointSlice, owner("fleeting"))
    bench.engine.updated(endpoint_slice([endpoint("10.0.0.9")]))
    (plan,) = bench.run()
    assert plan.triggers == ()


def test_TRK_07_listing_the_same_again_is_nothing(bench: Bench) -> None:
    bench.engine.updated(endpoint_slice([draining("10.0.0.7")], name="web-2"))
    bench.run()
    for kind, objects in (
        (Service, [service()]),
        (
            EndpointSlice,
            [endpoint_slice([draining("10.0.0.7")], name="web-2"), endpoint_slice([endpoint("10.0.0.1")])],
        ),
        (ServiceCIDR, []),
        (Node, []),
    ):
        bench.engine.replaced(kind, objects)
    assert bench.run() == []
