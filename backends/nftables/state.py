"""What the kernel holds in our table, read back whole."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from .layout import Layout
from .netlink import constants as nf
from .netlink.attributes import Tree
from .netlink.constants import SetFlag
from .netlink.elements import Element, ElementCodec
from .netlink.netfilter import NetfilterSocket
from .netlink.objects import ChainInfo, Expression, RuleInfo, SetInfo, parse_expressions
from .netlink.sets import SetSpec
from .ruleset import Chain, Elements, Owned, Value

Meaning = tuple[str, frozenset[tuple[int, "bytes | Tree"]]]


class _Implied(NamedTuple):
    """What an attribute says that is there though nobody wrote it: a default, or what another one says."""

    value: bytes = b""
    same_as: int = 0


_IMPLIED = {
    ("lookup", nf.NFTA_LOOKUP_FLAGS): _Implied(bytes(4)),
    ("bitwise", nf.NFTA_BITWISE_OP): _Implied(bytes(4)),
    # An address and a port, each from one register: a range of one, which the kernel notes in the flags.
    ("nat", nf.NFTA_NAT_REG_ADDR_MAX): _Implied(same_as=nf.NFTA_NAT_REG_ADDR_MIN),
    ("nat", nf.NFTA_NAT_REG_PROTO_MAX): _Implied(same_as=nf.NFTA_NAT_REG_PROTO_MIN),
    ("nat", nf.NFTA_NAT_FLAGS): _Implied(
        (nf.NF_NAT_RANGE_MAP_IPS | nf.NF_NAT_RANGE_PROTO_SPECIFIED).to_bytes(4)
    ),
}


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
        found = [(_normal(rule.expressions), rule.comment) for rule in self.rules.get(chain.name, [])]
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
        if info is None:
            return False
        # Of verdicts the kernel reports its own size.
        data_length = spec.data_length or info.data_length
        return (info.flags, info.key_length, info.data_length, info.userdata) == (
            spec.kernel_flags,
            spec.key_length,
            data_length,
            spec.userdata(),
        )

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
def _meaning(packed: bytes) -> tuple[Meaning, ...]:
    return _normal(parse_expressions(packed))


def _normal(expressions: Sequence[Expression]) -> tuple[Meaning, ...]:
    """Expressions without what can be said in more than one way, such as the order of attributes."""
    return tuple((name, frozenset(_telling(name, attributes))) for name, attributes in expressions)


def _telling(name: str, attributes: Tree) -> Iterator[tuple[int, "bytes | Tree"]]:
    given = dict(attributes)
    for kind, value in attributes:
        implied = _IMPLIED.get((name, kind))
        if implied is None or value not in (implied.value, given.get(implied.same_as)):
            yield kind, value


def _elements(netlink: NetfilterSocket, layout: Layout, spec: SetSpec) -> dict[bytes, Value]:
    if spec.data is not None:
        return {**netlink.dump_pairs(layout.table, ElementCodec(spec))}
    return {element.key: None for element in netlink.dump_elements(layout.table, spec.name)}
