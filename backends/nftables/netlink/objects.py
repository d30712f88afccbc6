"""What the kernel says is there: tables, chains, rules and sets, as typed values.

Kernel counterparts: the ``nf_tables_fill_*_info`` functions of ``net/netfilter/nf_tables_api.c``.
"""

from __future__ import annotations

from typing import NamedTuple

from . import constants as nf
from .attributes import Schema, Tree, iterate, parse, table, to_int, to_text
from .constants import Family, Hook, SetFlag, TableFlag
from .elements import parse_comment
from .messages import Table

_NFGENMSG_SIZE = 4
_VALUE: Schema = {nf.NFTA_DATA_VERDICT: {}}
_NO_NESTS: Schema = {}
_EXPRESSION_SCHEMAS: dict[str, Schema] = {
    "bitwise": {nf.NFTA_BITWISE_MASK: _VALUE, nf.NFTA_BITWISE_XOR: _VALUE, nf.NFTA_BITWISE_DATA: _VALUE},
    "cmp": {nf.NFTA_CMP_DATA: _VALUE},
    "immediate": {nf.NFTA_IMMEDIATE_DATA: _VALUE},
}


class TableInfo(NamedTuple):
    """A table; ``use`` counts what it holds, ``owner`` is the port ID of the owning socket or 0."""

    table: Table
    flags: TableFlag
    use: int
    handle: int
    owner: int
    comment: str


class ChainInfo(NamedTuple):
    """A chain; ``kind``, ``hook``, ``priority`` and ``policy`` are those of base chains.

    ``use`` counts its rules and everything that leads to it.
    """

    table: Table
    name: str
    handle: int
    use: int
    kind: str | None
    hook: Hook | int | None
    priority: int | None
    policy: int | None
    comment: str


class Expression(NamedTuple):
    """A rule's expression: the kernel's name for it, and its attributes."""

    name: str
    attributes: Tree


class RuleInfo(NamedTuple):
    """A rule. ``handle`` names it within its table."""

    table: Table
    chain: str
    handle: int
    expressions: tuple[Expression, ...]
    comment: str


class SetInfo(NamedTuple):
    """A set or map as declared; ``userdata`` holds nft's notes (:meth:`.sets.SetSpec.userdata`).

    ``counted`` says whether its elements count packets.
    """

    table: Table
    name: str
    handle: int
    flags: SetFlag
    key_type: int
    key_length: int
    data_type: int
    data_length: int
    size: int | None
    timeout: int
    fields: tuple[int, ...]
    userdata: bytes
    counted: bool = False


class Generation(NamedTuple):
    """The ruleset's generation, and the process that asks for it or, in a notification, made it.

    The process ID is that of the reader's PID namespace.
    """

    number: int
    pid: int
    program: str


def parse_generation(body: bytes) -> Generation:
    """A generation from the body of ``NFT_MSG_NEWGEN``."""
    found = table(body, _NFGENMSG_SIZE)
    return Generation(
        number=to_int(found[nf.NFTA_GEN_ID]),
        pid=to_int(found.get(nf.NFTA_GEN_PROC_PID, b"")),
        program=to_text(found.get(nf.NFTA_GEN_PROC_NAME, b"")),
    )


def family(body: bytes) -> Family:
    """The family of a message's ``nfgenmsg``; unknown ones count as unspecified."""
    try:
        return Family(body[0])
    except ValueError:
        return Family.UNSPEC


def parse_table(body: bytes) -> TableInfo:
    """A table from the body of ``NFT_MSG_NEWTABLE``."""
    found = table(body, _NFGENMSG_SIZE)
    return TableInfo(
        table=Table(family(body), to_text(found[nf.NFTA_TABLE_NAME])),
        flags=TableFlag(to_int(found.get(nf.NFTA_TABLE_FLAGS, b""))),
        use=to_int(found.get(nf.NFTA_TABLE_USE, b"")),
        handle=to_int(found.get(nf.NFTA_TABLE_HANDLE, b"")),
        owner=to_int(found.get(nf.NFTA_TABLE_OWNER, b"")),
        comment=parse_comment(found.get(nf.NFTA_TABLE_USERDATA, b"")),
    )


def parse_chain(body: bytes) -> ChainInfo:
    """A chain from the body of ``NFT_MSG_NEWCHAIN``."""
    found = table(body, _NFGENMSG_SIZE)
    hook = table(found.get(nf.NFTA_CHAIN_HOOK, b""))
    number = hook.get(nf.NFTA_HOOK_HOOKNUM)
    priority = hook.get(nf.NFTA_HOOK_PRIORITY)
    policy = found.get(nf.NFTA_CHAIN_POLICY)
    kind = found.get(nf.NFTA_CHAIN_TYPE)
    return ChainInfo(
        table=Table(family(body), to_text(found[nf.NFTA_CHAIN_TABLE])),
        name=to_text(found[nf.NFTA_CHAIN_NAME]),
        handle=to_int(found[nf.NFTA_CHAIN_HANDLE]),
        use=to_int(found.get(nf.NFTA_CHAIN_USE, b"")),
        kind=None if kind is None else to_text(kind),
        hook=None if number is None else to_int(number),
        priority=None if priority is None else int.from_bytes(priority, "big", signed=True),
        policy=None if policy is None else to_int(policy),
        comment=parse_comment(found.get(nf.NFTA_CHAIN_USERDATA, b"")),
    )


def parse_rule(body: bytes) -> RuleInfo:
    """A rule from the body of ``NFT_MSG_NEWRULE``."""
    found = table(body, _NFGENMSG_SIZE)
    return RuleInfo(
        table=Table(family(body), to_text(found[nf.NFTA_RULE_TABLE])),
        chain=to_text(found[nf.NFTA_RULE_CHAIN]),
        handle=to_int(found[nf.NFTA_RULE_HANDLE]),
        expressions=parse_expressions(found.get(nf.NFTA_RULE_EXPRESSIONS, b"")),
        comment=parse_comment(found.get(nf.NFTA_RULE_USERDATA, b"")),
    )


def parse_expressions(packed: bytes) -> tuple[Expression, ...]:
    """Expressions from a dumped rule, or from what :mod:`.rules` and :mod:`.expressions` pack."""
    return tuple(_parse_expression(payload) for _, payload in iterate(packed))


def _parse_expression(payload: bytes) -> Expression:
    found = table(payload)
    name = to_text(found[nf.NFTA_EXPR_NAME])
    return Expression(
        name, parse(found.get(nf.NFTA_EXPR_DATA, b""), _EXPRESSION_SCHEMAS.get(name, _NO_NESTS))
    )


def parse_set(body: bytes) -> SetInfo:
    """A set or map from the body of ``NFT_MSG_NEWSET``."""
    found = table(body, _NFGENMSG_SIZE)
    description = table(found.get(nf.NFTA_SET_DESC, b""))
    size = description.get(nf.NFTA_SET_DESC_SIZE)
    fields = (table(field) for _, field in iterate(description.get(nf.NFTA_SET_DESC_CONCAT, b"")))
    return SetInfo(
        table=Table(family(body), to_text(found[nf.NFTA_SET_TABLE])),
        name=to_text(found[nf.NFTA_SET_NAME]),
        handle=to_int(found.get(nf.NFTA_SET_HANDLE, b"")),
        flags=SetFlag(to_int(found.get(nf.NFTA_SET_FLAGS, b""))),
        key_type=to_int(found.get(nf.NFTA_SET_KEY_TYPE, b"")),
        key_length=to_int(found.get(nf.NFTA_SET_KEY_LEN, b"")),
        data_type=to_int(found.get(nf.NFTA_SET_DATA_TYPE, b"")),
        data_length=to_int(found.get(nf.NFTA_SET_DATA_LEN, b"")),
        size=None if size is None else to_int(size),
        timeout=to_int(found.get(nf.NFTA_SET_TIMEOUT, b"")),
        fields=tuple(to_int(field[nf.NFTA_SET_FIELD_LEN]) for field in fields),
        userdata=found.get(nf.NFTA_SET_USERDATA, b""),
        counted=nf.NFTA_SET_EXPR in found and _parse_expression(found[nf.NFTA_SET_EXPR]).name == "counter",
    )
