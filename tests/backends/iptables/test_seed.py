"""The service that the whole idea is usually explained by, rule by rule."""

from pointsman.backends.iptables.names import endpoint_chain, hashed
from pointsman.backends.iptables.tables import ChainName, filter_, nat
from pointsman.backends.iptables.trace import trace
from pointsman.core.addresses import IPFamily, parse_address, parse_network
from pointsman.core.model import (
    Answer,
    Endpoint,
    Frontend,
    FrontendKind,
    LocalNetwork,
    Masquerade,
    Match,
    Model,
    NodeContext,
    Pool,
    Protocol,
    ServiceFrontends,
    ServicePortName,
)
from pointsman.core.packet import Action, Packet
from pointsman.core.plan import advance
from tests.backends.iptables.images import image, state

NAME = ServicePortName("default", "seed", "http", Protocol.TCP)
CLUSTER_IP = parse_address("10.96.92.20")
PODS = tuple(Endpoint(parse_address(f"10.244.1.{number}"), 8080) for number in (5, 6, 7, 8))
CONTEXT = NodeContext(IPFamily.IPV4, local=LocalNetwork(parse_network("10.244.0.0/16")))
SVC = "KUBE-SVC-" + hashed("default/seed:httptcp")
SEP = [endpoint_chain(NAME, pod) for pod in PODS]


def seed() -> Model:
    frontend = Frontend(
        Match(CLUSTER_IP, Protocol.TCP, 80),
        FrontendKind.CLUSTER_IP,
        Answer(Pool.CLUSTER, Masquerade.UNLESS_LOCAL),
    )
    service = ServiceFrontends(NAME, (frontend,), cluster=PODS)
    return advance(Model(CONTEXT), [(NAME, service)], CONTEXT)[0]


def rules(name: ChainName) -> tuple[str, ...]:
    return image(seed()).tables.chains[name]


def test_the_virtual_address_leads_to_the_chain_of_the_service() -> None:
    assert rules(nat("KUBE-SERVICES")) == (
        '-d 10.96.92.20/32 -p tcp -m comment --comment "default/seed:http cluster IP"'
        f" -m tcp --dport 80 -j {SVC}",
        '! -d 127.0.0.0/8 -m comment --comment "kubernetes service nodeports"'
        " -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS",
    )


def test_the_chain_of_the_service_picks_25_then_33_3_then_50_percent_then_the_rest() -> None:
    assert rules(nat(SVC)) == (
        "! -s 10.244.0.0/16 -d 10.96.92.20/32 -p tcp -m comment --comment"
        ' "masquerade unless from a local pod: default/seed:http cluster IP"'
        " -m tcp --dport 80 -j KUBE-MARK-MASQ",
        '-m comment --comment "default/seed:http -> 10.244.1.5:8080"'
        f" -m statistic --mode random --probability 0.25000000000 -j {SEP[0]}",
        '-m comment --comment "default/seed:http -> 10.244.1.6:8080"'
        f" -m statistic --mode random --probability 0.33333333349 -j {SEP[1]}",
        '-m comment --comment "default/seed:http -> 10.244.1.7:8080"'
        f" -m statistic --mode random --probability 0.50000000000 -j {SEP[2]}",
        f'-m comment --comment "default/seed:http -> 10.244.1.8:8080" -j {SEP[3]}',
    )


def test_each_pod_has_a_chain_that_translates_to_it() -> None:
    for pod, chain in zip(PODS, SEP, strict=True):
        address = str(pod).removesuffix(":8080")
        assert rules(nat(chain)) == (
            f"-s {address}/32 -j KUBE-MARK-MASQ",
            f"-p tcp -m tcp -j DNAT --to-destination {pod}",
        )


def test_what_is_marked_is_masqueraded_and_the_mark_taken_off() -> None:
    assert rules(nat("KUBE-MARK-MASQ")) == ("-j MARK --set-xmark 0x4000/0x4000",)
    assert rules(nat("KUBE-POSTROUTING")) == (
        "-m mark ! --mark 0x4000/0x4000 -j RETURN",
        "-j MARK --set-xmark 0x4000/0x0",
        '-m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
    )


def test_other_ports_of_the_address_are_refused() -> None:
    assert rules(filter_("KUBE-CLUSTER-IPS")) == (
        "-m conntrack --ctstate DNAT -j RETURN",
        '-d 10.96.92.20/32 -m comment --comment "no service has this port of the cluster IP"'
        " -j REJECT --reject-with icmp-port-unreachable",
    )


def test_the_trace_tells_the_story_with_total_chances() -> None:
    packet = Packet(parse_address("10.244.1.9"), CLUSTER_IP, 80, Protocol.TCP, "cni0")

    told = trace(state(image(seed())), packet)

    assert told.verdict.action is Action.FORWARD
    assert told.verdict.endpoints == PODS
    assert not told.verdict.masqueraded
    assert [step.topic for step in told.steps] == ["match", "match"] + ["pick", "dnat"] * 4
    picks = [step for step in told.steps if step.topic == "pick"]
    assert [step.probability for step in picks] == [0.25] * 4
    shares = [step.text.split(" → ")[0] for step in picks]
    assert shares == [f"{part} of what gets here" for part in ("25%", "33.3%", "50%")] + ["the rest"]
    assert all(chain in step.text for chain, step in zip(SEP, picks, strict=True))


def test_a_pod_that_picks_itself_is_masqueraded() -> None:
    packet = Packet(PODS[0].address, CLUSTER_IP, 80, Protocol.TCP, "cni0")

    told = trace(state(image(seed())), packet)

    assert told.verdict.masqueraded == {PODS[0]}
