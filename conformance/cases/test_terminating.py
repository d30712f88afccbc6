"""Endpoints that terminate and still serve: the last resort, of each set by itself (SEL-01, SEL-02)."""

import pytest

from pointsman.conformance.answers import KEPT, MASQUERADED, UNANSWERED, forwarded
from pointsman.conformance.lab import NODE
from pointsman.conformance.objects import Manifest, port, service
from pointsman.conformance.scene import OUTSIDE, POD
from pointsman.conformance.world import World

NODE_PORT = 30080


def leaving(world: World, pod: str) -> Manifest:
    """A pod that terminates and still serves."""
    return world.endpoint(pod, ready=False, serving=True, terminating=True)


def web(world: World, *, internal: str = "Cluster", external: str = "Cluster") -> Manifest:
    """A service with a node port."""
    return service(
        "web",
        world.scene.cluster_ip(),
        ports=[port(80, node_port=NODE_PORT)],
        type="NodePort",
        internalTrafficPolicy=internal,
        externalTrafficPolicy=external,
    )


@pytest.mark.semantics("SEL-02", "NOEP-06", "E2E-25")
def test_internal_policy_local_falls_back_to_terminating_ones_here(world: World) -> None:
    """Though others are ready elsewhere; when they are gone, it is silent."""
    vip = world.scene.cluster_ip()
    world.apply(
        web(world, internal="Local"), world.slice("web", "pod-a", leaving(world, "pod-b"), "remote-a")
    )
    assert world.answers(POD, vip, 80) == forwarded("pod-a", source=KEPT)
    world.apply(world.slice("web", leaving(world, "pod-b"), "remote-a"))
    assert world.answers(POD, vip, 80) == forwarded("pod-b", source=KEPT)
    world.apply(world.slice("web", "remote-a"))
    assert world.answers(POD, vip, 80) == UNANSWERED


@pytest.mark.semantics("SEL-02", "NOEP-07", "E2E-24", "E2E-25", "E2E-53")
def test_external_policy_local_falls_back_to_terminating_ones_here(world: World) -> None:
    """For clients off the cluster; local pods go to those that are ready elsewhere."""
    node = world.scene.address(NODE)
    world.apply(web(world, external="Local"), world.slice("web", leaving(world, "pod-b"), "remote-a"))
    assert world.answers(OUTSIDE, node, NODE_PORT) == forwarded("pod-b", source=KEPT)
    assert world.answers(POD, node, NODE_PORT) == forwarded("remote-a", source=KEPT)
    world.apply(world.slice("web", leaving(world, "pod-b"), leaving(world, "remote-a")))
    assert world.answers(OUTSIDE, node, NODE_PORT) == forwarded("pod-b", source=KEPT)
    assert world.answers(POD, node, NODE_PORT) == forwarded("pod-b", "remote-a", source=KEPT)
    world.apply(world.slice("web", leaving(world, "remote-a")))
    assert world.answers(OUTSIDE, node, NODE_PORT) == UNANSWERED


@pytest.mark.semantics("SEL-01", "E2E-25")
def test_policy_cluster_falls_back_only_where_nobody_is_ready_anywhere(world: World) -> None:
    """On the node port as on the ClusterIP."""
    vip, node = world.scene.cluster_ip(), world.scene.address(NODE)
    world.apply(web(world), world.slice("web", leaving(world, "pod-a"), "remote-a"))
    assert world.answers(POD, vip, 80) == forwarded("remote-a", source=KEPT)
    assert world.answers(OUTSIDE, node, NODE_PORT) == forwarded("remote-a", source=MASQUERADED)
    world.apply(world.slice("web", leaving(world, "pod-a"), leaving(world, "remote-a")))
    assert world.answers(POD, vip, 80) == forwarded("pod-a", "remote-a", source=KEPT)
    assert world.answers(OUTSIDE, node, NODE_PORT) == forwarded("pod-a", "remote-a", source=MASQUERADED)


@pytest.mark.semantics("SEL-04", "NOEP-06")
def test_an_endpoint_that_no_longer_serves_is_no_resort(world: World) -> None:
    """Silence, for there is somebody elsewhere."""
    over = world.endpoint("pod-a", ready=False, serving=False, terminating=True)
    world.apply(web(world, internal="Local", external="Local"), world.slice("web", over, "remote-a"))
    assert world.answers(POD, world.scene.cluster_ip(), 80) == UNANSWERED
    assert world.answers(OUTSIDE, world.scene.address(NODE), NODE_PORT) == UNANSWERED
