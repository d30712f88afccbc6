"""What objects ask for and a dataplane lacks: each object's, once, and gone with what asked for it."""

from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pointsman.core.addresses import IPFamily, parse_address, parse_network
from pointsman.core.features import SUPPORTED, Capabilities, Feature, Level, Support
from pointsman.core.model import (
    Answer,
    Endpoint,
    Frontend,
    FrontendKind,
    Masquerade,
    Match,
    Model,
    NodeContext,
    NodePortAddresses,
    Pool,
    Protocol,
    ServiceFrontends,
    ServicePortName,
)
from pointsman.core.plan import SyncPlan, advance, diff
from pointsman.core.rejections import Rejections
from pointsman.core.source import Rejection
from pointsman.core.unsupported import UnsupportedFeatures, features
from tests.strategies import histories

V4, V6 = IPFamily.IPV4, IPFamily.IPV6
WEB = ServicePortName("shop", "web", "http", Protocol.TCP)
POD, OTHER_POD = (Endpoint(parse_address(text), 8080) for text in ("10.0.0.1", "10.0.0.2"))
PLAIN = Answer(Pool.CLUSTER, Masquerade.NEVER)
LATER = Support(Level.NOT_IMPLEMENTED, "comes with 1.1")


def capabilities(missing: Mapping[Feature, Support]) -> Capabilities:
    return Capabilities({**dict.fromkeys(Feature, SUPPORTED), **missing})


def frontend(kind: FrontendKind = FrontendKind.CLUSTER_IP, near: Answer = PLAIN) -> Frontend:
    return Frontend(Match(parse_address("10.96.0.1"), Protocol.TCP, 80), kind, near)


def state(*frontends: Frontend, name: ServicePortName = WEB, affinity: int = 0) -> ServiceFrontends:
    return ServiceFrontends(name, frontends or (frontend(),), (POD,), (POD,), affinity=affinity)


class Observed:
    """Plans made one after the other, and what is reported by then."""

    def __init__(self, missing: Mapping[Feature, Support] | Iterable[Feature]) -> None:
        lacks = missing if isinstance(missing, Mapping) else dict.fromkeys(missing, LATER)
        self.rejections = Rejections()
        self.plugin = UnsupportedFeatures(
            {family: capabilities(lacks) for family in IPFamily}, self.rejections
        )
        self.applied = {family: Model(NodeContext(family)) for family in IPFamily}

    def plan(self, *states: ServiceFrontends, family: IPFamily = V4, full: bool = False) -> None:
        """Plan exactly these service ports, and carry it out."""
        wanted, _ = advance(Model(NodeContext(family)), [(s.name, s) for s in states], NodeContext(family))
        self.observe(wanted, full=full)
        self.applied[family] = wanted

    def observe(self, wanted: Model, *, full: bool = False) -> None:
        """Plan what leads from what is applied to a model."""
        delta = diff(self.applied[wanted.node.family], wanted)
        self.plugin.pointsman_before_sync(SyncPlan(wanted.node.family, wanted, delta, full))

    def reasons(self) -> list[str]:
        return [rejection.reason for rejection in self.rejections]


@pytest.mark.parametrize(
    ("asking", "feature"),
    [
        (state(frontend(FrontendKind.NODE_PORT)), Feature.NODE_PORT),
        (state(frontend(FrontendKind.LOAD_BALANCER)), Feature.LOAD_BALANCER),
        (state(frontend(FrontendKind.EXTERNAL_IP)), Feature.EXTERNAL_IP),
        (state(frontend(near=Answer(Pool.LOCAL, Masquerade.NEVER))), Feature.TRAFFIC_POLICY),
        (state(replace(frontend(), far=Answer(Pool.LOCAL, Masquerade.NEVER))), Feature.TRAFFIC_POLICY),
        (state(replace(frontend(), sources=(parse_network("10.0.0.0/8"),))), Feature.SOURCE_RANGES),
        (state(frontend(near=Answer(Pool.CLUSTER, Masquerade.UNLESS_LOCAL))), Feature.MASQUERADE),
        (state(affinity=10), Feature.SESSION_AFFINITY),
        (state(name=WEB._replace(protocol=Protocol.SCTP)), Feature.SCTP),
        (replace(state(), cluster=(POD, replace(OTHER_POD, weight=3))), Feature.WEIGHTS),
        (replace(state(), cluster=()), Feature.REFUSALS),
    ],
)
def test_features_beyond_a_plain_cluster_ip(asking: ServiceFrontends, feature: Feature) -> None:
    assert features(asking, V4) >= {feature}
    assert feature not in features(state(), V4)


def test_a_plain_cluster_ip_asks_for_nothing_else() -> None:
    assert features(state(), V4) == {Feature.CLUSTER_IP}
    assert features(state(), V6) == {Feature.CLUSTER_IP, Feature.IPV6}


def test_equal_weights_are_no_weights() -> None:
    equal = replace(state(), cluster=(replace(POD, weight=3), replace(OTHER_POD, weight=3)))
    assert Feature.WEIGHTS not in features(equal, V4)


def test_an_unused_pool_is_no_refusal() -> None:
    assert Feature.REFUSALS not in features(replace(state(), local=()), V4)


def test_a_rejection_names_object_field_feature_and_reason() -> None:
    observed = Observed([Feature.NODE_PORT])
    observed.plan(state(frontend(FrontendKind.NODE_PORT)))
    assert list(observed.rejections) == [
        Rejection(
            "Service", "shop/web", "$.spec.ports[*].nodePort", "not supported yet: node-port: comes with 1.1"
        )
    ]


@pytest.mark.parametrize(
    ("support", "reason"),
    [
        (Support(Level.NOT_IMPLEMENTED), "not supported yet: sctp"),
        (Support(Level.UNSUPPORTED, "no"), "not supported by this kind of dataplane: sctp: no"),
        (Support(Level.NOT_HERE, "no module"), "not supported on this machine: sctp: no module"),
    ],
)
def test_the_level_decides_the_words(support: Support, reason: str) -> None:
    observed = Observed({Feature.SCTP: support})
    observed.plan(state(name=WEB._replace(protocol=Protocol.SCTP)))
    assert observed.reasons() == [reason]


def test_a_feature_is_reported_once_for_all_ports_and_families_of_an_object() -> None:
    observed = Observed([Feature.SESSION_AFFINITY])
    ports = [state(name=WEB._replace(port=port), affinity=10) for port in ("http", "https")]
    observed.plan(*ports)
    observed.plan(*ports, family=V6)
    assert observed.rejections.total == 1
    observed.plan()
    assert len(observed.reasons()) == 1
    observed.plan(family=V6)
    assert observed.reasons() == []


def test_what_is_supported_is_not_mentioned(caplog: pytest.LogCaptureFixture) -> None:
    observed = Observed([])
    observed.plan(state(frontend(FrontendKind.NODE_PORT), affinity=10))
    assert observed.reasons() == []
    assert not caplog.records


def test_service_cidrs_and_loopback_node_ports_are_reported_without_any_service() -> None:
    observed = Observed([Feature.SERVICE_CIDRS, Feature.LOCALHOST_NODE_PORTS])
    node = NodeContext(
        V4, node_ports=NodePortAddresses(loopback=True), service_cidrs=(parse_network("10.96.0.0/12"),)
    )
    observed.observe(Model(node))
    assert [(rejection.kind, rejection.name) for rejection in observed.rejections] == [
        ("ServiceCIDR", "10.96.0.0/12"),
        ("configuration", "localhost node ports"),
    ]
    observed.observe(Model(NodeContext(V4)))
    assert observed.reasons() == []


def test_an_object_that_came_and_went_while_syncs_failed_is_forgotten() -> None:
    observed = Observed([Feature.NODE_PORT])
    asking = state(frontend(FrontendKind.NODE_PORT))
    wanted, _ = advance(Model(NodeContext(V4)), [(WEB, asking)], NodeContext(V4))
    observed.observe(wanted)
    assert observed.reasons()
    observed.plan(full=True)
    assert observed.reasons() == []


@given(
    histories(V4, max_size=5),
    st.lists(st.booleans(), min_size=5, max_size=5),
    st.sets(st.sampled_from(Feature), min_size=1),
)
def test_what_is_reported_depends_on_the_last_plan_alone(
    history: list[tuple[Model, object]], succeeds: list[bool], missing: set[Feature]
) -> None:
    observed, full = Observed(missing), True
    for (model, _), success in zip(history, succeeds, strict=False):
        observed.observe(model, full=full)
        full = not success
        if success:
            observed.applied[V4] = model
    fresh = Observed(missing)
    fresh.observe(history[-1][0], full=True)
    assert set(observed.rejections) == set(fresh.rejections)


@given(histories(V4, max_size=1), st.sets(st.sampled_from(Feature)))
def test_every_object_that_asks_for_what_is_missing_is_named(
    history: list[tuple[Model, object]], missing: set[Feature]
) -> None:
    [(model, _)] = history
    observed = Observed(missing)
    observed.observe(model, full=True)
    asking = {str(name.service) for name, state in model.services.items() if features(state, V4) & missing}
    named = {rejection.name for rejection in observed.rejections if rejection.kind == "Service"}
    assert named == asking
