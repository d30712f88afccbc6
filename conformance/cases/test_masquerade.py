"""Whose source address is rewritten, and to what."""

import pytest

from pointsman.conformance.answers import KEPT, MASQUERADED, forwarded
from pointsman.conformance.lab import NODE, Reply
from pointsman.conformance.marks import each_protocol
from pointsman.conformance.objects import port, service, target
from pointsman.conformance.scene import OUTSIDE, POD
from pointsman.conformance.world import World
from pointsman.core.addresses import parse_network
from pointsman.core.config import LocalMode
from pointsman.core.model import Protocol


@pytest.mark.semantics("MSQ-02", "MTX-03", "MTX-06")
@each_protocol
@pytest.mark.parametrize("client", [OUTSIDE, NODE])
def test_the_source_becomes_the_address_of_the_interface_it_leaves_by(
    world: World, protocol: Protocol, client: str
) -> None:
    """Towards a local pod the pods' gateway, elsewhere the node's main address; whatever it was before."""
    vip, source = world.scene.cluster_ip(), world.scene.addresses(client)[1]
    for pod in ("pod-a", "remote-a"):
        world.apply(
            service("web", vip, ports=[port(80, protocol=protocol)]),
            world.slice("web", pod, ports=[target(8080, protocol=protocol)]),
        )
        reply = world.connect(client, vip, 80, protocol, source=source)
        assert isinstance(reply, Reply)
        assert reply.client == world.scene.node_address_towards(pod), pod


@pytest.mark.semantics("MSQ-06", "MSQ-05", "CFG-18", "CFG-20")
def test_local_pods_are_told_by_the_clusters_network(world: World) -> None:
    """Of several networks of a family, the first counts."""
    vip = world.scene.cluster_ip()
    web = (service("web", vip), world.slice("web", "pod-a"))
    only_pod_b = parse_network(f"{world.scene.address('pod-b')}/{32 if '.' in vip else 128}")
    world.restart(cluster_cidrs=(only_pod_b, parse_network(world.scene.pod_cidr())))
    world.apply(*web)
    assert world.answers("pod-b", vip, 80) == forwarded("pod-a", source=KEPT)
    assert world.answers(POD, vip, 80) == forwarded("pod-a", source=MASQUERADED)
    assert world.answers(OUTSIDE, vip, 80) == forwarded("pod-a", source=MASQUERADED)


@pytest.mark.semantics("MSQ-06", "CFG-18")
def test_local_pods_are_told_by_the_nodes_network(world: World) -> None:
    """As the Node object says."""
    vip = world.scene.cluster_ip()
    world.restart(local_mode=LocalMode.NODE_CIDR, cluster_cidrs=())
    world.apply(service("web", vip), world.slice("web", "pod-a", "remote-a"))
    assert world.answers(POD, vip, 80) == forwarded("pod-a", "remote-a", source=KEPT)
    assert world.answers(NODE, vip, 80) == forwarded("pod-a", "remote-a", source=MASQUERADED)
    assert world.answers(OUTSIDE, vip, 80) == forwarded("pod-a", "remote-a", source=MASQUERADED)


@pytest.mark.semantics("MSQ-06", "CFG-18", "CFG-19")
def test_local_pods_are_told_by_an_interface(world: World) -> None:
    """The very one that packets come in by, and no other whose name begins like it."""
    vip = world.scene.cluster_ip()
    world.restart(local_mode=LocalMode.BRIDGE_INTERFACE, bridge_interface=world.scene.interface_of(POD))
    world.apply(service("web", vip), world.slice("web", "pod-a", "remote-a"))
    assert world.answers(POD, vip, 80) == forwarded("pod-a", "remote-a", source=KEPT)
    assert world.answers("pod-b", vip, 80) == forwarded("pod-a", "remote-a", source=MASQUERADED)
    assert world.answers(NODE, vip, 80) == forwarded("pod-a", "remote-a", source=MASQUERADED)
    world.restart(bridge_interface=world.scene.interface_of(POD)[:-1])
    assert world.answers(POD, vip, 80) == forwarded("pod-a", "remote-a", source=MASQUERADED)


@pytest.mark.semantics("MSQ-06", "CFG-18", "CFG-19")
def test_local_pods_are_told_by_how_their_interfaces_are_called(world: World) -> None:
    """All those whose names begin so."""
    vip = world.scene.cluster_ip()
    prefix = world.scene.interface_of(POD)[:-1]
    world.restart(local_mode=LocalMode.INTERFACE_NAME_PREFIX, interface_name_prefix=prefix)
    world.apply(service("web", vip), world.slice("web", "remote-a"))
    for pod in (POD, "pod-b"):
        assert world.answers(pod, vip, 80) == forwarded("remote-a", source=KEPT), pod
    for other in (NODE, OUTSIDE):
        assert world.answers(other, vip, 80) == forwarded("remote-a", source=MASQUERADED), other


@pytest.mark.semantics("MSQ-01", "CFG-11")
@pytest.mark.parametrize("bit", [0, 31])
def test_any_bit_of_the_mark_will_do(world: World, bit: int) -> None:
    """Which one is configuration; what it does is the same."""
    vip = world.scene.cluster_ip()
    world.restart(masquerade_bit=bit)
    world.apply(service("web", vip), world.slice("web", "pod-a", "remote-a"))
    assert world.answers(OUTSIDE, vip, 80) == forwarded("pod-a", "remote-a", source=MASQUERADED)
    assert world.answers("pod-a", vip, 80) == (
        forwarded("pod-a", source=MASQUERADED) | forwarded("remote-a", source=KEPT)
    )


@pytest.mark.semantics("E2E-56", "MTX-01")
@each_protocol
def test_connections_to_pods_themselves_are_left_alone(world: World, protocol: Protocol) -> None:
    """Nothing is rewritten between pods, nor between the node and them, though a service leads there too."""
    world.apply(
        service("web", world.scene.cluster_ip(), ports=[port(8080, protocol=protocol)]),
        world.slice("web", "pod-a", "remote-a", ports=[target(8080, protocol=protocol)]),
    )
    for client in (POD, OUTSIDE):
        for pod in ("pod-a", "remote-a"):
            direct = world.answers(client, world.scene.address(pod), 8080, protocol)
            assert direct == forwarded(pod, source=KEPT), (client, pod)
