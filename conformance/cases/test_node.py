"""The node itself: its addresses, its name, its programs, and endpoints that have its network."""

from collections.abc import Callable
from functools import partial

import pytest

from pointsman.conformance import objects
from pointsman.conformance.answers import (
    KEPT,
    MASQUERADED,
    REJECTED,
    RESET,
    UNANSWERED,
    forwarded,
    untouched,
)
from pointsman.conformance.cluster import node
from pointsman.conformance.lab import NODE
from pointsman.conformance.marks import each_protocol
from pointsman.conformance.objects import Manifest, port, service, target
from pointsman.conformance.scene import OUTSIDE, POD, REMOTE_POD, SECOND_ADDRESS_CIDRS, ZONE
from pointsman.conformance.world import World
from pointsman.core.addresses import parse_address, parse_network
from pointsman.core.model import Protocol

NODE_PORT = 30080


def web(world: World, policy: str = "Cluster") -> Manifest:
    """A service with a node port."""
    ports = [port(80, node_port=NODE_PORT)]
    vip = world.scene.cluster_ip()
    return service("web", vip, ports=ports, type="NodePort", externalTrafficPolicy=policy)


def node_with(name: str, addresses: dict[str, str], zone: str = ZONE) -> Manifest:
    """A Node with addresses of several types."""
    plain = objects.node(name, (), (), zone)
    plain["status"]["addresses"] = [{"type": kind, "address": address} for address, kind in addresses.items()]
    return plain


@pytest.mark.semantics("SVC-NP-06", "SVC-NP-01", "DIV-26")
@pytest.mark.parametrize("chosen", [True, False], ids=["chosen", "any"])
def test_node_ports_answer_on_an_address_that_comes_later(world: World, chosen: bool) -> None:
    """Be it one of those that are configured, or just any."""
    later = world.scene.node_address_in(SECOND_ADDRESS_CIDRS[world.family])
    networks = tuple(map(parse_network, SECOND_ADDRESS_CIDRS.values())) if chosen else ()
    world.restart(node_port_addresses=networks)
    with world.without_address(later):
        world.apply(web(world), world.slice("web", "pod-a"))
    for client in (POD, NODE, OUTSIDE, REMOTE_POD):
        assert world.answers(client, later, NODE_PORT) == forwarded("pod-a", source=MASQUERADED), client
    world.apply(world.slice("web"))
    assert world.answers(OUTSIDE, later, NODE_PORT) == REJECTED


@pytest.mark.semantics("IN-NODE-02", "IN-NODE-03", "SVC-NP-05")
def test_the_nodes_own_address_is_its_internal_one(world: World) -> None:
    """The first one of that type, or else the first external one; before them the one that is bound to."""
    first, second = (
        world.scene.address(NODE),
        world.scene.node_address_in(SECOND_ADDRESS_CIDRS[world.family]),
    )
    for addresses, own, other in (
        ({second: "ExternalIP", first: "InternalIP"}, first, second),
        ({second: "InternalIP", first: "InternalIP"}, second, first),
        ({"node-1": "Hostname", second: "ExternalIP"}, second, first),
    ):
        objects_then = [node_with(NODE, addresses), web(world), world.slice("web", "pod-a")]
        world.restart(objects_then, node_port_addresses=None)
        assert world.answers(OUTSIDE, own, NODE_PORT) == forwarded("pod-a", source=MASQUERADED), addresses
        assert world.answers(OUTSIDE, other, NODE_PORT) == RESET, addresses
    unspecified = bytes(world.family.address_length)
    for bound, own, other in ((parse_address(second), second, first), (unspecified, first, second)):
        world.restart([node(), web(world), world.slice("web", "pod-a")], bind_address=bound)
        assert world.answers(OUTSIDE, own, NODE_PORT) == forwarded("pod-a", source=MASQUERADED), bound
        assert world.answers(OUTSIDE, other, NODE_PORT) == RESET, bound


@pytest.mark.semantics("IN-NODE-01", "IN-EPS-07", "SEL-02")
def test_other_nodes_are_other_nodes(world: World) -> None:
    """What is on them isn't local, whatever its address; an endpoint of no node isn't either."""
    at = world.scene
    elsewhere = objects.endpoint(at.address("pod-b"), "node-2")
    nowhere = objects.endpoint(at.address("pod-c"), None)
    world.apply(
        node_with("node-2", {at.address("node2"): "InternalIP"}, zone="zone-2"),
        web(world, "Local"),
        world.slice("web", world.endpoint("pod-a"), elsewhere, nowhere),
    )
    assert world.answers(OUTSIDE, at.address(NODE), NODE_PORT) == forwarded("pod-a", source=KEPT)
    world.apply(world.slice("web", elsewhere, nowhere))
    assert world.answers(OUTSIDE, at.address(NODE), NODE_PORT) == UNANSWERED
    assert world.answers(POD, at.cluster_ip(), 80) == (
        forwarded("pod-b", source=KEPT) | forwarded("pod-c", source=MASQUERADED)
    )


@pytest.mark.semantics("IN-NODE-07", "IN-NODE-06", "IN-EPS-07")
def test_a_node_that_is_deleted_was_the_last_that_is_known(world: World) -> None:
    """Its zone and its name stay what they were; so does everything while it is being deleted."""
    vip = world.scene.cluster_ip()
    near, far = (world.endpoint(pod, zones=[zone]) for pod, zone in (("pod-a", ZONE), ("remote-a", "zone-2")))
    world.apply(web(world, "Local"), world.slice("web", near, far))
    leaving = node()
    leaving["metadata"] = {**leaving["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}
    changes: list[Callable[[], object]] = [partial(world.apply, leaving), partial(world.delete, node())]
    for change in changes:
        change()
        assert world.answers(POD, vip, 80) == forwarded("pod-a", source=KEPT)
        assert world.answers(OUTSIDE, world.scene.address(NODE), NODE_PORT) == forwarded("pod-a", source=KEPT)


@pytest.mark.semantics("SEC-05", "DIV-24", "SVC-CIP-03")
@each_protocol
@pytest.mark.parametrize("client", [POD, NODE, OUTSIDE])
def test_the_nodes_programs_are_not_to_be_reached_at_virtual_addresses(
    world: World, protocol: Protocol, client: str
) -> None:
    """One that listens on all addresses listens on no service's."""
    at = world.scene
    world.apply(
        service(
            "web",
            at.cluster_ip(),
            ports=[port(80, protocol=protocol)],
            type="LoadBalancer",
            ingress=[{"ip": at.load_balancer_ip()}],
            externalIPs=[at.external_ip()],
        ),
        world.slice("web", "pod-a", ports=[target(8080, protocol=protocol)]),
    )
    with world.serve(NODE, 81, protocol):
        assert world.answers(client, at.address(NODE), 81, protocol) == untouched("node:81", client)
        assert world.answers(client, at.cluster_ip(), 81, protocol) == REJECTED
        for address in (at.load_balancer_ip(), at.external_ip()):
            assert world.answers(client, address, 81, protocol) == UNANSWERED, address


@pytest.mark.semantics("SVC-CIP-05", "SVC-LB-01", "SVC-XIP-01")
def test_external_addresses_answer_pings_if_their_owners_do(world: World) -> None:
    """Only ports are the service's: an echo request has none."""
    real = world.scene.real_load_balancer_ip
    world.apply(
        service("web", world.scene.cluster_ip(), type="LoadBalancer", ingress=[{"ip": real}]),
        world.slice("web", "pod-a"),
    )
    for client in (POD, NODE):
        [answer] = untouched("router", client)
        assert str(world.ping(client, real)).startswith(str(answer).partition(":")[0]), client


@pytest.mark.semantics("MSQ-07", "MTX-08", "MTX-03")
def test_the_node_may_talk_from_a_virtual_address_of_its_own(world: World) -> None:
    """Where local pods can't be told, as elsewhere: its connection comes about."""
    at = world.scene
    own = at.node_address_in(SECOND_ADDRESS_CIDRS[world.family])
    for settings in ({}, {"cluster_cidrs": ()}):
        world.restart(**settings)
        world.apply(
            service("web", at.cluster_ip(), externalIPs=[own]), world.slice("web", "pod-a", "remote-a")
        )
        for address in (at.cluster_ip(), own):
            assert world.answers(NODE, address, 80, source=own) == (
                forwarded("pod-a", "remote-a", source=MASQUERADED)
            ), (settings, address)


@pytest.mark.semantics("E2E-42", "E2E-22", "MTX-01", "MTX-03", "MTX-06")
@pytest.mark.parametrize("protocol", [Protocol.TCP, Protocol.UDP], ids=["tcp", "udp"])
def test_an_endpoint_may_have_the_nodes_own_network(world: World, protocol: Protocol) -> None:
    """Its address is the node's; whoever asks is seen as itself, for nothing leaves the node."""
    at = world.scene
    ports = [target(8080, protocol=protocol)]
    world.apply(
        service(
            "web",
            at.cluster_ip(),
            ports=[port(80, protocol=protocol, node_port=NODE_PORT)],
            type="NodePort",
            externalTrafficPolicy="Local",
            internalTrafficPolicy="Local",
        ),
        world.slice("web", NODE, "remote-a", ports=ports),
    )
    with world.serve(NODE, 8080, protocol):
        for client in (POD, OUTSIDE, NODE):
            due = forwarded("node", source=MASQUERADED if client == NODE else KEPT)
            assert world.answers(client, at.cluster_ip(), 80, protocol) == due, client
        assert world.answers(OUTSIDE, at.address(NODE), NODE_PORT, protocol) == forwarded("node", source=KEPT)
