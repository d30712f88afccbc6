"""The node: what its object says, and what that means for every frontend."""

import pytest

from pointsman.core.addresses import IPFamily, parse_address, parse_network
from pointsman.core.config import LocalMode, ProxyConfig
from pointsman.core.model import LocalInterface, LocalInterfacePrefix, LocalNetwork, NodePortAddresses
from pointsman.core.node import NodeFacts, is_loopback, node_context, node_facts, with_bind_address

from .objects import NODE, node

V4, V6 = IPFamily.IPV4, IPFamily.IPV6


def addresses(*texts: str) -> tuple[bytes, ...]:
    return tuple(map(parse_address, texts))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([("InternalIP", "192.0.2.1"), ("ExternalIP", "198.51.100.1")], ["192.0.2.1"]),
        ([("ExternalIP", "198.51.100.1"), ("InternalIP", "192.0.2.1")], ["192.0.2.1"]),
        ([("ExternalIP", "198.51.100.1")], ["198.51.100.1"]),
        ([("InternalIP", "192.0.2.1"), ("InternalIP", "192.0.2.2")], ["192.0.2.1"]),
        ([("InternalIP", "2001:db8::1"), ("InternalIP", "192.0.2.1")], ["2001:db8::1", "192.0.2.1"]),
        ([("InternalIP", "192.0.2.1"), ("ExternalIP", "2001:db8::1")], ["192.0.2.1", "2001:db8::1"]),
        ([("Hostname", "node-a")], []),
    ],
)
def test_node_addresses(given: list[tuple[str, str]], expected: list[str]) -> None:
    facts, rejections = node_facts(node(addresses=given))
    assert facts.ips == addresses(*expected)
    assert rejections == []


def test_parts_of_a_node_that_cannot_be_read_are_named_and_skipped() -> None:
    facts, rejections = node_facts(
        node(addresses=[("InternalIP", "nope"), ("InternalIP", "192.0.2.1")], pod_cidrs=["10.0.0.0/99"])
    )
    assert facts.ips == addresses("192.0.2.1")
    assert [(r.name, r.field) for r in rejections] == [
        (NODE, "$.status.addresses"),
        (NODE, "$.spec.podCIDRs"),
    ]


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        (None, ["192.0.2.1", "2001:db8::1"]),
        ("0.0.0.0", ["192.0.2.1", "2001:db8::1"]),
        ("192.0.2.99", ["192.0.2.99", "2001:db8::1"]),
        ("2001:db8::99", ["2001:db8::99", "192.0.2.1"]),
    ],
)
def test_bind_address_comes_first_unless_unspecified(bound: str | None, expected: list[str]) -> None:
    facts = NodeFacts(ips=addresses("192.0.2.1", "2001:db8::1"))
    assert with_bind_address(facts, parse_address(bound) if bound else None).ips == addresses(*expected)


@pytest.mark.parametrize(
    ("config", "family", "expected"),
    [
        (ProxyConfig(NODE), V4, None),
        (
            ProxyConfig(NODE, cluster_cidrs=(parse_network("fd00::/48"), parse_network("10.0.0.0/8"))),
            V4,
            LocalNetwork(parse_network("10.0.0.0/8")),
        ),
        (
            ProxyConfig(NODE, cluster_cidrs=(parse_network("10.0.0.0/8"), parse_network("10.9.0.0/16"))),
            V4,
            LocalNetwork(parse_network("10.0.0.0/8")),
        ),
        (ProxyConfig(NODE, cluster_cidrs=(parse_network("10.0.0.0/8"),)), V6, None),
        (
            ProxyConfig(NODE, local_mode=LocalMode.NODE_CIDR, cluster_cidrs=(parse_network("10.0.0.0/8"),)),
            V4,
            LocalNetwork(parse_network("10.244.1.0/24")),
        ),
        (
            ProxyConfig(NODE, local_mode=LocalMode.BRIDGE_INTERFACE, bridge_interface="cni0"),
            V6,
            LocalInterface("cni0"),
        ),
        (
            ProxyConfig(NODE, local_mode=LocalMode.INTERFACE_NAME_PREFIX, interface_name_prefix="veth"),
            V4,
            LocalInterfacePrefix("veth"),
        ),
    ],
)
def test_local_traffic(config: ProxyConfig, family: IPFamily, expected: object) -> None:
    facts = NodeFacts(pod_cidrs=(parse_network("10.244.1.0/24"), parse_network("10.244.9.0/24")))
    assert node_context(config, family, facts, (), ()).local == expected


INTERFACES = addresses("127.0.0.1", "192.0.2.1", "203.0.113.1", "::1", "2001:db8::1")


@pytest.mark.parametrize(
    ("networks", "localhost", "family", "expected"),
    [
        ((), False, V4, NodePortAddresses(None)),
        ((), True, V4, NodePortAddresses(None, loopback=True)),
        ((), True, V6, NodePortAddresses(None)),
        (["192.0.2.0/24"], True, V4, NodePortAddresses(addresses("192.0.2.1"))),
        (["192.0.2.0/24"], True, V6, NodePortAddresses(None)),
        (["192.0.2.0/24", "0.0.0.0/0"], False, V4, NodePortAddresses(None)),
        (["127.0.0.0/8"], True, V4, NodePortAddresses((), loopback=True)),
        (["127.0.0.1/32", "203.0.113.0/24"], True, V4, NodePortAddresses(addresses("203.0.113.1"), True)),
        (["127.0.0.0/8"], False, V4, NodePortAddresses(())),
        (["::/64", "2001:db8::/32"], False, V6, NodePortAddresses(addresses("2001:db8::1"))),
        (None, False, V4, NodePortAddresses(addresses("192.0.2.1"))),
        (None, False, V6, NodePortAddresses(None)),
    ],
)
def test_node_port_addresses(
    networks: list[str] | None, localhost: bool, family: IPFamily, expected: NodePortAddresses
) -> None:
    parsed = None if networks is None else tuple(map(parse_network, networks))
    config = ProxyConfig(NODE, node_port_addresses=parsed, localhost_node_ports=localhost)
    facts = NodeFacts(ips=addresses("192.0.2.1"))
    assert node_context(config, family, facts, INTERFACES, ()).node_ports == expected


def test_context_takes_service_cidrs_of_the_family_sorted_and_once() -> None:
    texts = ["10.97.0.0/16", "fd00::/108", "10.96.0.0/16", "10.97.0.0/16"]
    context = node_context(ProxyConfig(NODE), V4, NodeFacts(), (), map(parse_network, texts))
    assert list(map(str, context.service_cidrs)) == ["10.96.0.0/16", "10.97.0.0/16"]


def test_masquerade_mark_is_a_bit() -> None:
    context = node_context(ProxyConfig(NODE, masquerade_bit=3), V4, NodeFacts(), (), ())
    assert context.masquerade_mark == 8


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.1", True), ("127.255.0.9", True), ("128.0.0.1", False), ("::1", True), ("::2", False)],
)
def test_loopback(text: str, expected: bool) -> None:
    assert is_loopback(parse_address(text)) is expected
