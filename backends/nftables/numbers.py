"""Numbers that stand for chains, so that leading a service to a chain is writing data, not a verdict.

Whenever a verdict that leads to a chain is added, the kernel walks every verdict map of the table, once from
each base chain (``nft_table_validate``): with 30,000 services in one, milliseconds for each change. So the
maps by which packets are dispatched hold numbers, and one small map leads from a number to its chain.

From one look at the kernel to the next no number is given twice, and a look mends every element whose number
leads nowhere: none can come to mean another chain.
"""

from collections.abc import Container, Mapping
from functools import lru_cache
from sys import byteorder
from typing import NamedTuple

from immutables import Map

from .chains import NOBODY
from .changes import Changes
from .layout import Layout
from .netlink.constants import VerdictCode
from .netlink.elements import Verdict
from .ruleset import Elements, Value

NONE = bytes(4)
"""The number of an address that nobody serves."""


class Numbers(NamedTuple):
    """Which number stands for which chain; ``last`` is the greatest there is or was."""

    of: Map[str, int] = Map()
    last: int = 0

    def elements(self) -> dict[bytes, Value]:
        """The map from numbers to chains."""
        led: dict[bytes, Value] = {_key(number): goto(chain) for chain, number in self.of.items()}
        return {NONE: NOBODY} | led

    def only(self, chains: Container[str]) -> "Numbers":
        """The numbers of these chains alone."""
        return self._replace(of=Map({chain: number for chain, number in self.of.items() if chain in chains}))


def held(classes: Mapping[bytes, Value]) -> Numbers:
    """The numbers in a map that was read back; where several stand for one chain, the least."""
    found: dict[str, int] = {}
    last = 0
    for packed in sorted(classes, key=_number):
        verdict, last = classes[packed], _number(packed)
        if last and isinstance(verdict, Verdict) and verdict.chain and verdict == goto(verdict.chain):
            found.setdefault(verdict.chain, last)
    return Numbers(Map(found), last)


def verdicts(layout: Layout, elements: Elements) -> Elements:
    """Elements that were read back, with verdicts where the dispatch has numbers that stand for chains.

    Of several numbers that stand for one chain only the least is known; others stay as they are.
    """
    meanings = held(elements.get(layout.classes.name, {})).elements()
    translated = dict(elements)
    for side in layout.sides:
        if side.dispatch.name in elements:
            translated[side.dispatch.name] = {
                place: meanings.get(number, number) if isinstance(number, bytes) else number
                for place, number in elements[side.dispatch.name].items()
            }
    return translated


def enumerate_chains(layout: Layout, changes: Changes, numbers: Numbers) -> Numbers:
    """Put numbers where changes lead to chains; the numbers that there are afterwards.

    What comes and goes among them is added to the changes.
    """
    of, last = numbers.of.mutate(), numbers.last
    new: dict[bytes, Value] = {}
    for side in layout.sides:
        for part in (changes.added, changes.replaced):
            numbered: dict[bytes, Value] = {}
            for place, verdict in part.get(side.dispatch.name, {}).items():
                chain = verdict.chain if isinstance(verdict, Verdict) else None
                if chain is not None and chain not in of:
                    last += 1
                    of[chain] = last
                    new[_key(last)] = goto(chain)
                numbered[place] = NONE if chain is None else _key(of[chain])
            if numbered:
                part[side.dispatch.name] = numbered
    old = {_key(of.pop(chain)): goto(chain) for chain in changes.gone_chains if chain in of}
    for part, elements in ((changes.added, new), (changes.removed, old)):
        if elements:
            part.setdefault(layout.classes.name, {}).update(elements)
    return Numbers(of.finish(), last)


@lru_cache(maxsize=4096)
def goto(chain: str) -> Verdict:
    """The verdict that leads to a chain."""
    return Verdict(VerdictCode.GOTO, chain)


def _key(number: int) -> bytes:
    """A number as data of the dispatch, and as a key of the classes: an integer in the host's byte order."""
    return number.to_bytes(len(NONE), byteorder)


def _number(packed: bytes) -> int:
    return int.from_bytes(packed, byteorder)
