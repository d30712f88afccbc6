"""A table as the kernel would hold it after some transactions: the requests themselves are taken apart.

Refuses what the kernel refuses and what this backend might get wrong: names that don't exist, elements that
are missing or already there with other data, chains and sets that something still leads to.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import count

from pointsman.backends.nftables.netlink import constants as nf
from pointsman.backends.nftables.netlink.attributes import be64, table, to_text
from pointsman.backends.nftables.netlink.constants import SetFlag
from pointsman.backends.nftables.netlink.elements import Element, Verdict, parse_elements
from pointsman.backends.nftables.netlink.messages import Operation, Table
from pointsman.backends.nftables.netlink.objects import (
    ChainInfo,
    RuleInfo,
    SetInfo,
    parse_chain,
    parse_rule,
    parse_set,
)
from pointsman.backends.nftables.operands import Operands


class Refused(Exception):
    """What the kernel would refuse."""


class Simulated:
    """One table, after the transactions it was given."""

    def __init__(self, where: Table) -> None:
        self._where = where
        self._handles = count(1)
        self._forget()

    def _forget(self) -> None:
        self.chains: dict[str, ChainInfo] = {}
        self.sets: dict[str, SetInfo] = {}
        self.elements: dict[str, dict[tuple[bytes, bool], Element]] = {}
        self._rules: dict[str, list[RuleInfo]] = {}

    def commit(self, operations: Iterable[Operation]) -> None:
        """Apply a transaction; after it, everything that is led to must be there."""
        for operation in operations:
            assert operation.family == self._where.family
            _HANDLERS[operation.message](self, operation)
        for name, why in self._references():
            if name not in self.chains and name not in self.sets:
                raise Refused(f"{name}, which {why} leads to, isn't there")

    # --- what the tracer asks ---------------------------------------------------------------------

    def bases(self) -> Iterable[ChainInfo]:
        return [chain for chain in self.chains.values() if chain.hook is not None]

    def rules(self, chain: str) -> Sequence[RuleInfo]:
        return self._rules[chain]

    def key_length(self, name: str) -> int:
        return self.sets[name].key_length

    def find(self, name: str, key: bytes) -> Element | None:
        held = self.elements[name]
        if not self.sets[name].flags & SetFlag.INTERVAL:
            return held.get((key, False))
        # An end and a start may share a key: then the next interval begins where the last one ends.
        below = max(((at, not end) for at, end in held if at <= key), default=(b"", False))
        return held[below[0], False] if below[1] else None

    # --- requests ---------------------------------------------------------------------------------

    def _add_table(self, operation: Operation) -> None:
        """There is but one; it is there from the start."""

    def _delete_table(self, operation: Operation) -> None:
        self._forget()

    def _add_chain(self, operation: Operation) -> None:
        chain = parse_chain(_body(operation, be64(nf.NFTA_CHAIN_HANDLE, next(self._handles))))
        held = self.chains.setdefault(chain.name, chain)
        if (held.hook, held.priority, held.kind) != (chain.hook, chain.priority, chain.kind):
            raise Refused(f"chain {chain.name} is there, attached to something else")
        self._rules.setdefault(chain.name, [])

    def _delete_chain(self, operation: Operation) -> None:
        name = _name(operation, nf.NFTA_CHAIN_NAME, self.chains)
        self._check_unused(name)
        if self._rules[name]:
            raise Refused(f"chain {name} has rules")
        del self.chains[name], self._rules[name]

    def _add_rule(self, operation: Operation) -> None:
        rule = parse_rule(_body(operation, be64(nf.NFTA_RULE_HANDLE, next(self._handles))))
        assert operation.flags & nf.NLM_F_APPEND
        self._rules[rule.chain].append(rule)

    def _flush_chain(self, operation: Operation) -> None:
        assert nf.NFTA_RULE_HANDLE not in table(operation.attributes)
        self._rules[_name(operation, nf.NFTA_RULE_CHAIN, self.chains)].clear()

    def _add_set(self, operation: Operation) -> None:
        declared = parse_set(_body(operation))
        if self.sets.setdefault(declared.name, declared) != declared:
            raise Refused(f"set {declared.name} is there, declared in another way")
        self.elements.setdefault(declared.name, {})

    def _delete_set(self, operation: Operation) -> None:
        name = _name(operation, nf.NFTA_SET_NAME, self.sets)
        self._check_unused(name)
        del self.sets[name], self.elements[name]

    def _add_elements(self, operation: Operation) -> None:
        held = self.elements[_name(operation, nf.NFTA_SET_ELEM_LIST_SET, self.sets)]
        for element in _elements(operation):
            if held.setdefault((element.key, element.interval_end), element) != element:
                raise Refused(f"{operation.summary}: {element} is there with other data")

    def _delete_elements(self, operation: Operation) -> None:
        held = self.elements[_name(operation, nf.NFTA_SET_ELEM_LIST_SET, self.sets)]
        if nf.NFTA_SET_ELEM_LIST_ELEMENTS not in table(operation.attributes):
            held.clear()
        for element in _elements(operation):
            if held.pop((element.key, element.interval_end), None) is None:
                raise Refused(f"{operation.summary}: {element} isn't there")

    # --- what leads where -------------------------------------------------------------------------

    def _check_unused(self, name: str) -> None:
        for used, why in self._references():
            if used == name:
                raise Refused(f"{name} is in use: {why} leads there")

    def _references(self) -> Iterator[tuple[str, str]]:
        """Names of chains and sets that something leads to, and what."""
        for name, held in self.elements.items():
            for element in held.values():
                if isinstance(element.data, Verdict) and element.data.chain is not None:
                    yield element.data.chain, f"element {element.key.hex()} of {name}"
        for chain, rules in self._rules.items():
            for rule in rules:
                for expression in rule.expressions:
                    operands = Operands(expression.attributes)
                    if expression.name == "lookup":
                        yield operands.text(nf.NFTA_LOOKUP_SET), f"a rule of {chain}"
                    elif expression.name == "dynset":
                        yield operands.text(nf.NFTA_DYNSET_SET_NAME), f"a rule of {chain}"
                    elif expression.name == "immediate":
                        value = operands.value(nf.NFTA_IMMEDIATE_DATA)
                        if isinstance(value, Verdict) and value.chain is not None:
                            yield value.chain, f"a rule of {chain}"


def _body(operation: Operation, more: bytes = b"") -> bytes:
    """The request as the kernel's answer about the same object would be."""
    return bytes((operation.family, 0, 0, 0)) + more + operation.attributes


def _name(operation: Operation, kind: int, existing: Iterable[str]) -> str:
    name = to_text(table(operation.attributes)[kind])
    if name not in existing:
        raise Refused(f"{operation.summary}: there is no {name}")
    return name


def _elements(operation: Operation) -> Iterable[Element]:
    return parse_elements(table(operation.attributes).get(nf.NFTA_SET_ELEM_LIST_ELEMENTS, b""))


_HANDLERS = {
    nf.NFT_MSG_NEWTABLE: Simulated._add_table,
    nf.NFT_MSG_DELTABLE: Simulated._delete_table,
    nf.NFT_MSG_NEWCHAIN: Simulated._add_chain,
    nf.NFT_MSG_DELCHAIN: Simulated._delete_chain,
    nf.NFT_MSG_NEWRULE: Simulated._add_rule,
    nf.NFT_MSG_DELRULE: Simulated._flush_chain,
    nf.NFT_MSG_NEWSET: Simulated._add_set,
    nf.NFT_MSG_DELSET: Simulated._delete_set,
    nf.NFT_MSG_NEWSETELEM: Simulated._add_elements,
    nf.NFT_MSG_DELSETELEM: Simulated._delete_elements,
}
