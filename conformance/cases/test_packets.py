"""Packets that no client sends, and marks that nobody sees: what else passes a node."""

import socket

import pytest

from pointsman.conformance.answers import MASQUERADED, forwarded
from pointsman.conformance.lab import NODE, Reply
from pointsman.conformance.lab.wire import Segment, Tap
from pointsman.conformance.network import Held
from pointsman.conformance.objects import port, service, target
from pointsman.conformance.parts import Part
from pointsman.conformance.scene import POD
from pointsman.conformance.world import PATIENCE, World
from pointsman.core.features import Feature
from pointsman.core.model import Protocol

pytestmark = pytest.mark.requires(Part.RAW_PACKETS)

USUAL_BIT = 14
FAR_AHEAD = 1 << 28  # bytes; no window reaches there


def stray_of(world: World, tap: Tap, held: Held, asked: str) -> Segment:
    """A segment between the ends of a connection, opened by asking at an address, that can't be one of it."""
    last = tap.first(lambda one: one.source == asked and bool(one.payload), PATIENCE)
    assert last is not None
    return Segment(
        source=world.scene.address("remote-a"),
        source_port=8080,
        destination=world.scene.address(POD),
        port=held.greeting.client_port,
        protocol=socket.IPPROTO_TCP,
        payload=b"stray\n",
        sequence=last.sequence + FAR_AHEAD,
        acknowledged=last.acknowledged,
    )


@pytest.mark.semantics("SEC-02", "DIV-17", "E2E-33")
def test_packets_that_belong_to_no_connection_do_not_get_through(world: World) -> None:
    """Untranslated, one would show the client a peer that it doesn't know: it would cut the connection."""
    vip, server = world.scene.cluster_ip(), world.scene.address("remote-a")
    world.apply(service("web", vip), world.slice("web", "remote-a"))
    with world.wire.tap(POD) as tap, world.hold(POD, vip, 80) as held:
        world.wire.inject("remote-a", stray_of(world, tap, held, vip))
        # What is sent later arrives later: by the time of this answer the stray one would be there.
        assert isinstance(held.exchange(), Reply)
        seen = tap.seen()
        assert vip in {one.source for one in seen}
        assert server not in {one.source for one in seen}
        assert isinstance(held.exchange(), Reply)


@pytest.mark.semantics("SEC-02", "DIV-17")
def test_packets_that_belong_to_no_connection_get_through_where_that_is_wished(world: World) -> None:
    """Where connection tracking is liberal it calls few packets strays, and those need no help.

    The connection is one to the pod itself: what a proxy makes of strays among its own is its affair.
    """
    world.restart(drop_invalid=False)
    server = world.scene.address("remote-a")
    with world.wire.tap(POD) as tap, world.hold(POD, server, 8080) as held:
        stray = stray_of(world, tap, held, server)
        world.wire.inject("remote-a", stray)
        assert tap.first(lambda one: one.payload == stray.payload, PATIENCE) is not None


@pytest.mark.semantics("MSQ-01", "CFG-11")
@pytest.mark.parametrize("bit", [USUAL_BIT, 0, 31])
def test_other_bits_of_the_mark_are_somebody_elses(world: World, bit: int) -> None:
    """They are on the packet when it leaves, and ours is not; it was needed, for the source is rewritten."""
    if bit != USUAL_BIT:
        world.restart(masquerade_bit=bit)
    vip, endpoint = world.scene.cluster_ip(), world.scene.address("remote-a")
    ports = [target(8080, protocol=Protocol.UDP)]
    world.apply(
        service("web", vip, ports=[port(80, protocol=Protocol.UDP)]),
        world.slice("web", "remote-a", ports=ports),
    )
    every_other = 0xFFFFFFFF & ~(1 << bit)
    for mark in (0, 1 << (bit ^ 1), every_other):
        with world.wire.tap(NODE, mark=mark) as tap:
            world.wire.send_marked(vip, 80, mark)
            seen = tap.first(lambda one: one.payload == b"marked\n", PATIENCE)
            assert seen is not None, f"{mark:#x}"
            assert (seen.destination, seen.port) == (endpoint, 8080)
            assert seen.source in world.scene.node_addresses


@pytest.mark.semantics("SEC-01", "DIV-18", "SVC-NP-08")
@pytest.mark.requires(Feature.LOCALHOST_NODE_PORTS)
def test_loopback_addresses_are_not_to_be_reached_from_elsewhere(world: World) -> None:
    """Where node ports answer on them, the kernel no longer sees to that by itself."""
    world.restart(localhost_node_ports=True)
    world.apply(
        service("web", world.scene.cluster_ip(), ports=[port(80, node_port=30080)], type="NodePort"),
        world.slice("web", "pod-a"),
    )
    assert world.answers(NODE, "127.0.0.1", 30080) == forwarded("pod-a", source=MASQUERADED)
    with world.wire.listen_on_node("0.0.0.0", 8125) as ear:
        for destination in ("127.0.0.1", world.scene.address(NODE)):
            stray = Segment(
                world.scene.address(POD), 4000, destination, 8125, socket.IPPROTO_UDP, destination.encode()
            )
            world.wire.throw_at_node(POD, stray)
        ear.settimeout(PATIENCE)
        # What was sent first would be here first.
        assert ear.recv(100) == world.scene.address(NODE).encode()
