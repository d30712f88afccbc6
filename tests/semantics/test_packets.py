"""PRO, MSQ, SEC: protocols, families, masquerading, telling local pods, and keeping out of the way."""

from typing import Any

import pytest

from pointsman.core.addresses import IPFamily
from pointsman.core.config import LocalMode, ProxyConfig
from pointsman.core.errors import SyncError
from tests.core.fakes import Bench
from tests.core.objects import NODE, node, service, service_cidr, service_port

from .world import NETS, NODE_PORT, SCTP, TCP, UDP, V4, V6, World

HAIRPIN_ADDRESSES = [("vip", 80), ("lb", 80), ("ext", 80), ("H", NODE_PORT)]


@pytest.mark.parametrize("protocol", [TCP, UDP, SCTP])
def test_PRO_01_every_protocol_on_every_address(world: World, protocol: Any) -> None:
    ports = [service_port(80, protocol=protocol.name, nodePort=NODE_PORT)]
    world.put(
        world.web(ports=ports),
        world.slice("L R", ports=[{"name": "", "port": 8080, "protocol": protocol.name}]),
    )
    for address, port in HAIRPIN_ADDRESSES:
        assert world.send("X", address, port, protocol) == "LR +M"
        other = UDP if protocol is TCP else TCP
        assert world.send("X", address, port, other) == ("REJECT" if address == "vip" else "PASS")


def test_PRO_01_one_number_may_lead_elsewhere_by_protocol(world: World) -> None:
    ports = [service_port(53, "dns", "UDP", nodePort=30053), service_port(53, "dns-tcp", nodePort=30053)]
    world.put(
        world.web(ports=ports),
        world.slice("L", name="a", ports=[{"name": "dns", "port": 53, "protocol": "UDP"}]),
        world.slice("R", name="b", ports=[{"name": "dns-tcp", "port": 53}]),
    )
    assert world.send("X", "H", 30053, UDP) == "L +M"
    assert world.send("X", "H", 30053, TCP) == "R +M"


@pytest.mark.parametrize("failing", list(IPFamily), ids=str)
def test_PRO_02_a_family_that_fails_does_not_stop_the_other(failing: IPFamily) -> None:
    bench = Bench(ProxyConfig(NODE, families=tuple(IPFamily), min_sync_period=0))
    bench.list_all()
    bench.scripts[failing].failures = [SyncError("script", "no memory")]
    both = [NETS[family].vip for family in IPFamily]
    bench.engine.updated(service(ip=both[0], clusterIPs=both, ipFamilies=list(map(str, IPFamily))))
    bench.engine.run_due()
    for family, state in bench.engine.families.items():
        assert bool(state.proxy.applied.services) is (family is not failing)
        assert state.proxy.pending() is (family is failing)
    bench.clock.advance(30)
    bench.engine.run_due()
    assert len(bench.scripts[failing].plans) == 3
    assert bench.scripts[failing].plans[-1].full
    other = V6 if failing is V4 else V4
    assert len(bench.scripts[other].plans) == 2


def test_PRO_02_a_family_with_nothing_new_is_left_alone() -> None:
    bench = Bench(ProxyConfig(NODE, families=tuple(IPFamily), min_sync_period=0))
    bench.list_all()
    bench.engine.updated(service())
    bench.engine.run_due()
    assert [len(bench.scripts[family].plans) for family in (V4, V6)] == [2, 1]


def test_MSQ_01_the_mark_is_one_bit_of_choice(family: IPFamily) -> None:
    assert World(family).model.node.masquerade_mark == 0x4000
    assert World(family, masquerade_bit=31).model.node.masquerade_mark == 0x80000000


@pytest.mark.parametrize(("address", "port"), HAIRPIN_ADDRESSES)
def test_MSQ_03_who_reaches_itself_is_masqueraded(world: World, address: str, port: int) -> None:
    world.put(world.web(externalTrafficPolicy="Local"), world.slice("L L2"))
    verdict = world.trace("L", address, port).verdict
    assert {world.words_of(e.address) for e in verdict.endpoints} == {"L", "L2"}
    assert {world.words_of(e.address) for e in verdict.masqueraded} == {"L"}


def test_MSQ_03_a_hairpin_is_one_also_from_elsewhere_and_with_no_detector(family: IPFamily) -> None:
    world = World(family, cluster_cidrs=())
    world.put(world.web(), world.slice("R L"))
    for client, hairpin in (("R", "R"), ("L", "L")):
        verdict = world.trace(client, "vip").verdict
        assert {world.words_of(e.address) for e in verdict.masqueraded} == {hairpin}


def test_MSQ_04_masquerade_all_is_for_cluster_ips(family: IPFamily) -> None:
    world = World(family, masquerade_all=True)
    world.put(world.web(externalTrafficPolicy="Local"), world.slice("L R"))
    assert world.send("Lp", "vip") == "LR +M"
    assert world.send("Lp", "lb") == "LR -M"
    assert world.send("X", "lb") == "L -M"


def test_MSQ_05_who_is_not_local_is_masqueraded_at_the_cluster_ip(world: World) -> None:
    world.put(world.service(), world.slice("L R"))
    assert world.send("X", "vip") == "LR +M"
    assert world.send("O", "vip") == "LR +M"
    assert world.send("Lp", "vip") == "LR -M"


@pytest.mark.parametrize(
    ("settings", "local"),
    [
        ({}, {"Lp", "Rp"}),  # ClusterCIDR
        ({"local_mode": LocalMode.NODE_CIDR}, {"Lp"}),
        ({"local_mode": LocalMode.BRIDGE_INTERFACE, "bridge_interface": "veth7"}, {"Lp"}),
        ({"local_mode": LocalMode.BRIDGE_INTERFACE, "bridge_interface": "eth0"}, {"Rp", "X"}),
        ({"local_mode": LocalMode.BRIDGE_INTERFACE, "bridge_interface": "veth"}, set()),
        ({"local_mode": LocalMode.INTERFACE_NAME_PREFIX, "interface_name_prefix": "veth"}, {"Lp"}),
        ({"local_mode": LocalMode.INTERFACE_NAME_PREFIX, "interface_name_prefix": "eth0.1"}, set()),
    ],
)
def test_MSQ_06_how_local_pods_are_told(family: IPFamily, settings: dict[str, Any], local: set[str]) -> None:
    nets = NETS.values()
    here = node(addresses=[("InternalIP", net.H) for net in nets], pod_cidrs=[net.local_pods for net in nets])
    world = World(family, here=here, **settings)
    world.put(world.service(), world.slice("R2"))
    told = {client for client in ("Lp", "Rp", "X", "H") if world.send(client, "vip") == "R2 -M"}
    assert told == local


def test_MSQ_07_without_a_detector_the_node_keeps_its_address_at_cluster_ips(family: IPFamily) -> None:
    """One of upstream's modes differs (DIV-25); here all do the same, also from an address of a Service."""
    world = World(family, cluster_cidrs=())
    world.put(world.service(), world.slice("L R"))
    assert world.send("H", "vip") == "LR -M"
    assert world.send("H", "vip", source=world.net.vip) == "LR -M"


@pytest.mark.parametrize("drop", [True, False])
def test_SEC_02_whether_invalid_packets_are_dropped_is_a_setting(family: IPFamily, drop: bool) -> None:
    assert World(family, drop_invalid=drop).model.node.drop_invalid is drop


def test_SEC_05_the_nodes_own_services_are_not_on_service_addresses(world: World) -> None:
    world.put(service_cidr("kubernetes", world.net.services), world.web(), world.slice("L R"))
    for client in ("Lp", "H", "X"):
        assert world.send(client, "vip", 22) == "REJECT"
        assert world.send(client, "unused", 22) == "DROP"


def test_SEC_05_the_node_outside_the_ranges_does_not_get_in(world: World) -> None:
    world.put(world.web(loadBalancerSourceRanges=[world.net.clients]), world.slice("L R"))
    assert world.send("H", "lb") == "DROP"
