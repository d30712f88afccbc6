"""What observers hear of objects that wait for a sync, and of this node."""

from pointsman.core.addresses import IPFamily
from pointsman.core.apis import EndpointSlice, Service
from pointsman.core.backlog import Backlog
from pointsman.core.config import ProxyConfig
from pointsman.core.engine import IDLE_SECONDS, KINDS
from pointsman.core.model import NamespacedName
from pointsman.core.plan import Cause, Trigger

from .fakes import Bench, failure
from .objects import NODE, endpoint, endpoint_slice, node, service

WEB = NamespacedName("shop", "web")


def started() -> Bench:
    bench = Bench()
    bench.list_all()
    return bench


def last(bench: Bench) -> Backlog:
    return bench.listener.backlogs[-1]


def test_nothing_waits_before_the_first_lists_are_complete() -> None:
    bench = Bench()
    bench.engine.updated(service())
    assert last(bench) == Backlog(IPFamily.IPV4, None, services=1, service_events=1)


def test_what_waits_waits_since_the_oldest_change() -> None:
    bench = started()
    began = bench.clock()
    bench.engine.updated(service())
    bench.clock.advance(5)
    bench.engine.updated(endpoint_slice([endpoint("10.0.0.1")]))
    bench.engine.updated(service("db", "10.96.0.2"))
    assert last(bench) == Backlog(IPFamily.IPV4, began, 2, 1, 2, 1)
    bench.run()
    assert last(bench) == Backlog(IPFamily.IPV4, None, 0, 0, 2, 1)


def test_a_failed_sync_does_not_begin_the_wait_anew() -> None:
    bench = started()
    bench.engine.updated(service())
    began = bench.clock()
    bench.script.failures = [failure(), failure()]
    for _ in range(2):
        bench.run()
        bench.clock.advance(bench.config.sync_period)
    assert last(bench).since == began
    bench.run()
    assert last(bench).since is None


def test_a_look_at_the_kernel_that_fails_waits_since_then() -> None:
    bench = started()
    bench.clock.advance(IDLE_SECONDS)
    bench.script.failures = [failure()]
    bench.run()
    assert last(bench) == Backlog(IPFamily.IPV4, bench.clock())


def test_a_whole_list_is_told_once() -> None:
    bench = started()
    bench.listener.backlogs.clear()
    bench.engine.replaced(Service, [service(f"s-{n}", f"10.96.0.{n}") for n in range(1, 6)])
    assert [backlog.services for backlog in bench.listener.backlogs] == [5]


def test_events_of_services_count_for_each_family_those_of_slices_for_their_own() -> None:
    bench = Bench(ProxyConfig(NODE, families=tuple(IPFamily), min_sync_period=0))
    bench.list_all()
    bench.engine.updated(service())
    bench.engine.updated(service())
    bench.engine.deleted(Service, WEB)
    bench.engine.updated(endpoint_slice([endpoint("10.0.0.1")]))
    bench.engine.deleted(EndpointSlice, NamespacedName("shop", "web-1"))
    bench.engine.deleted(EndpointSlice, NamespacedName("shop", "nowhere"))
    known = {backlog.family: backlog for backlog in bench.listener.backlogs}
    assert {f: (b.service_events, b.slice_events) for f, b in known.items()} == {
        IPFamily.IPV4: (3, 2),
        IPFamily.IPV6: (3, 0),
    }


def test_edits_and_removals_of_services_have_the_time_they_were_heard() -> None:
    bench = started()
    bench.now += 1
    bench.engine.updated(service())
    bench.now += 1
    bench.engine.updated(service(ip="10.96.0.2"))
    (plan,) = bench.run()
    assert plan.triggers == (Trigger(WEB, 1e9 + 1, Cause.SERVICE),)
    bench.engine.deleted(Service, WEB)
    (plan,) = bench.run()
    assert plan.triggers == (Trigger(WEB, 1e9 + 2, Cause.REMOVAL),)


def test_services_that_were_there_before_us_have_no_time() -> None:
    bench = Bench()
    for kind in KINDS:
        bench.engine.replaced(kind, [service()] if kind is Service else [])
    (plan,) = bench.run()
    assert plan.triggers == ()


def test_a_service_edit_taken_back_leaves_no_time_behind() -> None:
    bench = started()
    bench.engine.updated(service())
    bench.run()
    bench.engine.updated(service(ip="10.96.0.2"))
    bench.engine.updated(service())
    bench.engine.updated(service("db", "10.96.0.3"))
    (plan,) = bench.run()
    assert [trigger.service.name for trigger in plan.triggers] == ["db"]


def test_the_node_is_told_when_first_seen_and_when_it_says_something_else() -> None:
    bench = Bench()
    bench.engine.updated(node(addresses=[]))
    bench.engine.updated(node(addresses=[]))
    bench.engine.updated(node(addresses=[], deletionTimestamp="2026-01-01T00:00:00Z"))
    bench.engine.updated(node("other"))
    assert [facts.eligible for facts in bench.listener.nodes] == [True, False]
