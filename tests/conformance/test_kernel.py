"""The network of real kernels: what cases have from it beside what the lab's own tests show."""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from pointsman.conformance.kernel import KernelNetwork
from pointsman.conformance.lab import NODE, Reply
from pointsman.conformance.scene import OUTSIDE, POD, PODS, PORTS, REAL_PORT, scene
from pointsman.core.addresses import IPFamily, parse_address
from pointsman.core.model import Protocol

pytestmark = pytest.mark.netns

TCP, UDP = Protocol.TCP, Protocol.UDP


@pytest.fixture(scope="module")
def network() -> Iterator[KernelNetwork]:
    network = KernelNetwork()
    yield network
    network.close()


@pytest.mark.parametrize("family", IPFamily)
def test_everybody_serves_and_is_reached(network: KernelNetwork, family: IPFamily) -> None:
    at = scene(family)
    for client in (POD, NODE, OUTSIDE):
        for pod in PODS:
            for protocol in (TCP, UDP):
                for port in PORTS:
                    [outcome] = network.burst(
                        client, (at.address(pod), port), protocol, count=1, wait=5, source=None
                    )
                    assert isinstance(outcome, Reply), (client, pod, protocol, port)
                    sent = at.packet(client, at.address(pod), port, protocol)
                    assert (outcome.pod, outcome.port) == (pod, port)
                    assert parse_address(outcome.client) == sent.source, client


@pytest.mark.parametrize("family", IPFamily)
def test_the_real_load_balancer_answers_whoever_gets_there(network: KernelNetwork, family: IPFamily) -> None:
    destination = scene(family).real_load_balancer_ip, REAL_PORT
    for protocol in (TCP, UDP):
        [outcome] = network.burst(POD, destination, protocol, count=1, wait=5, source=None)
        assert isinstance(outcome, Reply)
        assert outcome.pod == "router"


@pytest.mark.parametrize("family", IPFamily)
def test_packets_come_in_by_the_interface_that_the_scene_says(
    network: KernelNetwork, family: IPFamily
) -> None:
    for client in (*PODS, OUTSIDE):
        way = network.run(_way_to, scene(family).address(client))
        assert way == scene(family).interface_of(client), client


def _way_to(address: str) -> str:
    from pyroute2 import IPRoute

    with IPRoute() as route:
        [found] = route.route("get", dst=address)
        [link] = route.get_links(found.get("RTA_OIF"))
        name: str = link.get("IFLA_IFNAME")
        return name


def test_connections_are_made_while_changes_are_carried_out(network: KernelNetwork) -> None:
    """Some of them after the last change, so that nothing of its making goes unseen."""
    at = scene(IPFamily.IPV4).address(NODE), 30080
    with ExitStack() as stack:
        start = partial(stack.enter_context, network.serve(NODE, TCP, IPFamily.IPV4, 30080))
        outcomes = network.burst_during([start], POD, at, TCP)
    assert isinstance(outcomes[-1], Reply)


def test_what_goes_wrong_in_a_change_ends_the_connecting(network: KernelNetwork) -> None:
    def fail() -> None:
        raise RuntimeError("a change went wrong")

    destination = scene(IPFamily.IPV4).address("pod-a"), PORTS[0]
    with pytest.raises(RuntimeError, match="a change went wrong"):
        network.burst_during([fail], POD, destination, TCP)


@pytest.mark.parametrize("family", IPFamily)
def test_a_client_off_the_cluster_is_many(network: KernelNetwork, family: IPFamily) -> None:
    at = scene(family)
    crowd = at.crowd(50)
    for pod in ("pod-a", "remote-a"):
        outcomes = network.each(OUTSIDE, crowd, (at.address(pod), PORTS[0]), TCP, wait=5)
        assert [outcome.client for outcome in outcomes if isinstance(outcome, Reply)] == crowd
