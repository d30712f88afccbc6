"""Node ports: on which addresses of the node they answer."""

from typing import Any

import pytest

from pointsman.conformance import objects
from pointsman.conformance.answers import KEPT, MASQUERADED, REJECTED, RESET, UNANSWERED, forwarded, untouched
from pointsman.conformance.lab import NODE
from pointsman.conformance.marks import each_protocol
from pointsman.conformance.objects import Manifest, port, service, target
from pointsman.conformance.scene import OUTSIDE, POD, REMOTE_POD, SECOND_ADDRESS_CIDRS, ZONE, scene
from pointsman.conformance.world import World
from pointsman.core.addresses import IPFamily, parse_network
from pointsman.core.config import LocalMode
from pointsman.core.features import Feature
from pointsman.core.model import Protocol

CLIENTS = (POD, NODE, OUTSIDE, REMOTE_POD)
NODE_PORT = 30080
LOOPBACK = {IPFamily.IPV4: "127.0.0.1", IPFamily.IPV6: "::1"}


def web(world: World, *, number: int = NODE_PORT, protocol: Protocol = Protocol.TCP) -> Manifest:
    """A service with a node port."""
    ports = [port(80, protocol=protocol, node_port=number)]
    return service("web", world.scene.cluster_ip(), ports=ports, type="NodePort")


@pytest.mark.semantics("SVC-NP-01", "MTX-02", "MTX-04", "MTX-07", "E2E-10", "E2E-38")
@each_protocol
@pytest.mark.parametrize("client", CLIENTS)
def test_it_answers_on_every_address_of_the_node(world: World, protocol: Protocol, client: str) -> None:
    """Main ones, further ones, and the pods' gateway; whoever asks."""
    ports = [target(8080, protocol=protocol)]
    world.apply(web(world, protocol=protocol), world.slice("web", "pod-a", "remote-a", ports=ports))
    for address in world.scene.addresses(NODE):
        assert world.answers(client, address, NODE_PORT, protocol) == (
            forwarded("pod-a", "remote-a", source=MASQUERADED)
        ), address


@pytest.mark.semantics("SVC-NP-01", "SVC-CIP-03")
def test_node_port_and_service_port_are_two_things(world: World) -> None:
    """The node port means nothing on the ClusterIP, nor the service's port on the node."""
    world.apply(web(world), world.slice("web", "pod-a"))
    assert world.answers(POD, world.scene.cluster_ip(), NODE_PORT) == REJECTED
    assert world.answers(POD, world.scene.address(NODE), 80) == RESET


@pytest.mark.semantics("SVC-NP-02", "CFG-21")
def test_it_answers_only_on_the_addresses_that_are_configured(world: World) -> None:
    """On others, the node's own sockets are left alone."""
    inside = world.scene.node_address_in(SECOND_ADDRESS_CIDRS[world.family])
    world.restart(node_port_addresses=tuple(map(parse_network, SECOND_ADDRESS_CIDRS.values())))
    world.apply(web(world), world.slice("web", "pod-a"))
    with world.serve(NODE, NODE_PORT):
        for client in CLIENTS:
            assert world.answers(client, inside, NODE_PORT) == forwarded("pod-a", source=MASQUERADED), client
            assert world.answers(client, world.scene.address(NODE), NODE_PORT) == (
                untouched(f"node:{NODE_PORT}", client)
            ), client


@pytest.mark.semantics("SVC-NP-03", "CFG-21")
def test_a_network_of_everything_makes_others_meaningless(world: World) -> None:
    """All local addresses answer, whatever else is listed."""
    everything = ("0.0.0.0/0", "::/0", *SECOND_ADDRESS_CIDRS.values())
    world.restart(node_port_addresses=tuple(map(parse_network, everything)))
    world.apply(web(world), world.slice("web", "pod-a"))
    for address in world.scene.addresses(NODE):
        assert world.answers(OUTSIDE, address, NODE_PORT) == forwarded("pod-a", source=MASQUERADED), address


@pytest.mark.semantics("SVC-NP-04", "CFG-21")
def test_networks_of_the_other_family_do_not_restrict_this_one(world: World) -> None:
    """A family without networks of its own answers on all local addresses."""
    [other] = (family for family in IPFamily if family is not world.family)
    world.restart(node_port_addresses=(parse_network(SECOND_ADDRESS_CIDRS[other]),))
    world.apply(web(world), world.slice("web", "pod-a"))
    for address in world.scene.addresses(NODE):
        assert world.answers(OUTSIDE, address, NODE_PORT) == forwarded("pod-a", source=MASQUERADED), address


@pytest.mark.semantics("SVC-NP-05", "DIV-05", "CFG-21", "IN-NODE-03")
def test_primary_stands_for_the_nodes_own_address(world: World) -> None:
    """The one that its Node object says; in a family of which it says none, for all addresses."""
    world.restart(node_port_addresses=None)
    world.apply(web(world), world.slice("web", "pod-a"))
    primary, *others = world.scene.addresses(NODE)
    assert world.answers(OUTSIDE, primary, NODE_PORT) == forwarded("pod-a", source=MASQUERADED)
    for address in others:
        assert world.answers(OUTSIDE, address, NODE_PORT) == RESET, address
    of_others = [scene(family).address(NODE) for family in IPFamily if family is not world.family]
    world.restart([objects.node(NODE, of_others, (), ZONE), web(world), world.slice("web", "pod-a")])
    for address in world.scene.addresses(NODE):
        assert world.answers(OUTSIDE, address, NODE_PORT) == forwarded("pod-a", source=MASQUERADED), address


@pytest.mark.semantics("SVC-NP-07", "DIV-06")
def test_loopback_is_left_to_the_nodes_own_programs(world: World) -> None:
    """Unless the configuration says otherwise."""
    world.apply(web(world), world.slice("web", "pod-a"))
    loopback = LOOPBACK[world.family]
    assert world.answers(NODE, loopback, NODE_PORT) == RESET
    with world.serve(NODE, NODE_PORT):
        assert world.answers(NODE, loopback, NODE_PORT) == untouched(f"node:{NODE_PORT}", NODE)


@pytest.mark.semantics("SVC-NP-07", "MTX-05", "DIV-06", "CFG-13")
@pytest.mark.requires(Feature.LOCALHOST_NODE_PORTS)
def test_loopback_answers_where_that_is_wanted(world: World) -> None:
    """For IPv4 only, whatever the policies, and masqueraded: no answer finds its way to loopback."""
    world.restart(localhost_node_ports=True)
    due = RESET
    if world.family is IPFamily.IPV4:
        due = forwarded("pod-a", "remote-a", source=MASQUERADED)
    for external, internal in (("Cluster", "Cluster"), ("Local", "Cluster"), ("Cluster", "Local")):
        made = web(world)
        made["spec"] |= {"externalTrafficPolicy": external, "internalTrafficPolicy": internal}
        world.apply(made, world.slice("web", "pod-a", "remote-a"))
        assert world.answers(NODE, LOOPBACK[world.family], NODE_PORT) == due, (external, internal)
    # Other addresses were chosen: loopback is not among them until it is chosen itself.
    chosen = tuple(map(parse_network, SECOND_ADDRESS_CIDRS.values()))
    for networks, answers in ((chosen, RESET), ((*chosen, parse_network("127.0.0.0/8")), due)):
        world.restart(node_port_addresses=networks)
        assert world.answers(NODE, LOOPBACK[world.family], NODE_PORT) == answers, networks


@pytest.mark.semantics("SVC-NP-09", "SVC-LB-05")
def test_source_ranges_do_not_concern_it(world: World) -> None:
    """They are the load balancer's."""
    vip = world.scene.load_balancer_ip()
    world.apply(
        service(
            "web",
            world.scene.cluster_ip(),
            ports=[port(80, node_port=NODE_PORT)],
            type="LoadBalancer",
            ingress=[{"ip": vip}],
            loadBalancerSourceRanges=[world.scene.pod_cidr()],
        ),
        world.slice("web", "pod-a"),
    )
    assert world.answers(OUTSIDE, vip, 80) == UNANSWERED
    assert world.answers(OUTSIDE, world.scene.address(NODE), NODE_PORT) == (
        forwarded("pod-a", source=MASQUERADED)
    )


@pytest.mark.semantics("SVC-NP-10", "MTX-07", "MSQ-06")
@pytest.mark.parametrize(
    "settings",
    [
        {"local_mode": LocalMode.NODE_CIDR},
        {"local_mode": LocalMode.INTERFACE_NAME_PREFIX, "interface_name_prefix": "veth"},
    ],
    ids=["node-cidr", "interface-prefix"],
)
def test_other_nodes_pods_are_outsiders_to_policy_local(world: World, settings: dict[str, Any]) -> None:
    """Where local pods are told by this node's network or interfaces, others' get local endpoints only.

    Where they are told by the cluster's network, they get whom local pods get: of this node's endpoints those
    in its zone, not all that are local.
    """
    node, made = world.scene.address(NODE), web(world)
    made["spec"]["externalTrafficPolicy"] = "Local"
    near, far = world.endpoint("pod-a", zones=[ZONE]), world.endpoint("pod-b", zones=["elsewhere"])
    world.apply(made, world.slice("web", near, far))
    for client in (REMOTE_POD, POD):
        assert world.answers(client, node, NODE_PORT) == forwarded("pod-a", source=KEPT), client
    assert world.answers(OUTSIDE, node, NODE_PORT) == forwarded("pod-a", "pod-b", source=KEPT)
    world.restart(**settings)
    world.apply(made, world.slice("web", "pod-a", "remote-a"))
    assert world.answers(REMOTE_POD, node, NODE_PORT) == forwarded("pod-a", source=KEPT)
    assert world.answers(POD, node, NODE_PORT) == forwarded("pod-a", "remote-a", source=KEPT)


@pytest.mark.semantics("IN-SVC-04", "PRO-01", "E2E-12")
def test_one_number_serves_two_protocols(world: World) -> None:
    """The same node port for TCP and UDP, each with its own target."""
    ports = [
        port(80, name="tcp", node_port=NODE_PORT),
        port(80, name="udp", node_port=NODE_PORT, protocol=Protocol.UDP),
    ]
    world.apply(
        service("web", world.scene.cluster_ip(), ports=ports, type="NodePort"),
        world.slice("web", "pod-a", ports=[target(8080, name="tcp")], name="web-1"),
        world.slice("web", "pod-b", ports=[target(9090, name="udp", protocol=Protocol.UDP)], name="web-2"),
    )
    node = world.scene.address(NODE)
    assert world.answers(OUTSIDE, node, NODE_PORT) == forwarded("pod-a:8080", source=MASQUERADED)
    assert world.answers(OUTSIDE, node, NODE_PORT, Protocol.UDP) == (
        forwarded("pod-b:9090", source=MASQUERADED)
    )


@pytest.mark.semantics("E2E-40", "E2E-49", "SVC-NP-01")
def test_it_changes_and_goes_while_the_service_lives(world: World) -> None:
    """The old number is the node's own again at once."""
    node, vip = world.scene.address(NODE), world.scene.cluster_ip()
    world.apply(web(world), world.slice("web", "pod-a"))
    world.apply(web(world, number=30081))
    assert world.answers(OUTSIDE, node, NODE_PORT) == RESET
    assert world.answers(OUTSIDE, node, 30081) == forwarded("pod-a", source=MASQUERADED)
    world.apply(service("web", vip))
    assert world.answers(OUTSIDE, node, 30081) == RESET
    assert world.answers(POD, vip, 80) == forwarded("pod-a", source=KEPT)
    world.apply(web(world))
    assert world.answers(OUTSIDE, node, NODE_PORT) == forwarded("pod-a", source=MASQUERADED)


@pytest.mark.semantics("IN-SVC-02", "E2E-13")
def test_a_service_changes_from_an_external_name_and_back(world: World) -> None:
    """Node ports come and go with the type."""
    node = world.scene.address(NODE)
    world.apply({**service("web"), **_external_name()}, world.slice("web", "pod-a"))
    assert world.answers(OUTSIDE, node, NODE_PORT) == RESET
    world.apply(web(world))
    assert world.answers(OUTSIDE, node, NODE_PORT) == forwarded("pod-a", source=MASQUERADED)
    world.apply({**service("web"), **_external_name()})
    assert world.answers(OUTSIDE, node, NODE_PORT) == RESET


def _external_name() -> Manifest:
    return {"spec": {"type": "ExternalName", "externalName": "example.com"}}
