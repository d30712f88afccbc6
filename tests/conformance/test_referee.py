"""Outcomes that the referee lets pass, and those it objects to."""

import errno

import pytest

from pointsman.conformance.answers import PORT_UNREACHABLE
from pointsman.conformance.lab import NODE, Denied, EchoReply, Outcome, Refused, Reply, Silent
from pointsman.conformance.referee import objection
from pointsman.conformance.scene import OUTSIDE, POD, scene
from pointsman.core.addresses import IPFamily, parse_address
from pointsman.core.model import Endpoint, Protocol
from pointsman.core.packet import Action, Packet, Step, Trace, Verdict

TCP, UDP = Protocol.TCP, Protocol.UDP
EVERY_FAMILY = pytest.mark.parametrize("family", IPFamily)


def packet(family: IPFamily, client: str, protocol: Protocol | None = TCP, to: str | None = None) -> Packet:
    return scene(family).packet(client, to or scene(family).cluster_ip(), 80 if protocol else 0, protocol)


def reply(family: IPFamily, pod: str, seen: str, port: int = 8080) -> Reply:
    return Reply(pod, port, seen, 40000, TCP)


def rejected(family: IPFamily, offender: str) -> Refused:
    return Refused(errno.ECONNREFUSED, PORT_UNREACHABLE[family], offender)


def objects(family: IPFamily, sent: Packet, outcome: Outcome, verdict: Verdict) -> bool:
    return objection(scene(family), sent, outcome, Trace(verdict, ())) is not None


def forward(family: IPFamily, *pods: str, masqueraded: tuple[str, ...] = ()) -> Verdict:
    at = {pod: Endpoint(parse_address(scene(family).address(pod)), 8080) for pod in pods}
    return Verdict(Action.FORWARD, tuple(at.values()), frozenset(at[pod] for pod in masqueraded))


@EVERY_FAMILY
def test_only_endpoints_of_the_verdict_may_answer(family: IPFamily) -> None:
    at, sent, verdict = scene(family), packet(family, POD), forward(family, "pod-a", "remote-a")
    for pod in ("pod-a", "remote-a"):
        assert not objects(family, sent, reply(family, pod, at.address(POD)), verdict)
        assert objects(family, sent, reply(family, pod, at.address(POD), port=9090), verdict)
    assert objects(family, sent, reply(family, "pod-b", at.address(POD)), verdict)


@EVERY_FAMILY
def test_the_client_seen_has_to_be_the_right_one(family: IPFamily) -> None:
    at, sent = scene(family), packet(family, POD)
    own, node, other = at.address(POD), at.node_address_towards("pod-a"), at.address("pod-b")
    kept, rewritten = forward(family, "pod-a"), forward(family, "pod-a", masqueraded=("pod-a",))
    assert not objects(family, sent, reply(family, "pod-a", own), kept)
    assert objects(family, sent, reply(family, "pod-a", node), kept)
    assert not objects(family, sent, reply(family, "pod-a", node), rewritten)
    assert objects(family, sent, reply(family, "pod-a", own), rewritten)
    for verdict in (kept, rewritten):
        assert objects(family, sent, reply(family, "pod-a", other), verdict)


@EVERY_FAMILY
def test_a_connection_that_is_due_must_come_about(family: IPFamily) -> None:
    sent, verdict = packet(family, POD), forward(family, "pod-a")
    for outcome in (Silent(1), rejected(family, scene(family).address(NODE)), Refused(errno.ECONNREFUSED)):
        assert objects(family, sent, outcome, verdict)


@EVERY_FAMILY
@pytest.mark.parametrize("client", [POD, NODE, OUTSIDE])
def test_a_refusal_is_an_icmp_error_of_the_nodes(family: IPFamily, client: str) -> None:
    at, sent, verdict = scene(family), packet(family, client), Verdict(Action.REJECT)
    assert not objects(family, sent, rejected(family, at.address(NODE)), verdict)
    for outcome in (
        rejected(family, at.address("remote-a")),
        Refused(errno.EHOSTUNREACH, (3, 1), at.address(NODE)),
        Refused(errno.ECONNREFUSED),
        Silent(1),
        reply(family, "pod-a", at.address(client)),
    ):
        assert objects(family, sent, outcome, verdict), outcome


@EVERY_FAMILY
def test_silence_is_silence(family: IPFamily) -> None:
    at, verdict = scene(family), Verdict(Action.DROP)
    assert not objects(family, packet(family, POD), Silent(1), verdict)
    # A kernel tells its own programs what it has dropped.
    assert not objects(family, packet(family, NODE, UDP), Denied(errno.EPERM), verdict)
    assert objects(family, packet(family, POD), Denied(errno.EPERM), verdict)
    assert objects(family, packet(family, NODE), Denied(errno.ENETUNREACH), verdict)
    assert objects(family, packet(family, POD), rejected(family, at.address(NODE)), verdict)


@EVERY_FAMILY
def test_what_is_left_alone_is_its_owners(family: IPFamily) -> None:
    at, verdict = scene(family), Verdict(Action.PASS)
    to_node, to_router = (packet(family, POD, to=to) for to in (at.address(NODE), at.real_load_balancer_ip))
    assert not objects(family, to_node, Refused(errno.ECONNREFUSED), verdict)
    assert not objects(family, to_node, reply(family, NODE, at.address(POD), 80), verdict)
    assert objects(family, to_node, reply(family, NODE, at.address(NODE), 80), verdict)
    assert objects(family, to_node, Silent(1), verdict)
    assert objects(family, to_node, rejected(family, at.address(NODE)), verdict)
    assert not objects(family, to_router, reply(family, "router", at.address(POD), 80), verdict)
    assert objects(family, to_router, reply(family, "pod-a", at.address(POD)), verdict)
    nobodys = packet(family, POD, to=at.load_balancer_ip())
    assert not objects(family, nobodys, Silent(1), verdict)
    assert objects(family, nobodys, rejected(family, at.address(NODE)), verdict)


@EVERY_FAMILY
def test_sockets_refuse_datagrams_as_a_proxy_does(family: IPFamily) -> None:
    at = scene(family)
    sent = packet(family, POD, UDP, to=at.address(NODE))
    assert not objects(family, sent, rejected(family, at.address(NODE)), Verdict(Action.PASS))


@EVERY_FAMILY
def test_pings(family: IPFamily) -> None:
    at = scene(family)
    sent = packet(family, POD, None)
    assert not objects(family, sent, rejected(family, at.address(NODE)), Verdict(Action.REJECT))
    assert objects(family, sent, EchoReply(at.cluster_ip()), Verdict(Action.REJECT))
    to_node = packet(family, POD, None, to=at.address(NODE))
    assert not objects(family, to_node, EchoReply(at.address(NODE)), Verdict(Action.PASS))


def test_an_objection_tells_what_was_due_and_why() -> None:
    family = IPFamily.IPV4
    trace = Trace(forward(family, "pod-a", masqueraded=("pod-a",)), (Step("match", "it is web's"),))
    said = objection(scene(family), packet(family, OUTSIDE), Silent(1), trace)
    assert said is not None
    assert "192.168.77.100 → 10.96.0.16:80/tcp" in said
    assert "forward to 10.244.1.2:8080 masqueraded was due" in said
    assert "Silent" in said
    assert "match: it is web's" in said
