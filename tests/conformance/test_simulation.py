"""The simulated network: what it adds to a dataplane's word."""

from collections import Counter
from collections.abc import Iterable

import pytest

from pointsman.conformance.answers import Answer, Failure, classified
from pointsman.conformance.lab import NODE, NotConnected, Outcome, Reply, Silent
from pointsman.conformance.scene import OUTSIDE, POD, scene
from pointsman.conformance.simulation import SimulatedNetwork
from pointsman.core.addresses import IPFamily, parse_address
from pointsman.core.model import Endpoint, Protocol, ServicePortName
from pointsman.core.packet import Action, Affinity, Packet, Trace, Verdict

EVERY_FAMILY = pytest.mark.parametrize("family", IPFamily)
TCP, UDP = Protocol.TCP, Protocol.UDP


class Word:
    """A dataplane of one word."""

    def __init__(self, verdict: Verdict, affinity: Affinity | None = None) -> None:
        self.verdict = verdict
        self.affinity = affinity

    def __call__(self, packet: Packet) -> Trace:
        return Trace(self.verdict, (), self.affinity)


def endpoint(family: IPFamily, pod: str, weight: int = 1) -> Endpoint:
    return Endpoint(parse_address(scene(family).address(pod)), 8080, weight)


def forward(endpoints: Iterable[Endpoint], masqueraded: Iterable[Endpoint] = ()) -> Verdict:
    return Verdict(Action.FORWARD, tuple(endpoints), frozenset(masqueraded))


def connect(
    family: IPFamily, verdict: Verdict, client: str, protocol: Protocol = TCP, to: str = "", port: int = 80
) -> Outcome:
    network = SimulatedNetwork(Word(verdict), "seed")
    destination = to or scene(family).cluster_ip(), port
    [outcome] = network.burst(client, destination, protocol, count=1, wait=1, source=None)
    return outcome


def answer(
    family: IPFamily, verdict: Verdict, client: str, protocol: Protocol = TCP, to: str = "", port: int = 80
) -> Answer:
    destination = to or scene(family).cluster_ip()
    sent = scene(family).packet(client, destination, port, protocol)
    return classified(scene(family), sent, connect(family, verdict, client, protocol, to, port))


@EVERY_FAMILY
def test_endpoints_are_picked_by_weight(family: IPFamily) -> None:
    verdict = forward([endpoint(family, "pod-a", 3), endpoint(family, "remote-a")])
    network = SimulatedNetwork(Word(verdict), "seed")
    destination = scene(family).cluster_ip(), 80
    outcomes = network.burst(POD, destination, TCP, count=1000, wait=1, source=None)
    picked = Counter(outcome.pod for outcome in outcomes if isinstance(outcome, Reply))
    assert picked.total() == 1000
    assert 700 < picked["pod-a"] < 800


@EVERY_FAMILY
def test_the_same_seed_makes_for_the_same_picks(family: IPFamily) -> None:
    verdict = forward([endpoint(family, "pod-a"), endpoint(family, "remote-a")])
    destination = scene(family).cluster_ip(), 80
    runs = [
        SimulatedNetwork(Word(verdict), seed).burst(POD, destination, TCP, count=50, wait=1, source=None)
        for seed in ("one", "one", "other")
    ]
    assert runs[0] == runs[1] != runs[2]


@EVERY_FAMILY
def test_servers_see_whom_the_verdict_says(family: IPFamily) -> None:
    at, pod, remote = scene(family), endpoint(family, "pod-a"), endpoint(family, "remote-a")
    for client, target, masqueraded, seen in (
        (POD, pod, False, at.address(POD)),
        (POD, pod, True, at.node_address_towards("pod-a")),
        (OUTSIDE, remote, True, at.address(NODE)),
        (NODE, remote, False, at.address(NODE)),
    ):
        outcome = connect(family, forward([target], [target] if masqueraded else []), client)
        assert isinstance(outcome, Reply)
        assert outcome.client == seen


@EVERY_FAMILY
def test_an_answer_that_does_not_come_back_through_the_node_is_lost(family: IPFamily) -> None:
    """A pod that reaches itself answers itself; a remote one answers a client elsewhere straight away."""
    pod, remote = endpoint(family, "pod-a"), endpoint(family, "remote-a")
    assert connect(family, forward([pod]), "pod-a") == Silent(1)
    assert connect(family, forward([remote]), OUTSIDE) == Silent(1)
    assert isinstance(connect(family, forward([pod]), OUTSIDE), Reply)
    assert isinstance(connect(family, forward([remote]), POD), Reply)
    assert isinstance(connect(family, forward([pod], [pod]), "pod-a"), Reply)


@EVERY_FAMILY
def test_where_nobody_listens_connections_end_at_once(family: IPFamily) -> None:
    empty = Endpoint(parse_address(scene(family).address("pod-a")), 1)
    nobody = Endpoint(parse_address(scene(family).cluster_ip(9)), 8080)
    assert answer(family, forward([empty]), POD) is Failure.RESET
    assert answer(family, forward([empty]), POD, UDP) is Failure.RESET
    assert answer(family, forward([nobody]), POD) is Failure.UNANSWERED


@EVERY_FAMILY
def test_refusal_and_silence(family: IPFamily) -> None:
    for protocol in Protocol:
        assert answer(family, Verdict(Action.REJECT), POD, protocol) is Failure.REJECTED
        assert answer(family, Verdict(Action.DROP), POD, protocol) is Failure.UNANSWERED


@EVERY_FAMILY
def test_what_is_left_alone_goes_to_its_owner(family: IPFamily) -> None:
    at, left = scene(family), Verdict(Action.PASS)
    direct = connect(family, left, POD, to=at.address("remote-a"), port=8080)
    assert isinstance(direct, Reply)
    assert (direct.pod, direct.client) == ("remote-a", at.address(POD))
    assert isinstance(connect(family, left, POD, to=at.real_load_balancer_ip), Reply)
    assert answer(family, left, POD, to=at.address(NODE)) is Failure.RESET
    assert answer(family, left, POD, to=at.load_balancer_ip()) is Failure.UNANSWERED
    loopback = "127.0.0.1" if family is IPFamily.IPV4 else "::1"
    assert answer(family, left, NODE, to=loopback) is Failure.RESET


@EVERY_FAMILY
def test_servers_can_be_started_and_end(family: IPFamily) -> None:
    network = SimulatedNetwork(Word(Verdict(Action.PASS)), "seed")
    at = scene(family).address(NODE), 30080
    with network.serve(NODE, TCP, family, 30080):
        [during] = network.burst(POD, at, TCP, count=1, wait=1, source=None)
    [after] = network.burst(POD, at, TCP, count=1, wait=1, source=None)
    assert isinstance(during, Reply)
    assert not isinstance(after, Reply)


@EVERY_FAMILY
def test_a_held_connection_stays_where_it_is(family: IPFamily) -> None:
    word = Word(forward([endpoint(family, "pod-a")]))
    network = SimulatedNetwork(word, "seed")
    held = network.hold(POD, (scene(family).cluster_ip(), 80), TCP)
    word.verdict = Verdict(Action.DROP)
    again = held.exchange(2000)
    assert isinstance(again, Reply)
    assert (again.pod, again.client_port, again.size) == ("pod-a", held.greeting.client_port, 2000)
    with pytest.raises(NotConnected):
        network.hold(POD, (scene(family).cluster_ip(), 80), TCP)


@EVERY_FAMILY
def test_a_held_connection_ends_with_its_server(family: IPFamily) -> None:
    network = SimulatedNetwork(Word(Verdict(Action.PASS)), "seed")
    with network.serve(NODE, TCP, family, 81):
        held = network.hold(POD, (scene(family).address(NODE), 81), TCP)
        assert isinstance(held.exchange(), Reply)
    assert not isinstance(held.exchange(), Reply)


@EVERY_FAMILY
def test_a_client_that_is_remembered_meets_its_endpoint_until_its_time_is_up(family: IPFamily) -> None:
    pods = [endpoint(family, pod) for pod in ("pod-a", "pod-b", "remote-a", "remote-b")]
    word = Word(forward(pods), Affinity(ServicePortName("default", "web", "", TCP), 10))
    network = SimulatedNetwork(word, "seed")
    crowd, vip = scene(family).crowd(20), (scene(family).cluster_ip(), 80)

    def met() -> list[str]:
        outcomes = network.each(OUTSIDE, crowd, vip, TCP, wait=1)
        return [outcome.pod for outcome in outcomes if isinstance(outcome, Reply)]

    word.verdict = forward(pods, pods)
    due = met()
    assert len(set(due)) > 1
    for _ in range(3):
        network.pass_time(9)
        assert met() == due
    network.pass_time(10)
    assert met() != due
    word.affinity = None
    assert met() != met()


@EVERY_FAMILY
def test_a_client_is_not_led_to_an_endpoint_that_has_left(family: IPFamily) -> None:
    affinity = Affinity(ServicePortName("default", "web", "", TCP), 10)
    word = Word(forward([endpoint(family, "pod-a")]), affinity)
    network = SimulatedNetwork(word, "seed")
    for pods in (("pod-a",), ("pod-b",), ("pod-a", "pod-b")):
        word.verdict = forward([endpoint(family, pod) for pod in pods])
        [outcome] = network.burst(POD, (scene(family).cluster_ip(), 80), TCP, count=1, wait=1, source=None)
        assert isinstance(outcome, Reply)
        assert outcome.pod == pods[-1]
