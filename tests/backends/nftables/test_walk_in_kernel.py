"""Any rules, not only ours: what the walk says of a packet is what happens when one is sent."""

import socket
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pointsman.backends.nftables.netlink import constants as nf
from pointsman.backends.nftables.netlink import expressions, messages
from pointsman.backends.nftables.netlink import rules as r
from pointsman.backends.nftables.netlink import selectors as sel
from pointsman.backends.nftables.netlink.constants import (
    CtState,
    CtStatus,
    Family,
    Hook,
    SetFlag,
    VerdictCode,
)
from pointsman.backends.nftables.netlink.elements import ElementCodec, Verdict
from pointsman.backends.nftables.netlink.messages import Operation, Table
from pointsman.backends.nftables.netlink.netfilter import NetfilterSocket
from pointsman.backends.nftables.netlink.objects import RuleInfo
from pointsman.backends.nftables.netlink.sets import VERDICTS, SetSpec
from pointsman.backends.nftables.operands import Operands
from pointsman.backends.nftables.walk import follow
from pointsman.core.addresses import IPFamily
from pointsman.core.model import Protocol
from pointsman.core.packet import Action, Packet
from tests.backends.nftables.netlink.namespaces import Namespace
from tests.backends.nftables.simulated import Simulated

pytestmark = pytest.mark.netns

PORT = 53
BIT = 0x4000
FAMILIES = {Family.IP: IPFamily.IPV4, Family.IP6: IPFamily.IPV6}
LOOPBACK = {Family.IP: bytes((127, 0, 0, 1)), Family.IP6: bytes(15) + b"\x01"}
# Each may lead to those behind it only: the kernel takes no loops.
CHAINS = ("output", "one", "two")


class World(NamedTuple):
    """The sets of one family's table, all of them such that they may or may not hold for the packet."""

    family: Family
    ports: SetSpec
    pairs: SetSpec
    ranges: SetSpec
    leads: SetSpec

    @property
    def table(self) -> Table:
        return Table(self.family, "any")

    def sets(self, held: frozenset[str], verdict: Verdict) -> Iterator[Operation]:
        """All sets; those in ``held`` hold for the packet."""
        here = LOOPBACK[self.family]
        port = PORT.to_bytes(2)
        keys = {self.ports: port, self.pairs: sel.join(self.pairs.key, [here, here])}
        for spec, key in keys.items():
            codec = ElementCodec(spec)
            yield messages.add_set(self.table, spec)
            yield from messages.add_elements(self.table, spec, codec.keys([key] if spec.name in held else []))
        yield messages.add_set(self.table, self.ranges)
        length = len(here)
        first = here if self.ranges.name in held else (int.from_bytes(here) + 1).to_bytes(length)
        interval = ElementCodec(self.ranges).interval(first, b"\xf0" + bytes(length - 1))
        yield from messages.add_elements(self.table, self.ranges, interval)
        yield messages.add_set(self.table, self.leads)
        if self.leads.name in held:
            lead = ElementCodec(self.leads).verdicts([(sel.join(self.leads.key, [b"\x11", port]), verdict)])
            yield from messages.add_elements(self.table, self.leads, lead)


def world(family: Family) -> World:
    saddr, daddr = sel.saddr(family), sel.daddr(family)
    return World(
        family,
        SetSpec("ports", (sel.TH_DPORT,)),
        SetSpec("pairs", (saddr, daddr)),
        SetSpec("ranges", (daddr,), flags=SetFlag.INTERVAL),
        SetSpec("leads", (sel.L4PROTO, sel.TH_DPORT), VERDICTS),
    )


def matches(here: World) -> list[bytes]:
    """Parts of rules that let a packet through or don't, or change it."""
    family = here.family
    saddr, daddr, own = sel.saddr(family), sel.daddr(family), LOOPBACK[family]
    other = bytes((203, 0, 113, 1)).ljust(len(own), b"\x07")
    operators = (nf.NFT_CMP_NEQ, nf.NFT_CMP_LT, nf.NFT_CMP_LTE, nf.NFT_CMP_GT, nf.NFT_CMP_GTE)
    return [
        b"",
        r.match(sel.L4PROTO, b"\x11"),
        r.match(sel.L4PROTO, b"\x06"),
        r.match(sel.NFPROTO, bytes((family,))),
        *(r.match(sel.TH_DPORT, port.to_bytes(2), op=op) for port in (52, 53, 54) for op in operators),
        *(r.match_prefix(saddr, own, length) for length in (1, 7, 8, 31)),
        *(r.match_prefix(daddr, other, length, negate=True) for length in (1, 8, 31)),
        *(
            r.match_local(source=source, negate=negate)
            for source in (True, False)
            for negate in (True, False)
        ),
        r.match_interface(sel.IIFNAME, "lo"),
        r.match_interface(sel.IIFNAME, "eth*", negate=True),
        r.match_ct_state(CtState.NEW),
        r.match_ct_state(CtState.ESTABLISHED | CtState.INVALID),
        r.match_ct_status(CtStatus.DNAT),
        r.match(sel.ct_original_daddr(family), own),
        r.match(sel.ct_original_saddr(family), other),
        r.match(sel.CT_MARK, bytes(4)),
        r.set_mark_bits(BIT),
        r.flip_mark_bits(BIT),
        r.match_mark(BIT, BIT),
        r.match_mark(BIT, 0),
        *(r.match_set(here.ports.key, here.ports.name, negate=negate) for negate in (True, False)),
        *(r.match_set(here.pairs.key, here.pairs.name, negate=negate) for negate in (True, False)),
        *(r.match_set(here.ranges.key, here.ranges.name, negate=n, interval=True) for n in (True, False)),
    ]


def verdicts(chain: str) -> st.SearchStrategy[Verdict | None]:
    """What a rule of a chain may decide."""
    behind = CHAINS[CHAINS.index(chain) + 1 :]
    leading = [Verdict(code, name) for name in behind for code in (VerdictCode.JUMP, VerdictCode.GOTO)]
    ending = [Verdict(code) for code in (VerdictCode.ACCEPT, VerdictCode.DROP, VerdictCode.RETURN)]
    return st.sampled_from([None, *ending, *leading, *leading])


@st.composite
def rules(draw: st.DrawFn, here: World, chain: str) -> bytes:
    """A rule that counts the packets that it matches."""
    parts = draw(st.lists(st.sampled_from(matches(here)), max_size=2))
    if chain == "output" and draw(st.integers(0, 3)) == 3:
        return b"".join([*parts, r.verdict_map(here.leads.key, here.leads.name)])
    verdict = draw(verdicts(chain))
    return b"".join([*parts, r.counter(), b"" if verdict is None else expressions.verdict(*verdict)])


@st.composite
def tables(draw: st.DrawFn, here: World) -> list[Operation]:
    """A table with two chains at the hook, one of them leading to others."""
    held = frozenset(spec.name for spec in here[1:] if draw(st.booleans()))
    policy = draw(st.sampled_from([VerdictCode.ACCEPT, VerdictCode.DROP]))
    lead = draw(verdicts("output").filter(lambda verdict: verdict is not None))
    assert lead is not None
    operations = [
        messages.add_table(here.table),
        messages.add_base_chain(here.table, "output", "filter", Hook.OUTPUT, 0, policy=policy),
        messages.add_base_chain(here.table, "early", "filter", Hook.OUTPUT, -50),
        *(messages.add_chain(here.table, name) for name in CHAINS[1:]),
        *here.sets(held, lead),
        messages.add_rule(here.table, "early", draw(rules(here, "two"))),
    ]
    for chain in CHAINS:
        for packed in draw(st.lists(rules(here, chain), max_size=8)):
            operations.append(messages.add_rule(here.table, chain, packed))
    return operations


class Outcome(NamedTuple):
    """Whether a packet got out, and the rules that it matched: chain, and place in it."""

    got_out: bool
    matched: set[tuple[str, int]]


def expected(table: Simulated, packet: Packet) -> Outcome:
    [way] = follow(table, packet)
    places = {
        rule.handle: (rule.chain, place)
        for chain in table.chains
        for place, rule in _counting(table.rules(chain))
    }
    visited = {visit.rule.handle for visit in way.visits if visit.rule is not None}
    return Outcome(
        way.action is Action.PASS, {place for handle, place in places.items() if handle in visited}
    )


def measured(namespace: Namespace, netlink: NetfilterSocket, here: World) -> Outcome:
    got_out = namespace.call(_send, here.family)
    matched = {
        (chain, place)
        for chain in ("early", *CHAINS)
        for place, rule in _counting(netlink.dump_rules(here.table, chain))
        if _count(rule)
    }
    return Outcome(got_out, matched)


def _counting(chain: Sequence[RuleInfo]) -> Iterator[tuple[int, RuleInfo]]:
    """The rules that count, each with its place in the chain."""
    for place, rule in enumerate(chain):
        if any(expression.name == "counter" for expression in rule.expressions):
            yield place, rule


def _count(rule: RuleInfo) -> int:
    [counter] = [expression for expression in rule.expressions if expression.name == "counter"]
    return Operands(counter.attributes).number(nf.NFTA_COUNTER_PACKETS)


def _send(family: Family) -> bool:
    """Send a datagram to ourselves; whoever drops it on its way out has us told."""
    kind = socket.AF_INET if family is Family.IP else socket.AF_INET6
    here = socket.inet_ntop(kind, LOOPBACK[family])
    with socket.socket(kind, socket.SOCK_DGRAM) as server, socket.socket(kind, socket.SOCK_DGRAM) as client:
        server.bind((here, PORT))  # or the kernel's answer that nobody listens would be counted too
        client.bind((here, 0))
        try:
            client.sendto(b"?", (here, PORT))
        except PermissionError:
            return False
        return True


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    opened = Namespace()
    opened.loopback_up()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def netlink(namespace: Namespace) -> NetfilterSocket:
    return namespace.socket()


@pytest.mark.parametrize("family", FAMILIES, ids=str)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_rules_do_what_the_walk_says(
    namespace: Namespace, netlink: NetfilterSocket, family: Family, data: st.DataObject
) -> None:
    here, own = world(family), LOOPBACK[family]
    operations = data.draw(tables(here))
    simulated = Simulated(here.table)
    simulated.commit(operations)
    packet = Packet(own, own, PORT, Protocol.UDP, None, to_node=True)
    netlink.commit(operations)
    try:
        assert expected(simulated, packet) == measured(namespace, netlink, here)
    finally:
        netlink.commit([messages.delete_table(here.table)])
