"""Load balancer addresses and external IPs: served on every node, whoever has them."""

from ipaddress import ip_address

import pytest

from pointsman.conformance.answers import KEPT, MASQUERADED, REJECTED, UNANSWERED, forwarded, untouched
from pointsman.conformance.lab import NODE
from pointsman.conformance.marks import each_protocol
from pointsman.conformance.objects import Ingress, Manifest, port, service, target
from pointsman.conformance.scene import OUTSIDE, POD, REAL_PORT
from pointsman.conformance.world import World
from pointsman.core.addresses import IPFamily
from pointsman.core.model import Protocol

CLIENTS = (POD, NODE, OUTSIDE)
INSIDE = (POD, NODE)  # who reaches what is outside by way of the node, and is answered by way of it
REAL = f"router:{REAL_PORT}"


def balanced(world: World, *ingress: Ingress, ranges: tuple[str, ...] = ()) -> Manifest:
    """A service of type LoadBalancer."""
    return service(
        "web",
        world.scene.cluster_ip(),
        type="LoadBalancer",
        ingress=ingress,
        loadBalancerSourceRanges=ranges,
    )


def host(address: str) -> str:
    """The network of one address."""
    return f"{address}/{128 if ':' in address else 32}"


@pytest.mark.semantics("SVC-LB-01", "MTX-02", "MTX-04", "MTX-07", "E2E-38")
@each_protocol
@pytest.mark.parametrize("client", CLIENTS)
def test_a_load_balancers_address_is_served_here(world: World, protocol: Protocol, client: str) -> None:
    """Nobody is sent out to the load balancer and back in again."""
    real = world.scene.real_load_balancer_ip
    world.apply(
        service(
            "web",
            world.scene.cluster_ip(),
            ports=[port(REAL_PORT, protocol=protocol)],
            type="LoadBalancer",
            ingress=[{"ip": real}],
        ),
        world.slice("web", "pod-a", "remote-a", ports=[target(8080, protocol=protocol)]),
    )
    due = forwarded("pod-a", "remote-a", source=MASQUERADED)
    assert world.answers(client, real, REAL_PORT, protocol) == due


@pytest.mark.semantics("IN-SVC-06", "SVC-LB-07")
@pytest.mark.parametrize("client", INSIDE)
def test_a_load_balancer_that_is_a_proxy_gets_what_is_its(world: World, client: str) -> None:
    """So does one that is known by name only; a VIP, said or not, is served here."""
    real = world.scene.real_load_balancer_ip
    world.apply(world.slice("web", "pod-a"))
    left_alone = untouched(REAL, client)
    served = forwarded("pod-a", source=MASQUERADED)
    for ingress, due in (
        (Ingress(ip=real, ipMode="Proxy"), left_alone),
        (Ingress(ip=real, ipMode="VIP"), served),
        (Ingress(hostname="lb.example.com"), left_alone),
        (Ingress(ip=real), served),
    ):
        world.apply(balanced(world, ingress))
        assert world.answers(client, real, REAL_PORT) == due, ingress


@pytest.mark.semantics("SVC-LB-01", "SVC-LB-07", "E2E-49")
def test_a_load_balancer_has_several_addresses_that_change(world: World) -> None:
    """Each is served while it is listed."""
    first, second, third = (world.scene.load_balancer_ip(index) for index in range(3))
    due = forwarded("pod-a", source=MASQUERADED)
    world.apply(balanced(world, {"ip": first}, {"ip": second}), world.slice("web", "pod-a"))
    assert world.answers(OUTSIDE, first, 80) == due
    assert world.answers(OUTSIDE, second, 80) == due
    world.apply(balanced(world, {"ip": second}, {"ip": third}))
    assert world.answers(OUTSIDE, first, 80) == UNANSWERED
    assert world.answers(OUTSIDE, second, 80) == due
    assert world.answers(OUTSIDE, third, 80) == due
    world.apply(service("web", world.scene.cluster_ip()))
    assert world.answers(OUTSIDE, third, 80) == UNANSWERED


@pytest.mark.semantics("SVC-LB-02", "SVC-LB-03", "SVC-LB-05", "E2E-50")
@each_protocol
def test_source_ranges_keep_others_out(world: World, protocol: Protocol) -> None:
    """In silence, local pods and the node itself among them; the service's other addresses stay open."""
    vip, outer = world.scene.load_balancer_ip(), world.scene.external_ip()
    _, near, far = world.scene.addresses(OUTSIDE)
    world.apply(
        service(
            "web",
            world.scene.cluster_ip(),
            ports=[port(80, protocol=protocol)],
            type="LoadBalancer",
            ingress=[{"ip": vip}],
            externalIPs=[outer],
            loadBalancerSourceRanges=[host(near), host(far)],
        ),
        world.slice("web", "pod-a", "remote-a", ports=[target(8080, protocol=protocol)]),
    )
    due = forwarded("pod-a", "remote-a", source=MASQUERADED)
    for client in CLIENTS:
        assert world.answers(client, vip, 80, protocol) == UNANSWERED, client
        assert world.answers(client, outer, 80, protocol) == due, client
    for source in (near, far):
        assert world.answers(OUTSIDE, vip, 80, protocol, source=source) == due, source
    assert world.answers(NODE, world.scene.cluster_ip(), 80, protocol) == due


@pytest.mark.semantics("SVC-LB-02", "MTX-02", "MTX-07")
@pytest.mark.parametrize("policy", ["Cluster", "Local"])
def test_source_ranges_and_policies_go_together(world: World, policy: str) -> None:
    """Whoever may come in is treated as the policy says."""
    vip, outside = world.scene.load_balancer_ip(), world.scene.address(OUTSIDE)
    world.apply(
        service(
            "web",
            world.scene.cluster_ip(),
            type="LoadBalancer",
            ingress=[{"ip": vip}],
            externalTrafficPolicy=policy,
            loadBalancerSourceRanges=[host(outside), host(world.scene.address("pod-b"))],
        ),
        world.slice("web", "pod-a", "remote-a"),
    )
    local = policy == "Local"
    assert world.answers(POD, vip, 80) == UNANSWERED
    assert world.answers("pod-b", vip, 80) == (
        forwarded("pod-a", "remote-a", source=KEPT if local else MASQUERADED)
    )
    assert world.answers(OUTSIDE, vip, 80) == (
        forwarded("pod-a", source=KEPT) if local else forwarded("pod-a", "remote-a", source=MASQUERADED)
    )


@pytest.mark.semantics("SVC-LB-07", "SVC-LB-02", "E2E-50")
def test_source_ranges_change_while_a_service_lives(world: World) -> None:
    """Set, widened, moved, cleared."""
    vip, second = world.scene.load_balancer_ip(), world.scene.addresses(OUTSIDE)[1]
    pods, outside = world.scene.pod_cidr(), host(world.scene.address(OUTSIDE))
    due = forwarded("pod-a", source=MASQUERADED)
    world.apply(world.slice("web", "pod-a"))
    halves = ("0.0.0.0/1", "128.0.0.0/1") if world.family is IPFamily.IPV4 else ("::/1", "8000::/1")
    for ranges, pod_may, outside_may in (
        ((), True, True),
        ((pods,), True, False),
        ((pods, outside), True, True),
        ((outside,), False, True),
        ((host(second),), False, False),
        (halves, True, True),
        ((), True, True),
    ):
        world.apply(balanced(world, {"ip": vip}, ranges=ranges))
        assert world.answers(POD, vip, 80) == (due if pod_may else UNANSWERED), ranges
        assert world.answers(OUTSIDE, vip, 80) == (due if outside_may else UNANSWERED), ranges


@pytest.mark.semantics("SVC-LB-04", "SVC-LB-02", "SVC-LB-03", "DIV-13")
def test_a_nodes_own_connection_from_a_load_balancers_address_comes_in(world: World) -> None:
    """Where the node may come in, so may what it sends from any address of the load balancer that it has.

    Others are kept out of that address, too, though it is the node's and somebody listens there.
    """
    own, vip = world.scene.addresses(NODE)[1], world.scene.load_balancer_ip()
    node, other = host(world.scene.address(NODE)), host(world.scene.address(OUTSIDE))
    due = forwarded("pod-a", source=MASQUERADED)
    world.apply(balanced(world, {"ip": own}, {"ip": vip}, ranges=(node,)), world.slice("web", "pod-a"))
    assert world.answers(NODE, own, 80) == due
    assert world.answers(NODE, vip, 80, source=own) == due
    with world.serve(NODE, 80):
        for client in (POD, OUTSIDE):
            assert world.answers(client, own, 80) == UNANSWERED, client
    world.apply(balanced(world, {"ip": own}, {"ip": vip}, ranges=(other,)))
    assert world.answers(NODE, own, 80) == UNANSWERED
    assert world.answers(NODE, vip, 80, source=own) == UNANSWERED


@pytest.mark.semantics("IN-SVC-11")
def test_a_range_of_everything_restricts_nobody(world: World) -> None:
    """Nor do ranges of the other family only."""
    vip = world.scene.load_balancer_ip()
    everything, foreign = "0.0.0.0/0", "2001:db8::/32"
    if world.family is IPFamily.IPV6:
        everything, foreign = "::/0", "192.0.2.0/24"
    world.apply(world.slice("web", "pod-a"))
    for ranges in ((everything,), (everything, world.scene.pod_cidr()), (foreign,)):
        world.apply(balanced(world, {"ip": vip}, ranges=ranges))
        for client in CLIENTS:
            assert world.answers(client, vip, 80) == forwarded("pod-a", source=MASQUERADED), (ranges, client)


@pytest.mark.semantics("IN-SVC-05")
def test_ranges_that_can_not_be_read_are_skipped(world: World) -> None:
    """The others count; white space around them is nothing."""
    vip = world.scene.load_balancer_ip()
    ranges = (f" {world.scene.pod_cidr()}\n", "nonsense/8", "")
    world.apply(balanced(world, {"ip": vip}, ranges=ranges), world.slice("web", "pod-a"), flaws=1)
    assert world.answers(POD, vip, 80) == forwarded("pod-a", source=MASQUERADED)
    assert world.answers(OUTSIDE, vip, 80) == UNANSWERED


@pytest.mark.semantics("SVC-LB-06", "DIV-14")
def test_an_address_that_is_both_keeps_its_source_ranges(world: World) -> None:
    """Listing the load balancer's address as an external IP opens no back door."""
    vip = world.scene.load_balancer_ip()
    world.apply(
        service(
            "web",
            world.scene.cluster_ip(),
            type="LoadBalancer",
            ingress=[{"ip": vip}],
            externalIPs=[vip],
            loadBalancerSourceRanges=[world.scene.pod_cidr()],
        ),
        world.slice("web", "pod-a"),
    )
    assert world.answers(POD, vip, 80) == forwarded("pod-a", source=MASQUERADED)
    assert world.answers(OUTSIDE, vip, 80) == UNANSWERED


@pytest.mark.semantics("IN-SVC-13", "SVC-NP-01")
def test_a_load_balancer_needs_no_node_port(world: World) -> None:
    """Without one, or with number 0, its address is served."""
    vip = world.scene.load_balancer_ip()
    world.apply(world.slice("web", "pod-a"))
    for number in (None, 0):
        world.apply(
            service(
                "web",
                world.scene.cluster_ip(),
                ports=[port(80, node_port=number)],
                type="LoadBalancer",
                ingress=[{"ip": vip}],
            )
        )
        assert world.answers(OUTSIDE, vip, 80) == forwarded("pod-a", source=MASQUERADED), number


@pytest.mark.semantics("SVC-XIP-01", "E2E-11")
@each_protocol
@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort", "LoadBalancer"])
def test_an_external_ip_is_served_for_any_type(world: World, protocol: Protocol, kind: str) -> None:
    """On an address that no node has."""
    outer = world.scene.external_ip()
    world.apply(
        service(
            "web",
            world.scene.cluster_ip(),
            ports=[port(80, protocol=protocol)],
            type=kind,
            externalIPs=[outer],
        ),
        world.slice("web", "pod-a", "remote-a", ports=[target(8080, protocol=protocol)]),
    )
    for client in CLIENTS:
        assert world.answers(client, outer, 80, protocol) == (
            forwarded("pod-a", "remote-a", source=MASQUERADED)
        ), client


@pytest.mark.semantics("SVC-XIP-01", "IN-SVC-08", "MTX-02", "MTX-07")
def test_an_external_ip_of_a_cluster_ip_service_has_the_policy_too(world: World) -> None:
    """Local endpoints for those outside, all for local pods."""
    outer = world.scene.external_ip()
    world.apply(
        service("web", world.scene.cluster_ip(), externalIPs=[outer], externalTrafficPolicy="Local"),
        world.slice("web", "pod-a", "remote-a"),
    )
    assert world.answers(OUTSIDE, outer, 80) == forwarded("pod-a", source=KEPT)
    assert world.answers(POD, outer, 80) == forwarded("pod-a", "remote-a", source=KEPT)


@pytest.mark.semantics("SVC-XIP-01")
@pytest.mark.parametrize("client", CLIENTS)
def test_an_external_ip_may_be_the_nodes_own(world: World, client: str) -> None:
    """The port is the service's, all others stay the node's."""
    own = world.scene.addresses(NODE)[1]
    world.apply(service("web", world.scene.cluster_ip(), externalIPs=[own]), world.slice("web", "pod-a"))
    with world.serve(NODE, 81):
        assert world.answers(client, own, 80) == forwarded("pod-a", source=MASQUERADED)
        assert world.answers(client, own, 81) == untouched("node:81", client)


@pytest.mark.semantics("SVC-LB-01", "SVC-XIP-01")
def test_other_ports_of_an_external_address_are_not_ours(world: World) -> None:
    """What is sent to them goes where it would go anyway."""
    real = world.scene.real_load_balancer_ip
    world.apply(
        service("web", world.scene.cluster_ip(), ports=[port(81)], externalIPs=[real]),
        world.slice("web", "pod-a"),
    )
    for client in INSIDE:
        assert world.answers(client, real, REAL_PORT) == untouched(REAL, client), client
        assert world.answers(client, real, 81) == forwarded("pod-a", source=MASQUERADED), client


@pytest.mark.semantics("IN-SVC-07")
def test_external_ips_can_be_switched_off(world: World) -> None:
    """Then they are anybody's but the proxy's."""
    world.restart(external_ips_allowed=False)
    real = world.scene.real_load_balancer_ip
    world.apply(service("web", world.scene.cluster_ip(), externalIPs=[real]), world.slice("web", "pod-a"))
    assert world.answers(POD, real, REAL_PORT) == untouched(REAL, POD)
    assert world.answers(POD, world.scene.cluster_ip(), 80) == forwarded("pod-a", source=KEPT)


@pytest.mark.semantics("SVC-XIP-02")
def test_the_older_service_has_an_address_that_two_claim(world: World) -> None:
    """In whatever order they are told of, it is the same one; when it goes, the other one takes over."""
    outer = world.scene.external_ip()
    younger = service(
        "a-younger",
        world.scene.cluster_ip(0),
        externalIPs=[outer],
        metadata={"creationTimestamp": "2026-01-02T00:00:00Z"},
    )
    older = service(
        "older",
        world.scene.cluster_ip(1),
        externalIPs=[outer],
        metadata={"creationTimestamp": "2026-01-01T00:00:00Z"},
    )
    slices = (world.slice("a-younger", "pod-a"), world.slice("older", "pod-b"))
    for first, second in ((older, younger), (younger, older)):
        world.apply(first, *slices)
        world.apply(second, flaws=1)
        assert world.answers(OUTSIDE, outer, 80) == forwarded("pod-b", source=MASQUERADED)
        assert world.answers(POD, world.scene.cluster_ip(0), 80) == forwarded("pod-a", source=KEPT)
        world.delete(older)
        assert world.answers(OUTSIDE, outer, 80) == forwarded("pod-a", source=MASQUERADED)
        world.delete(younger)
        assert world.answers(OUTSIDE, outer, 80) == UNANSWERED


@pytest.mark.semantics("SVC-XIP-02", "SVC-CIP-01")
def test_nobody_takes_a_cluster_ip_by_claiming_it(world: World) -> None:
    """Not even an older service, by listing it as its external IP."""
    vip = world.scene.cluster_ip(0)
    thief = service(
        "thief",
        world.scene.cluster_ip(1),
        externalIPs=[vip],
        metadata={"creationTimestamp": "2026-01-01T00:00:00Z"},
    )
    web = service("web", vip, metadata={"creationTimestamp": "2026-01-02T00:00:00Z"})
    world.apply(thief, world.slice("thief", "pod-b"), world.slice("web", "pod-a"))
    world.apply(web, flaws=1)
    assert world.answers(POD, vip, 80) == forwarded("pod-a", source=KEPT)
    assert world.answers(POD, vip, 81) == REJECTED


@pytest.mark.semantics("IN-SVC-05")
def test_addresses_that_can_not_be_read_are_skipped(world: World) -> None:
    """They spoil nothing else; blank ones are not worth a word."""
    vip, outer = world.scene.load_balancer_ip(), world.scene.external_ip()
    world.apply(
        service(
            "web",
            world.scene.cluster_ip(),
            type="LoadBalancer",
            ingress=[{"ip": "nonsense"}, {"ip": vip}],
            externalIPs=["", "300.1.1.1", outer],
        ),
        world.slice("web", "pod-a"),
        flaws=2,
    )
    for address in (vip, outer):
        assert world.answers(OUTSIDE, address, 80) == forwarded("pod-a", source=MASQUERADED), address


@pytest.mark.semantics("IN-SVC-05")
def test_addresses_may_be_written_in_full(world: World) -> None:
    """With leading zeros they are the same addresses, in IPv4 decimal ones too."""
    outer = world.scene.external_ip()
    in_full = ".".join(octet.zfill(3) for octet in outer.split("."))
    if world.family is IPFamily.IPV6:
        in_full = ip_address(outer).exploded.upper()
    assert in_full != outer
    world.apply(service("web", world.scene.cluster_ip(), externalIPs=[in_full]), world.slice("web", "pod-a"))
    assert world.answers(OUTSIDE, outer, 80) == forwarded("pod-a", source=MASQUERADED)
