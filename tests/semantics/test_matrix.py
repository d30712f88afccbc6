"""MTX: who reaches which endpoints by which address under which policy, and what the endpoint sees."""

from typing import Any

import pytest

from pointsman.core.addresses import IPFamily, parse_network

from .world import NETS, NODE_PORT, V4, World

POLICIES: dict[str, dict[str, Any]] = {
    "default": {},
    "external Local": {"externalTrafficPolicy": "Local"},
    "internal Local": {"internalTrafficPolicy": "Local"},
}
CLUSTER_IP = [("vip", 80)]
EXTERNAL = [("H", NODE_PORT), ("H2", NODE_PORT), ("lb", 80), ("ext", 80)]


def answers(world: World, client: str, addresses: list[tuple[str, int]]) -> list[str]:
    """What a client gets under each policy, the same at every address or else all of them."""
    found = []
    for fields in POLICIES.values():
        world.put(world.web(**fields), world.slice("L R"))
        found.append(" or ".join(sorted({world.send(client, to, port) for to, port in addresses})))
    return found


def test_MTX_01_local_pod_to_cluster_ip(world: World) -> None:
    assert answers(world, "Lp", CLUSTER_IP) == ["LR -M", "LR -M", "L -M"]


def test_MTX_02_local_pod_to_external_address(world: World) -> None:
    assert answers(world, "Lp", EXTERNAL) == ["LR +M", "LR -M", "LR +M"]


@pytest.mark.parametrize("client", ["H", "H2"])
def test_MTX_03_node_to_cluster_ip(world: World, client: str) -> None:
    assert answers(world, client, CLUSTER_IP) == ["LR +M", "LR +M", "L +M"]


@pytest.mark.parametrize("client", ["H", "H2"])
def test_MTX_04_node_to_external_address(world: World, client: str) -> None:
    assert answers(world, client, EXTERNAL) == ["LR +M", "LR +M", "LR +M"]


def test_MTX_05_node_by_loopback_to_node_port() -> None:
    world = World(V4, localhost_node_ports=True)
    assert answers(world, "loopback", [("loopback", NODE_PORT)]) == ["LR +M", "LR +M", "LR +M"]


@pytest.mark.parametrize("client", ["X", "O"])
def test_MTX_06_outside_client_to_cluster_ip(world: World, client: str) -> None:
    assert answers(world, client, CLUSTER_IP) == ["LR +M", "LR +M", "L +M"]


@pytest.mark.parametrize("client", ["X", "O"])
def test_MTX_07_outside_client_to_external_address(world: World, client: str) -> None:
    assert answers(world, client, EXTERNAL) == ["LR +M", "L -M", "LR +M"]


def test_MTX_08_where_local_pods_cannot_be_told(family: IPFamily) -> None:
    world = World(family, cluster_cidrs=())
    for client in ("Lp", "H", "X"):
        assert answers(world, client, CLUSTER_IP) == ["LR -M", "LR -M", "L -M"]
    assert answers(world, "Lp", EXTERNAL) == ["LR +M", "L -M", "LR +M"]
    assert answers(world, "H", EXTERNAL) == ["LR +M", "LR +M", "LR +M"]
    assert answers(world, "X", EXTERNAL) == ["LR +M", "L -M", "LR +M"]


def test_MTX_08_a_family_without_a_detector_is_on_its_own(family: IPFamily) -> None:
    """A network of the other family tells nothing."""
    other = tuple(parse_network(net.pods) for of, net in NETS.items() if of is not family)
    world = World(family, cluster_cidrs=other)
    assert answers(world, "X", CLUSTER_IP) == ["LR -M", "LR -M", "L -M"]


def test_MTX_09_masquerade_all_is_for_cluster_ips(family: IPFamily) -> None:
    world = World(family, masquerade_all=True)
    for client in ("Lp", "H", "X"):
        assert answers(world, client, CLUSTER_IP) == ["LR +M", "LR +M", "L +M"]
    assert answers(world, "Lp", EXTERNAL) == ["LR +M", "LR -M", "LR +M"]
    assert answers(world, "X", EXTERNAL) == ["LR +M", "L -M", "LR +M"]


def test_MTX_10_each_policy_keeps_to_its_addresses(world: World) -> None:
    world.put(world.web(internalTrafficPolicy="Local", externalTrafficPolicy="Local"), world.slice("L R"))
    assert world.send("Lp", "vip") == "L -M"
    for address, port in EXTERNAL:
        assert world.send("X", address, port) == "L -M"
        assert world.send("Lp", address, port) == "LR -M"
        assert world.send("H", address, port) == "LR +M"
