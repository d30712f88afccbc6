"""What the proxy makes of what it finds: after its own restart, and after others have been at work."""

import pytest

from pointsman.conformance.answers import (
    KEPT,
    MASQUERADED,
    REJECTED,
    UNANSWERED,
    Answers,
    forwarded,
    untouched,
)
from pointsman.conformance.lab import EXTERNAL_CIDRS, NODE, SERVICE_CIDRS
from pointsman.conformance.objects import Manifest, port, service, service_cidr
from pointsman.conformance.scene import OUTSIDE, POD
from pointsman.conformance.world import World

NODE_PORT = 30080


def services(world: World) -> list[Manifest]:
    """Of every kind, with and without endpoints, and one behind source ranges."""
    at = world.scene
    return [
        service("web", at.cluster_ip(0), ports=[port(80, node_port=NODE_PORT)], type="NodePort"),
        world.slice("web", "pod-a", "remote-a"),
        service("none", at.cluster_ip(1)),
        service(
            "ranges",
            at.cluster_ip(2),
            type="LoadBalancer",
            ingress=[{"ip": at.load_balancer_ip()}],
            externalTrafficPolicy="Local",
            loadBalancerSourceRanges=[at.pod_cidr()],
        ),
        world.slice("ranges", "pod-a", "remote-a"),
    ]


def behaviour(world: World) -> list[Answers]:
    """How they all answer."""
    at = world.scene
    return [
        world.answers(POD, at.cluster_ip(0), 80),
        world.answers(OUTSIDE, at.address(NODE), NODE_PORT),
        world.answers(POD, at.cluster_ip(1), 80),
        world.answers(POD, at.load_balancer_ip(), 80),
        world.answers(OUTSIDE, at.load_balancer_ip(), 80),
    ]


BOTH = ("pod-a", "remote-a")
DUE = [
    forwarded(*BOTH, source=KEPT),
    forwarded(*BOTH, source=MASQUERADED),
    REJECTED,
    forwarded(*BOTH, source=KEPT),
    UNANSWERED,
]


@pytest.mark.semantics("SYNC-01", "E2E-08")
def test_a_new_proxy_finds_everything_in_place(world: World) -> None:
    """It takes over what the old one left, and writes nothing."""
    world.apply(*services(world))
    assert behaviour(world) == DUE
    for family, report in world.restart().items():
        assert report.writes == 0, family
    assert behaviour(world) == DUE


@pytest.mark.semantics("SYNC-01", "SYNC-04", "E2E-08")
def test_a_new_proxy_corrects_what_changed_meanwhile(world: World) -> None:
    """What is gone by now, what is new, and what is another's."""
    old = services(world)
    world.apply(*old)
    at = world.scene
    new = [
        world.slice("web", "pod-b"),
        service("other", at.cluster_ip(3)),
        world.slice("other", "pod-a"),
        service("none", at.cluster_ip(1)),
        world.slice("none", "remote-b"),
    ]
    world.restart([old[0], *new])
    assert world.answers(POD, at.cluster_ip(0), 80) == forwarded("pod-b", source=KEPT)
    assert world.answers(OUTSIDE, at.address(NODE), NODE_PORT) == forwarded("pod-b", source=MASQUERADED)
    assert world.answers(POD, at.cluster_ip(1), 80) == forwarded("remote-b", source=KEPT)
    assert world.answers(POD, at.cluster_ip(2), 80) == UNANSWERED
    assert world.answers(POD, at.load_balancer_ip(), 80) == UNANSWERED
    assert world.answers(POD, at.cluster_ip(3), 80) == forwarded("pod-a", source=KEPT)


@pytest.mark.semantics("SYNC-08", "DIV-20", "E2E-43")
def test_rules_that_somebody_removed_come_back(world: World) -> None:
    """All of them, at the next look."""
    world.apply(*services(world))
    world.wipe()
    assert behaviour(world) == DUE


@pytest.mark.semantics("IN-CIDR-01", "IN-CIDR-02", "SVC-CIP-04", "DIV-02", "E2E-55")
def test_service_addresses_may_lie_in_another_network(world: World) -> None:
    """Services are served wherever they are; addresses nobody has are silent once their network is known."""
    real, vip = world.scene.real_load_balancer_ip, world.scene.external_ip()
    extra = service_cidr("extra", EXTERNAL_CIDRS.values())
    served = {POD: forwarded("pod-a", source=KEPT), NODE: forwarded("pod-a", source=MASQUERADED)}
    web = service("web", vip)
    world.apply(web, world.slice("web", "pod-a"))
    for change, silent in ((web, False), (extra, True)):
        world.apply(change)
        for client, due in served.items():
            assert world.answers(client, vip, 80) == due
            assert world.answers(client, real, 80) == (
                UNANSWERED if silent else untouched("router:80", client)
            )
    world.delete(extra)
    for client in served:
        assert world.answers(client, real, 80) == untouched("router:80", client)


@pytest.mark.semantics("IN-CIDR-03")
def test_a_network_that_two_objects_name_stays_until_both_are_gone(world: World) -> None:
    """Deleting one of them changes nothing."""
    unused = world.scene.cluster_ip(5)
    again = service_cidr("again", SERVICE_CIDRS.values())
    world.apply(again)
    world.delete(again)
    assert world.answers(POD, unused, 80) == UNANSWERED
