"""Whatever rule of ours somebody deletes or alters, the audit finds it and a full sync mends it."""

import re
from collections.abc import Iterator

import pytest

from pointsman.backends.iptables import dispatch
from pointsman.backends.iptables.dataplane import IptablesDataplane
from pointsman.backends.iptables.means import Means
from pointsman.backends.iptables.memory import memory
from pointsman.backends.iptables.observe import observed
from pointsman.backends.iptables.planner import difference
from pointsman.backends.iptables.rules import parse
from pointsman.backends.iptables.state import State
from pointsman.backends.iptables.tables import ChainName, Rules
from pointsman.core.addresses import IPFamily
from pointsman.core.audit import differences
from pointsman.core.backend import expected
from pointsman.core.model import Model
from tests.backends.iptables.driven import Kernel
from tests.backends.iptables.images import image, state
from tests.backends.iptables.rich import rich

OTHERWISE = {
    IPFamily.IPV4: (
        "-s 192.0.2.99/32 {}",
        "-d 10.0.0.0/8 -j RETURN",
        "-p tcp -m tcp --dport 1:9 -j ACCEPT",
        "-p tcp -m tcp -j DNAT --to-destination 10.0.0.1-10.0.0.9:80-90",
        "-p tcp -m tcp -j DNAT --to-destination 10.0.0.1:http",
        '-m comment --comment "some/thing:else cluster IP" -j KUBE-SVC-NONESUCH',
        "-m statistic --mode nth --every 2 --packet 0 -j DROP",
        "-j MARK --set-xmark 0x1/0xffffffff",
    ),
    IPFamily.IPV6: ("-s 2001:db8::99/128 {}", "-p tcp -m tcp -j DNAT --to-destination [fd00::1]-[fd00::2]"),
}


@pytest.fixture(autouse=True)
def small_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few addresses make a tree."""
    monkeypatch.setattr(dispatch, "LINEAR", 2)
    monkeypatch.setattr(dispatch, "LEAF", 1)


@pytest.mark.parametrize(
    ("family", "sets", "loopback", "lean"),
    [
        (IPFamily.IPV4, True, True, False),
        (IPFamily.IPV4, False, False, True),
        (IPFamily.IPV6, True, False, False),
        (IPFamily.IPV6, True, False, True),
    ],
)
def test_no_rule_can_be_deleted_or_altered_or_added_unseen(
    family: IPFamily, sets: bool, loopback: bool, lean: bool
) -> None:
    model = rich(family, loopback)
    made = image(model, sets=sets, lean=lean)
    held = state(made)

    def found(held: State) -> list[str]:
        means = Means(memory(family, sets=sets), counted=True)
        return list(
            differences(expected(model), observed(family, means, held, difference(held, made.tables)))
        )

    assert found(held) == []
    tried = 0
    for chain, rules in {**held.chains, **held.foreign}.items():
        for at, text in enumerate(rules):
            before, after = rules[:at], rules[at + 1 :]
            other = OTHERWISE[family][tried % len(OTHERWISE[family])].format(text)
            assert found(with_rules(held, chain, (*before, *after))), (chain, text)
            assert found(with_rules(held, chain, (*before, other, *after))), (chain, text, other)
            if chain in held.chains:
                assert found(with_rules(held, chain, (*before, other, text, *after))), (chain, other)
            tried += 1
    for chain in held.chains:
        gone = State({name: rules for name, rules in held.chains.items() if name != chain}, held.foreign)
        assert found(gone), chain
    assert tried > 60
    assert found(State())


def with_rules(held: State, chain: ChainName, rules: Rules) -> State:
    if chain in held.chains:
        return State({**held.chains, chain: rules}, held.foreign)
    return State(held.chains, {**held.foreign, chain: rules})


@pytest.mark.netns
@pytest.mark.program("iptables-legacy", "iptables-nft")
@pytest.mark.timeout(600)
def test_SYNC_08_each_rule_that_goes_is_missed_by_the_audit_and_comes_back(kernel: Kernel) -> None:
    model = rich(IPFamily.IPV4, loopback=True)
    kernel.sync(model, full=True)
    reader = IptablesDataplane(kernel.settings, kernel.variant)

    def found() -> list[str]:
        return list(differences(expected(model), kernel.namespace.run(reader.dataplane_observe, model)))

    try:
        whole = rules(kernel)
        assert found() == []
        for table, chain, number in one_of_each_kind(whole):
            kernel.command("-t", table, "-D", chain, str(number))
            assert found(), whole[table, chain][number - 1]
            kernel.sync(model, full=True)
            assert rules(kernel) == whole
        assert found() == []
    finally:
        kernel.namespace.run(reader.dataplane_close)


def rules(kernel: Kernel) -> dict[tuple[str, str], list[str]]:
    """The rules of a dump by table and chain; where others may have rules too, their order is not ours."""
    found: dict[tuple[str, str], list[str]] = {}
    table = ""
    for line in kernel.save().splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith("-A"):
            found.setdefault((table, line.split()[1]), []).append(line)
    return {name: held if name[1].startswith("KUBE-") else sorted(held) for name, held in found.items()}


def one_of_each_kind(whole: dict[tuple[str, str], list[str]]) -> Iterator[tuple[str, str, int]]:
    """A rule for each combination of options that a chain of some sort has."""
    kinds: set[tuple[str, ...]] = set()
    for (table, chain), held in whole.items():
        for number, text in enumerate(held, 1):
            words = [word for word in text.split()[2:] if word.startswith("-")]
            kind = (table, re.sub("[A-Z2-7]{16}$", "", chain), parse(text).target[:8], *words)
            if kind not in kinds:
                kinds.add(kind)
                yield table, chain, number


def test_without_knowing_what_is_meant_rules_that_are_consistent_are_not_strange() -> None:
    """Another model than this would have the rules that are there."""
    family = IPFamily.IPV4
    model = rich(family)
    held = state(image(model))
    chain = ChainName("filter", "KUBE-FORWARD")
    means = Means(memory(family, sets=True), counted=True)
    without = with_rules(held, chain, held.chains[chain][1:])

    assert observed(family, means, without).strange == ()
    assert observed(family, means, held) == expected(model) != expected(Model(model.node))
