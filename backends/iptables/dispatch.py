"""Finding the rules for an address or a port among many: a tree of chains by prefix.

Up to `LINEAR` keys, their rules stand in the root chain one after another. Above that every chain with more
than `LEAF` keys branches by the next `BITS` bits in which they differ, so that a packet passes a number of
rules that grows with the logarithm of the number of keys. The shape follows from the set of keys alone, never
from its history: a restart finds the tree it would make, and a change rewrites only the chains on the way to
the key that changed, splitting or joining the last ones where need be.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Mapping
from typing import NamedTuple

from pointsman.core.addresses import Network
from pointsman.core.model import Match, Protocol

from .names import BRANCH, CLUSTER_IPS, UNCLAIMED, hashed
from .rules import Where, network, rule
from .tables import ChainName, Rules

# By count and by clock three bits are best: two make more chains to go through, four longer ones.
LINEAR = 32
LEAF = 8
BITS = 3

# The rules for one key, each under its protocol and port.
Leaf = Mapping[tuple[int, int], str]

# By number, protocols differ in their last two bits alone, so that no block ever holds several.
_PROTOCOLS = tuple(Protocol)
PORT_LENGTH = 3  # of such a number and a port, in bytes

# From a block of keys to what a rule says that is for them all.
Block = Callable[[Network], Where]


def addresses(block: Network) -> Where:
    """The rule for a block where keys are addresses."""
    return Where(destination=network(block))


def ports(block: Network) -> Where:
    """The rule for a block where keys are ports, as `place` makes them of protocol and port."""
    protocol, first = _PROTOCOLS[block.address[0]], int.from_bytes(block.address[1:])
    last = first + (1 << 8 * PORT_LENGTH - block.prefix) - 1
    return Where(service=(protocol, 0), matches=f"--dport {max(first, 1)}:{last}")


def place(match: Match) -> bytes:
    """Where a tree keeps the rules for a destination."""
    if match.address is not None:
        return match.address
    return bytes((_PROTOCOLS.index(match.protocol),)) + match.port.to_bytes(2)


class Node(NamedTuple):
    """One chain of the tree: its rules, and the branches it leads to with the networks they hold."""

    rules: Rules
    branches: dict[str, Network]


class Tree:
    """The rules of one root chain by key: addresses, or ports; knows which chains change when keys do.

    ``length`` is that of a key in bytes; ``block`` says how rules tell a block of them.
    """

    def __init__(self, root: ChainName, length: int, block: Block) -> None:
        self.root = root
        self._block = block
        self._prefix = UNCLAIMED if root.name == CLUSTER_IPS else BRANCH
        self.tail: Rules = ()
        self.head: Rules = ()
        self._length = length
        self._leaves: dict[bytes, Leaf] = {}
        self._keys: list[bytes] = []
        self._nodes: dict[str, Node] = {}

    def leaf(self, key: bytes) -> Leaf:
        """The rules for a key."""
        return self._leaves.get(key, {})

    def replace(self, leaves: Mapping[bytes, Leaf]) -> dict[ChainName, Rules | None]:
        """Give keys other rules, or none; the chains that change, None for those that go."""
        for key, leaf in leaves.items():
            if leaf and key not in self._leaves:
                insort(self._keys, key)
            elif not leaf and key in self._leaves:
                del self._keys[bisect_left(self._keys, key)]
            if leaf:
                self._leaves[key] = leaf
            else:
                self._leaves.pop(key, None)
        return self._rebuild(sorted(leaves))

    def fill(self, leaves: Mapping[bytes, Leaf]) -> dict[ChainName, Rules | None]:
        """As `replace` of everything at once."""
        gone = self._leaves.keys() - leaves.keys()
        self._leaves = {key: leaf for key, leaf in leaves.items() if leaf}
        self._keys = sorted(self._leaves)
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
        first, last = _span(self._keys, where)
        is_root = name == self.root.name
        if last - first <= (LINEAR if is_root else LEAF):
            rules, branches = self._flat(first, last), dict[str, Network]()
        else:
            rules, branches = self._branching(first, last)
        return Node((*self.head, *rules, *self.tail) if is_root else rules, branches)

    def _flat(self, first: int, last: int) -> Rules:
        leaves = (self._leaves[key] for key in self._keys[first:last])
        return tuple(leaf[port] for leaf in leaves for port in sorted(leaf))

    def _branching(self, first: int, last: int) -> tuple[Rules, dict[str, Network]]:
        rules: list[str] = []
        branches: dict[str, Network] = {}
        low, high = (int.from_bytes(self._keys[at]) for at in (first, last - 1))
        bits = self._length * 8
        prefix = min(bits, bits - (low ^ high).bit_length() + BITS)
        while first < last:
            start = _network(self._keys[first], prefix)
            end = _span(self._keys, start)[1]
            if end - first <= 2:
                rules += self._flat(first, end)
            else:
                block = self._common(first, end)
                where = self._block(block)
                branch = self._prefix + hashed(f"{self.root.name} {rule(**where)}")
                branches[branch] = block
                rules.append(rule(branch, **where))
            first = end
        return tuple(rules), branches

    def _common(self, first: int, last: int) -> Network:
        """The smallest network that holds these keys."""
        low, high = self._keys[first], self._keys[last - 1]
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
    """Where in an ordered list the keys of a block begin and end."""
    size = len(where.address)
    end = int.from_bytes(where.address) + (1 << size * 8 - where.prefix)
    last = len(ordered) if end >> size * 8 else bisect_left(ordered, end.to_bytes(size))
    return bisect_left(ordered, where.address), last


def _network(key: bytes, prefix: int) -> Network:
    host = len(key) * 8 - prefix
    return Network((int.from_bytes(key) >> host << host).to_bytes(len(key)), prefix)
