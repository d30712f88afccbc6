"""Refusal, denial and silence told apart.

A wait below the second after which TCP repeats a SYN shows that a refusal was known without the repetition.
"""

import errno
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from pointsman.conformance.lab import (
    Denied,
    Lab,
    Namespace,
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

BEFORE_REPETITION = 0.9
LoadRules = Callable[[Namespace, str], None]

# SCTP takes most errors of routing for passing ones, and goes on trying.
but_sctp = pytest.mark.parametrize(
    "protocol", [Protocol.TCP, Protocol.UDP], ids=lambda protocol: protocol.name
)
families = pytest.mark.parametrize("family", IPFamily)
clients = pytest.mark.parametrize("client", ["pod-a", "client", "node"])
VIP = {IPFamily.IPV4: "10.96.0.7", IPFamily.IPV6: "fd00:96::7"}
PORT_UNREACHABLE = {IPFamily.IPV4: (3, 3), IPFamily.IPV6: (1, 4)}


def filter_table(verdict: str) -> str:
    """Rules that give one answer to all packets to the virtual addresses, forwarded or the node's own."""
    rules = "".join(
        f"{word} daddr {VIP[family]} {verdict}; "
        for family, word in ((IPFamily.IPV4, "ip"), (IPFamily.IPV6, "ip6"))
    )
    hooks = ("forward", "output")
    chains = (f"chain {hook} {{ type filter hook {hook} priority 0; {rules} }}" for hook in hooks)
    return "\n".join(("table inet test {", *chains, "}"))


@pytest.mark.program("nft")
@families
@clients
def test_a_reject_rule_is_a_refusal_at_once(
    lab: Lab, load_rules: LoadRules, family: IPFamily, protocol: Protocol, client: str
) -> None:
    load_rules(lab.node, filter_table("reject"))
    outcome = connect(lab[client], VIP[family], 80, protocol, wait=BEFORE_REPETITION)
    assert isinstance(outcome, Refused), outcome
    assert outcome.errno == errno.ECONNREFUSED
    if protocol is not Protocol.SCTP:  # which has no error queue
        assert outcome.icmp == PORT_UNREACHABLE[family]
        assert outcome.offender in lab.machine("node").addresses_of(family)


@pytest.mark.program("nft")
@families
def test_refusals_are_not_rationed(
    lab: Lab, load_rules: LoadRules, family: IPFamily, protocol: Protocol
) -> None:
    load_rules(lab.node, filter_table("reject"))
    outcomes = burst(lab["client"], VIP[family], 80, protocol, count=300, wait=BEFORE_REPETITION)
    assert {type(outcome) for outcome in outcomes} == {Refused}


@pytest.mark.program("nft")
@families
@pytest.mark.parametrize("client", ["pod-a", "client"])
def test_a_drop_rule_is_silence(
    lab: Lab, load_rules: LoadRules, family: IPFamily, protocol: Protocol, client: str
) -> None:
    load_rules(lab.node, filter_table("drop"))
    assert connect(lab[client], VIP[family], 80, protocol, wait=0.1) == Silent(0.1)


@pytest.mark.program("nft")
@families
def test_the_nodes_own_datagrams_are_denied_by_a_drop_rule(
    lab: Lab, load_rules: LoadRules, family: IPFamily
) -> None:
    load_rules(lab.node, filter_table("drop"))
    assert connect(lab.node, VIP[family], 80, Protocol.UDP, wait=0.1) == Denied(errno.EPERM)
    assert connect(lab.node, VIP[family], 80, Protocol.TCP, wait=0.1) == Silent(0.1)


@pytest.mark.program("nft")
@families
def test_ping_may_be_refused(lab: Lab, load_rules: LoadRules, family: IPFamily) -> None:
    load_rules(lab.node, filter_table("reject"))
    outcome = ping(lab["pod-a"], VIP[family], wait=BEFORE_REPETITION)
    assert isinstance(outcome, Refused), outcome
    assert outcome.icmp == PORT_UNREACHABLE[family]


@pytest.mark.program("nft")
@families
def test_a_held_connection_learns_of_a_drop_and_recovers(
    lab: Lab, load_rules: LoadRules, family: IPFamily, protocol: Protocol
) -> None:
    address = lab.address("remote-a", family)
    word = "ip" if family is IPFamily.IPV4 else "ip6"
    rule = f"type filter hook forward priority 0; {word} daddr {address} drop;"
    with (
        lab.serve("remote-a", protocol, family, 8080),
        open_connection(lab["pod-a"], address, 8080, protocol) as connection,
    ):
        load_rules(lab.node, f"table inet test {{ chain cut {{ {rule} }}\n}}")
        assert connection.exchange(wait=0.1) == Silent(0.1)
        load_rules(lab.node, "flush ruleset")
        assert isinstance(connection.exchange(wait=5), Reply)


@families
@pytest.mark.parametrize("client", ["pod-a", "client", "remote-a"])
def test_a_closed_port_is_a_refusal(lab: Lab, family: IPFamily, protocol: Protocol, client: str) -> None:
    address = lab.address("pod-b", family)
    outcome = connect(lab[client], address, 81, protocol, wait=BEFORE_REPETITION)
    by_datagram = Refused(errno.ECONNREFUSED, PORT_UNREACHABLE[family], address)
    assert outcome == (by_datagram if protocol is Protocol.UDP else Refused(errno.ECONNREFUSED))


@but_sctp
@pytest.mark.parametrize(
    ("kind", "family", "code", "icmp"),
    [
        ("unreachable", IPFamily.IPV4, errno.EHOSTUNREACH, (3, 1)),
        ("prohibit", IPFamily.IPV4, errno.EHOSTUNREACH, (3, 13)),
        ("unreachable", IPFamily.IPV6, errno.ENETUNREACH, (1, 0)),
        ("prohibit", IPFamily.IPV6, errno.EACCES, (1, 1)),
    ],
)
def test_a_refusing_route_on_the_way(
    lab: Lab, protocol: Protocol, kind: str, family: IPFamily, code: int, icmp: tuple[int, int]
) -> None:
    how = {"family": family, "dst": f"{VIP[family]}/{family.address_length * 8}", "type": kind}
    lab.node.configure(lambda netlink: netlink.route("add", **how))
    try:
        outcome = connect(lab["client"], VIP[family], 80, protocol, wait=BEFORE_REPETITION)
    finally:
        lab.node.configure(lambda netlink: netlink.route("del", **how))
    assert isinstance(outcome, Refused), outcome
    assert (outcome.errno, outcome.icmp) == (code, icmp)


@but_sctp
@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("blackhole", Denied(errno.EINVAL)),
        ("unreachable", Denied(errno.EHOSTUNREACH)),
        ("prohibit", Denied(errno.EACCES)),
    ],
)
def test_a_refusing_route_at_home_is_a_denial(
    lab: Lab, protocol: Protocol, kind: str, outcome: Denied
) -> None:
    how = {"dst": "10.96.0.7/32", "type": kind}
    lab["pod-a"].configure(lambda netlink: netlink.route("add", **how))
    try:
        assert connect(lab["pod-a"], "10.96.0.7", 80, protocol) == outcome
    finally:
        lab["pod-a"].configure(lambda netlink: netlink.route("del", **how))


def test_a_server_that_hangs_up_refuses_and_one_that_says_nothing_is_silent(lab: Lab) -> None:
    [listener] = lab["pod-b"].sockets(1, socket.AF_INET, socket.SOCK_STREAM, 0)
    with listener, ThreadPoolExecutor() as pool:
        listener.bind(("", 8081))
        listener.listen()
        assert connect(lab["pod-a"], "10.244.1.3", 8081, wait=0.1) == Silent(0.1)
        listener.accept()[0].close()
        attempt = pool.submit(connect, lab["pod-a"], "10.244.1.3", 8081, wait=5)
        listener.settimeout(5)
        listener.accept()[0].close()
        assert attempt.result() == Refused(errno.ECONNRESET)
