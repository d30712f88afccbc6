"""Every rule and set of ours is recognised in a dump, and no two different ones are taken for one another."""

from __future__ import annotations

import pytest

from pointsman.backends.nftables.netlink.compare import canonical, expected_set
from pointsman.backends.nftables.netlink.constants import Family
from pointsman.backends.nftables.netlink.netfilter import NetfilterSocket
from pointsman.backends.nftables.netlink.objects import parse_expressions
from tests.backends.nftables.netlink import layouts

families = pytest.mark.parametrize("family", layouts.FAMILIES, ids=str)


@pytest.mark.netns
@families
def test_dumped_rules_are_recognised(family: Family, netfilter: NetfilterSocket) -> None:
    cases = layouts.cases(family)
    netfilter.commit([*layouts.skeleton(family), *(layouts.rule(family, case.packed) for case in cases)])
    dumped = netfilter.dump_rules(layouts.table(family), "tested")
    for case, rule in zip(cases, dumped, strict=True):
        assert canonical(rule.expressions) == canonical(parse_expressions(case.packed)), case.text


@families
def test_different_rules_stay_different(family: Family) -> None:
    cases = {case.packed: case.text for case in layouts.cases(family)}
    assert len({canonical(parse_expressions(packed)) for packed in cases}) == len(cases)


@pytest.mark.netns
@families
def test_dumped_sets_are_recognised(family: Family, netfilter: NetfilterSocket) -> None:
    netfilter.commit(layouts.skeleton(family))
    where = layouts.table(family)
    dumped = {info.name: info._replace(handle=0) for info in netfilter.dump_sets(where)}
    assert dumped == {spec.name: expected_set(where, spec) for _, spec in layouts.sets(family)}
