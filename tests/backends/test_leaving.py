"""Endpoints that leave, and connections in a state that is nobody's rule: every dataplane does the same.

What conntrack knows of a connection decides where it goes; so a SYN that is sent again is part of what was
begun, and a connection that conntrack has forgotten is none.
"""

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTSocket

from pointsman.conformance.lab import (
    NODE,
    SERVICE_CIDRS,
    Lab,
    Outcome,
    Refused,
    Reply,
    connect,
    open_connection,
)
from pointsman.conformance.lab.outcomes import decode_reply
from pointsman.core.addresses import IPFamily, format_address, parse_network
from pointsman.core.model import Protocol, ServicePortName
from tests.backends.serving import BACKENDS, PORT, Served, cluster_ip, serving_lab

pytestmark = pytest.mark.netns

PROTOCOLS = (Protocol.TCP, Protocol.UDP)
PATIENCE = 20.0


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with serving_lab(*PROTOCOLS) as opened:
        yield opened


class Case(Served):
    """A dataplane, and one service."""

    @property
    def vip(self) -> str:
        return format_address(self._address)

    @property
    def _address(self) -> bytes:
        return parse_network(SERVICE_CIDRS[self.family]).address[:-1] + b"\x0a"

    def serve(self, protocol: Protocol, *pods: str) -> None:
        name = ServicePortName("default", "web", "", protocol)
        self.sync(cluster_ip(self.lab, self.family, name, self._address, dict.fromkeys(pods, 1)))

    def forget(self) -> None:
        """Have conntrack forget every connection of the node, as if each had been idle for too long."""
        self.lab.node.run(_forget)


def _forget() -> None:
    with NFCTSocket() as conntrack:
        conntrack.flush()


@contextmanager
def _begun(lab: Lab, family: IPFamily, client: str, vip: str, pod: str) -> Iterator[socket.socket]:
    """A connection whose SYN has reached a pod, which hasn't answered and may from now on."""
    source = lab.address(client, family)
    [opened] = lab[client].sockets(1, family, socket.SOCK_STREAM, Protocol.TCP)
    [seen] = lab[pod].sockets(1, family, socket.SOCK_RAW, Protocol.TCP)
    with opened, seen:
        with _mute(lab, pod, family):
            opened.bind((source, 0))
            with pytest.raises(BlockingIOError):
                opened.connect((vip, PORT))
            seen.settimeout(PATIENCE)
            seen.recv(1)
            assert not select.select([], [opened], [], 0)[1]
        opened.settimeout(PATIENCE)
        yield opened


@contextmanager
def _mute(lab: Lab, pod: str, family: IPFamily) -> Iterator[None]:
    """Let a pod send nothing to anybody, as if it hung."""
    rule = {"family": family, "priority": 1, "action": "blackhole"}  # behind what leads to itself
    lab[pod].configure(lambda netlink: netlink.rule("add", **rule))
    try:
        yield
    finally:
        lab[pod].configure(lambda netlink: netlink.rule("del", **rule))


def _pod(outcome: Outcome) -> str:
    return outcome.pod if isinstance(outcome, Reply) else str(outcome)


@pytest.fixture(params=[(b, f) for b in BACKENDS for f in IPFamily], ids=lambda one: f"{one[0]}-{one[1]}")
def case(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Case]:
    opened = Case(lab, *request.param)
    yield opened
    opened.close()


@pytest.mark.parametrize("client", ["client", "pod-b", NODE])
def test_a_syn_sent_again_goes_where_the_first_went(case: Case, client: str) -> None:
    """Though the endpoint has left meanwhile, and the proxy was started anew: it may finish what it began."""
    case.serve(Protocol.TCP, "pod-a")
    with _begun(case.lab, case.family, client, case.vip, "pod-a") as begun:
        case.serve(Protocol.TCP, "remote-a")
        case.restart()
        assert _pod(connect(case.lab[client], case.vip, PORT)) == "remote-a"
        # Writable when the handshake is done, which takes the second SYN: a second after the first.
        _, writable, _ = select.select([], [begun], [], PATIENCE)
        assert writable
        assert decode_reply(begun.makefile("rb").readline()).pod == "pod-a"


@pytest.mark.parametrize("client", ["client", "pod-b", NODE])
def test_a_connection_that_conntrack_forgot_and_nobody_knows_is_reset(case: Case, client: str) -> None:
    """Its endpoint has left; whom the packet would go to now doesn't know it, and says so."""
    lab = case.lab
    case.serve(Protocol.TCP, "pod-a")
    with open_connection(lab[client], case.vip, PORT) as old:
        case.serve(Protocol.TCP, "remote-a")
        assert _pod(old.exchange()) == "pod-a"
        case.forget()
        reset = old.exchange()
        assert isinstance(reset, Refused), reset
        assert reset.icmp is None
    assert _pod(connect(lab[client], case.vip, PORT)) == "remote-a"


@pytest.mark.parametrize("client", ["client", "pod-b", NODE])
def test_a_udp_flow_that_conntrack_forgot_is_a_new_one(case: Case, client: str) -> None:
    case.serve(Protocol.UDP, "pod-a")
    with open_connection(case.lab[client], case.vip, PORT, Protocol.UDP) as old:
        case.serve(Protocol.UDP, "remote-a")
        assert _pod(old.exchange()) == "pod-a"
        case.forget()
        assert _pod(old.exchange()) == "remote-a"
        case.serve(Protocol.UDP, "pod-a")
        assert _pod(old.exchange()) == "remote-a"
