"""The attributes of a rule's expression, by what they hold."""

from .netlink import constants as nf
from .netlink.attributes import Tree
from .netlink.elements import Verdict


class NotKnown(Exception):
    """An expression can't be evaluated; the message says what isn't known."""


class Operands:
    """An expression's attributes, by what they hold."""

    def __init__(self, tree: Tree) -> None:
        self._attributes = dict(tree)

    def has(self, kind: int) -> bool:
        """Whether the attribute is there."""
        return kind in self._attributes

    def number(self, kind: int, default: int = 0) -> int:
        """An integer."""
        value = self._attributes.get(kind)
        return int.from_bytes(value) if isinstance(value, bytes) else default

    def text(self, kind: int) -> str:
        """A name."""
        value = self._attributes.get(kind)
        if not isinstance(value, bytes):
            raise NotKnown(f"attribute {kind} is missing")
        return value.rstrip(b"\0").decode()

    def value(self, kind: int) -> bytes | Verdict:
        """Constant data."""
        data = self._attributes.get(kind)
        nested = dict(data) if isinstance(data, tuple) else {}
        value, verdict = nested.get(nf.NFTA_DATA_VALUE), nested.get(nf.NFTA_DATA_VERDICT)
        if isinstance(value, bytes):
            return value
        if not isinstance(verdict, tuple):
            raise NotKnown(f"attribute {kind} is missing")
        parts = Operands(verdict)
        code = parts.number(nf.NFTA_VERDICT_CODE)
        chain = parts.text(nf.NFTA_VERDICT_CHAIN) if parts.has(nf.NFTA_VERDICT_CHAIN) else None
        return Verdict(code - (code >> 31 << 32), chain)

    def constant(self, kind: int) -> bytes:
        """Constant data that is no verdict."""
        value = self.value(kind)
        if isinstance(value, Verdict):
            raise NotKnown("a verdict where data was expected")
        return value

    def reject_others(self, known: frozenset[int]) -> None:
        """Raise NotKnown for an attribute that would change the meaning."""
        for kind, value in self._attributes.items():
            if kind not in known and (not isinstance(value, bytes) or any(value)):
                raise NotKnown(f"attribute {kind} is not known")
