"""Session affinity: clients that meet the endpoint again that they met last."""

from collections.abc import Iterable, Sequence
from typing import Unpack

import pytest

from pointsman.conformance.answers import KEPT, MASQUERADED, REJECTED, UNANSWERED, forwarded
from pointsman.conformance.lab import NODE, Outcome, Reply
from pointsman.conformance.marks import each_protocol
from pointsman.conformance.objects import Manifest, ServiceSpec, port, service, target
from pointsman.conformance.scene import OUTSIDE, POD, REMOTE_POD
from pointsman.conformance.world import World
from pointsman.core.features import Feature
from pointsman.core.model import Protocol

pytestmark = pytest.mark.requires(Feature.SESSION_AFFINITY)

ENDPOINTS = ("pod-a", "pod-b", "remote-a", "remote-b")
NODE_PORT = 30080
UDP_TARGET = target(8080, protocol=Protocol.UDP)
LONG, SHORT = 10800, 1  # seconds: what the API gives by default, and the least that it takes
MARGIN = 0.3  # seconds, for clocks of kernels
PATIENT = (1, 1, 2, 4, 8)  # seconds to be remembered for: the more, the slower a machine may be
CROWD = 20  # so many clients don't all pick the same again by chance: once in 4^20 times


def sticky(
    world: World,
    seconds: int | None = LONG,
    protocol: Protocol = Protocol.TCP,
    **spec: Unpack[ServiceSpec],
) -> Manifest:
    """A service with every kind of address, that remembers its clients for so long; None for not at all."""
    plain = ServiceSpec(type="LoadBalancer", externalIPs=[world.scene.external_ip()])
    memory = ServiceSpec() if seconds is None else remembering(seconds)
    return service(
        "web",
        world.scene.cluster_ip(),
        ports=[port(80, protocol=protocol, node_port=NODE_PORT)],
        ingress=[{"ip": world.scene.load_balancer_ip()}],
        **(plain | memory | spec),
    )


def remembering(seconds: int) -> ServiceSpec:
    """What makes a service remember its clients."""
    config = {"clientIP": {"timeoutSeconds": seconds}}
    return ServiceSpec(sessionAffinity="ClientIP", sessionAffinityConfig=config)


def places(outcomes: Iterable[Outcome]) -> list[str]:
    """Who answered, all having been answered."""
    found = list(outcomes)
    assert all(isinstance(outcome, Reply) for outcome in found), found
    return [f"{outcome.pod}:{outcome.port}" for outcome in found if isinstance(outcome, Reply)]


def met(world: World, crowd: Sequence[str], number: int = 80, protocol: Protocol = Protocol.TCP) -> list[str]:
    """Whom each of many clients meets at the ClusterIP now."""
    return places(world.each(OUTSIDE, crowd, world.scene.cluster_ip(), number, protocol))


def visited_in_time(world: World, crowd: Sequence[str], seconds: int) -> list[str] | None:
    """Whom clients met who came back twice in time; None if a busy machine made them late."""
    began = world.now()
    due = met(world, crowd)
    for _ in range(2):
        world.pass_time(seconds * 0.6)
        returned = world.now()
        now = met(world, crowd)
        if world.now() - began > seconds - MARGIN / 2:
            return None
        assert now == due
        began = returned
    return due


def count_on_chance(world: World) -> None:
    """That so many clients don't all pick by chance what they, or other ports of theirs, picked before."""
    world.budget.spend(len(ENDPOINTS) ** -float(CROWD))


@pytest.mark.semantics("AFF-01", "AFF-05", "PRO-01", "E2E-16", "E2E-41", "E2E-51")
@each_protocol
@pytest.mark.parametrize("client", [POD, NODE, OUTSIDE, REMOTE_POD])
def test_a_client_meets_its_endpoint_again(world: World, protocol: Protocol, client: str) -> None:
    """From whatever port it comes, and whether or not the endpoint sees its address."""
    ports = [target(8080, protocol=protocol)]
    world.apply(sticky(world, protocol=protocol), world.slice("web", *ENDPOINTS, ports=ports))
    for address, number in (
        (world.scene.cluster_ip(), 80),
        (world.scene.load_balancer_ip(), 80),
        (world.scene.address(NODE), NODE_PORT),
    ):
        if client == REMOTE_POD and address != world.scene.address(NODE):
            continue  # its own node sees to the others
        [first] = places([world.connect(client, address, number, protocol)])
        assert set(places(world.burst(client, address, number, protocol, count=30))) == {first}, address


@pytest.mark.semantics("AFF-02", "AFF-05", "DIV-15", "E2E-16", "E2E-51")
@pytest.mark.parametrize("protocol", [Protocol.TCP, Protocol.UDP], ids=["tcp", "udp"])
def test_all_addresses_of_a_service_port_share_what_they_remember(world: World, protocol: Protocol) -> None:
    """A client that came by one of them meets the same endpoint by every other."""
    at = world.scene
    world.apply(
        sticky(world, protocol=protocol),
        world.slice("web", *ENDPOINTS, ports=[target(8080, protocol=protocol)]),
    )
    addresses = [
        (at.cluster_ip(), 80),
        (at.load_balancer_ip(), 80),
        (at.external_ip(), 80),
        *((address, NODE_PORT) for address in at.addresses(NODE)[:2]),
    ]
    crowd = at.crowd(len(addresses) * CROWD)
    for index, first in enumerate(addresses):
        some = crowd[index * CROWD :][:CROWD]
        due = places(world.each(OUTSIDE, some, *first, protocol))
        for address in addresses:
            assert places(world.each(OUTSIDE, some, *address, protocol)) == due, (first, address)


@pytest.mark.semantics("AFF-03", "IN-SVC-04")
def test_the_ports_of_a_service_remember_by_themselves(world: World) -> None:
    """So do TCP and UDP of one number: where a client is on one says nothing of where it goes on another."""
    count_on_chance(world)
    count_on_chance(world)
    ports = [
        port(80, name="a"),
        port(81, name="b"),
        port(80, name="c", protocol=Protocol.UDP),
    ]
    targets = [target(8080, name="a"), target(8080, name="b"), target(8080, name="c", protocol=Protocol.UDP)]
    world.apply(
        service("web", world.scene.cluster_ip(), ports=ports, **remembering(LONG)),
        world.slice("web", *ENDPOINTS, ports=targets),
    )
    crowd = world.scene.crowd(CROWD)
    first, second = met(world, crowd), met(world, crowd, 81)
    third = met(world, crowd, 80, Protocol.UDP)
    assert first not in (second, third)
    assert (met(world, crowd), met(world, crowd, 81)) == (first, second)
    assert met(world, crowd, 80, Protocol.UDP) == third


@pytest.mark.semantics("AFF-01", "AFF-05", "AFF-07", "DIV-16", "SEL-10")
def test_many_clients_are_spread_and_all_remembered(world: World) -> None:
    """Five hundred of them, none of whom the endpoints see as itself: each is a client of its own.

    Then ten thousand, at one endpoint, with which they stay when there are others.
    """
    world.apply(sticky(world), world.slice("web", *ENDPOINTS))
    crowd = world.scene.crowd(500)
    due = met(world, crowd)
    world.assert_even(due, [f"{endpoint}:8080" for endpoint in ENDPOINTS])
    assert met(world, crowd) == due
    for address, number in ((world.scene.load_balancer_ip(), 80), (world.scene.address(NODE), NODE_PORT)):
        assert places(world.each(OUTSIDE, crowd, address, number)) == due, address
    world.apply(sticky(world, protocol=Protocol.UDP), world.slice("web", "pod-a", ports=[UDP_TARGET]))
    crowd = world.scene.crowd(10_000)
    assert set(met(world, crowd, protocol=Protocol.UDP)) == {"pod-a:8080"}
    world.apply(world.slice("web", *ENDPOINTS, ports=[UDP_TARGET]))
    # A tenth of them, the first and the last among them: whoever is forgotten meets another with 3 in 4 odds.
    returning = [*crowd[:-1:10], crowd[-1]]
    assert set(met(world, returning, protocol=Protocol.UDP)) == {"pod-a:8080"}


@pytest.mark.semantics("AFF-04", "AFF-08", "SEL-04", "E2E-40")
@pytest.mark.parametrize("how", ["removed", "unready", "terminating"])
def test_clients_of_an_endpoint_that_left_meet_others_at_once(world: World, how: str) -> None:
    """Nobody else is moved; those who are stay where they are then, also when it comes back."""
    world.apply(sticky(world), world.slice("web", *ENDPOINTS))
    crowd = world.scene.crowd(3 * CROWD)
    before = met(world, crowd)
    gone = {
        "removed": (),
        "unready": (world.endpoint("pod-a", ready=False, serving=False),),
        "terminating": (world.endpoint("pod-a", ready=False, serving=True, terminating=True),),
    }[how]
    world.apply(world.slice("web", *gone, *ENDPOINTS[1:]))
    now = met(world, crowd)
    assert "pod-a:8080" not in now
    assert [new for new, old in zip(now, before, strict=True) if old != "pod-a:8080"] == [
        old for old in before if old != "pod-a:8080"
    ]
    assert met(world, crowd) == now
    world.apply(world.slice("web", *ENDPOINTS))
    assert met(world, crowd) == now


@pytest.mark.semantics("AFF-01", "SYNC-05", "IN-EPS-03")
def test_changes_that_concern_others_make_nobody_forget(world: World) -> None:
    """Another service's, more endpoints, another address of the same service."""
    at = world.scene
    world.apply(sticky(world), world.slice("web", *ENDPOINTS[:2]))
    crowd = at.crowd(2 * CROWD)
    due = met(world, crowd)
    world.apply(service("other", at.cluster_ip(1), **remembering(SHORT)), world.slice("other", "pod-c"))
    assert met(world, crowd) == due
    world.apply(world.slice("web", *ENDPOINTS))
    assert met(world, crowd) == due
    world.apply(sticky(world, externalIPs=[at.external_ip(1)]))
    assert met(world, crowd) == due
    assert places(world.each(OUTSIDE, crowd, at.external_ip(1), 80)) == due


@pytest.mark.semantics("AFF-01", "SYNC-01", "E2E-08")
def test_a_new_proxy_knows_its_clients(world: World) -> None:
    """What the kernel remembers outlives a restart."""
    world.apply(sticky(world), world.slice("web", *ENDPOINTS))
    crowd = world.scene.crowd(CROWD)
    due = met(world, crowd)
    world.restart()
    assert met(world, crowd) == due


@pytest.mark.semantics("AFF-01", "E2E-17")
def test_a_client_is_remembered_until_it_was_away_for_too_long(world: World) -> None:
    """Each new connection begins its time anew."""
    count_on_chance(world)
    crowd = world.scene.crowd(CROWD)
    for seconds in PATIENT:
        world.apply(sticky(world, seconds), world.slice("web", *ENDPOINTS))
        due = visited_in_time(world, crowd, seconds)
        if due is not None:
            break
    else:
        pytest.fail("this machine is too busy to tell")
    world.pass_time(seconds + MARGIN)
    assert met(world, crowd) != due


@pytest.mark.semantics("AFF-06", "E2E-17")
def test_a_timeout_changes_while_clients_are_remembered(world: World) -> None:
    """A shorter one holds for them, too, and so does a longer one."""
    count_on_chance(world)
    crowd = world.scene.crowd(CROWD)
    world.apply(sticky(world, LONG), world.slice("web", *ENDPOINTS))
    before = met(world, crowd)
    world.apply(sticky(world, SHORT))
    world.pass_time(SHORT + MARGIN)
    due = met(world, crowd)
    assert due != before
    world.apply(sticky(world, LONG))
    due = met(world, crowd)
    world.pass_time(SHORT + MARGIN)
    assert met(world, crowd) == due


@pytest.mark.semantics("AFF-06", "E2E-18", "E2E-51")
@pytest.mark.parametrize("protocol", [Protocol.TCP, Protocol.UDP], ids=["tcp", "udp"])
def test_it_is_switched_on_and_off(world: World, protocol: Protocol) -> None:
    """While the service lives, at each of its addresses."""
    at = world.scene
    addresses = ((at.cluster_ip(), 80), (at.load_balancer_ip(), 80), (at.address(NODE), NODE_PORT))
    world.apply(world.slice("web", *ENDPOINTS, ports=[target(8080, protocol=protocol)]))
    for _ in range(2):
        world.apply(sticky(world, None, protocol))
        for address, number in addresses:
            assert world.answers(OUTSIDE, address, number, protocol) == (
                forwarded(*ENDPOINTS, source=MASQUERADED)
            )
        world.apply(sticky(world, LONG, protocol))
        [first] = places([world.connect(OUTSIDE, *addresses[0], protocol)])
        for address, number in addresses:
            assert set(places(world.burst(OUTSIDE, address, number, protocol, count=30))) == {first}


@pytest.mark.semantics("AFF-05", "AFF-04", "MTX-10", "SEL-02")
def test_policies_come_before_memories(world: World) -> None:
    """Whoever was at an endpoint elsewhere is held to a local one once the policy is Local."""
    at = world.scene
    world.apply(sticky(world), world.slice("web", "remote-a"))
    assert world.answers(POD, at.cluster_ip(), 80) == forwarded("remote-a", source=KEPT)
    assert world.answers(OUTSIDE, at.load_balancer_ip(), 80) == forwarded("remote-a", source=MASQUERADED)
    world.apply(world.slice("web", "remote-a", "pod-a"))
    assert world.answers(POD, at.cluster_ip(), 80) == forwarded("remote-a", source=KEPT)
    world.apply(sticky(world, internalTrafficPolicy="Local", externalTrafficPolicy="Local"))
    assert world.answers(POD, at.cluster_ip(), 80) == forwarded("pod-a", source=KEPT)
    assert world.answers(OUTSIDE, at.load_balancer_ip(), 80) == forwarded("pod-a", source=KEPT)
    world.apply(world.slice("web", "remote-a"))
    assert world.answers(POD, at.cluster_ip(), 80) == UNANSWERED
    assert world.answers(OUTSIDE, at.load_balancer_ip(), 80) == UNANSWERED


@pytest.mark.semantics("AFF-05", "SVC-LB-02", "SVC-LB-07")
def test_source_ranges_come_before_memories(world: World) -> None:
    """A client that is remembered and no longer admitted stays outside."""
    vip = world.scene.load_balancer_ip()
    world.apply(sticky(world), world.slice("web", *ENDPOINTS))
    [first] = places([world.connect(OUTSIDE, vip, 80)])
    world.apply(sticky(world, loadBalancerSourceRanges=[world.scene.pod_cidr()]))
    assert world.answers(OUTSIDE, vip, 80) == UNANSWERED
    assert world.answers(OUTSIDE, world.scene.cluster_ip(), 80) == forwarded(first, source=MASQUERADED)


@pytest.mark.semantics("AFF-01", "AFF-02", "MTX-07", "MTX-02", "E2E-51")
@pytest.mark.parametrize("protocol", [Protocol.TCP, Protocol.UDP], ids=["tcp", "udp"])
def test_with_external_traffic_policy_local(world: World, protocol: Protocol) -> None:
    """Clients off the cluster stick to local endpoints, local pods to any of all."""
    at = world.scene
    web = sticky(world, LONG, protocol, externalTrafficPolicy="Local")
    world.apply(web, world.slice("web", *ENDPOINTS, ports=[target(8080, protocol=protocol)]))
    outer = [(at.load_balancer_ip(), 80), (at.external_ip(), 80), (at.address(NODE), NODE_PORT)]
    crowd = at.crowd(2 * CROWD)
    due = places(world.each(OUTSIDE, crowd, *outer[0], protocol))
    assert set(due) == {"pod-a:8080", "pod-b:8080"}
    world.budget.spend(2 * 2.0 ** -len(crowd))
    for to in outer:
        assert places(world.each(OUTSIDE, crowd, *to, protocol)) == due, to
    [inside] = places([world.connect(POD, *outer[0], protocol)])
    for address, number in outer:
        assert world.answers(POD, address, number, protocol) == forwarded(inside, source=KEPT), address


@pytest.mark.semantics("AFF-02", "AFF-05", "MTX-06", "MTX-07")
def test_a_client_that_comes_both_ways_stays_with_whom_it_met(world: World) -> None:
    """At the ClusterIP one of all, at the load balancer's address a local one.

    Having met an endpoint elsewhere first and a local one then, it may meet either of them at the ClusterIP.
    """
    at = world.scene
    world.apply(sticky(world, externalTrafficPolicy="Local"), world.slice("web", *ENDPOINTS))
    crowd = at.crowd(2 * CROWD)
    first = met(world, crowd)
    local = places(world.each(OUTSIDE, crowd, at.load_balancer_ip(), 80))
    assert set(local) <= {"pod-a:8080", "pod-b:8080"}
    again = met(world, crowd)
    for one in zip(first, local, again, strict=True):
        assert one[2] in one[:2], one
        if one[0] in ("pod-a:8080", "pod-b:8080"):
            assert len(set(one)) == 1, one  # it has met nobody else
    assert places(world.each(OUTSIDE, crowd, at.load_balancer_ip(), 80)) == local


@pytest.mark.semantics("AFF-04", "NOEP-01", "NOEP-10")
def test_a_service_that_remembers_may_have_nobody(world: World) -> None:
    """Then its clients are refused like any other's, and go to the first endpoint that comes."""
    vip, node = world.scene.cluster_ip(), world.scene.address(NODE)
    world.apply(sticky(world))
    for pod in ("pod-a", "remote-a"):
        assert world.answers(POD, vip, 80) == REJECTED
        assert world.answers(OUTSIDE, node, NODE_PORT) == REJECTED
        world.apply(world.slice("web", pod))
        assert world.answers(POD, vip, 80) == forwarded(pod, source=KEPT)
        assert world.answers(OUTSIDE, node, NODE_PORT) == forwarded(pod, source=MASQUERADED)
        world.apply(world.slice("web"))


@pytest.mark.semantics("AFF-01", "MSQ-03", "MTX-01")
def test_a_pod_that_is_remembered_at_itself_is_a_hairpin(world: World) -> None:
    """It sees the node, and goes on doing so."""
    vip = world.scene.cluster_ip()
    world.apply(sticky(world), world.slice("web", "pod-a"))
    assert world.answers("pod-a", vip, 80) == forwarded("pod-a", source=MASQUERADED)
    world.apply(world.slice("web", *ENDPOINTS))
    assert world.answers("pod-a", vip, 80) == forwarded("pod-a", source=MASQUERADED)
