"""Services that have nobody to go to: new connections are refused at once, or met with silence."""

import time

import pytest

from pointsman.conformance.answers import KEPT, MASQUERADED, REJECTED, RESET, UNANSWERED, forwarded, untouched
from pointsman.conformance.lab import NODE
from pointsman.conformance.marks import each_protocol
from pointsman.conformance.objects import port, service, target
from pointsman.conformance.scene import OUTSIDE, POD, SECOND_ADDRESS_CIDRS
from pointsman.conformance.world import World
from pointsman.core.addresses import IPFamily, parse_network
from pointsman.core.model import Protocol

CLIENTS = (POD, NODE, OUTSIDE)
AT_ONCE = 1.0  # seconds, before a first packet would be sent again
TRIES = 5


@pytest.mark.semantics("NOEP-01", "NOEP-09", "E2E-21")
@each_protocol
@pytest.mark.parametrize("client", CLIENTS)
def test_a_cluster_ip_without_endpoints_refuses_at_once(
    world: World, protocol: Protocol, client: str
) -> None:
    """Every client is told, before it would try again."""
    vip = world.scene.cluster_ip()
    world.apply(service("web", vip, ports=[port(80, protocol=protocol)]))

    def took() -> float:
        began = time.monotonic()
        assert world.answers(client, vip, 80, protocol) == REJECTED
        return time.monotonic() - began

    # A machine that is busy may be late once; a proxy that is silent at first is so each time.
    assert any(took() < AT_ONCE for _ in range(TRIES))


@pytest.mark.semantics("NOEP-02", "NOEP-03", "NOEP-04", "NOEP-09", "DIV-04")
@each_protocol
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("policy", ["Cluster", "Local"])
def test_external_addresses_without_endpoints_refuse(
    world: World, protocol: Protocol, client: str, policy: str
) -> None:
    """Load balancer, external IP and node port alike, whatever the policy, to the node itself too."""
    world.apply(
        service(
            "web",
            world.scene.cluster_ip(),
            ports=[port(80, protocol=protocol, node_port=30080)],
            type="LoadBalancer",
            ingress=[{"ip": world.scene.load_balancer_ip()}],
            externalIPs=[world.scene.external_ip()],
            externalTrafficPolicy=policy,
        )
    )
    assert world.answers(client, world.scene.load_balancer_ip(), 80, protocol) == REJECTED
    assert world.answers(client, world.scene.external_ip(), 80, protocol) == REJECTED
    for address in world.scene.addresses(NODE):
        assert world.answers(client, address, 30080, protocol) == REJECTED, address


@pytest.mark.semantics("NOEP-02")
@pytest.mark.parametrize("client", CLIENTS)
def test_an_external_ip_that_is_the_nodes_own_refuses(world: World, client: str) -> None:
    """Connections to it would be delivered on the node, and are refused there."""
    own = world.scene.addresses(NODE)[1]
    world.apply(service("web", world.scene.cluster_ip(), externalIPs=[own]))
    assert world.answers(client, own, 80) == REJECTED


@pytest.mark.semantics("NOEP-04", "SVC-NP-02", "SVC-NP-07", "DIV-07")
def test_node_ports_refuse_only_where_they_would_answer(world: World) -> None:
    """On other addresses of the node, sockets decide: here there is none, and then there is."""
    inside, outside = (
        world.scene.node_address_in(SECOND_ADDRESS_CIDRS[world.family]),
        world.scene.address(NODE),
    )
    world.restart(node_port_addresses=tuple(map(parse_network, SECOND_ADDRESS_CIDRS.values())))
    world.apply(service("web", world.scene.cluster_ip(), ports=[port(80, node_port=30080)], type="NodePort"))
    for client in CLIENTS:
        assert world.answers(client, inside, 30080) == REJECTED, client
        assert world.answers(client, outside, 30080) == RESET, client
    with world.serve(NODE, 30080):
        for client in CLIENTS:
            assert world.answers(client, inside, 30080) == REJECTED, client
            assert world.answers(client, outside, 30080) == untouched("node:30080", client), client
        world.restart(node_port_addresses=())
        assert world.answers(OUTSIDE, outside, 30080) == REJECTED
        loopback = "127.0.0.1" if world.family is IPFamily.IPV4 else "::1"
        assert world.answers(NODE, loopback, 30080) == untouched("node:30080", NODE)


@pytest.mark.semantics("NOEP-05", "DIV-12", "SVC-LB-02")
def test_whoever_may_not_come_in_is_not_told_that_nobody_is_there(world: World) -> None:
    """Outside the source ranges there is silence, inside a refusal."""
    vip = world.scene.load_balancer_ip()
    world.apply(
        service(
            "web",
            world.scene.cluster_ip(),
            type="LoadBalancer",
            ingress=[{"ip": vip}],
            loadBalancerSourceRanges=[world.scene.pod_cidr()],
        )
    )
    assert world.answers(OUTSIDE, vip, 80) == UNANSWERED
    assert world.answers(NODE, vip, 80) == UNANSWERED
    assert world.answers(POD, vip, 80) == REJECTED


@pytest.mark.semantics("NOEP-06", "DIV-08", "SEL-03", "E2E-22")
@each_protocol
def test_internal_policy_local_without_local_endpoints_is_silent(world: World, protocol: Protocol) -> None:
    """There are endpoints, elsewhere; nobody is sent there, and nobody is refused."""
    vip = world.scene.cluster_ip()
    web = service("web", vip, ports=[port(80, protocol=protocol)], internalTrafficPolicy="Local")
    world.apply(web, world.slice("web", "remote-a", ports=[target(8080, protocol=protocol)]))
    for client in CLIENTS:
        assert world.answers(client, vip, 80, protocol) == UNANSWERED, client


@pytest.mark.semantics("NOEP-06", "NOEP-01", "DIV-08")
def test_internal_policy_local_without_any_endpoints_refuses(world: World) -> None:
    """With endpoints nowhere the policy has no part in it."""
    vip = world.scene.cluster_ip()
    world.apply(service("web", vip, internalTrafficPolicy="Local"))
    for client in CLIENTS:
        assert world.answers(client, vip, 80) == REJECTED, client


@pytest.mark.semantics("NOEP-06", "MTX-10", "SEL-03")
def test_internal_policy_local_leaves_external_addresses_alone(world: World) -> None:
    """Remote endpoints answer there while the ClusterIP is silent."""
    vip, outer = world.scene.cluster_ip(), world.scene.external_ip()
    world.apply(
        service("web", vip, internalTrafficPolicy="Local", externalIPs=[outer]),
        world.slice("web", "remote-a"),
    )
    assert world.answers(POD, vip, 80) == UNANSWERED
    assert world.answers(POD, outer, 80) == forwarded("remote-a", source=MASQUERADED)


@pytest.mark.semantics("NOEP-07", "NOEP-08", "DIV-09", "E2E-54")
@each_protocol
def test_external_policy_local_without_local_endpoints_is_silent_outside(
    world: World, protocol: Protocol
) -> None:
    """Clients off the cluster should have come to another node; local pods and the node are served."""
    world.apply(
        service(
            "web",
            world.scene.cluster_ip(),
            ports=[port(80, protocol=protocol, node_port=30080)],
            type="LoadBalancer",
            ingress=[{"ip": world.scene.load_balancer_ip()}],
            externalIPs=[world.scene.external_ip()],
            externalTrafficPolicy="Local",
        ),
        world.slice("web", "remote-a", ports=[target(8080, protocol=protocol)]),
    )
    for address, number in (
        (world.scene.load_balancer_ip(), 80),
        (world.scene.external_ip(), 80),
        (world.scene.address(NODE), 30080),
    ):
        assert world.answers(OUTSIDE, address, number, protocol) == UNANSWERED, address
        assert world.answers(POD, address, number, protocol) == forwarded("remote-a", source=KEPT)
        assert world.answers(NODE, address, number, protocol) == forwarded("remote-a", source=MASQUERADED)


@pytest.mark.semantics("NOEP-10", "NOEP-01", "E2E-32")
@each_protocol
def test_the_first_endpoint_ends_the_refusal_and_the_last_one_brings_it_back(
    world: World, protocol: Protocol
) -> None:
    """On the ClusterIP and on the node port."""
    vip, node = world.scene.cluster_ip(), world.scene.address(NODE)
    ports = [target(8080, protocol=protocol)]
    world.apply(service("web", vip, ports=[port(80, protocol=protocol, node_port=30080)], type="NodePort"))
    for _ in range(2):
        assert world.answers(POD, vip, 80, protocol) == REJECTED
        assert world.answers(OUTSIDE, node, 30080, protocol) == REJECTED
        world.apply(world.slice("web", "pod-a", ports=ports))
        assert world.answers(POD, vip, 80, protocol) == forwarded("pod-a", source=KEPT)
        assert world.answers(OUTSIDE, node, 30080, protocol) == forwarded("pod-a", source=MASQUERADED)
        world.apply(world.slice("web", ports=ports))
