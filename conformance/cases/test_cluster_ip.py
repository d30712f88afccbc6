"""ClusterIPs: who reaches which endpoints, and what else becomes of a service's address."""

import pytest

from pointsman.conformance.answers import (
    KEPT,
    MASQUERADED,
    REJECTED,
    UNANSWERED,
    Failure,
    forwarded,
)
from pointsman.conformance.lab import NODE
from pointsman.conformance.marks import each_protocol
from pointsman.conformance.objects import port, service, target
from pointsman.conformance.scene import OUTSIDE, POD
from pointsman.conformance.world import World
from pointsman.core.model import Protocol

CLIENTS = (POD, NODE, OUTSIDE)


@pytest.mark.semantics(
    *("SVC-CIP-01", "MTX-01", "MTX-03", "MTX-06", "PRO-01", "E2E-01", "E2E-04", "E2E-28", "E2E-38")
)
@each_protocol
def test_every_client_reaches_every_endpoint(world: World, protocol: Protocol) -> None:
    """A local pod is seen as itself, the node and clients off the cluster as the node."""
    vip = world.scene.cluster_ip()
    world.apply(
        service("web", vip, ports=[port(80, protocol=protocol)]),
        world.slice("web", "pod-a", "pod-b", "remote-a", ports=[target(8080, protocol=protocol)]),
    )
    endpoints = ("pod-a", "pod-b", "remote-a")
    assert world.answers(POD, vip, 80, protocol) == forwarded(*endpoints, source=KEPT)
    assert world.answers(NODE, vip, 80, protocol) == forwarded(*endpoints, source=MASQUERADED)
    assert world.answers(OUTSIDE, vip, 80, protocol) == forwarded(*endpoints, source=MASQUERADED)


@pytest.mark.semantics("MSQ-03", "MTX-01", "E2E-05")
@each_protocol
def test_a_pod_reaches_itself_through_its_own_service(world: World, protocol: Protocol) -> None:
    """The way back leads through the node only if the pod sees the node; other endpoints see the pod."""
    vip = world.scene.cluster_ip()
    world.apply(
        service("web", vip, ports=[port(80, protocol=protocol)]),
        world.slice("web", "pod-a", "pod-b", "remote-a", ports=[target(8080, protocol=protocol)]),
    )
    assert world.answers("pod-a", vip, 80, protocol) == (
        forwarded("pod-a", source=MASQUERADED) | forwarded("pod-b", "remote-a", source=KEPT)
    )


@pytest.mark.semantics("MSQ-03")
def test_a_pod_that_is_the_only_endpoint_reaches_itself(world: World) -> None:
    """And another pod is still seen as itself, for it is no hairpin."""
    vip = world.scene.cluster_ip()
    world.apply(service("web", vip), world.slice("web", "pod-a"))
    assert world.answers("pod-a", vip, 80) == forwarded("pod-a", source=MASQUERADED)
    assert world.answers("pod-b", vip, 80) == forwarded("pod-a", source=KEPT)


@pytest.mark.semantics("SVC-CIP-03", "DIV-01")
@each_protocol
def test_a_port_that_a_service_does_not_have_is_refused(world: World, protocol: Protocol) -> None:
    """Also the port that its endpoints listen on: it is no port of the virtual address."""
    vip = world.scene.cluster_ip()
    world.apply(
        service("web", vip, ports=[port(80, protocol=protocol)]),
        world.slice("web", "pod-a", ports=[target(8080, protocol=protocol)]),
    )
    for client in CLIENTS:
        for undefined in (81, 8080):
            assert world.answers(client, vip, undefined, protocol) == REJECTED, client


@pytest.mark.semantics("SVC-CIP-04", "DIV-02")
def test_a_service_address_that_nobody_has_is_silent(world: World) -> None:
    """Connections to it neither leave the node nor are refused; the address may be somebody's in a moment."""
    world.apply(service("web", world.scene.cluster_ip()), world.slice("web", "pod-a"))
    for client in CLIENTS:
        assert world.answers(client, world.scene.cluster_ip(1), 80) == UNANSWERED, client


@pytest.mark.semantics("SVC-CIP-05", "DIV-03")
def test_a_virtual_address_is_not_to_be_pinged(world: World) -> None:
    """It is no machine: whoever pings it is told so."""
    vip = world.scene.cluster_ip()
    world.apply(service("web", vip), world.slice("web", "pod-a"))
    for client in CLIENTS:
        assert world.ping(client, vip) is Failure.REJECTED, client


@pytest.mark.semantics("SVC-CIP-06", "E2E-06", "E2E-07")
def test_a_service_is_deleted_and_created_again(world: World) -> None:
    """While it is gone its address is nobody's, and others are none the worse; then it serves again."""
    vip, other, moved = (world.scene.cluster_ip(index) for index in range(3))
    web = service("web", vip)
    world.apply(web, world.slice("web", "pod-a"), service("api", other), world.slice("api", "remote-a"))
    world.delete(web)
    assert world.answers(POD, vip, 80) == UNANSWERED
    assert world.answers(POD, other, 80) == forwarded("remote-a", source=KEPT)
    world.apply(web)
    assert world.answers(POD, vip, 80) == forwarded("pod-a", source=KEPT)
    world.delete(web)
    world.apply(service("web", moved))
    assert world.answers(POD, moved, 80) == forwarded("pod-a", source=KEPT)
    assert world.answers(POD, vip, 80) == UNANSWERED


@pytest.mark.semantics("SVC-CIP-06")
def test_an_address_passes_from_one_service_to_another(world: World) -> None:
    """Whoever connects to it now means the one that has it now."""
    vip = world.scene.cluster_ip()
    web, api = service("web", vip), service("api", vip)
    world.apply(web, world.slice("web", "pod-a"), world.slice("api", "remote-a"))
    world.delete(web)
    world.apply(api)
    assert world.answers(POD, vip, 80) == forwarded("remote-a", source=KEPT)


@pytest.mark.semantics("IN-SVC-04", "E2E-02", "E2E-29", "IN-EPS-03")
def test_each_port_of_a_service_leads_to_its_own_target(world: World) -> None:
    """Ports are told apart by their names."""
    vip = world.scene.cluster_ip()
    world.apply(
        service("web", vip, ports=[port(80, name="http"), port(81, name="admin")]),
        world.slice(
            "web", "pod-a", "remote-a", ports=[target(8080, name="http"), target(9090, name="admin")]
        ),
    )
    assert world.answers(POD, vip, 80) == forwarded("pod-a:8080", "remote-a:8080", source=KEPT)
    assert world.answers(POD, vip, 81) == forwarded("pod-a:9090", "remote-a:9090", source=KEPT)


@pytest.mark.semantics("E2E-03", "SVC-CIP-03")
def test_ports_come_and_go_while_a_service_lives(world: World) -> None:
    """A port that is added serves, one that is removed is refused, one that stays is left alone."""
    vip = world.scene.cluster_ip()
    http, admin = port(80, name="http"), port(81, name="admin")
    targets = [target(8080, name="http"), target(9090, name="admin")]
    world.apply(service("web", vip, ports=[http]), world.slice("web", "pod-a", ports=targets))
    assert world.answers(POD, vip, 81) == REJECTED
    world.apply(service("web", vip, ports=[http, admin]))
    assert world.answers(POD, vip, 80) == forwarded("pod-a:8080", source=KEPT)
    assert world.answers(POD, vip, 81) == forwarded("pod-a:9090", source=KEPT)
    world.apply(service("web", vip, ports=[admin]))
    assert world.answers(POD, vip, 80) == REJECTED
    assert world.answers(POD, vip, 81) == forwarded("pod-a:9090", source=KEPT)
    world.apply(service("web", vip, ports=[port(82, name="admin")]))
    assert world.answers(POD, vip, 81) == REJECTED
    assert world.answers(POD, vip, 82) == forwarded("pod-a:9090", source=KEPT)


@pytest.mark.semantics("PRO-01", "IN-SVC-04", "E2E-27")
def test_one_number_is_another_port_for_each_protocol(world: World) -> None:
    """TCP and UDP on the same port number have nothing to do with each other."""
    vip = world.scene.cluster_ip()
    tcp, udp = port(53, name="tcp"), port(53, name="udp", protocol=Protocol.UDP)
    world.apply(
        service("dns", vip, ports=[tcp, udp]),
        world.slice("dns", "pod-a", ports=[target(8080, name="tcp")], name="dns-1"),
        world.slice("dns", "remote-a", ports=[target(9090, name="udp", protocol=Protocol.UDP)], name="dns-2"),
    )
    assert world.answers(POD, vip, 53, Protocol.TCP) == forwarded("pod-a:8080", source=KEPT)
    assert world.answers(POD, vip, 53, Protocol.UDP) == forwarded("remote-a:9090", source=KEPT)
    world.apply(service("dns", vip, ports=[udp]))
    assert world.answers(POD, vip, 53, Protocol.TCP) == REJECTED
    assert world.answers(POD, vip, 53, Protocol.UDP) == forwarded("remote-a:9090", source=KEPT)


@pytest.mark.semantics("E2E-39", "E2E-06")
def test_services_may_share_their_endpoints(world: World) -> None:
    """Two services lead to the same pods, and one that goes takes nothing from the other."""
    web, api = (service(name, world.scene.cluster_ip(index)) for index, name in enumerate(("web", "api")))
    world.apply(web, api, world.slice("web", "pod-a", "remote-a"), world.slice("api", "pod-a", "remote-a"))
    both = forwarded("pod-a", "remote-a", source=KEPT)
    assert world.answers(POD, world.scene.cluster_ip(0), 80) == both
    assert world.answers(POD, world.scene.cluster_ip(1), 80) == both
    world.delete(web)
    assert world.answers(POD, world.scene.cluster_ip(1), 80) == both
    assert world.answers("pod-a", world.scene.cluster_ip(1), 80) == (
        forwarded("pod-a", source=MASQUERADED) | forwarded("remote-a", source=KEPT)
    )


@pytest.mark.semantics("E2E-42", "PRO-01")
def test_an_endpoint_may_be_the_other_node_itself(world: World) -> None:
    """A pod with the host's network has the host's address."""
    vip = world.scene.cluster_ip()
    world.apply(service("web", vip), world.slice("web", "node2"))
    with world.serve("node2", 8080):
        assert world.answers(POD, vip, 80) == forwarded("node2", source=KEPT)
        assert world.answers(OUTSIDE, vip, 80) == forwarded("node2", source=MASQUERADED)


@pytest.mark.semantics("IN-SVC-02", "IN-SVC-03", "E2E-13")
def test_a_service_that_becomes_an_external_name_is_not_served(world: World) -> None:
    """Even with a ClusterIP left over; nor is one without a ClusterIP, at any other address. Back, it is."""
    vip, outer = world.scene.cluster_ip(), world.scene.external_ip()
    web, headless = service("web", vip, externalIPs=[outer]), service("web", externalIPs=[outer])
    empty = {**headless, "spec": {**headless["spec"], "clusterIP": ""}}
    world.apply(web, world.slice("web", "pod-a"))
    for other in (service("web", vip, type="ExternalName", externalIPs=[outer]), headless, empty):
        world.apply(other)
        assert world.answers(POD, vip, 80) == UNANSWERED, other
        assert world.answers(OUTSIDE, outer, 80) == UNANSWERED, other
        world.apply(web)
        assert world.answers(POD, vip, 80) == forwarded("pod-a", source=KEPT)
        assert world.answers(OUTSIDE, outer, 80) == forwarded("pod-a", source=MASQUERADED)


@pytest.mark.semantics("IN-SVC-01", "E2E-19")
@pytest.mark.parametrize("value", ["another-proxy", ""])
def test_a_service_of_another_proxy_is_left_alone(world: World, value: str) -> None:
    """The label hands a service to somebody else, whatever its value, and its removal takes it back."""
    vip = world.scene.cluster_ip()
    label = {"labels": {"service.kubernetes.io/service-proxy-name": value}}
    world.apply(service("web", vip, metadata=label), world.slice("web", "pod-a"))
    assert world.answers(POD, vip, 80) == UNANSWERED
    world.apply(service("web", vip))
    assert world.answers(POD, vip, 80) == forwarded("pod-a", source=KEPT)
    world.apply(service("web", vip, metadata=label))
    assert world.answers(POD, vip, 80) == UNANSWERED
