"""Endpoints that come, go and change their state, and the slices that say so."""

import pytest

from pointsman.conformance.answers import KEPT, MASQUERADED, REJECTED, forwarded
from pointsman.conformance.lab import NODE
from pointsman.conformance.marks import each_protocol
from pointsman.conformance.objects import endpoint, endpoint_slice, port, service, target
from pointsman.conformance.scene import OUTSIDE, POD
from pointsman.conformance.world import World
from pointsman.core.model import Protocol

PORT = 80


@pytest.mark.semantics("SVC-CIP-01", "E2E-01", "E2E-40")
@each_protocol
def test_an_endpoint_comes_and_goes(world: World, protocol: Protocol) -> None:
    """New connections go to those that there are."""
    vip = world.scene.cluster_ip()
    ports = [target(8080, protocol=protocol)]
    world.apply(
        service("web", vip, ports=[port(PORT, protocol=protocol)]), world.slice("web", "pod-a", ports=ports)
    )
    assert world.answers(POD, vip, PORT, protocol) == forwarded("pod-a", source=KEPT)
    world.apply(world.slice("web", "pod-a", "remote-a", ports=ports))
    assert world.answers(POD, vip, PORT, protocol) == forwarded("pod-a", "remote-a", source=KEPT)
    world.apply(world.slice("web", "remote-a", ports=ports))
    assert world.answers(POD, vip, PORT, protocol) == forwarded("remote-a", source=KEPT)
    world.apply(world.slice("web", "pod-b", ports=ports))
    assert world.answers(POD, vip, PORT, protocol) == forwarded("pod-b", source=KEPT)


@pytest.mark.semantics("SEL-04", "IN-EPS-06", "E2E-14", "E2E-32")
def test_an_endpoint_that_is_not_ready_gets_nothing(world: World) -> None:
    """Until it is ready, and again once it is not, though it may still serve."""
    vip = world.scene.cluster_ip()
    world.apply(service("web", vip))
    for serving in (False, True, None):
        unready = world.endpoint("pod-b", ready=False, serving=serving, terminating=False)
        world.apply(world.slice("web", "pod-a", unready))
        assert world.answers(POD, vip, PORT) == forwarded("pod-a", source=KEPT), serving
        world.apply(world.slice("web", "pod-a", "pod-b"))
        assert world.answers(POD, vip, PORT) == forwarded("pod-a", "pod-b", source=KEPT)


@pytest.mark.semantics("SEL-04", "NOEP-01", "E2E-15", "E2E-21")
def test_no_endpoint_is_better_than_one_that_is_not_ready(world: World) -> None:
    """Unready, or terminating and not serving: the service has nobody."""
    vip = world.scene.cluster_ip()
    world.apply(service("web", vip))
    for conditions in (
        {"ready": False, "serving": False},
        {"ready": False, "serving": True},
        {"ready": False, "serving": False, "terminating": True},
    ):
        world.apply(world.slice("web", world.endpoint("pod-a", **conditions)))
        assert world.answers(POD, vip, PORT) == REJECTED, conditions


@pytest.mark.semantics("IN-EPS-06")
def test_what_is_not_said_of_an_endpoint_is_in_its_favour(world: World) -> None:
    """Without conditions it is ready."""
    vip = world.scene.cluster_ip()
    unknown = world.endpoint("pod-a", ready=None, serving=None, terminating=None)
    silent = {key: value for key, value in world.endpoint("remote-a").items() if key != "conditions"}
    world.apply(service("web", vip), world.slice("web", unknown, silent))
    assert world.answers(POD, vip, PORT) == forwarded("pod-a", "remote-a", source=KEPT)


@pytest.mark.semantics("IN-EPS-06", "E2E-14", "E2E-15")
def test_an_endpoint_published_although_not_ready_is_used(world: World) -> None:
    """Ready is what counts, even where it is terminating as well."""
    vip, node = world.scene.cluster_ip(), world.scene.address(NODE)
    published = world.endpoint("pod-b", ready=True, serving=False, terminating=True)
    world.apply(
        service("web", vip, ports=[port(PORT, node_port=30080)], type="NodePort"),
        world.slice("web", "pod-a", published),
    )
    assert world.answers(POD, vip, PORT) == forwarded("pod-a", "pod-b", source=KEPT)
    assert world.answers(OUTSIDE, node, 30080) == forwarded("pod-a", "pod-b", source=MASQUERADED)


@pytest.mark.semantics("SEL-01", "E2E-25", "E2E-53")
def test_terminating_endpoints_serve_while_nobody_else_does(world: World) -> None:
    """As soon as another one is ready, they get nothing new."""
    vip = world.scene.cluster_ip()
    leaving = [
        world.endpoint(pod, ready=False, serving=True, terminating=True) for pod in ("pod-a", "remote-a")
    ]
    gone = world.endpoint("pod-c", ready=False, serving=False, terminating=True)
    world.apply(service("web", vip), world.slice("web", *leaving, gone))
    assert world.answers(POD, vip, PORT) == forwarded("pod-a", "remote-a", source=KEPT)
    world.apply(world.slice("web", *leaving, gone, "pod-b"))
    assert world.answers(POD, vip, PORT) == forwarded("pod-b", source=KEPT)


@pytest.mark.semantics("IN-EPS-03", "E2E-30")
def test_a_named_port_may_differ_from_slice_to_slice(world: World) -> None:
    """Each endpoint is reached at the port that its own slice says."""
    vip = world.scene.cluster_ip()
    world.apply(
        service("web", vip, ports=[port(PORT, name="http")]),
        world.slice("web", "pod-a", ports=[target(8080, name="http")], name="web-1"),
        world.slice("web", "remote-a", ports=[target(9090, name="http")], name="web-2"),
    )
    assert world.answers(POD, vip, PORT) == forwarded("pod-a:8080", "remote-a:9090", source=KEPT)


@pytest.mark.semantics("IN-EPS-03", "E2E-34")
def test_a_target_port_changes(world: World) -> None:
    """New connections go to the new one at once."""
    vip = world.scene.cluster_ip()
    world.apply(service("web", vip), world.slice("web", "pod-a", "remote-a"))
    world.apply(world.slice("web", "pod-a", "remote-a", ports=[target(9090)]))
    assert world.answers(POD, vip, PORT) == forwarded("pod-a:9090", "remote-a:9090", source=KEPT)


@pytest.mark.semantics("IN-EPS-03", "IN-EPS-04")
def test_ports_are_matched_by_name_and_protocol(world: World) -> None:
    """A slice's port of another name or protocol, or without name or number, is none of the service's."""
    vip = world.scene.cluster_ip()
    nameless = {"port": 8080, "protocol": "TCP"}
    world.apply(
        service("web", vip, ports=[port(PORT, name="http")]),
        world.slice(
            "web",
            "pod-a",
            ports=[
                target(8080, name="other"),
                target(8080, name="http", protocol=Protocol.UDP),
                target(8080),
                nameless,
                {"name": "http", "protocol": "TCP"},
            ],
        ),
    )
    assert world.answers(POD, vip, PORT) == REJECTED


@pytest.mark.semantics("IN-EPS-04")
def test_a_port_without_protocol_is_tcp(world: World) -> None:
    """In a slice as in a service."""
    vip = world.scene.cluster_ip()
    world.apply(
        service("web", vip, ports=[{"port": PORT}]),
        world.slice("web", "pod-a", ports=[{"name": "", "port": 8080}]),
    )
    assert world.answers(POD, vip, PORT) == forwarded("pod-a", source=KEPT)


@pytest.mark.semantics("IN-EPS-05")
def test_only_the_first_address_of_an_endpoint_counts(world: World) -> None:
    """The others are for others."""
    vip = world.scene.cluster_ip()
    both = world.endpoint("pod-a")
    both["addresses"] = [world.scene.address("pod-a"), world.scene.address("pod-b")]
    none = {**world.endpoint("remote-a"), "addresses": []}
    world.apply(service("web", vip), world.slice("web", both, none))
    assert world.answers(POD, vip, PORT) == forwarded("pod-a", source=KEPT)


@pytest.mark.semantics("IN-EPS-08", "E2E-48")
def test_slices_add_up(world: World) -> None:
    """A service's endpoints are those of all its slices; a slice that goes takes only its own."""
    vip = world.scene.cluster_ip()
    first = world.slice("web", "pod-a", name="web-1")
    second = world.slice("web", "remote-a", name="web-2")
    world.apply(service("web", vip), first, second)
    assert world.answers(POD, vip, PORT) == forwarded("pod-a", "remote-a", source=KEPT)
    world.delete(first)
    assert world.answers(POD, vip, PORT) == forwarded("remote-a", source=KEPT)


@pytest.mark.semantics("IN-EPS-10", "IN-EPS-08")
def test_an_endpoint_moves_between_slices_in_either_order(world: World) -> None:
    """Whether it is in both for a while or in none, in the end it is there."""
    vip = world.scene.cluster_ip()
    first, second = "web-1", "web-2"
    world.apply(service("web", vip), world.slice("web", "pod-a", "remote-a", name=first))
    world.apply(world.slice("web", "remote-a", name=second))
    world.apply(world.slice("web", "pod-a", name=first))
    assert world.answers(POD, vip, PORT) == forwarded("pod-a", "remote-a", source=KEPT)
    world.apply(world.slice("web", name=second))
    world.apply(world.slice("web", "pod-a", "remote-a", name=first))
    assert world.answers(POD, vip, PORT) == forwarded("pod-a", "remote-a", source=KEPT)


@pytest.mark.semantics("IN-EPS-09")
def test_an_address_is_used_again_by_another_pod(world: World) -> None:
    """A record of the pod that had it and terminates doesn't stand in the way of the one that has it now."""
    vip = world.scene.cluster_ip()
    leaving = world.endpoint("pod-a", ready=False, serving=False, terminating=True)
    for slices in (("web-1", "web-2"), ("web-2", "web-1")):
        old, new = (
            world.slice("web", one, name=name)
            for one, name in zip((leaving, world.endpoint("pod-a")), slices, strict=True)
        )
        world.apply(service("web", vip), old, new)
        assert world.answers(POD, vip, PORT) == forwarded("pod-a", source=KEPT), slices
        world.delete(old, new)


@pytest.mark.semantics("IN-EPS-12")
def test_a_slice_is_handed_to_another_service(world: World) -> None:
    """Its endpoints are the new one's, and no longer the old one's."""
    old, new = world.scene.cluster_ip(0), world.scene.cluster_ip(1)
    world.apply(service("old", old), service("new", new), world.slice("old", "pod-a", name="shared"))
    world.apply(world.slice("new", "pod-a", name="shared"))
    assert world.answers(POD, old, PORT) == REJECTED
    assert world.answers(POD, new, PORT) == forwarded("pod-a", source=KEPT)


@pytest.mark.semantics("IN-EPS-11", "NOEP-01")
def test_slices_and_services_come_in_any_order(world: World) -> None:
    """Endpoints may be known before their service is, and after."""
    first, second = world.scene.cluster_ip(0), world.scene.cluster_ip(1)
    world.apply(world.slice("early", "pod-a"))
    world.apply(service("early", first))
    assert world.answers(POD, first, PORT) == forwarded("pod-a", source=KEPT)
    world.apply(service("late", second))
    assert world.answers(POD, second, PORT) == REJECTED
    world.apply(world.slice("late", "pod-b"))
    assert world.answers(POD, second, PORT) == forwarded("pod-b", source=KEPT)


@pytest.mark.semantics("IN-EPS-01", "E2E-20")
def test_slices_of_headless_services_are_left_alone(world: World) -> None:
    """The label takes a slice's endpoints away, and its removal brings them back."""
    vip = world.scene.cluster_ip()
    web = world.slice("web", "pod-a")
    world.apply(service("web", vip), web)
    labels = {**web["metadata"]["labels"], "service.kubernetes.io/headless": ""}
    world.apply({**web, "metadata": {**web["metadata"], "labels": labels}})
    assert world.answers(POD, vip, PORT) == REJECTED
    world.apply(web)
    assert world.answers(POD, vip, PORT) == forwarded("pod-a", source=KEPT)


@pytest.mark.semantics("IN-EPS-02")
def test_slices_that_belong_to_nobody_are_ignored(world: World) -> None:
    """So are those whose endpoints are names."""
    vip = world.scene.cluster_ip()
    orphan = world.slice("", "pod-b", name="orphan")
    names = endpoint_slice("names", "web", "FQDN", [endpoint("example.com", None)], [target(8080)])
    world.apply(service("web", vip), world.slice("web", "pod-a"), orphan, names)
    assert world.answers(POD, vip, PORT) == forwarded("pod-a", source=KEPT)
