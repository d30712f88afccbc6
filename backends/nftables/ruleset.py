"""What a table holds, as values: chains with their rules, and the elements of its maps and sets."""

from typing import NamedTuple

from .netlink.constants import Hook
from .netlink.elements import Verdict
from .netlink.sets import SetSpec

Value = bytes | Verdict | None
Elements = dict[str, dict[bytes, Value]]
"""By the name of the set: keys, each with its data; None in plain sets."""


class Rule(NamedTuple):
    """A rule: packed expressions, and what it is for."""

    expressions: bytes
    comment: str = ""


class Base(NamedTuple):
    """Where a base chain is attached."""

    kind: str
    hook: Hook
    priority: int


class Chain(NamedTuple):
    """A chain with its rules in order."""

    name: str
    rules: tuple[Rule, ...]
    comment: str = ""
    base: Base | None = None


class Owned(NamedTuple):
    """A set that belongs to some chain or service, not to the layout; with its elements if they are ours."""

    spec: SetSpec
    elements: tuple[bytes, ...] = ()


def merge(whole: Elements, part: Elements) -> None:
    """Add a part's elements to a whole."""
    for name, elements in part.items():
        whole.setdefault(name, {}).update(elements)
