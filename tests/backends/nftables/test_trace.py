"""Packets traced through a real kernel's rules: what the oracle says, and what is told of damage."""

from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pointsman.backends.memory.oracle import Oracle
from pointsman.backends.nftables.affinity import group
from pointsman.backends.nftables.layout import layout, match_key, target
from pointsman.backends.nftables.netlink import messages
from pointsman.backends.nftables.netlink import rules as r
from pointsman.backends.nftables.netlink.elements import Element, ElementCodec
from pointsman.backends.nftables.netlink.errors import DumpInterrupted
from pointsman.backends.nftables.netlink.messages import Table
from pointsman.backends.nftables.netlink.netfilter import NetfilterSocket
from pointsman.backends.nftables.netlink.objects import ChainInfo, RuleInfo, SetInfo
from pointsman.backends.nftables.slots import index_key
from pointsman.backends.nftables.trace import trace
from pointsman.backends.nftables.walk import Unreadable
from pointsman.core.addresses import IPFamily, Network, parse_address, parse_network
from pointsman.core.backend import lowest_terms
from pointsman.core.model import FrontendKind, Model, Pool, Protocol
from pointsman.core.packet import Action, Packet, Trace, Verdict
from pointsman.core.plan import advance
from tests import strategies
from tests.backends.nftables.models import NAME, seed
from tests.backends.nftables.netlink.namespaces import Namespace
from tests.backends.nftables.synced import Synced, without_loopback

pytestmark = pytest.mark.netns

T = TypeVar("T")

IPV4 = layout(IPFamily.IPV4, "pointsman")
FAMILIES = tuple(IPFamily)
# Hypothesis runs many examples in one fixture; each of them leaves the namespace as it found it.
MANY = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    opened = Namespace()
    yield opened
    opened.close()


class Kernel:
    """A model in a kernel's table, and traces through it."""

    def __init__(self, netlink: NetfilterSocket, model: Model) -> None:
        synced = Synced(model)
        self.layout = synced.layout
        self.netlink = netlink
        netlink.commit(synced.created)

    def __enter__(self) -> "Kernel":
        return self

    def __exit__(self, *_: object) -> None:
        self.netlink.commit([messages.delete_table(self.layout.table)])

    def trace(self, packet: Packet) -> Trace:
        return trace(self.layout, self.netlink, packet)


@pytest.fixture(scope="module")
def netlink(namespace: Namespace) -> NetfilterSocket:
    return namespace.socket()


@pytest.fixture
def seeded(netlink: NetfilterSocket) -> Iterator[Kernel]:
    with Kernel(netlink, seed(IPFamily.IPV4)) as kernel:
        yield kernel


def in_lowest_terms(verdict: Verdict) -> Verdict:
    """A verdict as kernels can show it: only shares, not weights."""
    lowest = lowest_terms(verdict.endpoints)
    hidden = {(endpoint.address, endpoint.port) for endpoint in verdict.masqueraded}
    return Verdict(
        verdict.action,
        tuple(sorted(lowest)),
        frozenset(endpoint for endpoint in lowest if (endpoint.address, endpoint.port) in hidden),
    )


def to_seed(source: str, interface: str | None = "eth0", port: int = 80) -> Packet:
    """A packet to the seed's ClusterIP."""
    return Packet(parse_address(source), parse_address("10.96.0.1"), port, Protocol.TCP, interface)


@settings(MANY, max_examples=60)
@given(data=st.data())
def test_the_kernels_rules_do_what_the_oracle_says(netlink: NetfilterSocket, data: st.DataObject) -> None:
    model = without_loopback(data.draw(strategies.families.flatmap(strategies.models)))
    oracle = Oracle.of(model)
    with Kernel(netlink, model) as kernel:
        for packet in data.draw(st.lists(strategies.packets(model), min_size=1, max_size=6)):
            assert kernel.trace(packet).verdict == in_lowest_terms(oracle.judge(packet))


def networks(family: IPFamily) -> st.SearchStrategy[Network]:
    """Networks at both ends of the addresses and next to each other in the middle."""
    texts = {
        IPFamily.IPV4: ("0.0.0.0/8", "255.0.0.0/9", "255.255.255.255/32", "10.0.0.0/9", "10.128.0.0/16",
                        "10.129.0.0/32", "203.0.113.0/25", "203.0.113.192/26", "0.0.0.0/0"),
        IPFamily.IPV6: ("::/8", "ff00::/9", "fd00::/9", "fd80::/16", "fd81::/128", "2001:db8::/33", "::/0"),
    }  # fmt: skip
    return st.sampled_from([parse_network(text) for text in texts[family]])


def edges(network: Network) -> Iterator[bytes]:
    """The addresses on both sides of a network's two ends."""
    length = len(network.address)
    first = int.from_bytes(network.address)
    behind = first + (1 << 8 * length - network.prefix)
    for number in (first - 1, first, behind - 1, behind):
        if 0 <= number < 1 << 8 * length:
            yield number.to_bytes(length)


@settings(MANY, max_examples=40)
@given(data=st.data())
def test_source_ranges_admit_up_to_their_very_ends(netlink: NetfilterSocket, data: st.DataObject) -> None:
    family = data.draw(strategies.families)
    sources = tuple(data.draw(st.lists(networks(family), unique=True, max_size=4)))
    model = seed(family, endpoints=1)
    service = model.services[NAME]
    limited = replace(service.frontends[0], kind=FrontendKind.LOAD_BALANCER, sources=sources)
    model, _ = advance(model, [(NAME, replace(service, frontends=(limited,)))], model.node)
    oracle, match = Oracle.of(model), limited.match
    every = {
        edge for network in (*sources, *strategies.WORLDS[family].source_networks) for edge in edges(network)
    }
    with Kernel(netlink, model) as kernel:
        for source in sorted(every):
            packet = Packet(source, match.address or b"", match.port, match.protocol, "eth0")
            assert kernel.trace(packet).verdict == in_lowest_terms(oracle.judge(packet)), ip_address(source)


def test_a_story_names_rules_and_elements_as_nft_lists_them(seeded: Kernel) -> None:
    found = seeded.trace(to_seed("203.0.113.7"))
    chain = "pick-4-unless-local"
    pick = "dnat ip to ip daddr . meta l4proto . th dport . numgen random mod 4 map @endpoints"
    mark = "meta mark & 0x00004000 != 0x00000000 meta mark set meta mark ^ 0x00004000 masquerade fully-random"
    assert [(step.topic, step.text, step.where, step.probability) for step in found.steps[:5]] == [
        (
            "match",
            f"10.96.0.1 . tcp . 80 is in map services: goto {chain}",
            "table ip pointsman chain dispatch: meta priority set ip daddr . meta l4proto . th dport"
            " map @services meta priority vmap @classes",
            1.0,
        ),
        (
            "policy",
            "marked 0x4000, to be masqueraded (masquerade all but local pods)",
            f"table ip pointsman chain {chain}:"
            " ip saddr != 10.244.0.0/16 meta mark set meta mark | 0x00004000",
            1.0,
        ),
        ("pick", "10.244.1.1:8080, index 0 of 4", f"table ip pointsman chain {chain}: {pick}", 0.25),
        (
            "dnat",
            "destination 10.96.0.1:80 becomes 10.244.1.1:8080",
            "table ip pointsman map endpoints: 10.96.0.1 . tcp . 80 . 0 : 10.244.1.1 . 8080",
            1.0,
        ),
        (
            "masquerade",
            "source 203.0.113.7 becomes an address of the node (decided when the endpoint was picked)",
            f"table ip pointsman chain masquerade-marked: {mark}",
            1.0,
        ),
    ]
    assert [step.topic for step in found.steps[5:]] == ["pick", "dnat", "masquerade"] * 3


def test_a_client_that_is_remembered_goes_where_it_went_before(netlink: NetfilterSocket) -> None:
    model = seed(IPFamily.IPV4, affinity=60)
    service = model.services[NAME]
    clients = group(service).clients(IPV4, Pool.CLUSTER)
    packet, endpoint = to_seed("203.0.113.7"), service.cluster[2]
    with Kernel(netlink, model) as kernel:
        fresh = kernel.trace(packet)
        assert fresh.verdict.endpoints == service.cluster
        assert f"203.0.113.7 is noted in {clients.name}" in [step.text for step in fresh.steps]
        element = ElementCodec(clients).pack(packet.source, target(endpoint), timeout=60_000)
        netlink.commit(messages.add_elements(IPV4.table, clients, [element]))
        again = kernel.trace(packet)
        assert again.verdict == Verdict(Action.FORWARD, (endpoint,), frozenset((endpoint,)))
        [pick] = [step for step in again.steps if step.topic == "pick"]
        assert pick.text == f"{endpoint}, no other (where this client went before)"
        assert kernel.trace(to_seed("203.0.113.8")).verdict.endpoints == service.cluster


def test_a_missing_endpoint_is_told_and_the_first_one_stands_in(seeded: Kernel) -> None:
    delete_endpoints(seeded, 3)
    found = seeded.trace(to_seed("203.0.113.7"))
    assert (found.verdict.action, len(found.verdict.endpoints)) == (Action.FORWARD, 3)
    texts = [(step.topic, step.text, step.probability) for step in found.steps]
    astray = texts.index(("pick", "index 3 of 4, for which there is no endpoint", 0.25))
    assert texts[astray + 1] == ("pick", "10.244.1.1:8080, index 0 of 1 (the place went meanwhile)", 0.25)


def test_without_a_first_one_a_missing_endpoint_makes_the_worst_of_the_verdict(seeded: Kernel) -> None:
    delete_endpoints(seeded, 0, 3)
    found = seeded.trace(to_seed("203.0.113.7"))
    assert (found.verdict.action, len(found.verdict.endpoints)) == (Action.REJECT, 2)
    refused = "10.96.0.1 is in set cluster-ips: rejected (a ClusterIP, but none of its ports)"
    assert ("refuse", refused) in [(step.topic, step.text) for step in found.steps]


def delete_endpoints(kernel: Kernel, *indices: int) -> None:
    match = match_key(seed(IPFamily.IPV4).services[NAME].frontends[0].match)
    endpoints = IPV4.address.endpoints
    keys = ElementCodec(endpoints).keys([match + index_key(index) for index in indices])
    kernel.netlink.commit(messages.delete_elements(IPV4.table, endpoints, keys))


def test_somebody_elses_rules_are_followed(seeded: Kernel) -> None:
    drop = r.match(IPV4.firewall.key[1], b"\x06") + r.drop()
    seeded.netlink.commit([messages.insert_rule(IPV4.table, "dispatch", drop, comment="not today")])
    found = seeded.trace(to_seed("203.0.113.7"))
    assert found.verdict == Verdict(Action.DROP)
    [step] = found.steps
    assert (step.topic, step.text) == ("refuse", "dropped (not today)")
    assert step.where == "table ip pointsman chain dispatch: meta l4proto tcp drop"
    assert (
        seeded.trace(replace(to_seed("203.0.113.7"), protocol=Protocol.UDP)).verdict.action is Action.REJECT
    )


def test_what_a_packet_doesnt_say_is_not_guessed(seeded: Kernel) -> None:
    seeded.netlink.commit([messages.insert_rule(IPV4.table, "dispatch", r.limit(10), r.drop())])
    with pytest.raises(Unreadable, match=r"table ip pointsman, chain dispatch, rule .* limit: .* not known"):
        seeded.trace(to_seed("203.0.113.7"))


def test_without_a_table_nobody_decides(netlink: NetfilterSocket) -> None:
    found = trace(IPV4, netlink, to_seed("203.0.113.7"))
    assert found.verdict == Verdict(Action.PASS)
    [step] = found.steps
    assert step.topic == "match"
    assert step.text == "no rule decides about 203.0.113.7 → 10.96.0.1:80/tcp: routes and sockets do"


class Counting(NetfilterSocket):
    """A socket that counts the objects it is told of, and asks for nothing whole but the list of chains."""

    def __init__(self) -> None:
        super().__init__()
        self.objects = 0

    def dump_chains(self, where: Table) -> list[ChainInfo]:
        return self._count(super().dump_chains(where))

    def dump_rules(self, where: Table, chain: str | None = None) -> list[RuleInfo]:
        assert chain is not None
        return self._count(super().dump_rules(where, chain))

    def get_elements(self, where: Table, codec: ElementCodec, keys: Sequence[bytes]) -> list[Element | None]:
        return self._count(super().get_elements(where, codec, keys))

    def dump_elements(self, where: Table, name: str) -> list[Element]:
        raise AssertionError(f"all of {name} was asked for")

    def dump_sets(self, where: Table) -> list[SetInfo]:
        raise AssertionError("all sets were asked for")

    def _count(self, objects: list[T]) -> list[T]:
        self.objects += len(objects)
        return objects


def many(services: int) -> Model:
    """So many services of one shape, the seed's among them."""
    model = seed(IPFamily.IPV4)
    service = model.services[NAME]
    others = []
    for number in range(1, services):
        name = NAME._replace(name=f"other-{number}")
        match = service.frontends[0].match._replace(port=1000 + number)
        others.append(
            (name, replace(service, name=name, frontends=(replace(service.frontends[0], match=match),)))
        )
    return advance(model, others, model.node)[0]


def test_what_is_read_does_not_depend_on_how_many_services_there_are(
    namespace: Namespace, netlink: NetfilterSocket
) -> None:
    def cost(services: int) -> int:
        with Kernel(netlink, many(services)):
            counting.objects = 0
            assert trace(IPV4, counting, to_seed("203.0.113.7")).verdict.action is Action.FORWARD
            return counting.objects

    with namespace.call(Counting) as counting:
        assert cost(1) == cost(500)


class Restless(NetfilterSocket):
    """A socket on whose ruleset others write, for so many more times that somebody looks."""

    writes = 0

    def generation(self) -> int:
        self.writes = max(0, self.writes - 1)
        return super().generation() - self.writes


def test_a_ruleset_that_changes_under_the_trace_is_traced_again(namespace: Namespace, seeded: Kernel) -> None:
    with namespace.call(Restless) as restless:
        restless.writes = 4
        assert trace(IPV4, restless, to_seed("203.0.113.7")).verdict.action is Action.FORWARD
        assert restless.writes == 0
        restless.writes = 100
        with pytest.raises(DumpInterrupted, match="changed during each of 8 attempts"):
            trace(IPV4, restless, to_seed("203.0.113.7"))
