"""Connections that exist: they go on whatever changes, for rules concern new ones only."""

from collections.abc import Callable
from functools import partial

import pytest

from pointsman.conformance.answers import KEPT, MASQUERADED, UNANSWERED, forwarded
from pointsman.conformance.lab import NODE, Reply
from pointsman.conformance.marks import each_protocol
from pointsman.conformance.network import Held
from pointsman.conformance.objects import Manifest, port, service, target
from pointsman.conformance.scene import OUTSIDE, POD
from pointsman.conformance.world import World
from pointsman.core.features import Feature
from pointsman.core.model import Protocol

STREAMS = pytest.mark.parametrize(
    "protocol",
    [
        pytest.param(Protocol.TCP, id="tcp"),
        pytest.param(Protocol.SCTP, id="sctp", marks=pytest.mark.requires(Feature.SCTP)),
    ],
)


def goes_on(held: Held) -> bool:
    """Whether the same server still sees the same client."""
    before, now = held.greeting, held.exchange()
    same = ("pod", "port", "client", "client_port")
    return isinstance(now, Reply) and all(getattr(now, one) == getattr(before, one) for one in same)


@pytest.mark.semantics("SVC-CIP-02")
@each_protocol
@pytest.mark.parametrize("client", [POD, NODE, OUTSIDE, "pod-a"])
def test_a_connection_stays_when_endpoints_come(world: World, protocol: Protocol, client: str) -> None:
    """Only new ones are spread over them; so it is for hairpins and masqueraded ones."""
    vip = world.scene.cluster_ip()
    ports = [target(8080, protocol=protocol)]
    world.apply(
        service("web", vip, ports=[port(80, protocol=protocol)]), world.slice("web", "pod-a", ports=ports)
    )
    with world.hold(client, vip, 80, protocol) as held:
        world.apply(world.slice("web", "pod-a", "pod-b", "remote-a", "remote-b", ports=ports))
        assert goes_on(held)


@pytest.mark.semantics("SVC-CIP-02", "DIV-21")
@STREAMS
@pytest.mark.parametrize("client", [POD, NODE, OUTSIDE, "pod-a"])
def test_a_connection_outlives_its_endpoint(world: World, protocol: Protocol, client: str) -> None:
    """An endpoint that is taken out may finish what it has begun."""
    vip = world.scene.cluster_ip()
    ports = [target(8080, protocol=protocol)]
    world.apply(
        service("web", vip, ports=[port(80, protocol=protocol)]), world.slice("web", "pod-a", ports=ports)
    )
    with world.hold(client, vip, 80, protocol) as held:
        world.apply(world.slice("web", "remote-a", ports=ports))
        assert goes_on(held)
        assert world.answers(POD, vip, 80, protocol) == forwarded("remote-a", source=KEPT)
        world.apply(world.slice("web", ports=ports))
        assert goes_on(held)


@pytest.mark.semantics("SVC-CIP-02", "SEL-01", "SEL-04")
@STREAMS
def test_a_connection_outlives_its_endpoints_readiness(world: World, protocol: Protocol) -> None:
    """Terminating, then not even serving: what is established goes on until its own end."""
    vip = world.scene.cluster_ip()
    ports = [target(8080, protocol=protocol)]
    world.apply(
        service("web", vip, ports=[port(80, protocol=protocol)]), world.slice("web", "pod-a", ports=ports)
    )
    with world.hold(POD, vip, 80, protocol) as held:
        for serving in (True, False):
            leaving = world.endpoint("pod-a", ready=False, serving=serving, terminating=True)
            world.apply(world.slice("web", leaving, "remote-a", ports=ports))
            assert goes_on(held), serving


@pytest.mark.semantics("SVC-CIP-02", "IN-EPS-03")
def test_a_connection_outlives_a_change_of_ports(world: World) -> None:
    """Neither the service's port nor the target has to be what it was."""
    vip = world.scene.cluster_ip()
    world.apply(service("web", vip), world.slice("web", "pod-a"))
    with world.hold(POD, vip, 80) as held:
        world.apply(service("web", vip, ports=[port(81)]), world.slice("web", "pod-a", ports=[target(9090)]))
        assert goes_on(held)
        assert world.answers(POD, vip, 81) == forwarded("pod-a:9090", source=KEPT)


@pytest.mark.semantics("SVC-CIP-02", "SVC-CIP-06")
@pytest.mark.parametrize("client", [POD, OUTSIDE])
def test_a_connection_outlives_its_service(world: World, client: str) -> None:
    """Deleting a service keeps new connections out and cuts none."""
    vip = world.scene.cluster_ip()
    web = service("web", vip)
    world.apply(web, world.slice("web", "pod-a"))
    with world.hold(client, vip, 80) as held:
        world.delete(web)
        assert goes_on(held)
        assert world.answers(client, vip, 80) == UNANSWERED


@pytest.mark.semantics("SVC-LB-03", "SVC-LB-07")
def test_a_connection_outlives_a_change_of_source_ranges(world: World) -> None:
    """They are looked at when a connection begins."""
    vip = world.scene.load_balancer_ip()

    def web(*ranges: str) -> Manifest:
        return service(
            "web",
            world.scene.cluster_ip(),
            type="LoadBalancer",
            ingress=[{"ip": vip}],
            loadBalancerSourceRanges=ranges,
        )

    world.apply(web(), world.slice("web", "pod-a"))
    with world.hold(OUTSIDE, vip, 80) as held:
        world.apply(web(world.scene.pod_cidr()))
        assert world.answers(OUTSIDE, vip, 80) == UNANSWERED
        assert goes_on(held)


@pytest.mark.semantics("SVC-CIP-02", "MTX-07", "E2E-26")
def test_a_connection_outlives_a_change_of_policy(world: World) -> None:
    """To an endpoint elsewhere, where new ones no longer go."""
    node, vip = world.scene.address(NODE), world.scene.cluster_ip()

    def web(policy: str) -> Manifest:
        return service(
            "web", vip, ports=[port(80, node_port=30080)], type="NodePort", externalTrafficPolicy=policy
        )

    world.apply(web("Cluster"), world.slice("web", "remote-a"))
    with world.hold(OUTSIDE, node, 30080) as held:
        world.apply(web("Local"))
        assert world.answers(OUTSIDE, node, 30080) == UNANSWERED
        assert goes_on(held)


@pytest.mark.semantics("SYNC-01", "SVC-CIP-02", "E2E-08")
@each_protocol
def test_a_connection_outlives_the_proxy(world: World, protocol: Protocol) -> None:
    """Its end and its new start; for new connections nothing changes either."""
    vip = world.scene.cluster_ip()
    world.apply(
        service("web", vip, ports=[port(80, protocol=protocol)]),
        world.slice("web", "pod-a", "remote-a", ports=[target(8080, protocol=protocol)]),
    )
    with world.hold(OUTSIDE, vip, 80, protocol) as held:
        world.restart()
        assert goes_on(held)
        assert world.answers(OUTSIDE, vip, 80, protocol) == (
            forwarded("pod-a", "remote-a", source=MASQUERADED)
        )


@pytest.mark.semantics("E2E-42", "SVC-CIP-01")
@each_protocol
@pytest.mark.parametrize("client", [POD, OUTSIDE, "pod-a"])
def test_large_requests_and_answers_arrive_whole(world: World, protocol: Protocol, client: str) -> None:
    """Datagrams too large for one packet among them: each fragment has to go where the first one went."""
    vip = world.scene.cluster_ip()
    world.apply(
        service("web", vip, ports=[port(80, protocol=protocol)]),
        world.slice("web", "pod-a", ports=[target(8080, protocol=protocol)]),
    )
    with world.hold(client, vip, 80, protocol) as held:
        for size in (1, 2000, 8000):
            outcome = held.exchange(size)
            assert isinstance(outcome, Reply), size
            assert outcome.size == size


@pytest.mark.semantics("SVC-CIP-02", "SYNC-06", "E2E-53")
@pytest.mark.parametrize("protocol", [Protocol.TCP, Protocol.UDP], ids=["tcp", "udp"])
@pytest.mark.parametrize("change", ["grow", "shrink", "replace"])
def test_no_connection_is_lost_in_a_change(world: World, protocol: Protocol, change: str) -> None:
    """Of connections that begin while endpoints change back and forth, each one is answered."""
    vip = world.scene.cluster_ip()
    before, after = {
        "grow": (["pod-a"], ["pod-a", "pod-b", "remote-a"]),
        "shrink": (["pod-a", "pod-b", "remote-a"], ["remote-a"]),
        "replace": (["pod-a", "remote-a"], ["pod-b", "remote-b"]),
    }[change]
    ports = [target(8080, protocol=protocol)]
    old, new = world.slice("web", *before, ports=ports), world.slice("web", *after, ports=ports)
    world.apply(service("web", vip, ports=[port(80, protocol=protocol)]), old)
    swap: list[Callable[[], object]] = [partial(world.apply, new), partial(world.apply, old)]
    answered = world.answers_during(swap * 20, POD, vip, 80, protocol)
    assert answered <= forwarded(*before, *after, source=KEPT)
