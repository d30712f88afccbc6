"""Is what the kernel reports what we would have written? Comparison beneath the kernel's paraphrases.

A dump is not an echo: the kernel spells out defaults, adds attributes that older versions do not know,
and fills in what follows from others. :func:`canonical` strips that from both sides, so that an
existing rule can be recognised without keeping a note about it anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable

from . import constants as nf
from .attributes import Tree, be32, to_int
from .messages import Table, add_set
from .objects import Expression, SetInfo, parse_set
from .sets import VERDICTS, SetSpec

_IMPLIED_NAT_FLAGS = nf.NF_NAT_RANGE_MAP_IPS | nf.NF_NAT_RANGE_PROTO_SPECIFIED
_VERDICT_SIZE = 16


def canonical(expressions: Iterable[Expression]) -> tuple[Expression, ...]:
    """Expressions without what does not tell rules apart.

    Dropped are numbers that are zero (which is every one's default), counters' values, and what the
    kernel derives. The order of attributes, which has no meaning, is fixed.
    """
    return tuple(Expression(one.name, _canonical(one)) for one in expressions)


def _canonical(expression: Expression) -> Tree:
    if expression.name == "counter":
        return ()
    attributes = dict(expression.attributes)
    if expression.name == "nat":
        for greatest, least in (
            (nf.NFTA_NAT_REG_ADDR_MAX, nf.NFTA_NAT_REG_ADDR_MIN),
            (nf.NFTA_NAT_REG_PROTO_MAX, nf.NFTA_NAT_REG_PROTO_MIN),
        ):
            if attributes.get(greatest) == attributes.get(least):
                attributes.pop(greatest, None)
        flags = attributes.pop(nf.NFTA_NAT_FLAGS, b"")
        if isinstance(flags, bytes):
            attributes[nf.NFTA_NAT_FLAGS] = be32(0, to_int(flags) & ~_IMPLIED_NAT_FLAGS)[4:]
    elif expression.name == "log":
        attributes.pop(nf.NFTA_LOG_LEVEL, None)
    return tuple(
        (kind, value)
        for kind, value in sorted(attributes.items(), key=lambda item: item[0])
        if not isinstance(value, bytes) or any(value)
    )


def expected_set(where: Table, declared: SetSpec) -> SetInfo:
    """What the kernel reports of a set of ours, but for its handle, which is 0 here."""
    body = bytes((where.family, 0, 0, 0)) + add_set(where, declared).attributes
    info = parse_set(body)
    return info._replace(data_length=_VERDICT_SIZE) if declared.data is VERDICTS else info
