"""DIV: where upstream's dataplanes answer differently, all of ours give the one answer that is shown here."""

import pytest

from pointsman.core.addresses import IPFamily, parse_address, parse_network
from pointsman.core.config import ProxyConfig
from pointsman.core.errors import ResyncRequired
from tests.core.fakes import Bench
from tests.core.objects import NODE, service_cidr

from .test_affinity import STICKY, connection, next_of
from .world import NETS, NODE_PORT, V4, World

CLIENTS = ("Lp", "H", "X")


@pytest.mark.parametrize("client", CLIENTS)
def test_DIV_01_an_undefined_port_is_refused(world: World, client: str) -> None:
    world.put(world.service(), world.slice("L"))
    assert world.send(client, "vip", 81) == "REJECT"


@pytest.mark.parametrize("client", CLIENTS)
def test_DIV_02_an_unused_service_address_is_silent(world: World, client: str) -> None:
    world.put(service_cidr("kubernetes", world.net.services))
    assert world.send(client, "unused") == "DROP"


@pytest.mark.parametrize("client", CLIENTS)
def test_DIV_03_an_echo_to_a_cluster_ip_is_refused(world: World, client: str) -> None:
    world.put(world.service(), world.slice("L"))
    assert world.send(client, "vip", protocol=None) == "REJECT"


@pytest.mark.parametrize("address", ["lb", "ext"])
def test_DIV_04_the_node_is_refused_where_nobody_is(world: World, address: str) -> None:
    world.put(world.web())
    assert world.send("H", address) == "REJECT"


def test_DIV_05_node_port_addresses_are_as_configured(family: IPFamily) -> None:
    for setting, answer in (((), "L +M"), (None, "PASS")):
        world = World(family, node_port_addresses=setting)
        world.put(world.web(), world.slice("L"))
        assert world.send("X", "H", NODE_PORT) == "L +M"
        assert world.send("X", "H2", NODE_PORT) == answer


@pytest.mark.parametrize(("enabled", "answer"), [(True, "L +M"), (False, "PASS")])
def test_DIV_06_node_ports_on_loopback_are_a_flag(enabled: bool, answer: str) -> None:
    world = World(V4, localhost_node_ports=enabled)
    world.put(world.web(), world.slice("L"))
    assert world.send("loopback", "loopback", NODE_PORT) == answer


def test_DIV_07_excluded_addresses_are_never_refused(family: IPFamily) -> None:
    world = World(family, node_port_addresses=None)
    world.put(world.web())
    assert world.send("X", "H", NODE_PORT) == "REJECT"
    assert world.send("X", "H2", NODE_PORT) == "PASS"


def test_DIV_08_internal_policy_local_with_remote_endpoints_only_is_silent(world: World) -> None:
    world.put(world.web(internalTrafficPolicy="Local"), world.slice("R"))
    assert [world.send(client, "vip") for client in CLIENTS] == ["DROP"] * 3


def test_DIV_09_external_policy_local_with_remote_endpoints_only_is_silent(world: World) -> None:
    world.put(world.web(externalTrafficPolicy="Local"), world.slice("R"))
    assert world.send("X", "lb") == "DROP"


def test_DIV_10_pods_and_node_use_all_endpoints_also_where_a_local_one_is(world: World) -> None:
    world.put(world.web(externalTrafficPolicy="Local"), world.slice("L R"))
    assert world.send("Lp", "lb") == "LR -M"
    assert world.send("H", "lb") == "LR +M"


def test_DIV_11_the_node_is_masqueraded_at_external_addresses(world: World) -> None:
    world.put(world.web(externalTrafficPolicy="Local"), world.slice("L R"))
    for address, port in (("lb", 80), ("ext", 80), ("H", NODE_PORT)):
        assert world.send("H", address, port) == "LR +M"


def test_DIV_12_who_is_not_admitted_meets_silence(world: World) -> None:
    world.put(world.web(loadBalancerSourceRanges=[world.net.clients]))
    assert world.send("O", "lb") == "DROP"


def test_DIV_13_every_address_of_the_service_may_enter(world: World) -> None:
    ranges = [f"{world.net.H}/{world.family.address_length * 8}"]
    ingress = [{"ip": world.net.lb}, {"ip": world.net.lb2}]
    world.put(world.web(loadBalancerSourceRanges=ranges, ingress=ingress), world.slice("L"))
    assert world.send("H", "lb", source=world.net.lb2) == "L +M"


def test_DIV_14_ranges_hold_for_an_address_that_is_external_too(world: World) -> None:
    both = {"externalIPs": [world.net.lb], "loadBalancerSourceRanges": [world.net.clients]}
    world.put(world.web(**both), world.slice("L"))
    assert world.send("O", "lb") == "DROP"


def test_DIV_15_affinity_is_per_service_port(world: World) -> None:
    world.put(world.web(**STICKY), world.slice("L R"))
    history = connection(world, "X", "R", 0)
    assert next_of(world, 1, history, to="vip") == next_of(world, 1, history, to="lb") == "R +M"


def test_DIV_17_invalid_packets_are_dropped_unless_said_otherwise(world: World) -> None:
    assert world.model.node.drop_invalid


def test_DIV_23_every_endpoint_has_its_share(world: World) -> None:
    world.put(world.web(), world.slice("L L2 R R2"))
    assert [endpoint.weight for endpoint in world.state().cluster] == [1, 1, 1, 1]


def test_DIV_24_an_address_of_ours_that_the_node_has_answers_alike(world: World) -> None:
    world.put(world.web(), world.slice("L R"))
    before = [world.send(client, address) for client in CLIENTS for address in ("vip", "lb", "ext")]
    world.interfaces |= {world.net.vip, world.net.lb, world.net.ext}
    after = [world.send(client, address) for client in CLIENTS for address in ("vip", "lb", "ext")]
    assert before == after
    assert world.send("X", "lb", 22) == "PASS"  # its sockets answer


def test_DIV_25_without_a_detector_the_node_is_not_masqueraded(family: IPFamily) -> None:
    world = World(family, cluster_cidrs=())
    world.put(world.service(), world.slice("L R"))
    assert world.send("H", "vip") == "LR -M"


def test_DIV_26_a_new_address_of_the_node_counts_at_the_next_sync(family: IPFamily) -> None:
    network = parse_network(f"{NETS[family].O}/{family.address_length * 8}")
    world = World(family, node_port_addresses=(network,))
    world.put(world.web(), world.slice("L"))
    world.interfaces.add(world.net.O)
    world.engine.set_interface_addresses(map(parse_address, world.interfaces))
    world.engine.run_due()
    assert world.send("X", "O", NODE_PORT) == "L +M"


def test_DIV_28_a_failed_sync_is_reported_and_tried_again() -> None:
    config = ProxyConfig(NODE, families=(V4,), min_sync_period=0, sync_period=5)
    bench = Bench(config)
    bench.script.failures = [ResyncRequired("script", "half done")]
    bench.list_all()
    (told,) = bench.listener.after
    assert told[1] is None
    assert isinstance(told[2], ResyncRequired)
    assert bench.engine.wait() == 5
    bench.clock.advance(5)
    (plan,) = bench.run()
    assert plan.full
    assert bench.listener.after[-1][2] is None
