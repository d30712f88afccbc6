"""The matrix of sources and destinations: who reaches what, and is seen as whom (MTX-01…MTX-10)."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from pointsman.conformance.answers import KEPT, MASQUERADED, Answers, Source, forwarded
from pointsman.conformance.lab import NODE
from pointsman.conformance.marks import each_protocol
from pointsman.conformance.objects import Manifest, port, service, target
from pointsman.conformance.scene import OUTSIDE, POD
from pointsman.conformance.world import World
from pointsman.core.model import Protocol

LOCAL, REMOTE = "pod-a", "remote-a"
BOTH = (LOCAL, REMOTE)
NODE_PORT = 30080


class Row(NamedTuple):
    """A line of the matrix: a source, a destination, and what it gets by default and with either policy."""

    name: str
    client: str
    external: bool
    default: Answers
    external_local: Answers
    internal_local: Answers


def to(endpoints: tuple[str, ...], source: Source) -> Answers:
    """Forwarded to all of these."""
    return forwarded(*endpoints, source=source)


ROWS = (
    Row("MTX-01", POD, False, to(BOTH, KEPT), to(BOTH, KEPT), to((LOCAL,), KEPT)),
    Row("MTX-02", POD, True, to(BOTH, MASQUERADED), to(BOTH, KEPT), to(BOTH, MASQUERADED)),
    Row("MTX-03", NODE, False, to(BOTH, MASQUERADED), to(BOTH, MASQUERADED), to((LOCAL,), MASQUERADED)),
    Row("MTX-04", NODE, True, to(BOTH, MASQUERADED), to(BOTH, MASQUERADED), to(BOTH, MASQUERADED)),
    Row("MTX-06", OUTSIDE, False, to(BOTH, MASQUERADED), to(BOTH, MASQUERADED), to((LOCAL,), MASQUERADED)),
    Row("MTX-07", OUTSIDE, True, to(BOTH, MASQUERADED), to((LOCAL,), KEPT), to(BOTH, MASQUERADED)),
)
each_row = pytest.mark.parametrize(
    "row", [pytest.param(row, id=row.name, marks=pytest.mark.semantics(row.name)) for row in ROWS]
)


def the_service(world: World, protocol: Protocol, external: str, internal: str) -> Manifest:
    """One with every kind of address."""
    return service(
        "web",
        world.scene.cluster_ip(),
        ports=[port(80, protocol=protocol, node_port=NODE_PORT)],
        type="LoadBalancer",
        ingress=[{"ip": world.scene.load_balancer_ip()}],
        externalIPs=[world.scene.external_ip()],
        externalTrafficPolicy=external,
        internalTrafficPolicy=internal,
    )


def destinations(world: World, external: bool) -> Iterator[tuple[str, int]]:
    """The ClusterIP, or all others."""
    if not external:
        yield world.scene.cluster_ip(), 80
        return
    yield world.scene.load_balancer_ip(), 80
    yield world.scene.external_ip(), 80
    for address in world.scene.addresses(NODE)[:2]:
        yield address, NODE_PORT


@each_row
@each_protocol
def test_by_default(world: World, row: Row, protocol: Protocol) -> None:
    """Both policies are Cluster."""
    world.apply(the_service(world, protocol, "Cluster", "Cluster"), _slice(world, protocol))
    for address, number in destinations(world, row.external):
        assert world.answers(row.client, address, number, protocol) == row.default, address


@pytest.mark.semantics("MTX-10", "IN-SVC-08", "SEL-02", "SEL-03", "DIV-10", "DIV-11", "E2E-23", "E2E-54")
@each_row
@each_protocol
def test_with_external_traffic_policy_local(world: World, row: Row, protocol: Protocol) -> None:
    """It changes who is reached from outside, and spares local pods the masquerade."""
    world.apply(the_service(world, protocol, "Local", "Cluster"), _slice(world, protocol))
    for address, number in destinations(world, row.external):
        assert world.answers(row.client, address, number, protocol) == row.external_local, address


@pytest.mark.semantics("MTX-10", "SEL-02", "SEL-03", "E2E-22")
@each_row
@each_protocol
def test_with_internal_traffic_policy_local(world: World, row: Row, protocol: Protocol) -> None:
    """It changes what the ClusterIP leads to, and nothing else."""
    world.apply(the_service(world, protocol, "Cluster", "Local"), _slice(world, protocol))
    for address, number in destinations(world, row.external):
        assert world.answers(row.client, address, number, protocol) == row.internal_local, address


@pytest.mark.semantics("MTX-10", "E2E-26")
@each_row
def test_policies_change_while_a_service_lives(world: World, row: Row) -> None:
    """From Cluster to Local and back, each by itself and both at once."""
    world.apply(_slice(world, Protocol.TCP))
    for external, internal in (
        ("Cluster", "Cluster"),
        ("Local", "Cluster"),
        ("Local", "Local"),
        ("Cluster", "Local"),
        ("Cluster", "Cluster"),
    ):
        world.apply(the_service(world, Protocol.TCP, external, internal))
        due = row.default
        if row.external and external == "Local":
            due = row.external_local
        if not row.external and internal == "Local":
            due = row.internal_local
        for address, number in destinations(world, row.external):
            assert world.answers(row.client, address, number) == due, (external, internal, address)


@pytest.mark.semantics("MTX-09", "MSQ-04", "CFG-12")
@each_row
def test_with_masquerade_all(world: World, row: Row) -> None:
    """Whoever comes by the ClusterIP is masqueraded; nothing else is different."""
    world.restart(masquerade_all=True)
    for external, due in (("Cluster", row.default), ("Local", row.external_local)):
        world.apply(the_service(world, Protocol.TCP, external, "Cluster"), _slice(world, Protocol.TCP))
        for address, number in destinations(world, row.external):
            expected = due if row.external else to(BOTH, MASQUERADED)
            assert world.answers(row.client, address, number) == expected, (external, address)


@pytest.mark.semantics("MTX-08", "DIV-25")
def test_where_local_pods_can_not_be_told(world: World) -> None:
    """The ClusterIP masquerades nobody, and pods are outsiders to external traffic policy Local."""
    world.restart(cluster_cidrs=())
    world.apply(the_service(world, Protocol.TCP, "Local", "Cluster"), _slice(world, Protocol.TCP))
    vip = world.scene.cluster_ip()
    assert world.answers(POD, vip, 80) == to(BOTH, KEPT)
    assert world.answers(NODE, vip, 80) == to(BOTH, MASQUERADED)  # it is the node, rewritten or not
    for address, number in destinations(world, external=True):
        assert world.answers(POD, address, number) == to((LOCAL,), KEPT), address
        assert world.answers(OUTSIDE, address, number) == to((LOCAL,), KEPT), address
        assert world.answers(NODE, address, number) == to(BOTH, MASQUERADED), address
    # From elsewhere only to this node's pods: others' answers would not find their way back through it.
    world.apply(world.slice("web", LOCAL))
    assert world.answers(OUTSIDE, vip, 80) == to((LOCAL,), KEPT)


@pytest.mark.semantics("MTX-02", "MSQ-03", "SEL-02")
@pytest.mark.parametrize("policy", ["Cluster", "Local"])
def test_a_pod_reaches_itself_through_external_addresses(world: World, policy: str) -> None:
    """Always as the node; how it sees others depends on the policy."""
    world.apply(the_service(world, Protocol.TCP, policy, "Cluster"), _slice(world, Protocol.TCP))
    others = KEPT if policy == "Local" else MASQUERADED
    for address, number in destinations(world, external=True):
        assert world.answers(LOCAL, address, number) == to((LOCAL,), MASQUERADED) | to((REMOTE,), others)


def _slice(world: World, protocol: Protocol) -> Manifest:
    return world.slice("web", *BOTH, ports=[target(8080, protocol=protocol)])
