"""Which flows are wrong: the contract by example, and by law over random worlds."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.core.addresses import IPFamily
from pointsman.core.model import (
    Answer,
    Endpoint,
    Frontend,
    FrontendKind,
    Masquerade,
    Match,
    Model,
    Pool,
    Protocol,
    ServiceFrontends,
    ServicePortName,
)
from pointsman.core.plan import Delta, ServiceChange
from pointsman.plugins.conntrack.flows import Flow, Place, Target
from pointsman.plugins.conntrack.judgement import (
    ANSWER_SECONDS,
    EMPTY_SECONDS,
    Frontends,
    Rules,
    udp_targets,
    wrong,
)
from tests.strategies import histories

VIP, LB, NODE, OTHER = bytes([10, 96, 0, 10]), bytes([198, 51, 100, 1]), bytes([192, 0, 2, 1]), bytes(4)
A, B = (bytes([10, 244, 1, 5]), 5353), (bytes([10, 244, 1, 6]), 5353)
DNS = ServicePortName("shop", "dns", "", Protocol.UDP)
WEB = ServicePortName("shop", "web", "", Protocol.UDP)
OWNERS = {Target(VIP, 53): DNS, Target(LB, 53): DNS, Target(None, 30053): DNS, Target(LB, 30080): WEB}


def patience(
    flow: Flow,
    serving: Mapping[ServicePortName, frozenset[Place]],
    *,
    gone: Mapping[Target, float] | None = None,
    drain: float = 0,
) -> float | None:
    rules = Rules(
        OWNERS, gone or {}, lambda name: serving.get(name, frozenset()), {DNS: drain} if drain else {}
    )
    return next((verdict.patience for verdict in wrong([flow], rules)), None)


@pytest.mark.parametrize("destination", [(VIP, 53), (LB, 53), (NODE, 30053), (OTHER, 30053)])
def test_CT_03_and_CT_04_flows_with_none_of_the_serving_endpoints(destination: Place) -> None:
    serving = {DNS: frozenset([A])}
    assert patience(Flow(destination, A), serving) is None
    assert patience(Flow(destination, B), serving) == 0
    assert patience(Flow(destination, destination), serving) == 0


def test_CT_03_an_answer_may_be_under_way_from_an_endpoint_that_has_left() -> None:
    serving = {DNS: frozenset([A])}
    assert patience(Flow((VIP, 53), B, answered=False), serving) == ANSWER_SECONDS
    assert patience(Flow((VIP, 53), B, answered=False), serving, drain=5) == 5
    assert patience(Flow((VIP, 53), (VIP, 53), answered=False), serving) == 0


def test_CT_06_another_port_of_an_endpoint_is_another_endpoint() -> None:
    assert patience(Flow((VIP, 53), (A[0], 53)), {DNS: frozenset([A])}) == 0


@pytest.mark.parametrize("destination", [(VIP, 54), (NODE, 53), (OTHER, 30054)])
def test_flows_to_no_frontend_are_not_ours(destination: Place) -> None:
    assert patience(Flow(destination, B), {DNS: frozenset([A])}) is None


def test_CT_04_an_address_says_more_than_a_number() -> None:
    """The load balancer's port is also a node port of another Service."""
    owners = {**OWNERS, Target(None, 30080): DNS}
    serving = {WEB: frozenset([B]), DNS: frozenset([A])}
    rules = Rules(owners, {}, lambda name: serving.get(name, frozenset()), {})
    assert list(wrong([Flow((LB, 30080), B)], rules)) == []
    assert [verdict.owner for verdict in wrong([Flow((LB, 30080), A)], rules)] == [WEB]


@pytest.mark.parametrize("source", [A, (VIP, 53)], ids=["endpoint", "untranslated"])
def test_CT_05_without_endpoints_flows_are_left_for_a_while(source: Place) -> None:
    assert patience(Flow((VIP, 53), source), {}) == EMPTY_SECONDS
    assert patience(Flow((VIP, 53), source), {}, drain=300) == 300
    assert patience(Flow((VIP, 53), source), {}, drain=5) == EMPTY_SECONDS


def test_flows_may_drain_from_an_endpoint_but_not_from_nowhere() -> None:
    serving = {DNS: frozenset([A])}
    assert patience(Flow((VIP, 53), B), serving, drain=30) == 30
    assert patience(Flow((VIP, 53), (VIP, 53)), serving, drain=30) == 0


def test_flows_of_a_frontend_that_is_gone_go_if_they_were_translated() -> None:
    gone = {Target(VIP, 99): 0.0, Target(None, 30099): 7.0}
    assert patience(Flow((VIP, 99), A), {}, gone=gone) == 0
    assert patience(Flow((VIP, 99), (VIP, 99)), {}, gone=gone) is None
    assert patience(Flow((NODE, 30099), A), {}, gone=gone) == 7


def state(name: ServicePortName, *targets: Target, drain: int = 0) -> ServiceFrontends:
    answer = Answer(Pool.CLUSTER, Masquerade.NEVER)
    frontends = tuple(
        Frontend(Match(t.address, name.protocol, t.port), FrontendKind.CLUSTER_IP, answer) for t in targets
    )
    return ServiceFrontends(name, frontends, (Endpoint(*A),), drain=drain)


def test_frontends_that_come_and_go_are_told() -> None:
    frontends = Frontends()
    one, two = Target(VIP, 53), Target(LB, 53)
    first = state(DNS, one, two, drain=5)
    assert frontends.advance([ServiceChange(DNS, None, first)]) == {one, two}
    assert frontends.targets([DNS.service]) == {one, two}
    second = state(DNS, one)
    assert frontends.advance([ServiceChange(DNS, first, second)]) == {two}
    assert (frontends.owners, frontends.gone, frontends.drains) == ({one: DNS}, {two: 5.0}, {})
    frontends.forget({one, two}, but={two})
    assert frontends.gone == {two: 5.0}
    frontends.forget({one, two}, but=())
    assert frontends.gone == {}


def test_an_address_that_passes_to_another_service_is_told() -> None:
    frontends, target = Frontends(), Target(VIP, 53)
    frontends.advance([ServiceChange(WEB, None, state(WEB, target))])
    changes = [ServiceChange(DNS, None, state(DNS, target)), ServiceChange(WEB, state(WEB, target), None)]
    assert frontends.advance(changes) == {target}
    assert (frontends.owners, frontends.gone) == ({target: DNS}, {})
    assert frontends.targets([WEB.service]) == set()


@given(histories(IPFamily.IPV4))
def test_frontends_kept_up_are_those_of_the_model(history: list[tuple[Model, Delta]]) -> None:
    frontends = Frontends()
    before: dict[Target, ServicePortName] = {}
    for model, delta in history:
        told = frontends.advance(delta.services)
        now = {target: name for name, state in model.services.items() for target in udp_targets(state)}
        assert frontends.owners == now
        assert frontends.targets({name.service for name in model.services}) == now.keys()
        assert told == {target for target in before.keys() | now if before.get(target) != now.get(target)}
        assert not frontends.gone.keys() & now.keys()
        before = now


PLACES = st.tuples(st.sampled_from([VIP, LB, NODE, A[0], B[0]]), st.sampled_from([53, 5353, 30053, 30080]))
NAMES = st.sampled_from([DNS, WEB])
TARGETS = st.builds(Target, st.sampled_from([VIP, LB, None]), st.sampled_from([53, 30053, 30080]))


@given(
    st.lists(st.builds(Flow, PLACES, PLACES, answered=st.booleans()), max_size=8),
    st.dictionaries(TARGETS, NAMES),
    st.dictionaries(TARGETS, st.just(9.0)),
    st.dictionaries(NAMES, st.frozensets(PLACES)),
)
def test_CT_02_what_is_wrong_is_wrong_by_each_flow_alone(
    flows: list[Flow],
    owners: dict[Target, ServicePortName],
    gone: dict[Target, float],
    serving: dict[ServicePortName, frozenset[Place]],
) -> None:
    """Said once more, from the other end: who may stay."""
    gone = {target: seconds for target, seconds in gone.items() if target not in owners}
    rules = Rules(owners, gone, lambda name: serving.get(name, frozenset()), {WEB: 7.0})
    patiences = {verdict.flow: verdict.patience for verdict in wrong(flows, rules)}
    for flow in flows:
        targets = [Target(*flow.destination), Target(None, flow.destination[1])]
        target = next((target for target in targets if target in owners or target in gone), None)
        if target is None:
            assert flow not in patiences
        elif target in gone:
            assert patiences.get(flow) == (9.0 if flow.translated else None)
        elif flow.source in serving.get(owners[target], ()):
            assert flow not in patiences
        elif not serving.get(owners[target]):
            assert patiences[flow] == EMPTY_SECONDS
        else:
            drain = 7.0 if owners[target] is WEB else 0.0
            least = 0.0 if flow.answered else ANSWER_SECONDS
            assert patiences[flow] == (max(drain, least) if flow.translated else 0.0)
