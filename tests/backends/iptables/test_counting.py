"""The rules by table (MET-11): moving on from delta to delta, the counts are those of the whole."""

from hypothesis import given
from hypothesis import strategies as st

from pointsman.backends.iptables.changes import Changes
from pointsman.backends.iptables.counting import RuleCounts
from pointsman.backends.iptables.tables import ChainName, Change, Rules, Tables
from pointsman.core.plan import TableRules

CHAINS = [ChainName(table, name) for table in ("nat", "filter") for name in ("KUBE-A", "KUBE-B", "KUBE-C")]
STATES = st.dictionaries(
    st.sampled_from(CHAINS), st.lists(st.sampled_from(["-j x", "-j y"]), max_size=4).map(tuple)
)


def movement(old: dict[ChainName, Rules], new: dict[ChainName, Rules]) -> Changes:
    return Changes(
        {c: Change(old.get(c), new.get(c)) for c in CHAINS if old.get(c) != new.get(c)}, {}, {}, set()
    )


@given(st.lists(STATES, min_size=1, max_size=5))
def test_MET_11_rules_are_counted_as_they_change(states: list[dict[ChainName, Rules]]) -> None:
    counts, before = RuleCounts(), dict[ChainName, Rules]()
    for index, state in enumerate(states):
        changes = movement(before, state)
        told = counts.moved(changes) if index else counts.filled(Tables(state), changes)
        assert told == tuple(
            TableRules(
                table,
                sum(len(rules) for chain, rules in state.items() if chain.table == table),
                sum(len(c.new or ()) for chain, c in changes.chains.items() if chain.table == table),
            )
            for table in ("filter", "nat")
        )
        before = state


def test_rules_of_built_in_and_shared_chains_count_too() -> None:
    input_, forward = ChainName("filter", "INPUT"), ChainName("filter", "FORWARD")
    tables = Tables({}, {input_: ("-j KUBE-A",)}, {forward: ("-j one", "-j two")})
    changes = Changes({}, {input_: Change((), ("-j KUBE-A",))}, {forward: ("-j two",)}, set())
    assert RuleCounts().filled(tables, changes) == (TableRules("filter", 3, 2), TableRules("nat", 0, 0))
