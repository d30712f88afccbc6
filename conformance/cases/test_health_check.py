"""The health check node port: what a load balancer hears when it asks a node about a Service."""

import json

import pytest

from pointsman.conformance.answers import KEPT, MASQUERADED, forwarded
from pointsman.conformance.lab import NODE, Page, Refused
from pointsman.conformance.objects import HEALTH_CHECK_NODE_PORT, Manifest, port, service, target
from pointsman.conformance.parts import Part
from pointsman.conformance.scene import OUTSIDE, POD, SECOND_ADDRESS_CIDRS
from pointsman.conformance.world import World
from pointsman.core.addresses import parse_network

pytestmark = pytest.mark.requires(Part.HEALTH_CHECKS)


def web(world: World, policy: str = "Local", number: int = HEALTH_CHECK_NODE_PORT) -> Manifest:
    """A service behind a load balancer that asks."""
    made = service(
        "web",
        world.scene.cluster_ip(),
        type="LoadBalancer",
        ingress=[{"ip": world.scene.load_balancer_ip()}],
        externalTrafficPolicy=policy,
    )
    if policy == "Local":
        made["spec"]["healthCheckNodePort"] = number
    return made


def heard(world: World, number: int = HEALTH_CHECK_NODE_PORT, path: str = "/", method: str = "GET") -> object:
    """Status and number of endpoints that the load balancer hears; None if nobody is there."""
    page = world.request(OUTSIDE, world.scene.address(NODE), number, path, method=method)
    if isinstance(page, Refused):
        return None
    assert isinstance(page, Page), page
    return page.status, int(page.headers["x-load-balancing-endpoint-weight"])


def hears(world: World, due: object, number: int = HEALTH_CHECK_NODE_PORT) -> bool:
    """Whether that is what the load balancer hears soon."""
    return world.comes_about(lambda: heard(world, number) == due)


@pytest.mark.semantics("HC-01", "HC-02", "HC-03", "E2E-54")
def test_it_tells_how_many_endpoints_are_here(world: World) -> None:
    """In status, header and body, whatever path and method; where node ports answer, and nowhere else."""
    world.apply(web(world), world.slice("web", "pod-a", "pod-b", "remote-a"))
    assert hears(world, (200, 2))
    for client in (OUTSIDE, POD, NODE):
        for method, path in (("GET", "/"), ("POST", "/what/ever?it=is")):
            page = world.request(
                client, world.scene.address(NODE), HEALTH_CHECK_NODE_PORT, path, method=method
            )
            assert isinstance(page, Page), client
            assert page.status == 200
            assert page.headers["content-type"] == "application/json"
            assert page.headers["x-content-type-options"] == "nosniff"
            assert page.headers["x-load-balancing-endpoint-weight"] == "2"
            said = json.loads(page.body)
            assert said["service"] == {"namespace": "default", "name": "web"}
            assert (said["localEndpoints"], said["serviceProxyHealthy"]) == (2, True)
    inside = world.scene.node_address_in(SECOND_ADDRESS_CIDRS[world.family])
    world.restart(node_port_addresses=tuple(map(parse_network, SECOND_ADDRESS_CIDRS.values())))
    assert world.comes_about(lambda: isinstance(world.request(OUTSIDE, inside, HEALTH_CHECK_NODE_PORT), Page))
    assert heard(world) is None


@pytest.mark.semantics("HC-02", "HC-04", "E2E-53", "E2E-54")
def test_endpoints_come_and_go(world: World) -> None:
    """None here is bad news, however many there are elsewhere."""
    world.apply(web(world))
    for pods, due in (
        ((), (503, 0)),
        (("remote-a",), (503, 0)),
        (("remote-a", "pod-a"), (200, 1)),
        (("pod-a", "pod-b", "pod-c"), (200, 3)),
        (("pod-b",), (200, 1)),
        ((), (503, 0)),
    ):
        world.apply(world.slice("web", *pods))
        assert hears(world, due), pods


@pytest.mark.semantics("HC-02", "SEL-02", "E2E-24", "E2E-53")
def test_endpoints_that_terminate_do_not_count(world: World) -> None:
    """They still get what comes, and nothing more should come: so the load balancer turns away in time."""
    leaving = world.endpoint("pod-a", ready=False, serving=True, terminating=True)
    world.apply(web(world), world.slice("web", "pod-a", "remote-a"))
    assert hears(world, (200, 1))
    world.apply(world.slice("web", leaving, "remote-a"))
    assert hears(world, (503, 0))
    assert world.answers(OUTSIDE, world.scene.load_balancer_ip(), 80) == forwarded("pod-a", source=KEPT)
    world.apply(world.slice("web", leaving, world.endpoint("pod-b", ready=False), "remote-a"))
    assert hears(world, (503, 0))


@pytest.mark.semantics("HC-02")
def test_an_endpoint_of_several_ports_counts_once(world: World) -> None:
    """One that serves only some of them counts as well."""
    made = web(world)
    made["spec"]["ports"] = [port(80, name="http"), port(81, name="admin")]
    http, admin = target(8080, name="http"), target(9090, name="admin")
    world.apply(
        made,
        world.slice("web", "pod-a", ports=[http, admin], name="web-1"),
        world.slice("web", "pod-b", ports=[admin], name="web-2"),
    )
    assert hears(world, (200, 2))


@pytest.mark.semantics("HC-04", "IN-SVC-10", "E2E-26", "E2E-54")
def test_it_opens_and_closes_with_policy_and_type(world: World) -> None:
    """Only where a load balancer sends its clients to local endpoints; on the port that the Service says."""
    world.apply(world.slice("web", "pod-a"))
    for made, number, due in (
        (web(world), HEALTH_CHECK_NODE_PORT, (200, 1)),
        (web(world, "Cluster"), HEALTH_CHECK_NODE_PORT, None),
        (web(world), HEALTH_CHECK_NODE_PORT, (200, 1)),
        (web(world, number=32001), 32001, (200, 1)),
        (web(world, number=32001), HEALTH_CHECK_NODE_PORT, None),
        (service("web", world.scene.cluster_ip()), 32001, None),
    ):
        world.apply(made)
        assert hears(world, due, number), (made["spec"], number)
    made = web(world)
    made["spec"]["type"] = "NodePort"
    world.apply(made)
    assert hears(world, None)
    world.apply(web(world))
    assert hears(world, (200, 1))
    world.delete(web(world))
    assert hears(world, None)


@pytest.mark.semantics("HC-01", "HC-04", "E2E-26")
def test_two_services_are_asked_about_on_two_ports(world: World) -> None:
    """Each is told of by itself; its traffic has nothing to do with it."""
    other = service(
        "other",
        world.scene.cluster_ip(1),
        type="LoadBalancer",
        ingress=[{"ip": world.scene.load_balancer_ip(1)}],
        externalTrafficPolicy="Local",
        healthCheckNodePort=32001,
    )
    world.apply(web(world), other, world.slice("web", "remote-a"), world.slice("other", "pod-a"))
    assert hears(world, (503, 0))
    assert hears(world, (200, 1), 32001)
    assert world.answers(POD, world.scene.cluster_ip(), 80) == forwarded("remote-a", source=KEPT)
    assert world.answers(OUTSIDE, world.scene.cluster_ip(), 80) == forwarded("remote-a", source=MASQUERADED)


@pytest.mark.semantics("HC-04")
def test_a_port_that_is_taken_costs_the_service_nothing(world: World) -> None:
    """Its traffic goes where it should all the same; once the port is free, any later change opens it."""
    assert hears(world, None)  # a program that serves one case after another may still be about to close it
    with world.serve(NODE, HEALTH_CHECK_NODE_PORT):
        world.apply(web(world), world.slice("web", "pod-a"))
        lb = world.scene.load_balancer_ip()
        assert world.answers(OUTSIDE, lb, 80) == forwarded("pod-a", source=KEPT)
        world.apply(world.slice("web", "pod-b"))
        assert world.answers(OUTSIDE, lb, 80) == forwarded("pod-b", source=KEPT)
    world.apply(service("other", world.scene.cluster_ip(1)))
    assert hears(world, (200, 1))
