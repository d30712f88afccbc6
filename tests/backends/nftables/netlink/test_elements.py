"""Elements as bytes: what is packed can be parsed, fast and slow ways agree."""

from __future__ import annotations

import tracemalloc
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.backends.nftables.netlink.attributes import HEADER_SIZE
from pointsman.backends.nftables.netlink.constants import Family, VerdictCode
from pointsman.backends.nftables.netlink.elements import (
    Element,
    ElementCodec,
    Verdict,
    parse_element,
    parse_elements,
    prefix_range,
)
from pointsman.backends.nftables.netlink.sets import VERDICTS, SetSpec
from tests.backends.nftables.netlink import layouts

SPECS = [spec for family in layouts.FAMILIES for _, spec in layouts.sets(family)]
DATA_MAPS = [spec for spec in SPECS if isinstance(spec.data, tuple)]
VERDICT_MAPS = [spec for spec in SPECS if spec.data is VERDICTS]

plain_verdicts = st.sampled_from([VerdictCode.ACCEPT, VerdictCode.DROP, VerdictCode.RETURN]).map(Verdict)
chain_names = st.text("abcdefgh-", min_size=1, max_size=30)
verdicts = plain_verdicts | st.builds(
    Verdict, st.sampled_from([VerdictCode.JUMP, VerdictCode.GOTO]), chain_names
)


def keys(spec: SetSpec) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=spec.key_length, max_size=spec.key_length)


def values(spec: SetSpec) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=spec.data_length, max_size=spec.data_length)


@st.composite
def elements(draw: st.DrawFn) -> tuple[ElementCodec, Element]:
    spec = draw(st.sampled_from(SPECS))
    data: bytes | Verdict | None = None
    if spec.data is VERDICTS:
        data = draw(verdicts)
    elif spec.data is not None:
        data = draw(values(spec))
    element = Element(
        key=draw(keys(spec)),
        data=data,
        key_end=draw(st.none() | keys(spec)),
        interval_end=draw(st.booleans()),
        timeout=draw(st.integers(0, 2**63)),
        expires=draw(st.integers(0, 2**63)),
        comment=draw(st.text("abc äß€", max_size=40).filter(lambda text: text == text.rstrip("\0"))),
    )
    return ElementCodec(spec), element


@given(elements())
def test_an_element_survives_packing_and_parsing(packed: tuple[ElementCodec, Element]) -> None:
    codec, element = packed
    assert parse_element(codec.element(element)[HEADER_SIZE:]) == element


@given(st.sampled_from(SPECS), st.data())
def test_packing_keys_in_bulk_is_packing_them_one_by_one(spec: SetSpec, data: st.DataObject) -> None:
    codec, some = ElementCodec(spec), data.draw(st.lists(keys(spec), max_size=5))
    packed = codec.keys(some)
    assert packed == [codec.pack(key) for key in some]
    assert list(codec.parse_keys(b"".join(packed))) == some


@given(st.sampled_from(DATA_MAPS), st.data())
def test_packing_pairs_in_bulk_is_packing_them_one_by_one(spec: SetSpec, data: st.DataObject) -> None:
    codec, some = ElementCodec(spec), data.draw(st.lists(st.tuples(keys(spec), values(spec)), max_size=5))
    packed = codec.pairs(some)
    assert packed == [codec.pack(key, value) for key, value in some]
    assert list(codec.parse_pairs(b"".join(packed))) == some


@given(st.sampled_from(VERDICT_MAPS), st.data())
def test_packing_verdicts_in_bulk_is_packing_them_one_by_one(spec: SetSpec, data: st.DataObject) -> None:
    codec, some = ElementCodec(spec), data.draw(st.lists(st.tuples(keys(spec), verdicts), max_size=5))
    packed = codec.verdicts(some)
    assert packed == [codec.pack(key, verdict) for key, verdict in some]
    assert list(codec.parse_pairs(b"".join(packed))) == some


@given(st.sampled_from(SPECS), st.data())
def test_keys_of_uneven_elements_are_parsed_the_long_way(spec: SetSpec, data: st.DataObject) -> None:
    codec = ElementCodec(spec)
    some = data.draw(st.lists(st.tuples(keys(spec), st.sampled_from(["", "x", "1234567"])), max_size=5))
    packed = b"".join(codec.pack(key, comment=comment) for key, comment in some)
    assert list(codec.parse_keys(packed)) == [key for key, _ in some]


def test_plain_keys_are_not_parsed_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = ElementCodec(layouts.spec(Family.IP, "hairpin"))
    some = [bytes((number,)) * 8 for number in range(100)]
    monkeypatch.setattr("pointsman.backends.nftables.netlink.elements.parse_elements", None)
    assert list(codec.parse_keys(b"".join(codec.keys(some)))) == some


def test_verdicts_that_come_and_go_are_not_remembered_for_good() -> None:
    """Each service port with session affinity leads to chains of its own name."""
    codec = ElementCodec(layouts.spec(Family.IP, "services"))
    key = bytes(codec.spec.key_length)
    tracemalloc.start()
    try:
        held = []
        for number in range(12_000):
            verdict = Verdict(VerdictCode.GOTO, f"learn-{number}")
            assert codec.verdicts([(key, verdict)]) == [codec.pack(key, verdict)]
            if number in (3_999, 11_999):
                held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[1] < 1.5 * held[0]


@given(st.sampled_from(DATA_MAPS), st.data())
def test_uneven_elements_are_parsed_the_long_way(spec: SetSpec, data: st.DataObject) -> None:
    codec = ElementCodec(spec)
    some = data.draw(
        st.lists(
            st.tuples(keys(spec), values(spec), st.integers(0, 3), st.sampled_from(["", "x", "1234567"])),
            max_size=5,
        )
    )
    packed = b"".join(
        codec.pack(key, value, timeout=timeout, comment=comment) for key, value, timeout, comment in some
    )
    assert list(codec.parse_pairs(packed)) == [(key, value) for key, value, _, _ in some]
    assert [(one.timeout, one.comment) for one in parse_elements(packed)] == [
        some_one[2:] for some_one in some
    ]


def test_uneven_elements_that_fill_the_space_of_even_ones() -> None:
    codec = ElementCodec(layouts.spec(Family.IP, "endpoints"))
    pairs = [(bytes((number,)) * 16, bytes((number,)) * 8) for number in range(12)]
    # One plain element of 44 bytes, eleven with a timeout of 56: together as long as fifteen plain ones.
    packed = codec.pairs(pairs[:1]) + [codec.pack(key, value, timeout=1) for key, value in pairs[1:]]
    assert sum(map(len, packed)) == 15 * len(packed[0])
    assert list(codec.parse_pairs(b"".join(packed))) == pairs


def test_data_maps_with_unaligned_values() -> None:
    ports = SetSpec("ports", layouts.spec(Family.IP, "ports").key, layouts.spec(Family.IP, "ports").key)
    codec = ElementCodec(ports)
    pairs = [(b"\0\x35", b"\x14\xe9"), (b"\0\x50", b"\x1f\x90")]
    assert codec.pairs(pairs) == [codec.pack(key, value) for key, value in pairs]
    assert list(codec.parse_pairs(b"".join(codec.pairs(pairs)))) == pairs


@given(st.ip_addresses(), st.data())
def test_prefix_range(address: object, data: st.DataObject) -> None:
    packed = ip_address(str(address)).packed
    length = data.draw(st.integers(0, 8 * len(packed)))
    network = ip_network(f"{address}/{length}", strict=False)
    assert prefix_range(packed, length) == (network.network_address.packed, network.broadcast_address.packed)


@pytest.mark.parametrize("length", [-1, 33])
def test_impossible_prefixes_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match="prefix length"):
        prefix_range(bytes(4), length)


def test_the_wrong_length_of_a_key_or_value_is_named() -> None:
    codec = ElementCodec(layouts.spec(Family.IP, "endpoints"))
    with pytest.raises(ValueError, match="map endpoints: key of 4 bytes, expected 16"):
        codec.pack(bytes(4))
    with pytest.raises(ValueError, match="map endpoints: data of 4 bytes, expected 8"):
        codec.pack(bytes(16), bytes(4))
    with pytest.raises(ValueError, match="map endpoints: key end of 1 bytes, expected 16"):
        codec.pack(bytes(16), bytes(8), key_end=b"x")


def test_the_wrong_length_is_found_in_bulk_too() -> None:
    endpoints, services = (ElementCodec(layouts.spec(Family.IP, name)) for name in ("endpoints", "services"))
    with pytest.raises(ValueError, match="map endpoints: element 1 is -4 bytes off"):
        endpoints.keys([bytes(16), bytes(12)])
    with pytest.raises(ValueError, match=r"map endpoints: element 0 is \+8 bytes off"):
        endpoints.pairs([(bytes(16), bytes(16)), (bytes(16), bytes(8))])
    with pytest.raises(ValueError, match="map services: key of 16 bytes, expected 12"):
        services.verdicts([(bytes(12), Verdict(VerdictCode.DROP)), (bytes(16), Verdict(VerdictCode.DROP))])
    assert endpoints.pairs([]) == endpoints.keys([]) == services.verdicts([]) == []


def test_interval_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="set addresses has no interval flag"):
        ElementCodec(layouts.spec(Family.IP, "addresses")).interval(bytes(4), bytes(4))
    with pytest.raises(ValueError, match="ends before it starts"):
        ElementCodec(layouts.spec(Family.IP, "prefixes")).interval(b"\1\0\0\0", b"\0\0\0\0")
