"""Keys out of parts: registers, padding, text."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.backends.nftables.netlink.constants import Family
from pointsman.backends.nftables.netlink.expressions import data_verdict, register
from pointsman.backends.nftables.netlink.rules import match, match_interface, match_prefix, update_map
from pointsman.backends.nftables.netlink.selectors import (
    IIFNAME,
    IP6_DADDR,
    IP6_SADDR,
    IP_DADDR,
    IP_SADDR,
    L4PROTO,
    MARK,
    TH_DPORT,
    Selector,
    daddr,
    join,
    numgen_random,
    render,
    split,
    userdata,
)

SELECTORS = [IP_DADDR, IP6_DADDR, L4PROTO, TH_DPORT, MARK, IIFNAME, numgen_random(4)]


@given(st.lists(st.sampled_from(SELECTORS), min_size=1, max_size=5), st.data())
def test_parts_of_a_key_can_be_joined_and_split(key: list[Selector], data: st.DataObject) -> None:
    parts = [data.draw(st.binary(min_size=one.length, max_size=one.length)) for one in key]
    joined = join(key, parts)
    assert split(key, joined) == parts
    if len(key) > 1:
        assert len(joined) == 4 * sum(one.slots for one in key)


def test_a_part_of_the_wrong_length_is_named() -> None:
    with pytest.raises(ValueError, match="th dport: 3 bytes, expected 2"):
        join((IP_DADDR, TH_DPORT), [bytes(4), bytes(3)])
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        join((IP_DADDR, TH_DPORT), [bytes(4)])


def test_a_key_reads_as_people_write_it() -> None:
    key = (IP6_DADDR, L4PROTO, TH_DPORT, numgen_random(4))
    parts = [ip_address("fd00::1").packed, b"\x84", (8080).to_bytes(2, "big"), (3).to_bytes(4, "little")]
    assert render(key, join(key, parts)) == "fd00::1 . sctp . 8080 . 3"
    assert render(
        (L4PROTO, MARK, IIFNAME),
        join((L4PROTO, MARK, IIFNAME), [b"\x63", b"\0\x40\0\0", b"lo".ljust(16, b"\0")]),
    ) == ("99 . 0x4000 . lo")


def test_registers_are_numbered_as_the_kernel_does() -> None:
    assert [register(slot) for slot in range(16)] == [
        1,
        9,
        10,
        11,
        2,
        13,
        14,
        15,
        3,
        17,
        18,
        19,
        4,
        21,
        22,
        23,
    ]
    for slot in (-1, 16):
        with pytest.raises(ValueError, match="register slot"):
            register(slot)


def test_what_does_not_fit_the_registers_is_refused() -> None:
    with pytest.raises(ValueError, match="register slot 16"):
        update_map((IP6_SADDR, IP6_DADDR, IP6_SADDR), (IP6_DADDR, TH_DPORT), "too-wide")


@pytest.mark.parametrize("name", ["", "*", "sixteen-bytes-it", "fifteen-bytes-i*"])
def test_impossible_interface_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="interface name"):
        match_interface(IIFNAME, name)


@pytest.mark.parametrize("length", [-1, 0, 33])
def test_impossible_prefixes_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match="prefix length"):
        match_prefix(IP_SADDR, bytes(4), length)


def test_a_constant_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="meta l4proto: 2 bytes, expected 1"):
        match(L4PROTO, b"\0\x06")


def test_impossible_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        numgen_random(0)
    with pytest.raises(ValueError, match="addresses exist for ip and ip6"):
        daddr(Family.INET)
    with pytest.raises(ValueError, match="jump and goto need one"):
        data_verdict(-3)
    with pytest.raises(ValueError, match="others take none"):
        data_verdict(0, "chain")
    with pytest.raises(ValueError, match="at most 255"):
        userdata(0, bytes(256))
