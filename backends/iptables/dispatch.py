"""Finding the rules for an address among many: a tree of chains by prefix.

Up to `LINEAR` addresses, their rules stand in the root chain one after another. Above that every chain with
more than `LEAF` addresses branches by the next `BITS` bits in which they differ, so that a packet passes a
number of rules that grows with the logarithm of the number of addresses. The shape follows from the set of
addresses alone, never from its history: a restart finds the tree it would make, and a change rewrites only
the chains on the way to the address that changed, splitting or joining the last ones where need be.
"""

from bisect import bisect_left, insort
from collections.abc import Mapping
from typing import NamedTuple

from pointsman.core.addresses import Network

from .names import BRANCH, hashed
from .rules import network, rule
from .tables import ChainName, Rules

LINEAR = 64
LEAF = 16
BITS = 4

# The rules for one address, each under its protocol and port.
Leaf = Mapping[tuple[int, int], str]


class Node(NamedTuple):
    """One chain of the tree: its rules, and the branches it leads to with the networks they hold."""

    rules: Rules
    branches: dict[str, Network]


class Tree:
    """The rules of one root chain by address; knows which chains change when addresses do."""

    def __init__(self, root: ChainName, length: int) -> None:
        self.root = root
        self.tail: Rules = ()
        self.head: Rules = ()
        self._length = length
        self._leaves: dict[bytes, Leaf] = {}
        self._addresses: list[bytes] = []
        self._nodes: dict[str, Node] = {}

    def __contains__(self, address: bytes) -> bool:
        """Whether there is any rule for an address."""
        return address in self._leaves

    def leaf(self, address: bytes) -> Leaf:
        """The rules for an address."""
        return self._leaves.get(address, {})

    def replace(self, leaves: Mapping[bytes, Leaf]) -> dict[ChainName, Rules | None]:
        """Give addresses other rules, or none; the chains that change, None for those that go."""
        for address, leaf in leaves.items():
            if leaf and address not in self._leaves:
                insort(self._addresses, address)
            elif not leaf and address in self._leaves:
                del self._addresses[bisect_left(self._addresses, address)]
            if leaf:
                self._leaves[address] = leaf
            else:
                self._leaves.pop(address, None)
        return self._rebuild(sorted(leaves))

    def fill(self, leaves: Mapping[bytes, Leaf]) -> dict[ChainName, Rules | None]:
        """As `replace` of everything at once."""
        gone = self._leaves.keys() - leaves.keys()
        self._leaves = {address: leaf for address, leaf in leaves.items() if leaf}
        self._addresses = sorted(self._leaves)
        return self._rebuild(sorted({*leaves, *gone}))

    def _rebuild(self, changed: list[bytes]) -> dict[ChainName, Rules | None]:
        before = self._nodes
        written: dict[str, Node] = {}
        kept: set[str] = set()
        everything = Network(bytes(self._length), 0)
        todo = [(self.root.name, everything)]
        while todo:
            name, where = todo.pop()
            if name != self.root.name and name in before and not _any_in(changed, where):
                kept.add(name)
                continue
            written[name] = node = self._node(name, where)
            todo += node.branches.items()
        gone = _lost(before, written, kept, self.root.name)
        changes: dict[ChainName, Rules | None] = {
            ChainName(self.root.table, name): node.rules
            for name, node in written.items()
            if name not in before or before[name].rules != node.rules
        }
        self._nodes = {name: node for name, node in before.items() if name not in gone} | written
        return changes | {ChainName(self.root.table, name): None for name in gone}

    def _node(self, name: str, where: Network) -> Node:
        first, last = _span(self._addresses, where)
        is_root = name == self.root.name
        if last - first <= (LINEAR if is_root else LEAF):
            rules, branches = self._flat(first, last), dict[str, Network]()
        else:
            rules, branches = self._branching(first, last)
        return Node((*self.head, *rules, *self.tail) if is_root else rules, branches)

    def _flat(self, first: int, last: int) -> Rules:
        leaves = (self._leaves[address] for address in self._addresses[first:last])
        return tuple(leaf[port] for leaf in leaves for port in sorted(leaf))

    def _branching(self, first: int, last: int) -> tuple[Rules, dict[str, Network]]:
        rules: list[str] = []
        branches: dict[str, Network] = {}
        low, high = (int.from_bytes(self._addresses[at]) for at in (first, last - 1))
        bits = self._length * 8
        prefix = min(bits, bits - (low ^ high).bit_length() + BITS)
        while first < last:
            start = _network(self._addresses[first], prefix)
            end = _span(self._addresses, start)[1]
            if end - first <= 2:
                rules += self._flat(first, end)
            else:
                block = self._common(first, end)
                branch = BRANCH + hashed(f"{self.root.name} {block}")
                branches[branch] = block
                rules.append(rule(branch, destination=network(block)))
            first = end
        return tuple(rules), branches

    def _common(self, first: int, last: int) -> Network:
        """The smallest network that holds these addresses."""
        low, high = self._addresses[first], self._addresses[last - 1]
        return _network(low, self._length * 8 - (int.from_bytes(low) ^ int.from_bytes(high)).bit_length())


def _lost(before: dict[str, Node], written: dict[str, Node], kept: set[str], root: str) -> set[str]:
    """The chains of the old tree that the new one has no use for."""
    lost: set[str] = set()
    todo = [root] if root in before else []
    while todo:
        name = todo.pop()
        for branch in before[name].branches:
            if branch in kept:
                continue
            if branch not in written:
                lost.add(branch)
            todo.append(branch)
    return lost


def _any_in(ordered: list[bytes], where: Network) -> bool:
    first, last = _span(ordered, where)
    return first < last


def _span(ordered: list[bytes], where: Network) -> tuple[int, int]:
    """Where in an ordered list the addresses of a network begin and end."""
    size = len(where.address)
    end = int.from_bytes(where.address) + (1 << size * 8 - where.prefix)
    last = len(ordered) if end >> size * 8 else bisect_left(ordered, end.to_bytes(size))
    return bisect_left(ordered, where.address), last


def _network(address: bytes, prefix: int) -> Network:
    host = len(address) * 8 - prefix
    return Network((int.from_bytes(address) >> host << host).to_bytes(len(address)), prefix)
