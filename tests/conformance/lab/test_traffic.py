import itertools
from collections import Counter

import pytest

from pointsman.conformance.lab import (
    EchoReply,
    Lab,
    NotConnected,
    Outcome,
    ProtocolUnavailable,
    Refused,
    Reply,
    Silent,
    burst,
    connect,
    open_connection,
    ping,
)
from pointsman.core.addresses import IPFamily
from pointsman.core.model import Protocol

pytestmark = pytest.mark.netns

families = pytest.mark.parametrize("family", IPFamily)
GATEWAYS = {
    ("node", IPFamily.IPV4): "10.244.1.1",
    ("node", IPFamily.IPV6): "fd00:10:244:1::1",
    ("node2", IPFamily.IPV4): "10.244.2.1",
    ("node2", IPFamily.IPV6): "fd00:10:244:2::1",
}


@families
@pytest.mark.parametrize("server", ["pod-a", "remote-a", "node", "client"])
@pytest.mark.parametrize("client", ["pod-a", "pod-b", "remote-a", "client", "client-2"])
def test_everyone_reaches_everyone_under_their_own_address(
    lab: Lab, family: IPFamily, protocol: Protocol, server: str, client: str
) -> None:
    with lab.serve(server, protocol, family, 8080):
        reply = connect(lab[client], lab.address(server, family), 8080, protocol)
    assert isinstance(reply, Reply), reply
    assert (reply.pod, reply.port, reply.protocol) == (server, 8080, protocol)
    assert reply.client == lab.address(client, family)


@families
@pytest.mark.parametrize("node", ["node", "node2"])
@pytest.mark.parametrize(("server", "home"), [("pod-a", "node"), ("remote-a", "node2")])
def test_a_node_reaches_pods_its_own_by_the_gateway_address(
    lab: Lab, family: IPFamily, protocol: Protocol, node: str, server: str, home: str
) -> None:
    with lab.serve(server, protocol, family, 8080):
        reply = connect(lab[node], lab.address(server, family), 8080, protocol)
    assert isinstance(reply, Reply), reply
    assert reply.client == (GATEWAYS[node, family] if node == home else lab.address(node, family))


@pytest.mark.parametrize("source", ["192.168.77.150", "203.0.113.5", "2001:db8:7::5"])
@pytest.mark.parametrize("server", ["pod-a", "remote-a", "node"])
def test_a_client_may_choose_among_its_sources(
    lab: Lab, protocol: Protocol, source: str, server: str
) -> None:
    family = IPFamily.IPV6 if ":" in source else IPFamily.IPV4
    with lab.serve(server, protocol, family, 8080):
        reply = connect(lab["client"], lab.address(server, family), 8080, protocol, source=source)
    assert isinstance(reply, Reply), reply
    assert reply.client == source


@pytest.mark.parametrize("address", ["192.168.77.11", "10.200.0.1", "fd00:200::1", "10.244.1.1"])
@pytest.mark.parametrize("client", ["client", "pod-a", "remote-a"])
def test_every_address_of_the_node_answers(lab: Lab, protocol: Protocol, address: str, client: str) -> None:
    family = IPFamily.IPV6 if ":" in address else IPFamily.IPV4
    with lab.serve("node", protocol, family, 8080, address=address if protocol is Protocol.SCTP else ""):
        assert isinstance(connect(lab[client], address, 8080, protocol), Reply)


@families
def test_an_address_nobody_has_is_silent_until_the_router_claims_it(
    lab: Lab, family: IPFamily, protocol: Protocol
) -> None:
    number = {Protocol.TCP: 6, Protocol.UDP: 17, Protocol.SCTP: 132}[protocol]
    address = f"198.51.100.{number}" if family is IPFamily.IPV4 else f"2001:db8:100::{number}"
    for client in ("pod-a", "client", "remote-a", "node"):
        assert connect(lab[client], address, 80, protocol, wait=0.1) == Silent(0.1)
    lab.claim(address)
    with lab.serve("router", protocol, family, 80, address=address):
        for client in ("pod-a", "client", "remote-a", "node"):
            reply = connect(lab[client], address, 80, protocol)
            assert isinstance(reply, Reply), reply
            assert reply.pod == "router"
            assert reply.client == lab.address(client, family)


@families
def test_a_server_may_keep_to_one_address(lab: Lab, family: IPFamily, protocol: Protocol) -> None:
    other = {IPFamily.IPV4: "10.200.0.1", IPFamily.IPV6: "fd00:200::1"}[family]
    with lab.serve("node", protocol, family, 8080, address=other):
        assert isinstance(connect(lab["client"], other, 8080, protocol), Reply)
        assert isinstance(connect(lab["client"], lab.address("node", family), 8080, protocol), Refused)


@families
def test_the_kernel_may_choose_the_port(lab: Lab, family: IPFamily, protocol: Protocol) -> None:
    with lab.serve("pod-a", protocol, family, 0) as server:
        reply = connect(lab["pod-b"], lab.address("pod-a", family), server.port, protocol)
    assert isinstance(reply, Reply), reply
    assert reply.port == server.port > 0


@families
def test_a_datagram_of_many_fragments_goes_both_ways(lab: Lab, family: IPFamily) -> None:
    with lab.serve("remote-a", Protocol.UDP, family, 8080):
        reply = connect(lab["pod-a"], lab.address("remote-a", family), 8080, Protocol.UDP, size=60_000)
    assert isinstance(reply, Reply), reply
    assert reply.size == 60_000


@families
def test_ping(lab: Lab, family: IPFamily) -> None:
    address = lab.address("remote-a", family)
    assert ping(lab["client"], address) == EchoReply(address)
    assert ping(lab["pod-a"], lab.address("node", family)) == EchoReply(lab.address("node", family))


def test_ping_from_a_chosen_source_and_into_the_void(lab: Lab) -> None:
    assert ping(lab["client"], "10.244.1.2", source="203.0.113.5") == EchoReply("10.244.1.2")
    assert ping(lab["client"], "10.96.0.1", wait=0.1) == Silent(0.1)


@families
def test_a_connection_is_held_until_the_server_goes(lab: Lab, family: IPFamily, protocol: Protocol) -> None:
    server = lab.serve("remote-a", protocol, family, 8080)
    address = lab.address("remote-a", family)
    with open_connection(lab["pod-a"], address, 8080, protocol) as connection:
        greeting = connection.greeting
        assert greeting.pod == "remote-a"
        for size in (1, 100, 50_000):
            reply = connection.exchange(size)
            assert isinstance(reply, Reply), reply
            assert (reply.client_port, reply.size) == (greeting.client_port, size)
        server.close()
        assert isinstance(connection.exchange(), Refused)


def test_no_connection_says_why(lab: Lab) -> None:
    with pytest.raises(NotConnected, match="Refused") as caught:
        open_connection(lab["pod-a"], "10.244.1.3", 8080)
    assert isinstance(caught.value.outcome, Refused)


@families
def test_a_burst_is_as_many_flows_each_from_its_own_port(
    lab: Lab, family: IPFamily, protocol: Protocol
) -> None:
    progress: list[tuple[int, Outcome]] = []
    with lab.serve("pod-a", protocol, family, 8080):
        outcomes = burst(
            lab["client"],
            lab.address("pod-a", family),
            8080,
            protocol,
            count=1000,
            progress=lambda done, outcome: progress.append((done, outcome)),
        )
    replies = [outcome for outcome in outcomes if isinstance(outcome, Reply)]
    assert len(replies) == len(outcomes) == 1000
    assert len({reply.client_port for reply in replies}) == 1000
    assert [done for done, _ in progress] == list(range(1, 1001))
    assert Counter(outcome for _, outcome in progress) == Counter(outcomes)


def test_a_source_port_that_is_taken_is_passed_over(lab: Lab) -> None:
    taken = next(lab["client"].ports) + 1
    with (
        lab.serve("client", Protocol.TCP, IPFamily.IPV4, taken),
        lab.serve("pod-a", Protocol.TCP, IPFamily.IPV4, 8080),
    ):
        reply = connect(lab["client"], "10.244.1.2", 8080)
    assert isinstance(reply, Reply), reply
    assert reply.client_port == taken + 1


def test_a_burst_takes_its_sources_in_turn(lab: Lab, protocol: Protocol) -> None:
    sources = ("192.168.77.150", "203.0.113.5", "192.168.77.100")
    with lab.serve("pod-a", protocol, IPFamily.IPV4, 8080):
        outcomes = burst(
            lab["client"], "10.244.1.2", 8080, protocol, count=20, concurrency=7, sources=sources
        )
    seen = [outcome.client for outcome in outcomes if isinstance(outcome, Reply)]
    assert seen == list(itertools.islice(itertools.cycle(sources), 20))


def test_a_burst_into_silence_waits_once_for_all(lab: Lab) -> None:
    outcomes = burst(lab["pod-a"], "10.96.0.1", 80, count=30, concurrency=30, wait=0.2)
    assert outcomes == [Silent(0.2)] * 30


def test_what_is_missing_is_said_before_it_is_tried(lab: Lab) -> None:
    if lab.capabilities.sctp.present:
        pytest.skip("this kernel has SCTP")
    assert "SCTP" in lab.capabilities.sctp.reason
    with pytest.raises(ProtocolUnavailable, match="SCTP"):
        lab.serve("pod-a", Protocol.SCTP, IPFamily.IPV4, 8080)


def test_a_foreign_source_or_a_taken_port_is_the_callers_error(lab: Lab) -> None:
    with pytest.raises(OSError, match="Cannot assign"):
        connect(lab["pod-a"], "10.244.1.3", 80, source="203.0.113.99")
    with (
        lab.serve("pod-a", Protocol.TCP, IPFamily.IPV4, 8080),
        pytest.raises(OSError, match="in use"),
    ):
        lab.serve("pod-a", Protocol.TCP, IPFamily.IPV4, 8080)
