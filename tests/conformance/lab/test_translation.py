"""The lab as a service proxy sees it: the node translates, and everyone gets the answers they should."""

from collections import Counter
from collections.abc import Callable

import pytest

from pointsman.conformance.lab import Lab, Namespace, Reply, burst, connect, open_connection
from pointsman.core.addresses import IPFamily
from pointsman.core.model import Protocol

pytestmark = [pytest.mark.netns, pytest.mark.program("nft")]

LoadRules = Callable[[Namespace, str], None]
VIP = {IPFamily.IPV4: "10.96.0.7", IPFamily.IPV6: "fd00:96::7"}
families = pytest.mark.parametrize("family", IPFamily)


def service(lab: Lab, family: IPFamily, endpoints: tuple[str, ...]) -> str:
    """A service on port 80 with endpoints on 8080, masquerading all but pods' traffic, and hairpins."""
    ip = "ip" if family is IPFamily.IPV4 else "ip6"
    near = {IPFamily.IPV4: "10.244.1.0/24", IPFamily.IPV6: "fd00:10:244:1::/64"}[family]
    addresses = [lab.address(endpoint, family) for endpoint in endpoints]
    choices = ", ".join(f"{index} : {address}" for index, address in enumerate(addresses))
    dnat = f"""
        meta l4proto {{ tcp, udp, sctp }} {ip} daddr {VIP[family]} th dport 80 \
            dnat {ip} to numgen random mod {len(addresses)} map {{ {choices} }} : 8080;"""
    hairpins = "".join(f"{ip} saddr {one} {ip} daddr {one} masquerade; " for one in addresses)
    return f"""table {ip} test {{
        chain pre {{ type nat hook prerouting priority -100; {dnat} }}
        chain out {{ type nat hook output priority -100; {dnat} }}
        chain post {{ type nat hook postrouting priority 100;
            ct status dnat {ip} saddr != {near} masquerade; {hairpins} }}
    }}"""


@families
def test_every_endpoint_answers_for_the_virtual_address(
    lab: Lab, load_rules: LoadRules, family: IPFamily, protocol: Protocol
) -> None:
    endpoints = ("pod-a", "pod-b", "remote-a")
    load_rules(lab.node, service(lab, family, endpoints))
    servers = [lab.serve(endpoint, protocol, family, 8080) for endpoint in endpoints]
    try:
        for client in ("client", "client-2", "node", "pod-a"):
            outcomes = burst(lab[client], VIP[family], 80, protocol, count=90)
            answered = Counter(outcome.pod for outcome in outcomes if isinstance(outcome, Reply))
            assert set(answered) == set(endpoints), client
            assert answered.total() == 90, client
    finally:
        for server in servers:
            server.close()


@families
def test_sources_are_seen_as_translated(
    lab: Lab, load_rules: LoadRules, family: IPFamily, protocol: Protocol
) -> None:
    load_rules(lab.node, service(lab, family, ("pod-a",)))
    of_node = lab.machine("node").addresses_of(family)
    with lab.serve("pod-a", protocol, family, 8080):
        near = connect(lab["pod-b"], VIP[family], 80, protocol)
        far = connect(lab["client"], VIP[family], 80, protocol)
        hairpin = connect(lab["pod-a"], VIP[family], 80, protocol)
    assert isinstance(near, Reply), near
    assert near.client == lab.address("pod-b", family)
    assert isinstance(far, Reply), far
    assert far.client in of_node
    assert isinstance(hairpin, Reply), hairpin
    assert hairpin.client in of_node


@families
def test_a_held_connection_outlives_its_rules(
    lab: Lab, load_rules: LoadRules, family: IPFamily, protocol: Protocol
) -> None:
    load_rules(lab.node, service(lab, family, ("pod-a",)))
    with (
        lab.serve("pod-a", protocol, family, 8080),
        open_connection(lab["client"], VIP[family], 80, protocol) as connection,
    ):
        ip = "ip" if family is IPFamily.IPV4 else "ip6"
        # Some rule that needs connection tracking must stay, or the kernel stops it.
        load_rules(lab.node, f"flush chain {ip} test pre")
        reply = connection.exchange()
        assert isinstance(reply, Reply), reply
        assert reply.client_port == connection.greeting.client_port


@families
def test_fragments_are_translated(lab: Lab, load_rules: LoadRules, family: IPFamily) -> None:
    load_rules(lab.node, service(lab, family, ("remote-a",)))
    with lab.serve("remote-a", Protocol.UDP, family, 8080):
        reply = connect(lab["client"], VIP[family], 80, Protocol.UDP, size=9_000)
    assert isinstance(reply, Reply), reply
    assert reply.size == 9_000
