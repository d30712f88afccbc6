"""Two families, each for itself."""

import pytest

from pointsman.conformance.answers import KEPT, MASQUERADED, REJECTED, UNANSWERED, forwarded, untouched
from pointsman.conformance.lab import NODE
from pointsman.conformance.objects import port, service
from pointsman.conformance.scene import OUTSIDE, POD
from pointsman.conformance.world import World
from pointsman.core.addresses import IPFamily

pytestmark = pytest.mark.dual_stack

NODE_PORT = 30080


@pytest.mark.semantics("PRO-02", "PRO-03", "IN-SVC-03", "E2E-47")
def test_a_service_has_an_address_in_each_family(world: World) -> None:
    """Each leads to the endpoints of its family, one of which may have none."""
    other = world.in_family(IPFamily.IPV6)
    vips = world.scene.cluster_ip(), other.scene.cluster_ip()
    web = service("web", *vips, ports=[port(80, node_port=NODE_PORT)], type="NodePort")
    world.apply(web, world.slice("web", "pod-a"))
    assert world.answers(POD, vips[0], 80) == forwarded("pod-a", source=KEPT)
    assert other.answers(POD, vips[1], 80) == REJECTED
    assert other.answers(OUTSIDE, other.scene.address(NODE), NODE_PORT) == REJECTED
    world.apply(other.slice("web", "remote-a"))
    assert world.answers(POD, vips[0], 80) == forwarded("pod-a", source=KEPT)
    assert other.answers(POD, vips[1], 80) == forwarded("remote-a", source=KEPT)
    assert other.answers(OUTSIDE, other.scene.address(NODE), NODE_PORT) == (
        forwarded("remote-a", source=MASQUERADED)
    )
    world.apply(world.slice("web"))
    assert world.answers(POD, vips[0], 80) == REJECTED
    assert other.answers(POD, vips[1], 80) == forwarded("remote-a", source=KEPT)


@pytest.mark.semantics("IN-SVC-03", "PRO-02")
def test_a_service_without_an_address_in_a_family_is_not_in_it(world: World) -> None:
    """Nor are its node port, load balancer and external IP."""
    other = world.in_family(IPFamily.IPV6)
    ours, theirs = world.scene, other.scene
    world.apply(
        service(
            "web",
            ours.cluster_ip(),
            ports=[port(80, node_port=NODE_PORT)],
            type="LoadBalancer",
            ingress=[{"ip": ours.load_balancer_ip()}, {"ip": theirs.load_balancer_ip()}],
            externalIPs=[ours.external_ip(), theirs.external_ip()],
        ),
        world.slice("web", "pod-a"),
        other.slice("web", "pod-a"),
    )
    due = forwarded("pod-a", source=MASQUERADED)
    for address in (ours.cluster_ip(), ours.load_balancer_ip(), ours.external_ip()):
        assert world.answers(OUTSIDE, address, 80) == due, address
    for address in (theirs.cluster_ip(), theirs.load_balancer_ip(), theirs.external_ip()):
        assert other.answers(OUTSIDE, address, 80) == UNANSWERED, address
    with world.serve(NODE, NODE_PORT), other.serve(NODE, NODE_PORT):
        assert world.answers(OUTSIDE, ours.address(NODE), NODE_PORT) == due
        assert other.answers(OUTSIDE, theirs.address(NODE), NODE_PORT) == (
            untouched(f"node:{NODE_PORT}", OUTSIDE)
        )


@pytest.mark.semantics("IN-SVC-03", "PRO-02")
def test_a_service_gains_and_loses_a_family(world: World) -> None:
    """The family that stays is left alone: not one of its rules is written."""
    other = world.in_family(IPFamily.IPV6)
    first, second = world.scene.cluster_ip(), other.scene.cluster_ip()
    single, dual = service("web", first), service("web", first, second)
    world.apply(single, world.slice("web", "pod-a"), other.slice("web", "pod-b"))
    assert other.answers(POD, second, 80) == UNANSWERED
    assert IPFamily.IPV4 not in world.apply(dual)
    assert other.answers(POD, second, 80) == forwarded("pod-b", source=KEPT)
    assert world.answers(POD, first, 80) == forwarded("pod-a", source=KEPT)
    assert IPFamily.IPV4 not in world.apply(single)
    assert other.answers(POD, second, 80) == UNANSWERED
    assert world.answers(POD, first, 80) == forwarded("pod-a", source=KEPT)


@pytest.mark.semantics("IN-EPS-02", "PRO-02")
def test_a_slice_belongs_to_one_family(world: World) -> None:
    """Same service, same port, same pods: what one slice says is nothing to the other family."""
    other = world.in_family(IPFamily.IPV6)
    vips = world.scene.cluster_ip(), other.scene.cluster_ip()
    unready = other.endpoint("pod-a", ready=False)
    world.apply(
        service("web", *vips), world.slice("web", "pod-a", "pod-b"), other.slice("web", unready, "pod-b")
    )
    assert world.answers(POD, vips[0], 80) == forwarded("pod-a", "pod-b", source=KEPT)
    assert other.answers(POD, vips[1], 80) == forwarded("pod-b", source=KEPT)
