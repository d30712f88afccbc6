"""The memory dataplane's hooks, called as the engine calls them."""

import pytest
from msgspec.structs import replace

from pointsman.backends.memory.plugin import SPEC
from pointsman.core.backend import DataplaneSettings, Observed, expected
from pointsman.core.errors import ResyncRequired, SyncError
from pointsman.core.features import SUPPORTED, Feature, Level
from pointsman.core.model import (
    Frontend,
    FrontendKind,
    Masquerade,
    Match,
    Model,
    NodeContext,
    Protocol,
    Refusal,
    ServiceFrontends,
)
from pointsman.core.plan import Delta, ServiceChange, SyncPlan, SyncReport, diff
from pointsman.core.plugins import Dataplane
from tests.backends.memory.cluster import (
    API,
    DROP,
    EXTERNAL,
    INTERNAL,
    IPV4,
    PASS,
    PORT,
    WEB,
    Cluster,
    forward,
    model,
    web,
)


@pytest.fixture
def dataplane(cluster: Cluster) -> Dataplane:
    return Dataplane(SPEC, DataplaneSettings(cluster.family))


def full(desired: Model, *, complete: bool = True) -> SyncPlan:
    return SyncPlan(desired.node.family, desired, Delta(), full=True, complete=complete)


def step(old: Model, new: Model, *, complete: bool = True) -> SyncPlan:
    return SyncPlan(new.node.family, new, diff(old, new), full=False, complete=complete)


def api(cluster: Cluster, address: bytes) -> ServiceFrontends:
    """Another service, with one ClusterIP."""
    frontend = Frontend(Match(address, Protocol.TCP, PORT), FrontendKind.CLUSTER_IP, INTERNAL)
    return ServiceFrontends(name=API, frontends=(frontend,), cluster=(cluster.remote,))


def test_it_can_do_everything_but_pick_in_other_ways(dataplane: Dataplane) -> None:
    capabilities = dataplane.probe()
    others = set(Feature) - {Feature.SCHEDULERS}
    assert {capabilities.support(feature) for feature in others} == {SUPPORTED}
    assert capabilities.support(Feature.SCHEDULERS).level is Level.UNSUPPORTED


def test_before_the_first_plan_it_holds_nothing_and_leaves_all_alone(
    cluster: Cluster, dataplane: Dataplane
) -> None:
    assert dataplane.observe() == Observed({})
    assert dataplane.trace(cluster.from_pod(cluster.cluster_ip)).verdict == PASS


def test_a_full_plan_is_held_and_answers(cluster: Cluster, dataplane: Dataplane) -> None:
    desired = model(cluster.context, web(cluster))
    assert dataplane.sync(full(desired)) == SyncReport(transactions=1, writes=4)
    assert dataplane.observe() == expected(desired)
    verdict = dataplane.trace(cluster.from_pod(cluster.cluster_ip)).verdict
    assert verdict == forward([cluster.local, cluster.remote])


def test_what_is_observed_is_said_as_packets_see_it(dataplane: Dataplane, cluster: Cluster) -> None:
    """Equal answers are one, shares are in lowest terms, and where nobody is there nothing is masqueraded."""
    service = replace(
        web(cluster, external=(EXTERNAL, EXTERNAL)),
        cluster=(replace(cluster.local, weight=4), replace(cluster.remote, weight=6)),
    )
    dataplane.sync(full(model(cluster.context, service)))
    held = dataplane.observe().frontends[Match(cluster.external_ip, Protocol.TCP, PORT)]
    assert held.far is None
    assert {(e.address, e.weight) for e in held.near.endpoints} == {
        (cluster.local.address, 2),
        (cluster.remote.address, 3),
    }
    dataplane.sync(full(model(cluster.context, replace(service, cluster=()))))
    held = dataplane.observe().frontends[Match(cluster.external_ip, Protocol.TCP, PORT)]
    assert held.near.masquerade is Masquerade.NEVER
    assert held.near.when_empty is service.when_empty


class TestFullPlans:
    """The dataplane looks at what it holds, whatever that is."""

    def test_the_same_again_writes_nothing(self, cluster: Cluster, dataplane: Dataplane) -> None:
        desired = model(cluster.context, web(cluster))
        dataplane.sync(full(desired))
        assert dataplane.sync(full(desired)) == SyncReport(transactions=0, writes=0)

    def test_the_delta_is_not_looked_at(self, cluster: Cluster, dataplane: Dataplane) -> None:
        desired = model(cluster.context, web(cluster))
        wrong = diff(desired, model(cluster.context))
        dataplane.sync(SyncPlan(cluster.family, desired, wrong, full=True))
        assert dataplane.observe() == expected(desired)

    def test_what_is_no_longer_desired_goes(self, cluster: Cluster, dataplane: Dataplane) -> None:
        dataplane.sync(full(model(cluster.context, web(cluster))))
        desired = model(cluster.context, api(cluster, cluster.unused_service_ip))
        assert dataplane.sync(full(desired)) == SyncReport(transactions=1, writes=5)
        assert dataplane.observe() == expected(desired)

    def test_an_incomplete_plan_leaves_alone_what_it_does_not_speak_of(
        self, cluster: Cluster, dataplane: Dataplane
    ) -> None:
        before = model(cluster.context, web(cluster))
        dataplane.sync(full(before))
        part = model(cluster.context, api(cluster, cluster.unused_service_ip))
        assert dataplane.sync(full(part, complete=False)).writes == 1
        both = model(cluster.context, web(cluster), api(cluster, cluster.unused_service_ip))
        assert dataplane.observe() == expected(both)
        assert dataplane.sync(full(part)).writes == 4
        assert dataplane.observe() == expected(part)

    def test_an_incomplete_plan_keeps_a_services_other_frontends_answering_as_before(
        self, cluster: Cluster, dataplane: Dataplane
    ) -> None:
        """Their addresses may be another service's by now, and that one's part may be yet to come."""
        dataplane.sync(full(model(cluster.context, web(cluster))))
        now = replace(web(cluster), frontends=web(cluster).frontends[:1], cluster=(cluster.remote,))
        dataplane.sync(full(model(cluster.context, now), complete=False))
        both = [cluster.local, cluster.remote]
        assert dataplane.trace(cluster.from_client(cluster.external_ip)).verdict == forward(both, both)
        assert dataplane.trace(cluster.from_pod(cluster.cluster_ip)).verdict == forward([cluster.remote])

    def test_an_incomplete_plan_takes_the_destinations_it_claims(
        self, cluster: Cluster, dataplane: Dataplane
    ) -> None:
        dataplane.sync(full(model(cluster.context, web(cluster))))
        part = model(cluster.context, api(cluster, cluster.cluster_ip))
        assert dataplane.sync(full(part, complete=False)).writes == 1
        verdict = dataplane.trace(cluster.from_pod(cluster.cluster_ip)).verdict
        assert verdict == forward([cluster.remote])

    def test_after_an_incomplete_plan_no_delta_is_trusted(
        self, cluster: Cluster, dataplane: Dataplane
    ) -> None:
        """A cold start's middle parts come as deltas; they find more than they start from."""
        dataplane.sync(full(model(cluster.context, web(cluster))))
        part = model(cluster.context, api(cluster, cluster.unused_service_ip))
        dataplane.sync(full(part, complete=False))
        now = replace(web(cluster), frontends=web(cluster).frontends[:2])
        whole = model(cluster.context, api(cluster, cluster.unused_service_ip), now)
        dataplane.sync(step(part, whole, complete=False))
        assert dataplane.observe().frontends.keys() > expected(whole).frontends.keys()
        dataplane.sync(full(whole))
        assert dataplane.observe() == expected(whole)

    def test_a_destination_claimed_twice_is_refused(self, cluster: Cluster, dataplane: Dataplane) -> None:
        before = model(cluster.context, api(cluster, cluster.unused_service_ip))
        dataplane.sync(full(before))
        bad = model(cluster.context, web(cluster), api(cluster, cluster.cluster_ip))
        with pytest.raises(SyncError, match=r"80/tcp belongs to both .*default/(web|api)"):
            dataplane.sync(full(bad))
        assert dataplane.observe() == expected(before)


class TestDeltas:
    """The dataplane trusts what it holds, and writes the delta alone."""

    def test_a_change_writes_the_frontends_it_concerns(self, cluster: Cluster, dataplane: Dataplane) -> None:
        before = model(cluster.context, web(cluster))
        dataplane.sync(full(before))
        fewer = model(cluster.context, replace(web(cluster), frontends=web(cluster).frontends[1:]))
        assert dataplane.sync(step(before, fewer)) == SyncReport(transactions=1, writes=1)
        assert dataplane.observe() == expected(fewer)
        moved = model(cluster.context, replace(fewer.services[WEB], cluster=(cluster.local,)))
        assert dataplane.sync(step(fewer, moved)) == SyncReport(transactions=1, writes=3)
        assert dataplane.observe() == expected(moved)
        assert dataplane.sync(step(moved, moved)) == SyncReport(transactions=0, writes=0)

    @pytest.mark.parametrize("setting", [{"affinity": 30}, {"when_empty": Refusal.DROP}])
    def test_what_a_whole_service_port_shares_concerns_all_its_frontends(
        self, cluster: Cluster, dataplane: Dataplane, setting: dict[str, object]
    ) -> None:
        before = model(cluster.context, web(cluster))
        dataplane.sync(full(before))
        after = model(cluster.context, replace(web(cluster), **setting))
        assert dataplane.sync(step(before, after)) == SyncReport(transactions=1, writes=4)
        assert dataplane.observe() == expected(after)

    def test_the_first_plan_may_be_a_delta(self, cluster: Cluster, dataplane: Dataplane) -> None:
        desired = model(cluster.context, web(cluster))
        dataplane.sync(step(Model(NodeContext(cluster.family)), desired))
        assert dataplane.observe() == expected(desired)

    def test_a_service_port_may_go_and_come_back(self, cluster: Cluster, dataplane: Dataplane) -> None:
        there, gone = model(cluster.context, web(cluster)), model(cluster.context)
        dataplane.sync(full(there))
        for plan in (step(there, gone), step(gone, there), full(gone), step(gone, there)):
            dataplane.sync(plan)
            assert dataplane.observe() == expected(plan.desired)

    def test_frontends_of_another_pool_are_not_written(self, cluster: Cluster, dataplane: Dataplane) -> None:
        before = model(cluster.context, web(cluster, external=(EXTERNAL, None)))
        dataplane.sync(full(before))
        after = model(cluster.context, replace(before.services[WEB], local=(cluster.remote,)))
        assert dataplane.sync(step(before, after)).writes == 0

    def test_the_delta_alone_is_written(self, cluster: Cluster, dataplane: Dataplane) -> None:
        before, after = model(cluster.context), model(cluster.context, web(cluster))
        dataplane.sync(full(before))
        dataplane.sync(SyncPlan(cluster.family, after, Delta(), full=False))
        assert dataplane.observe() == expected(before)

    def test_a_destination_may_pass_from_one_service_to_another(
        self, cluster: Cluster, dataplane: Dataplane
    ) -> None:
        """In the order of names the taker, api, comes before the giver, web."""
        before = model(cluster.context, web(cluster))
        after = model(
            cluster.context,
            replace(web(cluster), frontends=web(cluster).frontends[1:]),
            api(cluster, cluster.cluster_ip),
        )
        dataplane.sync(full(before))
        assert dataplane.sync(step(before, after)).writes == 1
        assert dataplane.observe() == expected(after)
        dataplane.sync(step(after, before))
        assert dataplane.observe() == expected(before)

    def test_the_node_context_may_change(self, cluster: Cluster, dataplane: Dataplane) -> None:
        before = model(cluster.context, web(cluster))
        dataplane.sync(full(before))
        packet = cluster.from_pod(cluster.unused_service_ip)
        assert dataplane.trace(packet).verdict == DROP
        after = model(replace(cluster.context, service_cidrs=()), web(cluster))
        assert dataplane.sync(step(before, after)) == SyncReport(transactions=1, writes=0)
        assert dataplane.trace(packet).verdict == PASS
        assert dataplane.observe() == expected(after)

    @pytest.mark.parametrize("case", ["another state", "nothing held", "something held"])
    def test_a_delta_from_elsewhere_needs_a_full_plan(
        self, cluster: Cluster, dataplane: Dataplane, case: str
    ) -> None:
        held, other = web(cluster), replace(web(cluster), affinity=30)
        before = model(cluster.context, *(() if case == "nothing held" else (held,)))
        dataplane.sync(full(before))
        change = ServiceChange(WEB, None if case == "something held" else other, replace(held, drain=9))
        bad = SyncPlan(cluster.family, model(cluster.context), Delta((change,)), full=False)
        with pytest.raises(ResyncRequired, match=r"held for default/web:http/tcp; .*full plan"):
            dataplane.sync(bad)
        assert dataplane.observe() == expected(before)

    def test_a_delta_from_another_node_context_needs_a_full_plan(
        self, cluster: Cluster, dataplane: Dataplane
    ) -> None:
        before = model(cluster.context, web(cluster))
        dataplane.sync(full(before))
        elsewhere = model(NodeContext(cluster.family), web(cluster))
        after = model(replace(cluster.context, drop_invalid=False), web(cluster))
        with pytest.raises(ResyncRequired, match="the node context"):
            dataplane.sync(step(elsewhere, after))
        assert dataplane.observe() == expected(before)

    def test_nothing_of_a_refused_delta_is_written(self, cluster: Cluster, dataplane: Dataplane) -> None:
        before = model(cluster.context, web(cluster))
        dataplane.sync(full(before))
        good = ServiceChange(API, None, api(cluster, cluster.unused_service_ip))
        bad = ServiceChange(WEB, None, web(cluster))
        with pytest.raises(ResyncRequired):
            dataplane.sync(SyncPlan(cluster.family, before, Delta((good, bad)), full=False))
        assert dataplane.observe() == expected(before)

    def test_a_destination_that_is_taken_is_refused(self, cluster: Cluster, dataplane: Dataplane) -> None:
        before = model(cluster.context, web(cluster))
        dataplane.sync(full(before))
        change = ServiceChange(API, None, api(cluster, cluster.cluster_ip))
        with pytest.raises(SyncError, match=r"both default/web:http/tcp and default/api/tcp"):
            dataplane.sync(SyncPlan(cluster.family, before, Delta((change,)), full=False))
        assert dataplane.observe() == expected(before)


def test_cleanup_forgets_everything_once(cluster: Cluster, dataplane: Dataplane) -> None:
    assert dataplane.cleanup() is False
    dataplane.sync(full(model(cluster.context, web(cluster))))
    assert dataplane.cleanup() is True
    assert dataplane.observe() == Observed({})
    assert dataplane.cleanup() is False


def test_after_cleanup_a_delta_is_not_believed(cluster: Cluster, dataplane: Dataplane) -> None:
    before = model(cluster.context, web(cluster))
    dataplane.sync(full(before))
    dataplane.cleanup()
    with pytest.raises(ResyncRequired):
        dataplane.sync(step(before, model(cluster.context)))


def test_cleanup_in_the_middle_of_a_cold_start_ends_it(cluster: Cluster, dataplane: Dataplane) -> None:
    part = model(cluster.context, web(cluster))
    dataplane.sync(full(part, complete=False))
    dataplane.cleanup()
    with pytest.raises(ResyncRequired):
        dataplane.sync(step(part, model(cluster.context)))


def test_a_node_context_alone_is_cleaned_up_too(cluster: Cluster, dataplane: Dataplane) -> None:
    dataplane.sync(full(model(cluster.context)))
    assert dataplane.cleanup() is True


def test_instances_do_not_share_what_they_hold(dataplane: Dataplane) -> None:
    other = Dataplane(SPEC, DataplaneSettings(dataplane.family))
    dataplane.sync(full(model(IPV4.context, web(IPV4))))
    assert other.observe() == Observed({})
    dataplane.close()
    assert dataplane.observe() != Observed({})
