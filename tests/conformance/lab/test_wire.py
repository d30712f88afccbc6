"""Packets made by hand arrive as such, and taps see them."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.conformance.lab import Lab
from pointsman.conformance.lab.wire import SO_MARK, Segment, Tap, _network, inject, parse
from pointsman.core.addresses import IPFamily, format_address

ADDRESSES = st.one_of(
    *(
        st.tuples(*[st.binary(min_size=n, max_size=n).map(format_address)] * 2)
        for n in (family.address_length for family in IPFamily)
    )
)
PORTS = st.integers(1, 65535)
NUMBERS = st.integers(0, (1 << 32) - 1)


@given(ADDRESSES, PORTS, PORTS, st.binary(max_size=100), NUMBERS, NUMBERS)
def test_what_is_made_can_be_read(
    ends: tuple[str, str], source_port: int, port: int, payload: bytes, sequence: int, acknowledged: int
) -> None:
    at = ends[0], source_port, ends[1], port
    for segment in (
        Segment(*at, socket.IPPROTO_TCP, payload, sequence, acknowledged),
        Segment(*at, socket.IPPROTO_UDP, payload),
    ):
        assert parse(_network(segment)) == segment


def test_what_is_no_packet_of_ours_is_passed_over() -> None:
    echo = Segment("192.0.2.1", 1, "192.0.2.2", 2, socket.IPPROTO_ICMP)
    fragment = bytearray(_network(Segment("192.0.2.1", 1, "192.0.2.2", 2, socket.IPPROTO_UDP)))
    fragment[7] = 1
    assert parse(_network(echo)) is None
    assert parse(bytes(fragment)) is None
    assert parse(b"\0\1\x08\0") is None  # as ARP begins


@pytest.mark.netns
@pytest.mark.parametrize("family", IPFamily)
def test_a_datagram_made_by_hand_arrives(lab: Lab, family: IPFamily) -> None:
    """At the other end's socket, so that its checksum must be right; and a tap on the way sees it."""
    source, destination = lab.address("pod-a", family), lab.address("client", family)
    [ear] = lab["client"].sockets(1, family, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
    sent = Segment(source, 4000, destination, 4001, socket.IPPROTO_UDP, b"by hand")
    with ear, Tap(lab["client"], "eth0") as tap:
        ear.bind((destination, 4001))
        ear.settimeout(5)
        inject(lab["pod-a"], sent)
        assert ear.recv(100) == b"by hand"
        assert sent in tap.seen()
        assert tap.first(lambda one: one == sent, 0.05) is None, "it was seen once"


@pytest.mark.netns
def test_a_tap_for_one_mark_sees_no_other(lab: Lab) -> None:
    address = lab.address("pod-a", IPFamily.IPV4)
    for mark, seen in ((0x5A, True), (0x5B, False), (0, False)):
        [sender] = lab.node.sockets(1, socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
        with sender, Tap(lab.node, "vethpod-a", mark=0x5A) as tap:
            sender.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
            sender.sendto(b"marked", (address, 4001))
            assert (tap.first(lambda one: one.payload == b"marked", 0.3) is not None) == seen, hex(mark)
