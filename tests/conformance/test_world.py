"""The world that cases are given, on the oracle's backend: what it checks without being asked."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pointsman.backends.memory.dataplane import MemoryDataplane
from pointsman.conformance.answers import KEPT, MASQUERADED, REJECTED, UNANSWERED, forwarded
from pointsman.conformance.cluster import Cluster
from pointsman.conformance.objects import port, service, target
from pointsman.conformance.scene import OUTSIDE, POD, PODS, PORTS
from pointsman.conformance.simulation import SimulatedNetwork
from pointsman.conformance.stages import Stage, Stages
from pointsman.conformance.statistics import ALARM_RATE, EXCESS, Budget
from pointsman.conformance.subject import SyncFailed
from pointsman.conformance.world import World
from pointsman.core.addresses import IPFamily
from pointsman.core.backend import BackendRegistry, BackendSpec, Observed
from pointsman.core.errors import SyncError
from pointsman.core.hookspecs import hookimpl
from pointsman.core.model import Protocol
from pointsman.core.packet import Action, Packet, Trace, Verdict
from pointsman.core.plan import SyncPlan, SyncReport
from pointsman.core.plugins import Plugins


class Fickle(MemoryDataplane):
    """A dataplane that turns bad when told to."""

    observes_nothing = fails = writes_again = drops = False

    @hookimpl
    def dataplane_sync(self, plan: SyncPlan) -> SyncReport:
        if Fickle.fails:
            raise SyncError("fickle", "not today")
        report = super().dataplane_sync(plan)
        return replace(report, writes=report.writes + 1) if Fickle.writes_again else report

    @hookimpl
    def dataplane_observe(self) -> Observed:
        return Observed({}) if Fickle.observes_nothing else super().dataplane_observe()

    @hookimpl
    def dataplane_trace(self, packet: Packet) -> Trace:
        return Trace(Verdict(Action.DROP), ()) if Fickle.drops else super().dataplane_trace(packet)


class Provider:
    @hookimpl
    def pointsman_register_backends(self, registry: BackendRegistry) -> None:
        registry.add(BackendSpec("fickle", "turns bad when told to", Fickle, simulated=True))


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    stages = Stages(Plugins([Provider()]), tuple(IPFamily), "test")
    stage = stages.of("fickle")
    assert isinstance(stage, Stage)
    yield stage
    stages.close()


@pytest.fixture(params=IPFamily, ids=str)
def world(stage: Stage, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for flag in ("observes_nothing", "fails", "writes_again", "drops"):
        monkeypatch.setattr(Fickle, flag, False)
    yield make(stage, request.param)
    stage.subject.cleanup()


def make(stage: Stage, family: IPFamily) -> World:
    cluster = Cluster(stage.subject)
    return World(family, cluster, SimulatedNetwork(cluster.trace, "seed"), Budget())


def test_everything_is_in_place_when_a_change_returns(world: World) -> None:
    vip = world.scene.cluster_ip()
    assert world.answers(POD, vip, 80) == UNANSWERED
    world.apply(service("web", vip))
    assert world.answers(POD, vip, 80) == REJECTED
    world.apply(world.slice("web", "pod-a"))
    assert world.answers(OUTSIDE, vip, 80) == forwarded("pod-a", source=MASQUERADED)
    world.delete(service("web", vip))
    assert world.answers(POD, vip, 80) == UNANSWERED
    world.verify()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pods=st.sets(st.sampled_from(PODS), min_size=1),
    ports=st.sets(st.sampled_from(PORTS), min_size=1),
    protocol=st.sampled_from(Protocol),
)
def test_answers_are_those_of_all_endpoints(
    world: World, pods: set[str], ports: set[int], protocol: Protocol
) -> None:
    vip = world.scene.cluster_ip()
    slices = [
        world.slice("web", *pods, ports=[target(number, protocol=protocol)], name=f"web-{number}")
        for number in ports
    ]
    world.apply(service("web", vip, ports=[port(80, protocol=protocol)]), *slices)
    due = forwarded(*(f"{pod}:{number}" for pod in pods for number in ports), source=MASQUERADED)
    assert world.answers(OUTSIDE, vip, 80, protocol) == due
    world.verify()
    world.delete(*slices)


def test_the_oracle_judges_every_connection(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    vip = world.scene.cluster_ip()
    world.apply(service("web", vip), world.slice("web", "pod-a"))
    monkeypatch.setattr(Fickle, "drops", True)
    for connect in (
        lambda: world.connect(POD, vip, 80),
        lambda: world.burst(POD, vip, 80, count=3),
        lambda: world.answers(POD, vip, 80),
        lambda: world.ping(POD, vip),
    ):
        with pytest.raises(AssertionError, match="was due, but the outcome is"):
            connect()


def test_what_a_dataplane_holds_is_verified(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.apply(service("web", world.scene.cluster_ip()))
    monkeypatch.setattr(Fickle, "observes_nothing", True)
    with pytest.raises(AssertionError, match="what is held differs from what was asked for"):
        world.verify()


def test_a_second_look_must_find_nothing_to_write(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.apply(service("web", world.scene.cluster_ip()))
    monkeypatch.setattr(Fickle, "writes_again", True)
    with pytest.raises(AssertionError, match="made for 1 writes"):
        world.verify()


def test_a_sync_that_fails_fails_the_case(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fickle, "fails", True)
    with pytest.raises(SyncFailed, match="not today"):
        world.apply(service("web", world.scene.cluster_ip()))
    monkeypatch.setattr(Fickle, "fails", False)
    assert world.apply(world.slice("web", "pod-a"))
    assert world.answers(POD, world.scene.cluster_ip(), 80) == forwarded("pod-a", source=KEPT)


def test_faults_in_objects_have_to_be_meant(world: World) -> None:
    flawed = service("web", world.scene.cluster_ip(), externalIPs=["nonsense"])
    with pytest.raises(AssertionError, match="0 faults were to be found"):
        world.apply(flawed)
    world.apply(flawed, flaws=1)


def test_a_restart_keeps_objects_and_changes_settings(world: World) -> None:
    vip = world.scene.cluster_ip()
    world.apply(service("web", vip), world.slice("web", "pod-a"))
    world.restart(masquerade_all=True)
    assert world.answers(POD, vip, 80) == forwarded("pod-a", source=MASQUERADED)
    world.restart(masquerade_all=False)
    assert world.answers(POD, vip, 80) == forwarded("pod-a", source=KEPT)
    world.restart([])
    assert world.answers(POD, vip, 80) == UNANSWERED


def test_the_other_family_is_another_view_of_the_same_world(world: World) -> None:
    [family] = (family for family in IPFamily if family is not world.family)
    other = world.in_family(family)
    other.apply(service("web", other.scene.cluster_ip()), other.slice("web", "pod-a"))
    assert other.answers(POD, other.scene.cluster_ip(), 80) == forwarded("pod-a", source=KEPT)
    assert world.answers(POD, world.scene.cluster_ip(), 80) == UNANSWERED
    assert other.budget is world.budget


def test_what_is_left_to_chance_is_counted(world: World) -> None:
    vip = world.scene.cluster_ip()
    world.apply(service("web", vip), world.slice("web", "pod-a", "remote-a"))
    world.assert_spread(POD, vip, 80, {"pod-a": 1, "remote-a": 1})
    assert world.budget.spent == pytest.approx(2 * EXCESS * ALARM_RATE)
    with pytest.raises(AssertionError, match="were due: p = "):
        world.assert_spread(POD, vip, 80, {"pod-a": 2, "remote-a": 1})


def test_every_case_begins_with_nothing(stage: Stage) -> None:
    first = make(stage, IPFamily.IPV4)
    vip = first.scene.cluster_ip()
    first.apply(service("web", vip), first.slice("web", "pod-a"))
    stage.subject.cleanup()
    second = make(stage, IPFamily.IPV4)
    assert second.answers(POD, vip, 80) == UNANSWERED
    second.verify()
    stage.subject.cleanup()
