"""Attributes as bytes: what is packed can be parsed, and nonsense is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.backends.nftables.netlink.attributes import (
    MalformedAttribute,
    Schema,
    Tree,
    attribute,
    be32,
    be64,
    iterate,
    nested,
    pack,
    parse,
    string,
    table,
    to_int,
    to_text,
    u8,
)

# Types below 16 hold values, from 16 on nests, at any depth.
NESTS = range(16, 32)


def schema(depth: int) -> Schema:
    return {kind: schema(depth - 1) for kind in NESTS} if depth else {}


def trees(depth: int) -> st.SearchStrategy[Tree]:
    leaf = st.tuples(st.integers(0, 15), st.binary(max_size=9))
    if depth == 0:
        return st.lists(leaf, max_size=4).map(tuple)
    nest = st.tuples(st.integers(16, 31), trees(depth - 1))
    return st.lists(st.one_of(leaf, nest), max_size=4).map(tuple)


@given(trees(3))
def test_nested_attributes_survive_packing_and_parsing(tree: Tree) -> None:
    assert parse(pack(tree), schema(3)) == tree


@given(trees(2))
def test_the_nested_flag_makes_no_difference(tree: Tree) -> None:
    def without_flag(some: Tree) -> bytes:
        return b"".join(
            attribute(kind, value if isinstance(value, bytes) else without_flag(value))
            for kind, value in some
        )

    assert parse(without_flag(tree), schema(2)) == tree


@given(st.binary(max_size=64))
def test_any_bytes_are_parsed_or_refused(junk: bytes) -> None:
    try:
        found = list(iterate(junk))
    except MalformedAttribute:
        return
    assert sum((len(payload) + 7) & ~3 for _, payload in found) <= len(junk) + 3


@pytest.mark.parametrize("junk", [b"\x03\0\x01\0", b"\x09\0\x01\0abcd", b"\0\0\0\0"])
def test_a_length_that_cannot_be_is_refused(junk: bytes) -> None:
    with pytest.raises(MalformedAttribute):
        list(iterate(junk))


def test_payloads() -> None:
    packed = b"".join(
        [
            be32(1, -4),
            be64(2, 1 << 40),
            string(3, "chain"),
            u8(4, 7),
            nested(5, be32(1, 9)),
            attribute(6, b"abc"),
        ]
    )
    assert len(packed) % 4 == 0
    found = table(packed)
    assert to_int(found[1]) == 2**32 - 4
    assert to_int(found[2]) == 1 << 40
    assert to_text(found[3]) == "chain"
    assert found[4] == b"\x07"
    assert to_int(table(found[5])[1]) == 9
    assert found[6] == b"abc"
