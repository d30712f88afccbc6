"""How long a first sync waits for the node, and what ends the process."""

from collections.abc import Iterable

import pytest

from pointsman.core.addresses import IPFamily, parse_address
from pointsman.core.apis import Node
from pointsman.core.config import LocalMode, ProxyConfig
from pointsman.core.engine import KINDS
from pointsman.core.loop import EventLoop
from pointsman.core.startup import ADDRESS_SECONDS, POD_NETWORK_SECONDS, NodePatience, NodeUnfit

from .fakes import Bench
from .objects import NODE, node, service

POD_NETWORK = ("10.244.1.0/24",)
V4 = (IPFamily.IPV4,)


def waiting(config: ProxyConfig, objects: Iterable[Node] = ()) -> Bench:
    """An engine that is patient, and that was told of everything there is."""
    bench = Bench(config)
    bench.patience = NodePatience(config, bench.clock)
    bench.restart()
    for kind in KINDS:
        bench.engine.replaced(kind, objects if kind is Node else [])
    return bench


def test_IN_NODE_04_without_addresses_the_first_sync_waits_half_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = waiting(ProxyConfig(NODE, families=V4))
    assert bench.engine.wait() == ADDRESS_SECONDS
    assert bench.run() == []
    bench.clock.advance(ADDRESS_SECONDS)
    assert bench.engine.wait() == 0
    assert len(bench.run()) == 1
    assert bench.engine.wait()
    assert [record.message for record in caplog.records] == ["node_ips_unknown"]


def test_IN_NODE_04_an_address_ends_the_wait() -> None:
    bench = waiting(ProxyConfig(NODE, families=V4), [node(addresses=())])
    assert bench.run() == []
    bench.engine.updated(node())
    assert bench.engine.wait() == 0
    assert len(bench.run()) == 1


def test_IN_NODE_04_what_is_known_is_not_waited_for() -> None:
    assert len(waiting(ProxyConfig(NODE, families=V4), [node()]).run()) == 1
    bound = ProxyConfig(NODE, families=V4, bind_address=parse_address("192.0.2.9"))
    assert len(waiting(bound).run()) == 1


def test_IN_NODE_04_nothing_is_waited_for_twice() -> None:
    bench = waiting(ProxyConfig(NODE, families=V4), [node()])
    bench.run()
    bench.engine.updated(node(addresses=()))
    bench.engine.updated(service())
    bench.clock.advance(1)
    assert len(bench.run()) == 1


def test_IN_NODE_04_without_pod_networks_there_is_no_serving_in_their_mode() -> None:
    bench = waiting(ProxyConfig(NODE, families=V4, local_mode=LocalMode.NODE_CIDR), [node()])
    assert bench.engine.wait() == POD_NETWORK_SECONDS
    bench.clock.advance(POD_NETWORK_SECONDS)
    with pytest.raises(NodeUnfit, match=r"node-a has no spec\.podCIDRs after 300 s"):
        bench.engine.wait()
    assert bench.script.plans == []


def test_IN_NODE_04_pod_networks_of_another_family_are_none() -> None:
    config = ProxyConfig(NODE, families=V4, local_mode=LocalMode.NODE_CIDR)
    bench = waiting(config, [node(pod_cidrs=["fd00::/64"])])
    assert bench.engine.wait() == POD_NETWORK_SECONDS
    bench = waiting(config, [node(pod_cidrs=["fd00::/64", *POD_NETWORK])])
    assert bench.engine.wait() == 0


@pytest.mark.parametrize("later", [("10.244.9.0/24",), ()], ids=["others", "none"])
def test_IN_NODE_05_changed_pod_networks_end_the_loop(later: Iterable[str]) -> None:
    config = ProxyConfig(NODE, families=V4, local_mode=LocalMode.NODE_CIDR)
    bench = waiting(config, [node(pod_cidrs=POD_NETWORK)])
    bench.run()
    loop = EventLoop(bench.engine)
    loop.updated(node(pod_cidrs=later))
    with pytest.raises(NodeUnfit, match=r"changed from 10\.244\.1\.0/24 to"):
        loop.run()


def test_the_loop_says_that_the_wait_was_in_vain() -> None:
    config = ProxyConfig(NODE, families=V4, local_mode=LocalMode.NODE_CIDR)
    bench = waiting(config, [node()])
    bench.clock.advance(POD_NETWORK_SECONDS)
    with pytest.raises(NodeUnfit):
        EventLoop(bench.engine).run()
