"""Names that tools and habits depend on (IPT-01)."""

from pointsman.backends.iptables import names
from pointsman.core.addresses import parse_address
from pointsman.core.model import Endpoint, Pool, Protocol, ServicePortName

NAME = ServicePortName("ns1", "svc1", "p80", Protocol.TCP)


def test_a_service_chain_is_named_as_kube_proxy_names_it() -> None:
    assert names.pool_chain(NAME, Pool.CLUSTER) == "KUBE-SVC-XPGD46QRK7WJZT7O"
    assert names.pool_chain(NAME, Pool.LOCAL) == "KUBE-SVL-XPGD46QRK7WJZT7O"
    assert names.variant_chain(names.EXTERNAL, NAME, "") == "KUBE-EXT-XPGD46QRK7WJZT7O"
    assert names.variant_chain(names.SOURCES, NAME, "") == "KUBE-FW-XPGD46QRK7WJZT7O"


def test_an_endpoint_chain_is_named_as_kube_proxy_names_it() -> None:
    endpoint = Endpoint(parse_address("10.180.0.1"), 80)

    assert names.endpoint_chain(NAME, endpoint) == "KUBE-SEP-SXIVWICOYRO3J4NJ"


def test_an_ipv6_endpoint_is_hashed_with_brackets() -> None:
    endpoint = Endpoint(parse_address("fd00::1"), 80)

    assert names.endpoint_chain(NAME, endpoint) == "KUBE-SEP-" + names.hashed("ns1/svc1:p80tcp[fd00::1]:80")


def test_a_port_without_a_name_has_no_colon() -> None:
    assert names.key(NAME._replace(port="", protocol=Protocol.UDP)) == "ns1/svc1udp"


def test_every_name_fits_into_a_chain_name() -> None:
    # XT_EXTENSION_MAXNAMELEN is 29 with the final zero.
    endpoint = Endpoint(bytes(16), 65535)
    longest = [
        names.endpoint_chain(NAME, endpoint),
        names.BRANCH + names.hashed(""),
        names.EXTERNAL_SERVICES,
        names.REFUSED_NODE_PORTS,
    ]
    assert max(map(len, longest)) <= 28
