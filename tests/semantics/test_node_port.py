"""SVC-NP: node ports, and the addresses on which they answer."""

from typing import Any

import pytest

from pointsman.core.addresses import IPFamily, parse_address, parse_network
from pointsman.core.config import LocalMode
from tests.core.objects import node, service_cidr

from .world import NETS, NODE_PORT, UDP, V4, V6, World


def node_port(family: IPFamily, *networks: str, **settings: Any) -> World:
    """A world where node ports answer in some networks only, with a Service."""
    world = World(family, node_port_addresses=tuple(map(parse_network, networks)), **settings)
    world.put(world.web(), world.slice("L R"))
    return world


def own(family: IPFamily, letter: str) -> str:
    """One of the node's addresses, as a network."""
    return f"{getattr(NETS[family], letter)}/{family.address_length * 8}"


@pytest.mark.parametrize("address", ["H", "H2"])
def test_SVC_NP_01_every_local_address_answers(family: IPFamily, address: str) -> None:
    world = node_port(family)
    for client in ("Lp", "H", "X"):
        assert world.send(client, address, NODE_PORT) == "LR +M"


def test_SVC_NP_01_only_at_its_number_and_protocol_and_here(family: IPFamily) -> None:
    world = node_port(family)
    assert world.send("X", "H", NODE_PORT + 1) == "PASS"
    assert world.send("X", "H", NODE_PORT, UDP) == "PASS"
    assert world.send("X", "H", 80) == "PASS"
    assert world.send("Lp", "O", NODE_PORT) == "PASS"
    assert world.send("Lp", "vip", NODE_PORT) == "REJECT"


def test_SVC_NP_02_only_addresses_inside_the_networks_answer(family: IPFamily) -> None:
    world = node_port(family, own(family, "H2"))
    assert world.send("X", "H2", NODE_PORT) == "LR +M"
    assert world.send("X", "H", NODE_PORT) == "PASS"
    assert world.send("H", "H", NODE_PORT) == "PASS"


def test_SVC_NP_03_a_network_of_everything_means_all(family: IPFamily) -> None:
    world = node_port(family, own(family, "H2"), NETS[family].everyone)
    assert world.model.node.node_ports.addresses is None
    assert world.send("X", "H", NODE_PORT) == "LR +M"


def test_SVC_NP_04_networks_of_the_other_family_restrict_nothing(family: IPFamily) -> None:
    other = V6 if family is V4 else V4
    assert node_port(family, own(other, "H")).send("X", "H2", NODE_PORT) == "LR +M"


def test_SVC_NP_05_primary_is_the_nodes_own_address(family: IPFamily) -> None:
    world = World(family, node_port_addresses=None)
    world.put(world.web(), world.slice("L R"))
    assert world.send("X", "H", NODE_PORT) == "LR +M"
    assert world.send("X", "H2", NODE_PORT) == "PASS"


def test_SVC_NP_05_where_that_is_unknown_all_answer(family: IPFamily) -> None:
    other = V6 if family is V4 else V4
    here = node(addresses=[("InternalIP", NETS[other].H)])
    world = World(family, here=here, node_port_addresses=None)
    world.put(world.web(), world.slice("L R"))
    assert world.send("X", "H2", NODE_PORT) == "LR +M"


def test_SVC_NP_06_new_addresses_count_at_the_next_sync(family: IPFamily) -> None:
    world = node_port(family, own(family, "H"), own(family, "O"))
    assert world.send("X", "O", NODE_PORT) == "PASS"
    plans = world.plans()
    world.interfaces.add(world.net.O)
    world.engine.set_interface_addresses(map(parse_address, world.interfaces))
    world.engine.run_due()
    assert world.plans() == plans + 1
    assert world.send("X", "O", NODE_PORT) == "LR +M"


@pytest.mark.parametrize(
    ("networks", "enabled", "answer"),
    [
        ([], True, "LR +M"),
        ([], False, "PASS"),
        (["127.0.0.0/8"], True, "LR +M"),
        (["127.0.0.1/32", "192.0.2.0/24"], True, "LR +M"),
        (["192.0.2.0/24"], True, "PASS"),
        (["127.0.0.0/8"], False, "PASS"),
        (["0.0.0.0/0"], True, "LR +M"),
    ],
)
def test_SVC_NP_07_loopback_answers_only_if_asked_for(
    networks: list[str], enabled: bool, answer: str
) -> None:
    world = node_port(V4, *networks, localhost_node_ports=enabled)
    assert world.send("loopback", "loopback", NODE_PORT) == answer


def test_SVC_NP_07_ipv6_loopback_never_answers() -> None:
    assert node_port(V6, localhost_node_ports=True).send("loopback", "loopback", NODE_PORT) == "PASS"


def test_SVC_NP_09_source_ranges_do_not_apply(world: World) -> None:
    world.put(world.web(loadBalancerSourceRanges=[world.net.clients]), world.slice("L R"))
    assert world.send("O", "lb") == "DROP"
    assert world.send("O", "H", NODE_PORT) == "LR +M"


@pytest.mark.parametrize(
    ("settings", "answer"),
    [
        ({}, "LR -M"),  # ClusterCIDR: any pod counts as local
        ({"local_mode": LocalMode.NODE_CIDR}, "L -M"),
        ({"local_mode": LocalMode.BRIDGE_INTERFACE, "bridge_interface": "veth7"}, "L -M"),
        ({"local_mode": LocalMode.INTERFACE_NAME_PREFIX, "interface_name_prefix": "veth"}, "L -M"),
    ],
)
def test_SVC_NP_10_pods_of_other_nodes(family: IPFamily, settings: dict[str, Any], answer: str) -> None:
    nets = NETS.values()
    here = node(addresses=[("InternalIP", net.H) for net in nets], pod_cidrs=[net.local_pods for net in nets])
    world = World(family, here=here, **settings)
    world.put(world.web(externalTrafficPolicy="Local"), world.slice("L R"))
    assert world.send("Rp", "H", NODE_PORT) == answer
    assert world.send("Lp", "H", NODE_PORT) == "LR -M"


def test_SVC_NP_01_a_port_of_the_node_is_no_service_address(world: World) -> None:
    """Service networks that hold the node's addresses must not silence its sockets."""
    world.put(service_cidr("odd", world.net.everyone))
    assert world.send("X", "H", 22) == "PASS"
