"""Traces: the steps that a reader is shown."""

from pathlib import Path

from msgspec.structs import replace

from pointsman.backends.memory.oracle import trace
from pointsman.core.addresses import parse_address
from pointsman.core.model import Answer, Endpoint, Masquerade, Pool, Protocol, Refusal
from pointsman.core.packet import Action, Packet, Step
from tests.backends.memory.cluster import EXTERNAL_LOCAL, IPV4, PORT, forward, model, web

ROOT = Path(__file__).parents[3]


def test_a_forwarded_packet_is_followed_to_each_endpoint_it_may_reach() -> None:
    service = replace(web(IPV4), cluster=(replace(IPV4.local, weight=3), IPV4.remote))
    packet = Packet(IPV4.local.address, IPV4.cluster_ip, PORT, Protocol.TCP, "veth1")
    found = trace(model(IPV4.context, service), packet)
    pool, destination = "default/web:http/tcp cluster pool", "destination 10.96.0.10:80"
    assert found.verdict == forward(service.cluster, service.cluster[:1])
    assert found.steps == (
        Step("match", "10.96.0.10:80/tcp belongs to default/web:http/tcp (ClusterIP)", "frontends"),
        Step(
            "policy",
            "10.244.1.10 is a local pod: cluster pool, masquerade unless-local",
            "10.96.0.10:80/tcp near",
        ),
        Step("pick", "10.244.1.10:8080, one of 2", pool, 0.75),
        Step("dnat", f"{destination} becomes 10.244.1.10:8080", pool),
        Step(
            "masquerade",
            "source 10.244.1.10 becomes an address of the node: the client picked itself",
            pool,
        ),
        Step("pick", "10.244.2.10:8080, one of 2", pool, 0.25),
        Step("dnat", f"{destination} becomes 10.244.2.10:8080", pool),
    )


def test_each_reason_to_masquerade_is_told_apart() -> None:
    def reason(masquerade: Masquerade, source: bytes) -> str:
        service = replace(web(IPV4, Answer(Pool.CLUSTER, masquerade)), cluster=(IPV4.local,))
        packet = Packet(source, IPV4.cluster_ip, PORT, Protocol.TCP, "eth0")
        [step] = [s for s in trace(model(IPV4.context, service), packet).steps if s.topic == "masquerade"]
        return step.text.partition(": ")[2]

    assert reason(Masquerade.ALWAYS, IPV4.client) == "it always does here"
    assert reason(Masquerade.UNLESS_LOCAL, IPV4.client) == "the client is no local pod"
    assert reason(Masquerade.NEVER, IPV4.local.address) == "the client picked itself"


def test_who_is_far_is_told() -> None:
    packet = IPV4.from_client(IPV4.external_ip)
    steps = trace(model(IPV4.context, web(IPV4, external=EXTERNAL_LOCAL)), packet).steps
    assert steps[1] == Step(
        "policy",
        "203.0.113.9 is neither a local pod nor the node: local pool, masquerade never",
        "192.0.2.20:80/tcp far",
    )


def test_who_gets_the_answer_for_all_is_not_called_far() -> None:
    step = trace(model(IPV4.context, web(IPV4)), IPV4.from_client(IPV4.external_ip)).steps[1]
    assert (step.topic, step.where) == ("policy", "192.0.2.20:80/tcp near")


def test_source_ranges_say_whom_they_admit() -> None:
    limited = model(IPV4.context, web(IPV4, sources=(IPV4.client_network, IPV4.service_network)))
    admitted = trace(limited, IPV4.from_client(IPV4.load_balancer))
    where, networks = "192.0.2.10:80/tcp sources", "{203.0.113.0/24, 10.96.0.0/16}"
    assert admitted.steps[1] == Step("policy", f"203.0.113.9 is in {networks}", where)
    refused = trace(limited, IPV4.from_pod(IPV4.load_balancer))
    assert refused.verdict.action is Action.DROP
    assert refused.steps[1:] == (Step("refuse", f"10.244.1.5 is not in {networks}: dropped", where),)


def test_a_frontend_that_admits_nobody_says_so() -> None:
    closed = model(IPV4.context, web(IPV4, sources=()))
    step = trace(closed, IPV4.from_pod(IPV4.load_balancer)).steps[-1]
    assert step.text == "10.244.1.5 is not in {}: dropped"


def test_an_empty_pool_is_named() -> None:
    for refusal, word in ((Refusal.REJECT, "rejected"), (Refusal.DROP, "dropped")):
        service = replace(web(IPV4), cluster=(), local=(), when_empty=refusal)
        step = trace(model(IPV4.context, service), IPV4.from_pod(IPV4.cluster_ip)).steps[-1]
        assert step == Step("refuse", f"there is no endpoint: {word}", "default/web:http/tcp cluster pool")


def test_what_no_frontend_is_for_says_who_refused() -> None:
    some = model(IPV4.context, web(IPV4))
    assert [step.text for step in trace(some, IPV4.from_pod(IPV4.cluster_ip, 81)).steps] == [
        "no frontend is for 10.244.1.5 → 10.96.0.10:81/tcp",
        "10.96.0.10 is a ClusterIP without that port: rejected",
    ]
    assert [step.text for step in trace(some, IPV4.from_pod(IPV4.unused_service_ip)).steps] == [
        "no frontend is for 10.244.1.5 → 10.96.0.99:80/tcp",
        "10.96.0.99 is a service address that nobody has: dropped",
    ]
    echo = Packet(IPV4.pod, parse_address("9.9.9.9"), 0, None, "veth1")
    assert [step.text for step in trace(some, echo).steps] == ["no frontend is for 10.244.1.5 → 9.9.9.9/icmp"]


def test_weights_are_shares_of_their_pool() -> None:
    endpoints = tuple(Endpoint(IPV4.local.address, port, weight) for port, weight in ((1, 1), (2, 2), (3, 5)))
    service = replace(web(IPV4), cluster=endpoints)
    steps = trace(model(IPV4.context, service), IPV4.from_pod(IPV4.cluster_ip)).steps
    assert [step.probability for step in steps if step.topic == "pick"] == [1 / 8, 2 / 8, 5 / 8]


def test_the_readmes_packets_go_the_way_it_draws() -> None:
    readme = (ROOT / "backends/memory/README.md").read_text()
    drawn = [" ".join(line.removesuffix("%").split()) for line in readme.splitlines()]
    exposed = model(IPV4.context, web(IPV4, external=EXTERNAL_LOCAL))
    itself = Packet(IPV4.local.address, IPV4.cluster_ip, PORT, Protocol.TCP, "veth1")
    for packet in (IPV4.from_client(IPV4.external_ip), itself):
        told = [
            f"{step.topic} {step.text}" + (f" {step.probability:.0%}"[:-1] if step.topic == "pick" else "")
            for step in trace(exposed, packet).steps
        ]
        start = drawn.index(told[0])
        assert drawn[start : start + len(told)] == told
