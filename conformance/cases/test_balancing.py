"""How new connections are spread over endpoints."""

from collections.abc import Mapping

import pytest

from pointsman.conformance.lab import NODE
from pointsman.conformance.marks import each_protocol
from pointsman.conformance.objects import port, service, target
from pointsman.conformance.scene import OUTSIDE, POD, PODS
from pointsman.conformance.world import World
from pointsman.core.features import Feature
from pointsman.core.model import Protocol

WEIGHTS = "pointsman.dev/weights"


@pytest.mark.semantics("SEL-10", "SVC-CIP-01", "DIV-23", "E2E-01")
@each_protocol
def test_all_endpoints_have_an_even_share(world: World, protocol: Protocol) -> None:
    """Each of four gets a quarter, at random: what was picked last says nothing of what is picked next."""
    vip = world.scene.cluster_ip()
    endpoints = ("pod-a", "pod-b", "remote-a", "remote-b")
    world.apply(
        service("web", vip, ports=[port(80, protocol=protocol)]),
        world.slice("web", *endpoints, ports=[target(8080, protocol=protocol)]),
    )
    world.assert_spread(POD, vip, 80, dict.fromkeys(endpoints, 1), protocol)


@pytest.mark.semantics("SEL-10", "MTX-04", "MTX-07")
@pytest.mark.parametrize("client", [NODE, OUTSIDE])
def test_node_ports_spread_evenly_too(world: World, client: str) -> None:
    """Whoever connects, and at whichever kind of address."""
    endpoints = ("pod-a", "pod-b", "remote-a")
    world.apply(
        service("web", world.scene.cluster_ip(), ports=[port(80, node_port=30080)], type="NodePort"),
        world.slice("web", *endpoints),
    )
    world.assert_spread(client, world.scene.address(NODE), 30080, dict.fromkeys(endpoints, 1))


@pytest.mark.semantics("SEL-10", "IN-EPS-08")
def test_endpoints_are_even_however_they_are_listed(world: World) -> None:
    """One slice has four of them, another one, and a third repeats what the others say."""
    vip = world.scene.cluster_ip()
    world.apply(
        service("web", vip),
        world.slice("web", "pod-a", "pod-b", "pod-c", "remote-a", name="web-1"),
        world.slice("web", "remote-b", name="web-2"),
        world.slice("web", "pod-a", "pod-b", name="web-3"),
    )
    world.assert_spread(OUTSIDE, vip, 80, dict.fromkeys(PODS, 1))


@pytest.mark.semantics("SEL-10")
def test_shares_are_even_again_after_every_change(world: World) -> None:
    """An endpoint that goes leaves its share to all others, one that comes takes some of each."""
    vip = world.scene.cluster_ip()
    world.apply(service("web", vip), world.slice("web", "pod-a", "pod-b", "remote-a", "remote-b"))
    for endpoints in (
        ("pod-b", "remote-a", "remote-b"),
        ("pod-b", "remote-b"),
        ("pod-a", "pod-b", "remote-b"),
    ):
        world.apply(world.slice("web", *endpoints))
        world.assert_spread(POD, vip, 80, dict.fromkeys(endpoints, 1))


@pytest.mark.semantics("SEL-10")
@pytest.mark.requires(Feature.WEIGHTS)
@pytest.mark.parametrize(
    "weights", [{"pod-a": 3, "remote-a": 1}, {"pod-a": 2, "pod-b": 4, "remote-a": 2}], ids=["3-1", "2-4-2"]
)
def test_weights_are_shares(world: World, weights: Mapping[str, int]) -> None:
    """An endpoint gets as many connections as its weight says, in proportion to all others'."""
    vip = world.scene.cluster_ip()
    text = ",".join(f"{world.scene.address(pod)}={weight}" for pod, weight in weights.items())
    world.apply(service("web", vip, metadata={"annotations": {WEIGHTS: text}}), world.slice("web", *weights))
    world.assert_spread(POD, vip, 80, weights)


@pytest.mark.semantics("SEL-10")
@pytest.mark.requires(Feature.WEIGHTS)
def test_weight_0_takes_an_endpoint_out(world: World) -> None:
    """It gets no new connections; all others have even shares."""
    vip = world.scene.cluster_ip()
    text = f"{world.scene.address('pod-b')}=0"
    world.apply(
        service("web", vip, metadata={"annotations": {WEIGHTS: text}}),
        world.slice("web", "pod-a", "pod-b", "remote-a"),
    )
    world.assert_spread(POD, vip, 80, {"pod-a": 1, "remote-a": 1})
