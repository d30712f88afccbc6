"""Topology hints: endpoints that are meant for this node or its zone."""

import pytest

from pointsman.conformance.answers import KEPT, MASQUERADED, REJECTED, forwarded
from pointsman.conformance.cluster import node
from pointsman.conformance.lab import NODE, SECOND_NODE
from pointsman.conformance.objects import Manifest, port, service
from pointsman.conformance.scene import OUTSIDE, POD, ZONE
from pointsman.conformance.world import World

ELSEWHERE = "zone-2"


def hinted(world: World, pod: str, *zones: str, nodes: tuple[str, ...] | None = None) -> Manifest:
    """A ready endpoint that is meant for some zones and nodes."""
    return world.endpoint(pod, zones=zones, nodes=nodes)


@pytest.mark.semantics("SEL-05", "SEL-08", "IN-NODE-06", "E2E-44", "E2E-45")
def test_connections_stay_in_their_zone(world: World) -> None:
    """Where every endpoint says for which zones it is, those for ours are used, from anywhere."""
    vip = world.scene.cluster_ip()
    world.apply(
        service("web", vip),
        world.slice("web", hinted(world, "pod-a", ZONE), hinted(world, "remote-a", ELSEWHERE)),
    )
    assert world.answers(POD, vip, 80) == forwarded("pod-a", source=KEPT)
    assert world.answers(OUTSIDE, vip, 80) == forwarded("pod-a", source=MASQUERADED)


@pytest.mark.semantics("SEL-06")
def test_an_endpoint_may_be_for_several_zones(world: World) -> None:
    """It is used in each of them."""
    vip = world.scene.cluster_ip()
    world.apply(
        service("web", vip),
        world.slice(
            "web",
            hinted(world, "pod-a", ELSEWHERE),
            hinted(world, "pod-b", ELSEWHERE, ZONE),
            hinted(world, "remote-a", ZONE),
        ),
    )
    assert world.answers(POD, vip, 80) == forwarded("pod-b", "remote-a", source=KEPT)


@pytest.mark.semantics("SEL-05", "SEL-06")
def test_one_endpoint_without_a_hint_makes_all_hints_void(world: World) -> None:
    """But one that isn't ready doesn't: it is not there to be chosen."""
    vip = world.scene.cluster_ip()
    near, far = hinted(world, "pod-a", ZONE), hinted(world, "remote-a", ELSEWHERE)
    world.apply(service("web", vip), world.slice("web", near, far, "pod-b"))
    assert world.answers(POD, vip, 80) == forwarded("pod-a", "pod-b", "remote-a", source=KEPT)
    for conditions in ({"ready": False}, {"ready": False, "serving": True, "terminating": True}):
        world.apply(world.slice("web", near, far, world.endpoint("pod-b", **conditions)))
        assert world.answers(POD, vip, 80) == forwarded("pod-a", source=KEPT), conditions


@pytest.mark.semantics("SEL-05", "SEL-09")
def test_where_no_endpoint_is_for_the_zone_all_are_used(world: World) -> None:
    """A longer way is better than none."""
    vip = world.scene.cluster_ip()
    far = (hinted(world, "pod-a", ELSEWHERE), hinted(world, "remote-a", ELSEWHERE))
    world.apply(service("web", vip), world.slice("web", *far))
    assert world.answers(POD, vip, 80) == forwarded("pod-a", "remote-a", source=KEPT)


@pytest.mark.semantics("SEL-09", "SEL-01")
def test_the_last_endpoint_of_the_zone_goes(world: World) -> None:
    """Others that are ready come before those of the zone that terminate."""
    vip = world.scene.cluster_ip()
    far = hinted(world, "remote-a", ELSEWHERE)
    world.apply(service("web", vip), world.slice("web", hinted(world, "pod-a", ZONE), far))
    assert world.answers(POD, vip, 80) == forwarded("pod-a", source=KEPT)
    leaving = world.endpoint("pod-a", zones=[ZONE], ready=False, serving=True, terminating=True)
    world.apply(world.slice("web", leaving, far))
    assert world.answers(POD, vip, 80) == forwarded("remote-a", source=KEPT)
    world.apply(world.slice("web", hinted(world, "pod-b", ZONE), far))
    assert world.answers(POD, vip, 80) == forwarded("pod-b", source=KEPT)


@pytest.mark.semantics("SEL-01", "SEL-05")
def test_terminating_endpoints_are_used_whatever_their_zone(world: World) -> None:
    """Where nobody is ready, hints are no reason to leave out who still serves."""
    vip = world.scene.cluster_ip()
    leaving = [
        world.endpoint(pod, zones=[zone], ready=False, serving=True, terminating=True)
        for pod, zone in (("pod-a", ZONE), ("remote-a", ELSEWHERE))
    ]
    world.apply(service("web", vip), world.slice("web", *leaving))
    assert world.answers(POD, vip, 80) == forwarded("pod-a", "remote-a", source=KEPT)


@pytest.mark.semantics("SEL-07", "IN-NODE-06")
def test_the_nodes_zone_changes(world: World) -> None:
    """What is near changes with it; in no zone, nothing is."""
    vip = world.scene.cluster_ip()
    world.apply(
        service("web", vip),
        world.slice("web", hinted(world, "pod-a", ZONE), hinted(world, "remote-a", ELSEWHERE)),
    )
    world.apply(node(zone=ELSEWHERE))
    assert world.answers(POD, vip, 80) == forwarded("remote-a", source=KEPT)
    world.apply(node(zone=None))
    assert world.answers(POD, vip, 80) == forwarded("pod-a", "remote-a", source=KEPT)
    world.apply(node())
    assert world.answers(POD, vip, 80) == forwarded("pod-a", source=KEPT)


@pytest.mark.semantics("SEL-05", "SEL-08", "E2E-46")
def test_connections_stay_on_their_node_then_in_their_zone(world: World) -> None:
    """Node hints come first, zone hints where there is no endpoint for the node, then all."""
    vip = world.scene.cluster_ip()
    here = hinted(world, "pod-a", ZONE, nodes=(NODE,))
    near = hinted(world, "remote-a", ZONE, nodes=(SECOND_NODE,))
    far = hinted(world, "remote-b", ELSEWHERE, nodes=(SECOND_NODE,))
    world.apply(service("web", vip), world.slice("web", here, near, far))
    assert world.answers(POD, vip, 80) == forwarded("pod-a", source=KEPT)
    world.apply(world.slice("web", near, far))
    assert world.answers(POD, vip, 80) == forwarded("remote-a", source=KEPT)
    world.apply(world.slice("web", far))
    assert world.answers(POD, vip, 80) == forwarded("remote-b", source=KEPT)
    world.apply(world.slice("web", here, near, far))
    assert world.answers(POD, vip, 80) == forwarded("pod-a", source=KEPT)


@pytest.mark.semantics("SEL-06", "SEL-07")
def test_one_endpoint_without_a_node_hint_leaves_zone_hints(world: World) -> None:
    """Each kind of hint stands by itself; node hints count in no zone, too."""
    vip = world.scene.cluster_ip()
    here, near = hinted(world, "pod-a", ZONE, nodes=(NODE,)), hinted(world, "pod-b", ZONE)
    far = hinted(world, "remote-a", ELSEWHERE, nodes=(SECOND_NODE,))
    world.apply(service("web", vip), world.slice("web", here, near, far))
    assert world.answers(POD, vip, 80) == forwarded("pod-a", "pod-b", source=KEPT)
    world.apply(node(zone=None), world.slice("web", here, far))
    assert world.answers(POD, vip, 80) == forwarded("pod-a", source=KEPT)


@pytest.mark.semantics("SEL-02")
def test_local_policies_pay_no_heed_to_hints(world: World) -> None:
    """An endpoint on this node is local, whomever it is meant for."""
    vip, node_address = world.scene.cluster_ip(), world.scene.address(NODE)
    world.apply(
        service(
            "web",
            vip,
            ports=[port(80, node_port=30080)],
            type="NodePort",
            internalTrafficPolicy="Local",
            externalTrafficPolicy="Local",
        ),
        world.slice("web", hinted(world, "pod-a", ELSEWHERE), hinted(world, "remote-a", ZONE)),
    )
    assert world.answers(POD, vip, 80) == forwarded("pod-a", source=KEPT)
    assert world.answers(OUTSIDE, node_address, 30080) == forwarded("pod-a", source=KEPT)
    # The Cluster set of the same service, which local pods get, is that of the zone.
    assert world.answers(POD, node_address, 30080) == forwarded("remote-a", source=KEPT)


@pytest.mark.semantics("SEL-04", "SEL-05", "NOEP-01")
def test_hints_make_nobody_ready(world: World) -> None:
    """An endpoint for this very node is of no use while it isn't."""
    vip = world.scene.cluster_ip()
    unready = world.endpoint("pod-a", zones=[ZONE], nodes=[NODE], ready=False, serving=False)
    world.apply(service("web", vip), world.slice("web", unready))
    assert world.answers(POD, vip, 80) == REJECTED
