"""When flows are looked at, what is asked, what becomes of failures: an engine, and a table of our own."""

import errno
import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from pointsman.core.addresses import IPFamily, parse_address
from pointsman.core.annotations import DRAIN
from pointsman.core.apis import Kind, Service
from pointsman.core.engine import KINDS
from pointsman.core.hookspecs import hookimpl
from pointsman.core.model import NamespacedName
from pointsman.core.plan import SyncPlan
from pointsman.plugins.conntrack.flows import Flow, Place, Target
from pointsman.plugins.conntrack.judgement import EMPTY_SECONDS
from pointsman.plugins.conntrack.occupancy import Occupancy
from pointsman.plugins.conntrack.reconciler import ATTEMPTS, BUDGET, RETRY_SECONDS, Reconciler
from pointsman.plugins.conntrack.table import Interrupted
from tests.core.fakes import Bench, Clock, failure
from tests.core.objects import draining, endpoint, endpoint_slice, service, service_port

V4 = IPFamily.IPV4
VIP = parse_address("10.96.0.10")
PATIENCE = 30  # seconds: a safety net, not a measure
A, B = (parse_address("10.0.0.1"), 5353), (parse_address("10.0.0.2"), 5353)
FRONTEND: Place = (VIP, 53)


class Flows:
    """A table: flows as they are, and a note of each question."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.now: list[Flow] = []
        self.asked: list[Target | None] = []
        self.opened = self.closed = 0
        self.interruptions = 0
        self.failures: list[Exception] = []
        self.takes = 0.0
        self.worked = 0.0
        self.work = 0.0
        self.while_asked: Callable[[], None] = lambda: None

    def open(self) -> "Flows":
        self.opened += 1
        return self

    def flows(self, family: IPFamily, target: Target | None = None) -> Iterator[Flow]:
        if self.failures:
            raise self.failures.pop(0)
        self.asked.append(target)
        self.clock.advance(self.takes)
        self.worked += self.work
        self.while_asked()
        for flow in list(self.now):
            if target is None or target in (flow.destination, (None, flow.destination[1])):
                yield flow
        if self.interruptions:
            self.interruptions -= 1
            raise Interrupted

    def delete(self, family: IPFamily, flows: Sequence[Flow]) -> int:
        before = len(self.now)
        self.now = [flow for flow in self.now if flow not in flows]
        return before - len(self.now)

    def close(self) -> None:
        self.closed += 1


class World:
    """An engine that serves a Service dns, its reconciler, and the table.

    What the reconciler's thread would do with what it hears is done at once.
    """

    def __init__(self, *endpoints: str, **fields: Any) -> None:
        """List everything: the Service, with ``fields``, and these endpoints; nothing is looked at."""
        self.reports: list[tuple[IPFamily, float, int]] = []
        self.clock = Clock()
        self.table = Flows(self.clock)
        self.room = Occupancy(entries=1000, limit=262144, buckets=1000)
        self.reconciler = Reconciler(
            [V4],
            lambda *report: self.reports.append(report),
            table=self.table.open,
            room=lambda: self.room,
            clock=self.clock,
            worked=lambda: self.table.worked,
        )
        self.bench = Bench(plugins=[self], clock=self.clock)
        self.engine = self.bench.engine
        for kind in KINDS:
            self.engine.replaced(kind, [])
        self.service(**fields)
        self.serve(*endpoints)

    @hookimpl
    def pointsman_before_sync(self, plan: SyncPlan) -> None:
        self.reconciler.pointsman_before_sync(plan)

    @hookimpl
    def pointsman_after_sync(self, plan: SyncPlan, error: Exception | None) -> None:
        self.reconciler.take(plan, done=error is None)

    def service(self, name: str = "dns", **fields: Any) -> None:
        """Have a Service, and sync."""
        fields.setdefault("ports", [service_port(53, protocol="UDP")])
        self.engine.updated(service(name, **fields))
        self.bench.run()

    def serve(self, *endpoints: str | dict[str, Any], port: int = 5353) -> None:
        """Have these endpoints, and sync."""
        plain = [endpoint(one) if isinstance(one, str) else one for one in endpoints]
        ports = [{"name": "", "port": port, "protocol": "UDP"}]
        self.engine.updated(endpoint_slice(plain, service="dns", name="dns-1", ports=ports))
        self.bench.run()

    def delete(self, kind: Kind, name: str) -> None:
        self.engine.deleted(kind, NamespacedName("shop", name))
        self.bench.run()

    def flow(self, source: Place, destination: Place = FRONTEND) -> None:
        """Have a flow go on from now."""
        self.table.now.append(Flow(destination, source))

    def look(self) -> list[Place]:
        """Do what is due; the endpoints that there are flows to then."""
        self.table.asked.clear()
        self.reconciler.run_due()
        return [flow.source for flow in self.table.now]


def settled(*endpoints: str, **fields: Any) -> World:
    """A world that has taken its first look."""
    world = World(*endpoints, **fields)
    world.look()
    assert world.reconciler.wait() is None
    return world


def test_CT_01_nothing_is_looked_at_before_a_sync_is_done() -> None:
    world = settled("10.0.0.1")
    world.flow(B)
    world.bench.script.failures = [failure()]
    world.serve("10.0.0.1", "10.0.0.3")
    assert world.reconciler.wait() is None
    assert world.look() == [B]
    world.clock.advance(world.bench.config.sync_period)
    world.bench.run()
    assert world.look() == []
    assert world.table.asked == [None]  # after a failure the kernel's state is unknown


def test_CT_01_and_TRK_05_only_the_services_concerned_are_asked_for() -> None:
    world = settled("10.0.0.1", "10.0.0.2")
    world.service("web", ip="10.96.0.99", ports=[service_port(80)])
    assert world.reconciler.wait() is None
    world.flow(A)
    world.flow(B)
    world.serve("10.0.0.1")
    assert world.reconciler.wait() == 0
    assert world.look() == [A]
    assert world.table.asked == [FRONTEND]
    assert world.reports[-1] == (V4, 0.0, 1)


def test_CT_02_and_CT_06_draining_endpoints_keep_their_flows() -> None:
    world = settled("10.0.0.1", "10.0.0.2")
    world.flow(B)
    world.serve("10.0.0.1", draining("10.0.0.2"))
    assert world.look() == [B]
    world.serve("10.0.0.1")
    assert world.look() == []


def test_CT_06_a_changed_target_port_is_cleaned() -> None:
    world = settled("10.0.0.1")
    world.flow(A)
    world.serve("10.0.0.1", port=5354)
    assert world.look() == []


def test_CT_05_without_endpoints_flows_stay_for_a_minute_and_are_then_refused() -> None:
    world = settled("10.0.0.1")
    world.flow(A)
    world.serve()
    assert world.look() == [A]
    assert world.reconciler.wait() == EMPTY_SECONDS
    world.clock.advance(EMPTY_SECONDS - 1)
    assert world.look() == [A]
    world.clock.advance(1)
    assert world.look() == []
    assert world.reconciler.wait() is None


def test_CT_05_the_first_endpoint_takes_the_flows_that_found_nobody() -> None:
    world = settled()
    world.flow(FRONTEND)
    world.flow(B)
    world.serve("10.0.0.1")
    assert world.look() == []


def test_flows_drain_for_as_long_as_their_service_says() -> None:
    world = settled("10.0.0.1", "10.0.0.2", metadata={"annotations": {DRAIN: "30"}})
    world.flow(B)
    world.serve("10.0.0.1")
    assert world.look() == [B]
    world.clock.advance(29)
    assert world.look() == [B]
    world.clock.advance(1)
    assert world.look() == []


def test_an_endpoint_that_comes_back_drains_anew() -> None:
    world = settled("10.0.0.1", "10.0.0.2", metadata={"annotations": {DRAIN: "30"}})
    world.flow(B)
    for _ in range(3):
        world.serve("10.0.0.1")
        world.clock.advance(20)
        assert world.look() == [B]
        world.serve("10.0.0.1", "10.0.0.2")
        assert world.look() == [B]
    assert world.reconciler.wait() is None


def test_flows_of_a_deleted_service_go() -> None:
    """Else they would go on to whoever is given the endpoint's address next."""
    world = settled("10.0.0.1")
    world.flow(A)
    world.delete(Service, "dns")
    assert world.look() == []


def test_flows_of_a_deleted_service_that_drains_go_later() -> None:
    world = settled("10.0.0.1", metadata={"annotations": {DRAIN: "30"}})
    world.flow(A)
    world.delete(Service, "dns")
    assert world.look() == [A]
    world.clock.advance(30)
    assert world.look() == []
    assert world.reconciler.wait() is None


def test_a_new_frontend_takes_the_flows_that_were_there_before_it() -> None:
    """TRK-05 asks for nothing here, and such a flow would find nobody for as long as its client goes on."""
    external = ("198.51.100.1", 53)
    place = (parse_address(external[0]), external[1])
    world = settled("10.0.0.1")
    world.flow(place, place)
    world.service(externalIPs=[external[0]])
    assert world.look() == []


def test_a_restart_keeps_right_flows_and_ends_wrong_ones() -> None:
    world = World("10.0.0.1")
    world.flow(A)
    world.flow(B)
    world.flow(B, (VIP, 99))
    assert world.look() == [A, B]
    assert world.table.asked == [None]


def test_what_drains_while_the_daemon_restarts_drains_from_then() -> None:
    world = World("10.0.0.1", metadata={"annotations": {DRAIN: "30"}})
    world.flow(B)
    assert world.look() == [B]
    world.clock.advance(30)
    assert world.look() == []


def test_flows_that_a_sync_under_way_makes_possible_are_left_alone() -> None:
    world = settled("10.0.0.1", "10.0.0.3")
    world.serve("10.0.0.1")

    def sync() -> None:
        """The new endpoint is in the kernel, and has a flow; its sync is not over."""
        world.table.while_asked = lambda: None
        world.bench.script.on_sync = lambda plan: world.table.now.append(Flow(FRONTEND, B))
        world.engine.updated(
            endpoint_slice(
                [endpoint("10.0.0.1"), endpoint("10.0.0.2")],
                service="dns",
                name="dns-1",
                ports=[{"name": "", "port": 5353, "protocol": "UDP"}],
            )
        )
        world.bench.run()

    held: list[tuple[SyncPlan, bool]] = []
    take = world.reconciler.take
    world.reconciler.take = lambda plan, *, done: held.append((plan, done))  # type: ignore[method-assign]
    world.table.while_asked = sync
    assert world.look() == [B]
    [(plan, done)] = held
    take(plan, done=done)
    assert world.look() == [B]


def test_CT_07_interrupted_dumps_are_tried_again() -> None:
    world = settled("10.0.0.1")
    world.flow(B)
    world.table.interruptions = ATTEMPTS - 1
    world.serve("10.0.0.1", "10.0.0.3")
    assert world.look() == []
    assert len(world.table.asked) == ATTEMPTS
    assert world.reconciler.wait() is None


def test_CT_07_what_could_be_read_has_to_do_until_later() -> None:
    world = settled("10.0.0.1")
    world.flow(B)
    world.table.interruptions = ATTEMPTS
    world.serve("10.0.0.1", "10.0.0.3")
    assert world.look() == []
    assert world.reconciler.wait() == RETRY_SECONDS


@pytest.mark.parametrize("error", [PermissionError(errno.EPERM, "no"), RuntimeError("a bug")])
def test_CT_07_a_failure_is_said_once_and_tried_again(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    world = settled("10.0.0.1")
    world.flow(B)
    world.table.failures = [error, error]
    world.serve("10.0.0.1", "10.0.0.3")
    for _ in range(2):
        assert world.look() == [B]
        assert world.reconciler.wait() == RETRY_SECONDS
        world.clock.advance(RETRY_SECONDS)
    assert world.look() == []
    said = [record.message for record in caplog.records if "conntrack" in record.message]
    assert said == ["conntrack_failed", "conntrack_works_again", "conntrack_reconciled"]


def test_the_table_is_opened_once_for_any_number_of_looks_and_anew_after_a_failure() -> None:
    """To close a socket of netfilter's keeps every commit to nf_tables waiting for 10 ms or more."""
    world = settled("10.0.0.1")
    for _ in range(3):
        world.serve("10.0.0.1", "10.0.0.2")
        world.look()
        world.serve("10.0.0.1")
        world.look()
    assert (world.table.opened, world.table.closed) == (1, 0)
    world.table.failures = [OSError(errno.ENOBUFS, "no")]
    world.serve("10.0.0.2")
    world.look()
    assert (world.table.opened, world.table.closed) == (1, 1)
    world.clock.advance(RETRY_SECONDS)
    world.look()
    assert (world.table.opened, world.table.closed) == (2, 1)


def test_it_rests_as_its_budget_says_and_does_in_one_go_what_came_together() -> None:
    world = settled("10.0.0.1")
    world.table.takes = world.table.work = 2.0
    world.serve("10.0.0.1", "10.0.0.2")
    world.look()
    for _ in range(3):
        world.serve("10.0.0.1")
        world.serve("10.0.0.1", "10.0.0.2")
    assert world.reconciler.wait() == pytest.approx(2.0 / BUDGET)
    world.look()
    assert world.table.asked == []
    world.clock.advance(2.0 / BUDGET)
    world.look()
    assert len(world.table.asked) == 1


def test_waiting_for_a_processor_is_not_held_against_it() -> None:
    """A look that was kept waiting for a second is not one that took a second of anybody's time."""
    world = settled("10.0.0.1")
    world.table.takes, world.table.work = 2.0, 0.01
    world.serve("10.0.0.1", "10.0.0.2")
    world.look()
    world.serve("10.0.0.1")
    assert world.reconciler.wait() == pytest.approx(0.01 / BUDGET)


@pytest.mark.parametrize(("entries", "buckets", "single"), [(100, 262144, False), (200_000, 262144, True)])
def test_many_frontends_are_asked_for_together_where_that_is_faster(
    entries: int, buckets: int, *, single: bool
) -> None:
    world = settled("10.0.0.1")
    external = [f"198.51.100.{last}" for last in range(1, 7)]
    world.room = Occupancy(entries, 262144, buckets)
    world.service(externalIPs=external)
    world.look()
    assert len(world.table.asked) == (len(external) if single else 1)


def test_incomplete_plans_of_a_cold_start_condemn_nothing() -> None:
    world = settled("10.0.0.1")
    [pending] = world.reconciler._pending.values()
    plan = pending._plan
    assert plan is not None
    world.reconciler.take(replace(plan, complete=False, full=True), done=True)
    assert world.reconciler.wait() is None


def test_its_thread_hears_looks_and_ends() -> None:
    reports: queue.SimpleQueue[tuple[IPFamily, float, int]] = queue.SimpleQueue()
    table = Flows(Clock())
    table.now = [Flow(FRONTEND, B)]
    reconciler = Reconciler(
        [V4], lambda *report: reports.put(report), table=table.open, room=lambda: Occupancy(1, 1, 1)
    )
    reconciler.start()
    try:
        bench = Bench(plugins=[reconciler])
        bench.list_all()
        assert reports.get(timeout=PATIENCE)[2] == 0  # there is no such frontend yet
        ports = [{"name": "", "port": 5353, "protocol": "UDP"}]
        bench.engine.updated(endpoint_slice([endpoint("10.0.0.1")], service="dns", ports=ports))
        bench.engine.updated(service("dns", ports=[service_port(53, protocol="UDP")]))
        bench.run()
        _, _, deleted = reports.get(timeout=PATIENCE)
        assert deleted == 1
    finally:
        reconciler.stop()
        reconciler.stop()
    assert "conntrack" not in {thread.name for thread in threading.enumerate()}
    assert (table.opened, table.closed) == (1, 1)
