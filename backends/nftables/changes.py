"""What to write, and in which order: a difference between two states of the table, as three transactions.

A packet may meet a commit between any two of its lookups, so order matters beyond atomicity:

* **make**: chains and elements that nobody is led to yet;
* **flip**: the verdicts and sets by which packets are led, the rules of chains that are always there, and
  endpoints that replace others at their index;
* **break**: what nobody is led to any more.

After each of them every packet gets the old answer or the new one. In one combined transaction some might
get none: a packet that has read the old verdict could miss the element that went with the same commit.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from .affinity import members
from .layout import Layout
from .netlink import messages
from .netlink.elements import ElementCodec, Verdict
from .netlink.messages import Operation
from .netlink.sets import SetSpec
from .ruleset import Chain, Elements, Owned, Value


@dataclass(slots=True)
class Changes:
    """A difference, collected part by part.

    ``chains`` are created where missing, emptied, and given their rules before anybody is led to them;
    ``skeleton`` chains likewise, but with the flip, since packets walk through them already. ``new_sets`` are
    created where missing, emptied and filled.
    """

    new_sets: list[Owned] = field(default_factory=list)
    chains: list[Chain] = field(default_factory=list)
    skeleton: list[Chain] = field(default_factory=list)
    added: Elements = field(default_factory=dict)
    replaced: Elements = field(default_factory=dict)
    removed: Elements = field(default_factory=dict)
    gone_chains: list[str] = field(default_factory=list)
    gone_sets: list[str] = field(default_factory=list)

    def compare(self, before: Elements, after: Elements) -> None:
        """Add the difference between what two states hold in their sets."""
        for name in before.keys() | after.keys():
            old, new = before.get(name, {}), after.get(name, {})
            for key, value in new.items():
                if key not in old:
                    self.added.setdefault(name, {})[key] = value
                elif old[key] != value:
                    self.replaced.setdefault(name, {})[key] = value
            for key in old.keys() - new.keys():
                self.removed.setdefault(name, {})[key] = old[key]

    def writes(self) -> int:
        """How many elements, chains, rules and sets are written or removed."""
        parts = (self.added, self.replaced, self.removed)
        elements = sum(len(values) for part in parts for values in part.values())
        chains = sum(1 + len(chain.rules) for chain in (*self.chains, *self.skeleton))
        return elements + chains + len(self.new_sets) + len(self.gone_chains) + len(self.gone_sets)


class Writer:
    """Turns changes into the operations of transactions."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._codecs = {spec.name: ElementCodec(spec) for spec in layout.sets}

    def _codec(self, name: str) -> ElementCodec:
        """How to pack the elements of a set: one of the layout's, or some service port's members."""
        return self._codecs.get(name) or ElementCodec(members(self._layout, name))

    def create(self, changes: Changes) -> list[Operation]:
        """One transaction that makes the table anew, whatever was there: all at once or not at all."""
        table = self._layout.table
        operations = [messages.add_table(table), messages.delete_table(table), messages.add_table(table)]
        operations += (messages.add_set(table, spec) for spec in self._layout.sets)
        return operations + [operation for phase in self.phases(changes) for operation in phase]

    def phases(self, changes: Changes) -> list[list[Operation]]:
        """The transactions that lead from one state to the other, in order, without empty ones."""
        phases = (self._make(changes), self._flip(changes), self._break(changes))
        return [operations for phase in phases if (operations := list(phase))]

    def _make(self, changes: Changes) -> Iterator[Operation]:
        table = self._layout.table
        for owned in changes.new_sets:
            yield messages.add_set(table, owned.spec)
            yield messages.flush_set(table, owned.spec)
            yield from messages.add_elements(table, owned.spec, owned.elements)
        yield from self._chains(changes.chains)
        for name in sorted(changes.added):
            if not self._leads(name):
                yield from self._add(name, changes.added[name])

    def _flip(self, changes: Changes) -> Iterator[Operation]:
        yield from self._chains(changes.skeleton)
        for name in sorted(changes.added.keys() | changes.replaced.keys() | changes.removed.keys()):
            replaced = changes.replaced.get(name, {})
            leads = self._leads(name)
            removed = changes.removed.get(name, {}) if leads else {}
            added = changes.added.get(name, {}) if leads else {}
            yield from self._delete(name, {**removed, **replaced})
            yield from self._add(name, {**added, **replaced})

    def _break(self, changes: Changes) -> Iterator[Operation]:
        table = self._layout.table
        for name in sorted(changes.removed):
            if not self._leads(name):
                yield from self._delete(name, changes.removed[name])
        # All rules first: a chain can't go while a rule of another leads to it.
        for name in changes.gone_chains:
            yield messages.flush_chain(table, name)
        for name in changes.gone_chains:
            yield messages.delete_chain(table, name)
        for name in changes.gone_sets:
            yield messages.delete_set(table, name)

    def _chains(self, chains: list[Chain]) -> Iterator[Operation]:
        table = self._layout.table
        for chain in chains:
            if chain.base is None:
                yield messages.add_chain(table, chain.name, comment=chain.comment)
            else:
                yield messages.add_base_chain(table, chain.name, *chain.base, comment=chain.comment)
            yield messages.flush_chain(table, chain.name)
        for chain in chains:
            for rule in chain.rules:
                yield messages.add_rule(table, chain.name, rule.expressions, comment=rule.comment)

    def _add(self, name: str, elements: Mapping[bytes, Value]) -> list[Operation]:
        if not elements:
            return []
        codec = self._codec(name)
        spec = codec.spec
        if spec.data is None:
            packed = codec.keys(elements)
        elif isinstance(spec.data, tuple):
            packed = codec.pairs((key, value) for key, value in elements.items() if isinstance(value, bytes))
        else:
            packed = codec.verdicts((k, value) for k, value in elements.items() if isinstance(value, Verdict))
        return messages.add_elements(self._layout.table, spec, packed)

    def _delete(self, name: str, elements: Mapping[bytes, Value]) -> list[Operation]:
        if not elements:
            return []
        codec = self._codec(name)
        return messages.delete_elements(self._layout.table, codec.spec, codec.keys(elements))

    def _leads(self, name: str) -> bool:
        """Whether a set decides where packets go; the others hold what they find when they get there."""
        spec: SetSpec = self._codec(name).spec
        if spec in (self._layout.address.dispatch, self._layout.node_port.dispatch):
            return True
        return not isinstance(spec.data, tuple) and spec not in (self._layout.classes, self._layout.hairpin)
