"""Rules in nft's words: compared with nft's own listing, of the rules themselves and of whole tables."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pointsman.backends.nftables.listing import describe, describe_verdict
from pointsman.backends.nftables.netlink import rules as r
from pointsman.backends.nftables.netlink import selectors as sel
from pointsman.backends.nftables.netlink.constants import Family, VerdictCode
from pointsman.backends.nftables.netlink.elements import Verdict
from pointsman.backends.nftables.netlink.expressions import numgen_random, payload
from pointsman.backends.nftables.netlink.messages import delete_table
from pointsman.backends.nftables.netlink.objects import parse_expressions
from tests import strategies
from tests.backends.nftables.netlink import layouts
from tests.backends.nftables.netlink.namespaces import Namespace
from tests.backends.nftables.synced import Synced

# What nft lists in other words than it was told, or this backend never writes.
OTHER_WORDS = {
    "meta l4proto tcp reject with tcp reset": "reject with tcp reset",
    "meta l4proto tcp tcp flags != syn / syn,ack reject with tcp reset": (
        "tcp flags != syn / syn,ack reject with tcp reset"
    ),
    "meta protocol 33024 drop": "meta protocol 8021q drop",
    "limit log": 'limit rate 10/second log prefix "pointsman: "',
    "limit immediate": "limit rate 1/minute burst 7 packets accept",
}
# nft leaves a match on the protocol out where the type of a port depends on it, and renames the port.
IMPLIED_PROTOCOL = re.compile(r"meta l4proto (tcp|udp|sctp) (?=.*ct original proto-dst timeout)")


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    opened = Namespace()
    yield opened
    opened.close()


def words(packed: bytes) -> str:
    return describe(parse_expressions(packed))


def test_rules_of_the_backend_read_as_people_would_write_them() -> None:
    key = layouts.spec(Family.IP, "services").key
    assert words(r.verdict_map(key, "services")) == "ip daddr . meta l4proto . th dport vmap @services"
    assert (
        words(r.set_priority_from_map(key, "services") + r.verdict_map((sel.PRIORITY,), "classes"))
        == "meta priority set ip daddr . meta l4proto . th dport map @services meta priority vmap @classes"
    )
    assert words(r.clear_priority()) == "meta priority set none"
    network = bytes((10, 244, 0, 0))
    match = r.match_prefix(key[0], network, 14, negate=True)
    assert words(match + r.drop()) == "ip daddr != 10.244.0.0/14 drop"


@pytest.mark.parametrize(
    "packed",
    [
        payload(1, 1, 1, 1),  # a header field without a name here
        numgen_random(1, 4) + r.drop(),  # loaded and not used is no listing's business
        r.limit(10) + r.drop(),
    ],
)
def test_of_anything_else_the_expressions_are_named(packed: bytes) -> None:
    names = [expression.name for expression in parse_expressions(packed)]
    assert words(packed) == " ".join(names)


def test_verdicts() -> None:
    assert describe_verdict(Verdict(VerdictCode.GOTO, "pick-2-never")) == "goto pick-2-never"
    assert describe_verdict(Verdict(VerdictCode.DROP)) == "drop"


@pytest.mark.netns
@pytest.mark.program("nft")
@pytest.mark.parametrize("family", layouts.FAMILIES, ids=str)
def test_every_rule_shape_is_listed_as_nft_lists_it(namespace: Namespace, family: Family) -> None:
    where, socket = layouts.table(family), namespace.socket()
    packed = [layouts.rule(family, case.packed) for case in layouts.cases(family)]
    socket.commit([*layouts.skeleton(family), *packed])
    listed = namespace.nft("list", "chain", str(family), where.name, "tested").stdout.splitlines()[2:-2]
    ours = [describe(rule.expressions) for rule in socket.dump_rules(where, "tested")]
    assert [OTHER_WORDS.get(line, _leave_out(line)) for line in ours] == [line.strip() for line in listed]


@pytest.mark.netns
@pytest.mark.program("nft")
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whole_tables_are_listed_as_nft_lists_them(namespace: Namespace, data: st.DataObject) -> None:
    synced = Synced(data.draw(strategies.families.flatmap(strategies.models)))
    where, socket = synced.layout.table, namespace.socket()
    socket.commit(synced.created)
    try:
        listed = namespace.nft("list", "table", str(where.family), where.name)
        assert listed.returncode == 0, listed.stderr
        for chain in socket.dump_chains(where):
            ours = [
                _leave_out(describe(rule.expressions))
                + (f' comment "{rule.comment}"' if rule.comment else "")
                for rule in socket.dump_rules(where, chain.name)
            ]
            assert ours == _rules(listed.stdout, chain.name)
    finally:
        socket.commit([delete_table(where)])


def _leave_out(line: str) -> str:
    protocol = IMPLIED_PROTOCOL.match(line)
    if protocol is None:
        return line
    return line[protocol.end() :].replace(": ip daddr . th dport", f": ip daddr . {protocol[1]} dport")


def _rules(listing: str, chain: str) -> list[str]:
    """The lines of one chain in a listing of a table, without its comment and its hook."""
    lines = iter(listing.splitlines())
    for line in lines:
        if line.strip() == f"chain {chain} {{":
            break
    found: list[str] = []
    for line in lines:
        if line.strip() == "}":
            return found
        if not line.strip().startswith(("comment ", "type ")):
            found.append(line.strip())
    raise AssertionError(f"chain {chain} is not in the listing")
