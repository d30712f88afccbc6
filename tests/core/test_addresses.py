"""Addresses and networks: text in, bytes out, and back."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.core.addresses import (
    IPFamily,
    Network,
    collapse,
    family_of,
    format_address,
    format_endpoint,
    host_network,
    parse_address,
    parse_network,
)

addresses = st.ip_addresses()
# Short prefixes overlap often.
networks = st.builds(
    lambda address, prefix: parse_network(f"{address}/{prefix}"), addresses, st.integers(0, 32)
)


@given(addresses)
def test_addresses_survive_a_round_trip(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    packed = parse_address(str(address))
    assert packed == address.packed
    assert parse_address(format_address(packed)) == packed
    assert str(family_of(packed)) == f"IPv{address.version}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("172.30.0.041", "172.30.0.41"),
        ("010.001.000.255", "10.1.0.255"),
        ("FD00::0001", "fd00::1"),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.1"),
    ],
)
def test_odd_spellings_become_canonical(text: str, expected: str) -> None:
    assert format_address(parse_address(text)) == expected


@pytest.mark.parametrize(
    "text",
    ["", " ", "10.0.0", "10.0.0.0.1", "10.0.0.256", "10.0.0.0x1", "1e1.0.0.1", "10.0.0.1 ", "١.٠.٠.١",
     "fe80::1%eth0", ":::", "g::1", "10.0.0.1/32", "None", "10.0.0.\x001", "0010.0.0.1", "x" * 100_000],
)  # fmt: skip
def test_what_is_no_address_is_refused_in_few_words(text: str) -> None:
    with pytest.raises(ValueError, match="is not an IP address") as caught:
        parse_address(text)
    assert len(str(caught.value)) < 400


@given(addresses, st.integers(0, 128))
def test_networks_are_as_the_standard_library_sees_them(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, prefix: int
) -> None:
    prefix = min(prefix, address.max_prefixlen)
    expected = ipaddress.ip_network((address, prefix), strict=False)
    network = parse_network(f" {address}/{prefix:03}\n")
    assert parse_network(str(network)) == network
    assert (network.address, network.prefix) == (expected.network_address.packed, prefix)


@given(addresses, addresses, st.integers(0, 128))
def test_containment_is_as_the_standard_library_sees_it(
    inside: ipaddress.IPv4Address | ipaddress.IPv6Address,
    other: ipaddress.IPv4Address | ipaddress.IPv6Address,
    prefix: int,
) -> None:
    network = parse_network(f"{inside}/{min(prefix, inside.max_prefixlen)}")
    assert inside.packed in network
    expected = ipaddress.ip_network((network.address, network.prefix))
    assert (other.packed in network) == (other in expected)
    as_object: object = str(inside)
    assert as_object not in network


@pytest.mark.parametrize(
    "text",
    ["", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8/8", "10.0.0.0/٨", "::/129",
     "/8", "10.0.0.0/8x", "10.0.0.0/" + "9" * 5000, "10.0.0.0/255.0.0.0"],
)  # fmt: skip
def test_what_is_no_network_is_refused_in_few_words(text: str) -> None:
    with pytest.raises(ValueError, match="is not") as caught:
        parse_network(text)
    assert len(str(caught.value)) < 400


@given(st.lists(networks, max_size=6), st.lists(addresses, max_size=6))
def test_collapsing_keeps_every_address(
    given_: list[Network], probes: list[ipaddress.IPv4Address | ipaddress.IPv6Address]
) -> None:
    fewest = collapse(given_)
    edges = [network.address for network in given_]
    for address in [probe.packed for probe in probes] + edges:
        assert any(address in n for n in fewest) == any(address in n for n in given_)
    assert collapse(fewest) == fewest
    assert len(fewest) <= len(given_)


def test_host_network_holds_one_address() -> None:
    address = parse_address("10.0.0.1")
    assert str(host_network(address)) == "10.0.0.1/32"
    assert address in host_network(address)
    assert parse_address("10.0.0.2") not in host_network(address)


def test_endpoints_in_text() -> None:
    assert format_endpoint(parse_address("10.0.0.1"), 80) == "10.0.0.1:80"
    assert format_endpoint(parse_address("fd00::1"), 80) == "[fd00::1]:80"


def test_families() -> None:
    assert [family.address_length for family in IPFamily] == [4, 16]
    assert list(map(str, IPFamily)) == ["IPv4", "IPv6"]
