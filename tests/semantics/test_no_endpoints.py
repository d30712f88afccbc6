"""NOEP: what a new connection meets where no endpoint can take it."""

from typing import Any

import pytest

from pointsman.core.addresses import IPFamily
from tests.core.objects import service_port

from .world import NODE_PORT, SCTP, TCP, UDP, World

CLIENTS = ("Lp", "H", "X")


@pytest.mark.parametrize("client", CLIENTS)
def test_NOEP_01_none_anywhere_at_the_cluster_ip(world: World, client: str) -> None:
    world.put(world.web())
    assert world.send(client, "vip") == "REJECT"
    world.put(world.slice(world.endpoint("L", ready=False)))
    assert world.send(client, "vip") == "REJECT"


@pytest.mark.parametrize("address", ["lb", "ext"])
@pytest.mark.parametrize("on_node", [False, True])
def test_NOEP_02_none_anywhere_at_an_external_address(world: World, address: str, on_node: bool) -> None:
    world.put(world.web())
    if on_node:
        world.interfaces.add(getattr(world.net, address))
    assert world.send("X", address) == "REJECT"
    assert world.send("Lp", address) == "REJECT"


@pytest.mark.parametrize("address", ["lb", "ext"])
def test_NOEP_03_the_node_itself_is_told_too(world: World, address: str) -> None:
    world.put(world.web())
    assert world.send("H", address) == "REJECT"


@pytest.mark.parametrize("client", CLIENTS)
def test_NOEP_04_node_ports_refuse_where_they_would_answer(family: IPFamily, client: str) -> None:
    world = World(family, node_port_addresses=None)
    world.put(world.web())
    assert world.send(client, "H", NODE_PORT) == "REJECT"
    assert world.send(client, "H2", NODE_PORT) == "PASS"
    assert world.send("loopback", "loopback", NODE_PORT) == "PASS"


def test_NOEP_05_who_is_not_admitted_is_not_told(world: World) -> None:
    world.put(world.web(loadBalancerSourceRanges=[world.net.clients]))
    assert world.send("O", "lb") == "DROP"
    assert world.send("X", "lb") == "REJECT"


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("fields", [{}, {"externalIPs": [], "ingress": [], "ports": [service_port(80)]}])
def test_NOEP_06_internal_policy_local_and_only_remote_ones(
    world: World, client: str, fields: dict[str, Any]
) -> None:
    world.put(world.web(internalTrafficPolicy="Local", **fields), world.slice("R"))
    assert world.send(client, "vip") == "DROP"
    world.put(world.slice())
    assert world.send(client, "vip") == "REJECT"


EXTERNAL = [("H", NODE_PORT), ("lb", 80), ("ext", 80)]


@pytest.mark.parametrize(("address", "port"), EXTERNAL)
def test_NOEP_07_external_policy_local_and_only_remote_ones(world: World, address: str, port: int) -> None:
    world.put(world.web(externalTrafficPolicy="Local"), world.slice("R"))
    assert world.send("X", address, port) == "DROP"
    world.put(world.slice())
    assert world.send("X", address, port) == "REJECT"


@pytest.mark.parametrize(("address", "port"), EXTERNAL)
def test_NOEP_08_those_on_the_node_reach_the_remote_ones(world: World, address: str, port: int) -> None:
    world.put(world.web(externalTrafficPolicy="Local"), world.slice("R"))
    assert world.send("Lp", address, port) == "R -M"
    assert world.send("H", address, port) == "R +M"


@pytest.mark.parametrize("protocol", [TCP, UDP, SCTP])
def test_NOEP_09_every_protocol_is_answered_alike(world: World, protocol: Any) -> None:
    ports = [service_port(80, protocol=protocol.name, nodePort=NODE_PORT)]
    targets = [{"name": "", "port": 8080, "protocol": protocol.name}]
    world.put(world.web(ports=ports, externalTrafficPolicy="Local"))
    assert world.send("X", "lb", 80, protocol) == "REJECT"
    assert world.send("X", "H", NODE_PORT, protocol) == "REJECT"
    world.put(world.slice("R", ports=targets))
    assert world.send("X", "lb", 80, protocol) == "DROP"
    assert world.send("Lp", "vip", 80, protocol) == "R -M"


def test_NOEP_10_the_first_endpoint_counts_at_the_next_sync(family: IPFamily) -> None:
    world = World(family, min_sync_period=1.0)
    world.clock.advance(1)
    world.put(world.web())
    assert world.send("X", "lb") == "REJECT"
    world.clock.advance(0.4)
    world.put(world.slice("L"))
    assert world.send("X", "lb") == "REJECT"
    wait = world.engine.wait()
    assert wait == pytest.approx(0.6)
    world.clock.advance(0.6)
    world.engine.run_due()
    assert world.send("X", "lb") == "L +M"
