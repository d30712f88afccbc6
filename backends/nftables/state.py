"""What the kernel holds in our table, read back whole."""

from dataclasses import dataclass
from functools import lru_cache

from .layout import Layout
from .netlink.compare import canonical, expected_set
from .netlink.constants import SetFlag
from .netlink.elements import Element, ElementCodec
from .netlink.netfilter import NetfilterSocket
from .netlink.objects import ChainInfo, Expression, RuleInfo, SetInfo, parse_expressions
from .netlink.sets import SetSpec
from .ruleset import Chain, Elements, Owned, Value


@dataclass(frozen=True, slots=True)
class TableState:
    """Chains with their rules, sets, and the elements of the layout's sets."""

    chains: dict[str, ChainInfo]
    rules: dict[str, list[RuleInfo]]
    sets: dict[str, SetInfo]
    elements: Elements
    owned: dict[str, list[Element]]

    def holds(self, chain: Chain) -> bool:
        """Whether the kernel's chain of that name has these rules, in this order, and no others."""
        if chain.name not in self.chains:
            return False
        found = [(canonical(rule.expressions), rule.comment) for rule in self.rules.get(chain.name, [])]
        return found == [(_meaning(rule.expressions), rule.comment) for rule in chain.rules]

    def attached(self, chain: Chain) -> bool:
        """Whether the kernel's chain of that name, if there is one, hangs where this one should."""
        info = self.chains.get(chain.name)
        if info is None:
            return True
        if chain.base is None:
            return info.hook is None
        return (info.kind, info.hook, info.priority, info.policy) == (*chain.base, 1)

    def declares(self, spec: SetSpec) -> bool:
        """Whether the kernel's set of that name is declared like this."""
        info = self.sets.get(spec.name)
        return info is not None and info._replace(handle=0) == expected_set(info.table, spec)

    def anonymous(self, name: str) -> bool:
        """Whether a set belongs to a rule, and goes with it."""
        return bool(self.sets[name].flags & SetFlag.ANONYMOUS)

    def contains(self, owned: Owned) -> bool:
        """Whether the kernel's set of that name has these elements and no others."""
        if not self.declares(owned.spec):
            return False
        codec = ElementCodec(owned.spec)
        found = sorted(codec.element(element) for element in self.owned.get(owned.spec.name, []))
        return found == sorted(owned.elements)


def read(netlink: NetfilterSocket, layout: Layout) -> TableState | None:
    """The state of our table; None if it doesn't exist. Nobody else's table is asked for anything."""
    table = layout.table
    if not any(info.table == table for info in netlink.dump_tables(table.family)):
        return None
    sets = {info.name: info for info in netlink.dump_sets(table)}
    rules: dict[str, list[RuleInfo]] = {}
    for rule in netlink.dump_rules(table):
        rules.setdefault(rule.chain, []).append(rule)
    ours = {spec.name: spec for spec in layout.sets}
    return TableState(
        chains={info.name: info for info in netlink.dump_chains(table)},
        rules=rules,
        sets=sets,
        elements={name: _elements(netlink, layout, spec) for name, spec in ours.items() if name in sets},
        owned={name: netlink.dump_elements(table, name) for name in sets if name not in ours},
    )


@lru_cache(maxsize=1024)
def _meaning(packed: bytes) -> tuple[Expression, ...]:
    return canonical(parse_expressions(packed))


def _elements(netlink: NetfilterSocket, layout: Layout, spec: SetSpec) -> dict[bytes, Value]:
    codec = ElementCodec(spec)
    if spec.data is not None:
        return {**netlink.dump_pairs(layout.table, codec)}
    return {**netlink.dump_keys(layout.table, codec)}
