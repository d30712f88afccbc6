"""Single expressions: what the rules of this backend don't reach, and what is refused to be guessed."""

from dataclasses import replace
from fractions import Fraction

import pytest

from pointsman.backends.nftables.instructions import evaluate
from pointsman.backends.nftables.machine import (
    ACCEPT,
    BREAK,
    CONTINUE,
    Chosen,
    Found,
    Marked,
    Missed,
    Noted,
    State,
    Translated,
)
from pointsman.backends.nftables.netlink import constants as nf
from pointsman.backends.nftables.netlink import expressions as x
from pointsman.backends.nftables.netlink import rules as r
from pointsman.backends.nftables.netlink import selectors as sel
from pointsman.backends.nftables.netlink.attributes import be32
from pointsman.backends.nftables.netlink.constants import CtStatus, Family
from pointsman.backends.nftables.netlink.elements import Element, Verdict
from pointsman.backends.nftables.netlink.objects import parse_expressions
from pointsman.backends.nftables.operands import NotKnown
from pointsman.core.model import Protocol
from pointsman.core.packet import Packet

CLIENT, VIP, POD = bytes((203, 0, 113, 7)), bytes((10, 96, 0, 1)), bytes((10, 244, 1, 1))
PACKET = Packet(CLIENT, VIP, 80, Protocol.TCP, "eth0")
FIRST = State(PACKET, CLIENT, VIP, 80)


class Sets:
    """One map from a port to data."""

    def __init__(self, data: bytes | Verdict | None = None) -> None:
        self.data = data

    def key_length(self, name: str) -> int:
        return {"ports": 2}[name]

    def find(self, name: str, key: bytes) -> Element | None:
        return Element(key, self.data) if key == b"\x00\x50" else None


def run(packed: bytes, state: State = FIRST, sets: Sets = Sets()) -> list[State]:
    """All ways through the expressions, to the end or to a verdict."""
    ways = [state]
    for expression in parse_expressions(packed):
        ended = [way for way in ways if way.verdict != CONTINUE]
        ways = ended + [
            after for way in ways if way.verdict == CONTINUE for after in evaluate(expression, way, sets)
        ]
    return ways


def loaded(packed: bytes, length: int, state: State = FIRST) -> bytes:
    [way] = run(packed, state)
    return way.get(nf.NFT_REG_1, length)


@pytest.mark.parametrize(
    ("selector", "value"),
    [
        (sel.IP_SADDR, CLIENT),
        (sel.IP_DADDR, VIP),
        (sel.TH_DPORT, b"\x00\x50"),
        (sel.L4PROTO, b"\x06"),
        (sel.NFPROTO, b"\x02"),
        (sel.IIFNAME, b"eth0".ljust(16, b"\0")),
        (sel.CT_ORIGINAL_IP_DADDR, VIP),
        (sel.CT_ORIGINAL_PROTO_DST, b"\x00\x50"),
    ],
    ids=lambda value: value.text if isinstance(value, sel.Selector) else None,
)
def test_what_a_packet_says_can_be_loaded(selector: sel.Selector, value: bytes) -> None:
    assert loaded(selector.load(nf.NFT_REG_1), len(value)) == value


def test_after_dnat_headers_show_the_endpoint_and_conntrack_the_service() -> None:
    [sent] = run(r.dnat_to(Family.IP, POD, 8080))
    assert (sent.verdict, sent.effects) == (ACCEPT, (Translated(POD, 8080),))
    going = sent.end(CONTINUE)
    assert loaded(sel.IP_DADDR.load(1), 4, going) == POD
    assert loaded(sel.TH_DPORT.load(1), 2, going) == (8080).to_bytes(2)
    assert loaded(sel.CT_ORIGINAL_IP_DADDR.load(1), 4, going) == VIP
    assert run(r.match_ct_status(CtStatus.DNAT), going)[0].verdict == CONTINUE
    assert run(r.match_ct_status(CtStatus.DNAT))[0].verdict == BREAK
    assert run(r.match_local(), replace(going, packet=PACKET))[0].verdict == BREAK


def test_an_address_alone_may_be_rewritten() -> None:
    [sent] = run(x.immediate(1, POD) + x.dnat(Family.IP, 1))
    assert (sent.destination, sent.port) == (POD, 80)


def test_a_registers_last_bytes_are_cleared() -> None:
    dirty = FIRST.put(1, b"\xff" * 16)
    assert loaded(sel.TH_DPORT.load(1), 4, dirty) == b"\x00\x50\x00\x00"
    assert dirty.put(nf.NFT_REG32_00 + 1, b"\x01").registers[:8] == b"\xff\xff\xff\xff\x01\x00\x00\x00"


def test_numbers_are_swapped_in_whole_units() -> None:
    assert loaded(x.immediate(1, b"\1\2\3\4") + x.hton(1, 4, 2), 4) == b"\2\1\4\3"
    assert loaded(x.immediate(1, b"\1\2\3\4") + x.hton(1, 4, 4), 4) == b"\4\3\2\1"
    assert loaded(x.immediate(1, b"\1") + x.hton(1, 1, 2), 1) == b"\1"


def test_chance_forks_the_way() -> None:
    ways = run(x.numgen_random(1, 3) + x.numgen_random(2, 2))
    assert {(way.effects, way.probability) for way in ways} == {
        ((Chosen(3, one), Chosen(2, two)), Fraction(1, 6)) for one in range(3) for two in range(2)
    }


def test_lookups_tell_what_they_found() -> None:
    key = sel.TH_DPORT.load(1)
    [found] = run(key + x.lookup("ports", 1, 1), sets=Sets(POD))
    assert (found.verdict, found.effects) == (CONTINUE, (Found("ports", b"\x00\x50", POD),))
    assert found.get(1, 4) == POD
    [missed] = run(key + x.lookup("ports", 1, 1), replace(FIRST, port=81), Sets(POD))
    assert (missed.verdict, missed.effects) == (BREAK, (Missed("ports", b"\x00\x51"),))
    lead = Verdict(nf.VerdictCode.GOTO, "there")
    assert run(key + x.lookup("ports", 1, 0), sets=Sets(lead))[0].verdict == lead


def test_marks_are_set_and_told() -> None:
    [marked] = run(r.set_mark_bits(0x4000))
    assert (marked.mark, marked.effects) == (0x4000, (Marked(0x4000),))
    assert run(r.flip_mark_bits(0x4000), marked)[0].mark == 0


def test_writing_to_a_set_is_noted() -> None:
    [noted] = run(x.immediate(1, POD) + x.dynset_update("seen", 1, timeout=1000))
    assert noted.effects == (Noted("seen"),)


def test_an_echo_has_no_port() -> None:
    echo = replace(FIRST, packet=Packet(CLIENT, VIP, 0, None, "eth0"), port=0)
    assert loaded(sel.L4PROTO.load(1), 1, echo) == b"\x01"
    assert loaded(sel.TH_DPORT.load(1), 2, echo) == b"\0\0"
    v6 = State(Packet(bytes(16), bytes(16), 0, None, "eth0"), bytes(16), bytes(16), 0)
    assert loaded(sel.L4PROTO.load(1), 1, v6) == b"\x3a"


@pytest.mark.parametrize(
    ("packed", "what"),
    [
        (sel.TH_SPORT.load(1), "2 bytes at 0 of header 2"),
        (x.payload(1, nf.NFT_PAYLOAD_NETWORK_HEADER, 18, 4), "4 bytes at 18 of header 1"),
        (sel.OIFNAME.load(1), "key 7"),
        (sel.CT_ORIGINAL_PROTO_SRC.load(1), "key 11"),
        (x.ct(1, nf.NFT_CT_PROTO_DST, 1), "key 12"),
        (x.meta_set(nf.NFT_META_L4PROTO, 1), "setting key 16"),
        (x.expression("ct", be32(nf.NFTA_CT_KEY, nf.NFT_CT_MARK), be32(4, 1)), "attribute 4"),
        (x.limit(1, 1, 1), "not known"),
        (x.fib_addrtype(1, nf.NFTA_FIB_F_SADDR | 4), "flags 5"),
        (x.expression("numgen", be32(nf.NFTA_NG_MODULUS, 2), be32(nf.NFTA_NG_TYPE, 0)), "random"),
        (x.expression("bitwise", be32(nf.NFTA_BITWISE_OP, 1)), "not of the form"),
        (x.expression("nat", be32(nf.NFTA_NAT_TYPE, 0)), "a source"),
        (x.dnat(Family.IP, 1, flags=nf.NF_NAT_RANGE_PROTO_RANDOM_FULLY), "flags 0x10"),
        (
            x.expression(
                "nat",
                be32(nf.NFTA_NAT_TYPE, nf.NFT_NAT_DNAT),
                be32(nf.NFTA_NAT_REG_ADDR_MIN, 1),
                be32(nf.NFTA_NAT_REG_ADDR_MAX, 2),
            ),
            "a range",
        ),
        (x.expression("payload", be32(nf.NFTA_PAYLOAD_BASE, 1), be32(5, 1)), "attribute 5"),
        (x.expression("immediate", be32(nf.NFTA_IMMEDIATE_DREG, 1)), "attribute 2 is missing"),
        (x.expression("lookup", be32(nf.NFTA_LOOKUP_SREG, 1)), "attribute 1 is missing"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_said(packed: bytes, what: str) -> None:
    with pytest.raises(NotKnown, match=what):
        run(packed)


def test_the_source_of_a_masqueraded_packet_is_not_known() -> None:
    [hidden] = run(r.masquerade())
    assert hidden.masqueraded
    with pytest.raises(NotKnown, match="4 bytes at 12 of header 1"):
        run(sel.IP_SADDR.load(1), hidden.end(CONTINUE))
    assert loaded(sel.IP_DADDR.load(1), 4, hidden.end(CONTINUE)) == VIP
