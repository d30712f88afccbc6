"""UDP flows that go on: each moves on when its endpoint has left, and stays as long as it hasn't.

A client that never changes its port is one flow to the node's connection tracking, which knows no end of it.
"""

from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Unpack

import pytest

from pointsman.conformance.lab import NODE, ROUTER, Outcome, Reply
from pointsman.conformance.network import Held
from pointsman.conformance.objects import Manifest, ServiceSpec, port, service, target
from pointsman.conformance.parts import Part
from pointsman.conformance.scene import OUTSIDE, POD
from pointsman.conformance.world import World
from pointsman.core.model import Protocol

pytestmark = pytest.mark.requires(Part.UDP_RECONCILED)

UDP = Protocol.UDP
NODE_PORT = 30080


def dns(world: World, **spec: Unpack[ServiceSpec]) -> Manifest:
    """A service for UDP and TCP, with every kind of address."""
    plain = ServiceSpec(type="LoadBalancer", externalIPs=[world.scene.external_ip()])
    return service(
        "dns",
        world.scene.cluster_ip(),
        ports=[
            port(53, name="dns", protocol=UDP, node_port=NODE_PORT),
            port(53, name="dns-tcp", node_port=NODE_PORT),
        ],
        ingress=[{"ip": world.scene.load_balancer_ip()}],
        **(plain | spec),
    )


def endpoints(world: World, *listed: str | Manifest, number: int = 8080) -> Manifest:
    """Its slice."""
    ports = [target(number, name="dns", protocol=UDP), target(number, name="dns-tcp")]
    return world.slice("dns", *listed, ports=ports)


def leaving(world: World, pod: str) -> Manifest:
    """A pod that terminates and still serves."""
    return world.endpoint(pod, ready=False, serving=True, terminating=True)


def flow(world: World, client: str, address: str, number: int = 53) -> AbstractContextManager[Held]:
    """A UDP flow that goes on."""
    return world.hold(client, address, number, UDP)


def answered_by(held: Held, server: str) -> bool:
    """Whether a flow is with an endpoint now."""
    return _server(held.exchange()) == server


def _server(outcome: Outcome) -> str | None:
    return f"{outcome.pod}:{outcome.port}" if isinstance(outcome, Reply) else None


def destinations(world: World) -> dict[str, tuple[str, int]]:
    """Every kind of address."""
    at = world.scene
    first, second, *_ = at.addresses(NODE)
    return {
        "cluster-ip": (at.cluster_ip(), 53),
        "load-balancer": (at.load_balancer_ip(), 53),
        "external-ip": (at.external_ip(), 53),
        "node-port": (first, NODE_PORT),
        "another-address": (second, NODE_PORT),
    }


@pytest.mark.semantics("CT-01", "CT-03", "CT-04", "DIV-22", "DIV-21", "TRK-05", "E2E-31", "E2E-40", "E2E-52")
@pytest.mark.parametrize("client", [POD, NODE, OUTSIDE])
def test_a_flow_moves_on_when_its_endpoint_has_left(world: World, client: str) -> None:
    """By whichever address it came; to an endpoint on this node, then to one on another. TCP stays."""
    world.apply(dns(world), endpoints(world, "pod-a"))
    ways = destinations(world)
    with ExitStack() as stack:
        flows = {name: stack.enter_context(flow(world, client, *way)) for name, way in ways.items()}
        streams = {name: stack.enter_context(world.hold(client, *way)) for name, way in ways.items()}
        for pod in ("pod-b", "remote-a", "pod-a"):
            world.apply(endpoints(world, pod))
            for name, held in flows.items():
                assert world.comes_about(partial(answered_by, held, f"{pod}:8080")), (name, pod)
            for name, held in streams.items():
                assert answered_by(held, "pod-a:8080"), (name, pod)


@pytest.mark.semantics("CT-03", "E2E-31")
def test_a_flow_of_internal_policy_local_moves_on(world: World) -> None:
    """To another local endpoint."""
    world.apply(dns(world, internalTrafficPolicy="Local"), endpoints(world, "pod-a", "remote-a"))
    with flow(world, POD, world.scene.cluster_ip()) as held:
        assert answered_by(held, "pod-a:8080")
        world.apply(endpoints(world, "pod-b", "remote-a"))
        assert world.comes_about(partial(answered_by, held, "pod-b:8080"))


@pytest.mark.semantics("CT-02", "CT-06", "SEL-04")
@pytest.mark.parametrize("client", [POD, OUTSIDE])
def test_a_flow_stays_while_its_endpoint_serves(world: World, client: str) -> None:
    """Terminating, and passed over by new flows; one whose endpoint has ceased to serve does not stay."""
    vip = world.scene.cluster_ip()
    world.apply(dns(world), endpoints(world, "pod-a"))
    with flow(world, client, vip) as staying:
        world.apply(endpoints(world, "pod-b", leaving(world, "pod-a")))
        with flow(world, client, vip) as moving:
            assert answered_by(moving, "pod-b:8080")
            over = world.endpoint("pod-b", ready=False, serving=False, terminating=True)
            world.apply(endpoints(world, "remote-a", leaving(world, "pod-a"), over))
            assert world.comes_about(partial(answered_by, moving, "remote-a:8080"))
            # Both were looked at, at once.
            assert answered_by(staying, "pod-a:8080")
            world.apply(endpoints(world, "remote-a"))
            assert world.comes_about(partial(answered_by, staying, "remote-a:8080"))


@pytest.mark.semantics("CT-02", "SVC-CIP-02")
def test_a_flow_stays_where_policy_sends_no_new_ones(world: World) -> None:
    """Any endpoint that serves will do: on another node, and of another zone."""
    node, vip = world.scene.address(NODE), world.scene.cluster_ip()
    world.apply(dns(world), endpoints(world, "remote-a"))
    with flow(world, OUTSIDE, node, NODE_PORT) as staying, flow(world, POD, vip) as staying_too:
        local = dns(world, internalTrafficPolicy="Local", externalTrafficPolicy="Local")
        world.apply(local, endpoints(world, "remote-a", "pod-a"))
        with flow(world, OUTSIDE, node, NODE_PORT) as moving:
            assert answered_by(moving, "pod-a:8080")
            world.apply(endpoints(world, "remote-a", "pod-b"))
            assert world.comes_about(partial(answered_by, moving, "pod-b:8080"))
        assert answered_by(staying, "remote-a:8080")
        assert answered_by(staying_too, "remote-a:8080")


@pytest.mark.semantics("CT-06", "E2E-34")
def test_a_flow_moves_on_when_the_target_port_changes(world: World) -> None:
    """The same pod, on another port."""
    ways = destinations(world)
    world.apply(dns(world), endpoints(world, "pod-a"))
    with ExitStack() as stack:
        flows = {name: stack.enter_context(flow(world, OUTSIDE, *way)) for name, way in ways.items()}
        world.apply(endpoints(world, "pod-a", number=9090))
        for name, held in flows.items():
            assert world.comes_about(partial(answered_by, held, "pod-a:9090")), name


@pytest.mark.semantics("CT-05", "E2E-31", "E2E-32")
def test_a_flow_is_left_alone_while_there_is_nobody_else(world: World) -> None:
    """Whoever comes first gets it."""
    vip, other = world.scene.cluster_ip(), world.scene.cluster_ip(1)
    ports = [target(8080, protocol=UDP)]
    world.apply(dns(world), endpoints(world, "pod-a"))
    world.apply(
        service("other", other, ports=[port(53, protocol=UDP)]), world.slice("other", "pod-a", ports=ports)
    )
    with flow(world, POD, vip) as held, flow(world, POD, other) as moving:
        unready = world.endpoint("pod-a", ready=False, serving=False)
        world.apply(endpoints(world, unready), world.slice("other", "pod-b", ports=ports))
        assert world.comes_about(partial(answered_by, moving, "pod-b:8080"))
        assert answered_by(held, "pod-a:8080")
        world.apply(endpoints(world, unready, "pod-b"))
        assert world.comes_about(partial(answered_by, held, "pod-b:8080"))


@pytest.mark.semantics("CT-03", "CT-05", "NOEP-10", "E2E-32")
def test_a_flow_that_began_before_its_service_finds_it(world: World) -> None:
    """It went where the address led to without a proxy.

    Nobody answers there any more when it is taken away: an answer that is on its way just then would begin a
    flow of its own, the other way round, which client and server would go on with.
    """
    real, number = world.scene.real_load_balancer_ip, 81
    ports = [target(8080, protocol=UDP)]
    web = service(
        "web",
        world.scene.cluster_ip(),
        ports=[port(number, protocol=UDP)],
        type="LoadBalancer",
        ingress=[{"ip": real}],
    )
    with ExitStack() as stack:
        with world.serve(ROUTER, number, UDP):
            held = stack.enter_context(flow(world, POD, real, number))
            assert answered_by(held, f"router:{number}")
        world.apply(web, world.slice("web", "pod-a", ports=ports))
        assert world.comes_about(partial(answered_by, held, "pod-a:8080"))


@pytest.mark.semantics("CT-01", "CT-03", "E2E-56")
def test_flows_of_others_are_left_alone(world: World) -> None:
    """Those of another service with the same endpoint, and those to the endpoint itself."""
    vip, other = world.scene.cluster_ip(), world.scene.cluster_ip(1)
    ports = [target(8080, protocol=UDP)]
    world.apply(
        dns(world),
        endpoints(world, "pod-a"),
        service("other", other, ports=[port(53, protocol=UDP)]),
        world.slice("other", "pod-a", ports=ports),
    )
    with (
        flow(world, POD, vip) as moving,
        flow(world, POD, other) as others,
        flow(world, POD, world.scene.address("pod-a"), 8080) as direct,
    ):
        # To the other service it still serves, but would be nobody's choice any more.
        world.apply(world.slice("other", leaving(world, "pod-a"), "pod-c", ports=ports))
        world.apply(endpoints(world, "pod-b"))
        assert world.comes_about(partial(answered_by, moving, "pod-b:8080"))
        for held in (others, direct):
            before, now = held.greeting, held.exchange()
            assert isinstance(now, Reply)
            assert (now.pod, now.client, now.client_port) == ("pod-a", before.client, before.client_port)


@pytest.mark.semantics("CT-01", "SYNC-01", "E2E-08")
def test_a_flow_whose_endpoint_left_while_no_proxy_was_there_moves_on(world: World) -> None:
    """The new one looks at what the old one left."""
    web = dns(world)
    world.apply(web, endpoints(world, "pod-a"))
    with flow(world, POD, world.scene.cluster_ip()) as held:
        world.restart([web, endpoints(world, "pod-b")])
        assert world.comes_about(partial(answered_by, held, "pod-b:8080"))
