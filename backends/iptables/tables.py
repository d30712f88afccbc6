"""Chains and rules as values: what tables hold of ours."""

from collections.abc import Iterable
from typing import NamedTuple

from msgspec import Struct, field

Rules = tuple[str, ...]


class ChainName(NamedTuple):
    """A chain by its table (``nat`` or ``filter``) and name."""

    table: str
    name: str


class Change(Struct, frozen=True):
    """The rules of a chain before and after; None where there is no such chain."""

    old: Rules | None
    new: Rules | None


class Set(NamedTuple):
    """A set of clients that is needed, and for how many seconds it remembers them."""

    name: str
    timeout: int


class Tables(Struct):
    """Our part of one family's tables.

    ``chains`` are ours alone. ``jumps`` are those rules of the built-in chains that lead to ours, in order;
    ``shared`` are rules that must be somewhere in chains that others use as well. ``sets`` are the sets of
    clients, by name.
    """

    chains: dict[ChainName, Rules] = field(default_factory=dict)
    jumps: dict[ChainName, Rules] = field(default_factory=dict)
    shared: dict[ChainName, Rules] = field(default_factory=dict)
    sets: dict[str, int] = field(default_factory=dict)


def nat(name: str) -> ChainName:
    """A chain of the nat table."""
    return ChainName("nat", name)


def filter_(name: str) -> ChainName:
    """A chain of the filter table."""
    return ChainName("filter", name)


def merged(rules: Iterable[str], more: Iterable[str]) -> Rules:
    """Both lists of rules, those in both once."""
    return tuple(dict.fromkeys((*rules, *more)))
