"""IN-NODE, IN-CIDR: what is read of this node and of the service networks."""

import pytest

from pointsman.core.addresses import parse_address, parse_network
from pointsman.core.apis import Node, ServiceCIDR
from pointsman.core.config import LocalMode
from pointsman.core.model import LocalNetwork
from pointsman.core.node import AUTOSCALER_TAINT, node_facts
from pointsman.core.startup import NodeUnfit
from tests.core.objects import NODE, made, node, service_cidr, service_port

from .world import NETS, NODE_PORT, V4, V6, World


def test_IN_NODE_01_no_other_node_counts(world: World) -> None:
    world.put(
        world.service(),
        world.slice(world.endpoint("L", zones=["here"]), world.endpoint("R", zones=["there"])),
        node(zone="here"),
    )
    assert world.send("Lp", "vip") == "L -M"
    world.put(node("node-b", zone="there"))
    assert world.send("Lp", "vip") == "L -M"


def test_IN_NODE_02_addresses_are_those_of_the_node_object(world: World) -> None:
    """SVC-NP-05 and SVC-LB-04 are where they show."""
    world = World(
        world.family,
        node_port_addresses=None,
        here=node(addresses=[("ExternalIP", world.net.H2), ("InternalIP", world.net.H)]),
    )
    world.put(world.web(), world.slice("L R"))
    assert world.send("X", "H", NODE_PORT) == "LR +M"
    assert world.send("X", "H2", NODE_PORT) == "PASS"


def test_IN_NODE_02_an_external_address_stands_in_for_an_internal_one(world: World) -> None:
    external = node(addresses=[("Hostname", NODE), ("ExternalIP", world.net.H2)])
    world = World(world.family, node_port_addresses=None, here=external)
    world.put(world.web(), world.slice("L R"))
    assert world.send("X", "H2", NODE_PORT) == "LR +M"
    assert world.send("X", "H", NODE_PORT) == "PASS"


def test_IN_NODE_02_a_bind_address_comes_before_both(world: World) -> None:
    bound = parse_address(world.net.H2)
    world = World(world.family, node_port_addresses=None, bind_address=bound)
    world.put(world.web(), world.slice("L R"))
    assert world.send("X", "H2", NODE_PORT) == "LR +M"
    assert world.send("X", "H", NODE_PORT) == "PASS"


def test_IN_NODE_02_the_other_family_has_its_first_address_too() -> None:
    facts, _ = node_facts(node(addresses=[("InternalIP", NETS[V6].H), ("ExternalIP", NETS[V4].H)]))
    assert facts.ips == (parse_address(NETS[V6].H), parse_address(NETS[V4].H))


def test_IN_NODE_03_a_later_address_changes_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world = World(world.family, node_port_addresses=None)
    world.put(world.web(), world.slice("L R"))
    model = world.model
    world.put(node(addresses=[("InternalIP", world.net.H2)]))
    assert world.model == model
    assert "node_ips_changed" in [record.message for record in caplog.records]


def test_IN_NODE_03_ranges_that_hold_the_node_admit_the_services_own_addresses(world: World) -> None:
    world.put(world.web(loadBalancerSourceRanges=[f"{world.net.H}/{32 if world.family is V4 else 128}"]))
    world.put(world.slice("L"))
    assert world.send("H", "lb", source=world.net.lb) == "L +M"


def test_IN_NODE_05_pod_networks_count_in_their_mode_until_they_change(world: World) -> None:
    nets = NETS.values()
    world = World(world.family, local_mode=LocalMode.NODE_CIDR)
    world.put(world.service(), world.slice("R"))
    assert world.send("Lp", "vip") == "R -M"  # no network known: no detector
    world.put(node(pod_cidrs=[net.local_pods for net in nets]))
    assert world.model.node.local == LocalNetwork(parse_network(world.net.local_pods))
    assert world.send("Lp", "vip") == "R -M"
    assert world.send("Rp", "vip") == "R +M"
    with pytest.raises(NodeUnfit, match="changed from"):
        world.put(node(pod_cidrs=[net.pods for net in nets]))
    assert world.send("Rp", "vip") == "R +M"


def test_IN_NODE_05_other_modes_ignore_pod_networks(world: World) -> None:
    world.put(world.service(), world.slice("R"))
    plans = world.plans()
    world.put(node(addresses=[("InternalIP", n.H) for n in NETS.values()], pod_cidrs=[world.net.clients]))
    assert world.plans() == plans
    assert world.send("X", "vip") == "R +M"


def test_IN_NODE_06_the_zone_counts_and_no_other_label(world: World) -> None:
    world.put(
        world.service(),
        world.slice(world.endpoint("L", zones=["a"]), world.endpoint("R", zones=["b"])),
    )
    assert world.send("Lp", "vip") == "LR -M"
    world.put(node(zone="a"))
    assert world.send("Lp", "vip") == "L -M"
    world.put(node(zone="b"))
    assert world.send("Lp", "vip") == "R -M"
    plans = world.plans()
    labels = {"topology.kubernetes.io/zone": "b", "topology.kubernetes.io/region": "a", "zone": "a"}
    world.put(node(labels=labels))
    assert world.plans() == plans


@pytest.mark.parametrize(
    ("plain", "eligible"),
    [
        ({}, True),
        ({"spec": {"taints": [{"key": "node.kubernetes.io/unreachable"}]}}, True),
        ({"spec": {"taints": [{"key": AUTOSCALER_TAINT, "value": "1", "effect": "NoSchedule"}]}}, False),
        ({"metadata": {"name": NODE, "deletionTimestamp": "2026-01-01T00:00:00Z"}}, False),
    ],
)
def test_IN_NODE_07_a_node_about_to_go_is_not_eligible(plain: dict[str, object], eligible: bool) -> None:
    facts, _ = node_facts(made(Node, {"metadata": {"name": NODE}, **plain}))
    assert facts.eligible is eligible


def test_IN_NODE_07_a_node_that_is_gone_keeps_its_last_state(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.put(
        node(zone="a"),
        world.service(),
        world.slice(world.endpoint("L", zones=["a"]), world.endpoint("R", zones=["b"])),
    )
    world.delete(Node, NODE)
    assert world.send("Lp", "vip") == "L -M"
    assert "node_deleted" in [record.message for record in caplog.records]


def test_IN_CIDR_01_service_networks_are_united_by_family(world: World) -> None:
    nets = NETS.values()
    assert world.send("Lp", "unused") == "PASS"
    world.put(
        service_cidr("kubernetes", *(net.services for net in nets)), service_cidr("extra", "10.97.0.0/16")
    )
    assert world.send("Lp", "unused") == "DROP"
    assert {len(n.address) for n in world.model.node.service_cidrs} == {world.family.address_length}
    if world.family is V4:
        assert world.send("Lp", "10.97.3.4") == "DROP"


def test_IN_CIDR_01_what_cannot_be_read_is_reported_and_the_rest_counts(world: World) -> None:
    world.put(service_cidr("kubernetes", "nonsense", world.net.services))
    assert world.send("Lp", "unused") == "DROP"
    assert world.rejected() == [("kubernetes", "$.spec.cidrs")]


def test_IN_CIDR_02_a_change_counts_at_once(world: World) -> None:
    world.put(world.service(ports=[service_port(80)]))
    plans = world.plans()
    world.put(service_cidr("kubernetes", world.net.services))
    assert world.plans() == plans + 1
    assert world.send("H", "unused") == "DROP"
    world.put(service_cidr("kubernetes"))
    assert world.send("H", "unused") == "PASS"


def test_IN_CIDR_03_a_network_goes_with_its_last_owner(world: World) -> None:
    world.put(service_cidr("a", world.net.services), service_cidr("b", world.net.services))
    world.delete(ServiceCIDR, "a")
    assert world.send("Lp", "unused") == "DROP"
    world.delete(ServiceCIDR, "b")
    assert world.send("Lp", "unused") == "PASS"
