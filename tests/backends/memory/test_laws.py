"""What holds for all models, edits and packets."""

from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pointsman.backends.memory.affinity import Connection, admissible
from pointsman.backends.memory.oracle import Oracle, has_node_ports, judge, trace
from pointsman.backends.memory.plugin import SPEC
from pointsman.core.addresses import IPFamily
from pointsman.core.backend import DataplaneSettings, expected
from pointsman.core.errors import ResyncRequired, SyncError
from pointsman.core.model import Model, NodeContext
from pointsman.core.packet import Action, Packet
from pointsman.core.plan import Delta, SyncPlan, SyncReport, advance, diff
from pointsman.core.plugins import Dataplane
from tests import strategies

# A slow machine isn't a fault of the code.
law = settings(deadline=None)


def holding(model: Model) -> Dataplane:
    dataplane = Dataplane(SPEC, DataplaneSettings(model.node.family))
    dataplane.sync(full(model))
    return dataplane


def full(desired: Model, *, complete: bool = True) -> SyncPlan:
    return SyncPlan(desired.node.family, desired, Delta(), full=True, complete=complete)


def step(desired: Model, delta: Delta) -> SyncPlan:
    return SyncPlan(desired.node.family, desired, delta, full=False)


class TestVerdicts:
    """Of the oracle alone."""

    @law
    @given(strategies.families, st.data())
    def test_a_verdict_is_whole(self, family: IPFamily, data: st.DataObject) -> None:
        model = data.draw(strategies.models(family))
        packet = data.draw(strategies.packets(model))
        verdict = judge(model, packet)
        assert bool(verdict.endpoints) == (verdict.action is Action.FORWARD)
        hairpins = {endpoint for endpoint in verdict.endpoints if endpoint.address == packet.source}
        assert hairpins <= verdict.masqueraded <= set(verdict.endpoints)

    @law
    @given(strategies.families, st.data())
    def test_a_trace_tells_the_verdict(self, family: IPFamily, data: st.DataObject) -> None:
        model = data.draw(strategies.models(family))
        packet = data.draw(strategies.packets(model))
        found = trace(model, packet)
        assert found.verdict == judge(model, packet)
        told = {topic: [s for s in found.steps if s.topic == topic] for topic in (
            "match", "policy", "pick", "dnat", "masquerade", "refuse")}  # fmt: skip
        assert sum(map(len, told.values())) == len(found.steps)
        assert len(told["match"]) == 1
        assert len(told["pick"]) == len(told["dnat"]) == len(found.verdict.endpoints)
        assert len(told["masquerade"]) == len(found.verdict.masqueraded)
        assert len(told["refuse"]) == (found.verdict.action in {Action.REJECT, Action.DROP})
        for pick, endpoint in zip(told["pick"], found.verdict.endpoints, strict=True):
            assert pick.text.startswith(f"{endpoint},")
        if found.verdict.action is Action.FORWARD:
            assert sum(pick.probability for pick in told["pick"]) == pytest.approx(1)

    @law
    @given(strategies.families, st.data())
    def test_the_index_finds_what_a_search_finds(self, family: IPFamily, data: st.DataObject) -> None:
        model = data.draw(strategies.models(family))
        packet = data.draw(strategies.packets(model))
        wanted = [(packet.destination, packet.protocol, packet.port)]
        if packet.to_node and has_node_ports(packet.destination, model.node):
            wanted.append((None, packet.protocol, packet.port))  # type: ignore[arg-type]
        found = [frontend for match in wanted for _, frontend in model.frontends() if frontend.match == match]
        assert Oracle.of(model).decide(packet).frontend == next(iter(found), None)

    @law
    @given(strategies.families, st.data())
    def test_the_order_of_services_does_not_matter(self, family: IPFamily, data: st.DataObject) -> None:
        model = data.draw(strategies.models(family))
        packet = data.draw(strategies.packets(model))
        other = Model(model.node)
        for name in data.draw(st.permutations(list(model.services))):
            other, _ = advance(other, [(name, model.services[name])], model.node)
        assert trace(other, packet) == trace(model, packet)

    @law
    @given(st.data())
    def test_packets_of_the_other_family_pass(self, data: st.DataObject) -> None:
        model = data.draw(strategies.models(IPFamily.IPV4))
        other = data.draw(strategies.models(IPFamily.IPV6))
        assert judge(model, data.draw(strategies.packets(other))).action is Action.PASS
        assert judge(other, data.draw(strategies.packets(model))).action is Action.PASS

    @law
    @given(
        st.builds(
            Packet,
            source=st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16),
            destination=st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16),
            port=st.integers(0, 65535),
        ),
        strategies.families.flatmap(strategies.models),
    )
    def test_no_packet_is_too_odd(self, packet: Packet, model: Model) -> None:
        """Mixed families included."""
        assert Oracle.of(model).trace(packet).verdict.action in Action

    @law
    @given(strategies.families, st.data())
    def test_affinity_only_narrows(self, family: IPFamily, data: st.DataObject) -> None:
        model = data.draw(strategies.models(family))
        packet = data.draw(strategies.packets(model))
        oracle = Oracle.of(model)
        verdict = oracle.judge(packet)
        history = data.draw(
            st.lists(
                st.builds(
                    Connection,
                    client=st.just(packet.source),
                    service=st.sampled_from(strategies.SERVICE_PORT_NAMES),
                    endpoint=strategies.pools(family).filter(len).map(lambda pool: pool[0]),
                    time=st.integers(0, 20),
                )
            )
        )
        found = admissible(oracle, packet, history, now=20)
        assert found.action is verdict.action
        assert found == verdict or len(found.endpoints) == 1
        assert set(found.endpoints) <= set(verdict.endpoints)
        assert found.masqueraded == verdict.masqueraded & set(found.endpoints)


class TestPlans:
    """Of the dataplane."""

    @law
    @given(strategies.families, st.data())
    def test_deltas_one_by_one_lead_where_a_full_plan_leads(
        self, family: IPFamily, data: st.DataObject
    ) -> None:
        history = data.draw(strategies.histories(family))
        dataplane = holding(Model(NodeContext(family)))
        for model, delta in history:
            dataplane.sync(step(model, delta))
            assert dataplane.observe() == expected(model)
        last, _ = history[-1]
        packet = data.draw(strategies.packets(last))
        assert dataplane.trace(packet) == holding(last).trace(packet) == trace(last, packet)

    @law
    @given(strategies.families, st.data())
    def test_full_plans_lead_there_too_and_report_the_same(
        self, family: IPFamily, data: st.DataObject
    ) -> None:
        history = data.draw(strategies.histories(family))
        stepping, looking = holding(Model(NodeContext(family))), holding(Model(NodeContext(family)))
        for model, delta in history:
            assert stepping.sync(step(model, delta)) == looking.sync(full(model))
            assert looking.observe() == expected(model)
            assert looking.sync(full(model)) == SyncReport(transactions=0, writes=0)

    @law
    @given(strategies.families, st.data())
    def test_a_report_counts_what_packets_can_tell(self, family: IPFamily, data: st.DataObject) -> None:
        """What is observed to differ was written; what was written belongs to a service port that changed."""
        [(before, _), (after, delta)] = data.draw(strategies.histories(family, min_size=2, max_size=2))
        report = holding(before).sync(step(after, delta))
        old, new = expected(before).frontends, expected(after).frontends
        differ = {match for match in old.keys() | new.keys() if old.get(match) != new.get(match)}
        concerned = {
            frontend.match
            for change in delta.services
            for state in (change.old, change.new)
            for frontend in (state.frontends if state else ())
        }
        assert differ <= concerned
        assert len(differ) <= report.writes <= len(concerned)

    @law
    @given(strategies.families, st.data())
    def test_a_cold_start_in_parts_takes_nothing_away_before_its_end(
        self, family: IPFamily, data: st.DataObject
    ) -> None:
        left_behind = data.draw(strategies.models(family))
        desired = data.draw(strategies.models(family))
        dataplane = holding(left_behind)
        parts = list(
            accumulate(
                desired.services.items(),
                lambda model, change: advance(model, [change], desired.node)[0],
                initial=Model(desired.node),
            )
        )
        for before, part in zip([None, *parts], parts, strict=False):
            # As the engine does it: the first part is a full plan, those in between are deltas.
            plan = full(part) if before is None else step(part, diff(before, part))
            dataplane.sync(SyncPlan(family, part, plan.delta, plan.full, complete=False))
            observed = dataplane.observe()
            assert observed.frontends == {**expected(left_behind).frontends, **expected(part).frontends}
            assert observed.cluster_ips == {*left_behind.cluster_ips, *part.cluster_ips}
        dataplane.sync(full(desired))
        assert dataplane.observe() == expected(desired)

    @law
    @given(strategies.families, st.data())
    def test_a_delta_that_was_carried_out_already_is_refused_and_nothing_is_written(
        self, family: IPFamily, data: st.DataObject
    ) -> None:
        before, _ = data.draw(strategies.successors(Model(NodeContext(family))))
        after, delta = data.draw(strategies.successors(before).filter(lambda step: bool(step[1])))
        dataplane = holding(after)
        with pytest.raises(ResyncRequired) as raised:
            dataplane.sync(step(after, delta))
        assert all(str(change.name) in str(raised.value) for change in delta.services)
        assert dataplane.observe() == expected(after)

    @law
    @given(strategies.families, st.data())
    def test_a_destination_of_two_services_is_refused_and_nothing_is_written(
        self, family: IPFamily, data: st.DataObject
    ) -> None:
        before = data.draw(strategies.models(family).filter(lambda model: any(model.frontends())))
        service, frontend = data.draw(st.sampled_from(list(before.frontends())))
        thief = service.name._replace(name="thief")
        stolen = replace(service, name=thief, frontends=(frontend,))
        after, delta = advance(before, [(thief, stolen)], before.node)
        dataplane = holding(before)
        for plan in (full(after), step(after, delta)):
            with pytest.raises(SyncError, match="belongs to both"):
                dataplane.sync(plan)
            assert dataplane.observe() == expected(before)
