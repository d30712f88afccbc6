"""SEL: which endpoints a node may use."""

from collections import Counter
from typing import Any

import pytest

from pointsman.core.annotations import WEIGHTS
from tests.core.objects import NODE, OTHER_NODE, node

from .world import NETS, NODE_PORT, World

GONE: dict[str, Any] = {"ready": False, "serving": False, "terminating": True}
GOING: dict[str, Any] = {"ready": False, "serving": True, "terminating": True}
SICK: dict[str, Any] = {"ready": False}
HERE, THERE, ELSEWHERE = "zone-here", "zone-there", "zone-elsewhere"


@pytest.fixture
def zoned(world: World) -> World:
    """A Service on a node in a zone."""
    world.put(node(zone=HERE, addresses=[("InternalIP", net.H) for net in NETS.values()]), world.web())
    return world


def put(world: World, **endpoints: dict[str, Any]) -> None:
    """Give the Service these endpoints, by their letters."""
    world.put(world.slice(*(world.endpoint(letter, **fields) for letter, fields in endpoints.items())))


def test_SEL_01_ready_endpoints_come_first(zoned: World) -> None:
    put(zoned, L={}, R=GOING, R2=SICK)
    assert zoned.send("Lp", "vip") == "L -M"


def test_SEL_01_without_any_those_that_still_serve_while_they_go(zoned: World) -> None:
    put(zoned, L=GOING, R=GOING, R2=SICK, L2=GONE)
    assert zoned.send("Lp", "vip") == "LR -M"


def test_SEL_01_topology_is_not_asked_about_those_that_go(zoned: World) -> None:
    put(zoned, L={**GOING, "zones": [HERE]}, R={**GOING, "zones": [THERE]})
    assert zoned.send("Lp", "vip") == "LR -M"


def test_SEL_02_local_ready_endpoints_come_first(zoned: World) -> None:
    zoned.put(zoned.web(externalTrafficPolicy="Local"))
    put(zoned, L={}, L2=GOING, R={})
    assert zoned.send("X", "lb") == "L -M"


def test_SEL_02_local_ones_that_go_come_before_ready_ones_elsewhere(zoned: World) -> None:
    zoned.put(zoned.web(externalTrafficPolicy="Local"))
    put(zoned, L=GOING, R={})
    assert zoned.send("X", "lb") == "L -M"
    assert zoned.send("Lp", "vip") == "R -M"


def test_SEL_02_the_local_set_knows_no_topology(zoned: World) -> None:
    zoned.put(zoned.web(internalTrafficPolicy="Local", externalTrafficPolicy="Local"))
    put(zoned, L={"zones": [THERE]}, L2={"zones": [HERE]}, R={"zones": [HERE]})
    assert zoned.send("Lp", "vip") == "LL2 -M"
    assert zoned.send("X", "lb") == "LL2 -M"
    assert zoned.send("Lp", "lb") == "L2R -M"


PRIVATE: dict[str, Any] = {"type": "ClusterIP", "ports": [{"port": 80}], "ingress": [], "externalIPs": []}


@pytest.mark.parametrize(
    ("fields", "cluster", "local"),
    [
        (PRIVATE, 2, 0),
        ({**PRIVATE, "internalTrafficPolicy": "Local"}, 0, 1),
        ({**PRIVATE, "externalTrafficPolicy": "Local"}, 2, 0),
        ({}, 2, 0),
        ({"internalTrafficPolicy": "Local"}, 2, 1),
        ({"externalTrafficPolicy": "Local"}, 2, 1),
    ],
)
def test_SEL_03_which_sets_there_are(zoned: World, fields: dict[str, Any], cluster: int, local: int) -> None:
    zoned.put(zoned.web(**fields))
    put(zoned, L={}, R={})
    assert (len(zoned.state().cluster), len(zoned.state().local)) == (cluster, local)


@pytest.mark.parametrize("conditions", [SICK, GONE, {"ready": False, "serving": True}])
def test_SEL_04_what_is_never_used(zoned: World, conditions: dict[str, Any]) -> None:
    put(zoned, L=conditions)
    assert zoned.send("Lp", "vip") == "REJECT"
    put(zoned, L=conditions, R={})
    assert zoned.send("Lp", "vip") == "R -M"


@pytest.mark.parametrize(
    ("endpoints", "answer"),
    [
        # Nodes before zones, where all say and one means us.
        ({"L": {"nodes": [NODE], "zones": [THERE]}, "R": {"nodes": [OTHER_NODE], "zones": [HERE]}}, "L"),
        ({"L": {"nodes": [NODE]}, "L2": {"nodes": [OTHER_NODE, NODE]}, "R": {"nodes": ["x"]}}, "LL2"),
        # None means us: zones.
        ({"L": {"nodes": ["x"], "zones": [THERE]}, "R": {"nodes": ["y"], "zones": [HERE]}}, "R"),
        # Nothing means us.
        ({"L": {"nodes": ["x"], "zones": [THERE]}, "R": {"nodes": ["y"], "zones": [ELSEWHERE]}}, "LR"),
        ({"L": {"zones": [HERE]}, "R": {"zones": [THERE]}}, "L"),
        ({"L": {"zones": [THERE]}, "R": {"zones": [ELSEWHERE]}}, "LR"),
        ({"L": {}, "R": {}}, "LR"),
    ],
)
def test_SEL_05_hints(zoned: World, endpoints: dict[str, dict[str, Any]], answer: str) -> None:
    put(zoned, **endpoints)
    assert zoned.send("Lp", "vip") == f"{answer} -M"


@pytest.mark.parametrize(
    ("endpoints", "answer"),
    [
        ({"L": {"nodes": [NODE]}, "R": {}}, "LR"),
        ({"L": {"zones": [HERE]}, "R": {}}, "LR"),
        ({"L": {"zones": [HERE]}, "R": {"zones": []}}, "LR"),
        ({"L": {"nodes": [NODE], "zones": [THERE]}, "R": {"zones": [HERE]}}, "R"),
        ({"L": {"zones": [HERE]}, "R": SICK}, "L"),
        ({"L": {"zones": [HERE]}, "R": GOING, "R2": {"zones": [THERE]}}, "L"),
        ({"L": {"zones": [THERE, HERE]}, "R": {"zones": [THERE]}}, "L"),
    ],
)
def test_SEL_06_one_without_a_hint_switches_the_kind_off(
    zoned: World, endpoints: dict[str, dict[str, Any]], answer: str
) -> None:
    put(zoned, **endpoints)
    assert zoned.send("Lp", "vip") == f"{answer} -M"


def test_SEL_07_without_a_zone_only_nodes_count(world: World) -> None:
    world.put(world.web())
    put(world, L={"zones": [HERE]}, R={"zones": [THERE]})
    assert world.send("Lp", "vip") == "LR -M"
    put(world, L={"zones": [""]}, R={"zones": [THERE]})
    assert world.send("Lp", "vip") == "LR -M"
    put(world, L={"nodes": [NODE], "zones": [HERE]}, R={"nodes": [OTHER_NODE], "zones": [THERE]})
    assert world.send("Lp", "vip") == "L -M"


@pytest.mark.parametrize("distribution", [None, "PreferClose", "PreferSameZone", "PreferSameNode", "Odd"])
def test_SEL_08_only_hints_are_read(zoned: World, distribution: str | None) -> None:
    zoned.put(zoned.web(trafficDistribution=distribution))
    put(zoned, L={}, R={})
    assert zoned.send("Lp", "vip") == "LR -M"
    put(zoned, L={"zones": [HERE]}, R={"zones": [THERE]})
    assert zoned.send("Lp", "vip") == "L -M"


def test_SEL_08_same_node_falls_back_to_zone_and_to_all(zoned: World) -> None:
    hints: dict[str, dict[str, Any]] = {
        "L": {"nodes": [NODE], "zones": [HERE]},
        "R": {"nodes": [OTHER_NODE], "zones": [HERE]},
        "R2": {"nodes": ["node-c"], "zones": [THERE]},
    }
    put(zoned, **hints)
    assert zoned.send("Lp", "vip") == "L -M"
    put(zoned, **{**hints, "L": {**hints["L"], **SICK}})
    assert zoned.send("Lp", "vip") == "R -M"
    put(zoned, **{**hints, "L": {**hints["L"], **SICK}, "R": {**hints["R"], **SICK}})
    assert zoned.send("Lp", "vip") == "R2 -M"
    put(zoned, **hints)
    assert zoned.send("Lp", "vip") == "L -M"


def test_SEL_09_the_last_one_in_the_zone_goes(zoned: World) -> None:
    put(zoned, L={**GOING, "zones": [HERE]}, R={"zones": [THERE]}, R2={"zones": [ELSEWHERE]})
    assert zoned.send("Lp", "vip") == "RR2 -M"


def test_SEL_10_shares_are_equal(zoned: World) -> None:
    put(zoned, L={}, L2={}, R={}, R2={})
    picks = Counter(step.probability for step in zoned.trace("Lp", "vip").steps if step.topic == "pick")
    assert picks == {0.25: 4}


def test_SEL_10_unless_weights_are_given(zoned: World) -> None:
    """Our own extension: shares by annotation of the Service, or of a slice, which counts more."""
    net = zoned.net
    zoned.put(zoned.web(metadata={"annotations": {WEIGHTS: f"2,{net.R}=0,{net.L2}=6"}}))
    put(zoned, L={}, L2={}, R={}, R2={})
    shares = {zoned.words_of(e.address): e.weight for e in zoned.state().cluster}
    assert shares == {"L": 2, "L2": 6, "R2": 2}
    zoned.put(zoned.slice("L L2 R R2", annotations={WEIGHTS: f"{net.R}=1"}))
    shares = {zoned.words_of(e.address): e.weight for e in zoned.state().cluster}
    assert shares == {"L": 2, "L2": 6, "R": 1, "R2": 2}
    assert zoned.send("X", "H", NODE_PORT) == "LL2RR2 +M"


def test_SEL_10_a_weight_of_nothing_for_all_leaves_none(zoned: World) -> None:
    zoned.put(zoned.web(metadata={"annotations": {WEIGHTS: "0"}}))
    put(zoned, L={}, R={})
    assert zoned.send("Lp", "vip") == "REJECT"
