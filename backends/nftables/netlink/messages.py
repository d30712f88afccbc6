"""Builders of nf_tables requests. An :class:`Operation` is a value; only a socket's commit acts on it.

Kernel counterpart: the ``nf_tables_new*`` and ``nf_tables_del*`` functions of
``net/netfilter/nf_tables_api.c``. All take a :class:`Table`, the pair of family and name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from . import constants as nf
from .attributes import attribute, be32, be64, iterate, nested, string, table
from .constants import Family, Hook, TableFlag, VerdictCode
from .selectors import userdata
from .sets import SetSpec

MAX_ELEMENT_LIST = 0xF000
"""Bytes of elements in one message: an attribute's length is 16 bits wide, headers included."""

_NLMSG_HEADER_SIZE = 16
_NFGENMSG_SIZE = 4


class Table(NamedTuple):
    """A table's identity within a network namespace."""

    family: Family
    name: str

    def __str__(self) -> str:
        return f"{self.family} {self.name}"


class Operation(NamedTuple):
    """One request of a transaction.

    Attributes:
        message: ``NFT_MSG_*``.
        flags: ``NLM_F_*`` beyond ``REQUEST``.
        family: of the table concerned.
        attributes: packed.
        summary: what it does, in nft's words.
        spec: the set concerned, when the attributes hold elements: names the element that failed.
    """

    message: int
    flags: int
    family: Family
    attributes: bytes
    summary: str
    spec: SetSpec | None = None

    def describe(self, offset: int | None = None) -> str:
        """The summary, with the element at ``offset`` when the kernel pointed at one.

        ``offset`` counts from the start of the netlink message, as ``NLMSGERR_ATTR_OFFS`` does.
        """
        if self.spec is None:
            return self.summary
        elements = list(self._elements())
        if offset is None and len(elements) > 1:
            return f"{self.summary} ({len(elements)} elements)"
        at = -1 if offset is None else offset - _NLMSG_HEADER_SIZE - _NFGENMSG_SIZE
        for start, payload in elements:
            if len(elements) == 1 or start <= at < start + len(payload) + 4:
                return f"{self.summary} {{ {_render_element(self.spec, payload)} }}"
        return self.summary

    def _elements(self) -> Iterator[tuple[int, bytes]]:
        start = 0
        for kind, payload in iterate(self.attributes):
            if kind == nf.NFTA_SET_ELEM_LIST_ELEMENTS:
                start += 4
                for _, element in iterate(payload):
                    yield start, element
                    start += 4 + len(element)
                return
            start += (4 + len(payload) + 3) & ~3


def _render_element(spec: SetSpec, payload: bytes) -> str:
    found = table(payload)
    key = table(found.get(nf.NFTA_SET_ELEM_KEY, b"")).get(nf.NFTA_DATA_VALUE, b"")
    return spec.render_key(key)


def _notes(comment: str) -> bytes:
    return userdata(nf.NFTNL_UDATA_COMMENT, comment.encode() + b"\0")


# --- tables --------------------------------------------------------------------------------------


def add_table(where: Table, flags: TableFlag = TableFlag.NONE, *, comment: str = "") -> Operation:
    """Create a table, or leave an existing one as it is."""
    parts = [string(nf.NFTA_TABLE_NAME, where.name), be32(nf.NFTA_TABLE_FLAGS, flags)]
    if comment:
        parts.append(attribute(nf.NFTA_TABLE_USERDATA, _notes(comment)))
    return Operation(
        nf.NFT_MSG_NEWTABLE, nf.NLM_F_CREATE, where.family, b"".join(parts), f"add table {where}"
    )


def delete_table(where: Table) -> Operation:
    """Delete a table with all it holds; ``ENOENT`` when it is missing."""
    return _by_name(nf.NFT_MSG_DELTABLE, where, "delete table", nf.NFTA_TABLE_NAME)


def destroy_table(where: Table) -> Operation:
    """Delete a table with all it holds, if there is one (Linux 6.3)."""
    return _by_name(nf.NFT_MSG_DESTROYTABLE, where, "destroy table", nf.NFTA_TABLE_NAME)


def _by_name(message: int, where: Table, verb: str, name: int) -> Operation:
    return Operation(message, 0, where.family, string(name, where.name), f"{verb} {where}")


# --- chains --------------------------------------------------------------------------------------


def add_chain(where: Table, name: str, *, comment: str = "") -> Operation:
    """Create a chain that is jumped to, or leave an existing one as it is."""
    parts = [string(nf.NFTA_CHAIN_TABLE, where.name), string(nf.NFTA_CHAIN_NAME, name)]
    if comment:
        parts.append(attribute(nf.NFTA_CHAIN_USERDATA, _notes(comment)))
    return Operation(
        nf.NFT_MSG_NEWCHAIN, nf.NLM_F_CREATE, where.family, b"".join(parts), f"add chain {where} {name}"
    )


def add_base_chain(
    where: Table,
    name: str,
    kind: str,
    hook: Hook,
    priority: int,
    *,
    policy: VerdictCode = VerdictCode.ACCEPT,
    comment: str = "",
) -> Operation:
    """Create a chain attached to a hook; ``kind`` is ``filter``, ``nat`` or ``route``.

    ``priority`` orders the chains of a hook, smaller first (``NF_IP_PRI_*``; -100 is destination NAT).
    """
    parts = [
        string(nf.NFTA_CHAIN_TABLE, where.name),
        string(nf.NFTA_CHAIN_NAME, name),
        string(nf.NFTA_CHAIN_TYPE, kind),
        be32(nf.NFTA_CHAIN_POLICY, policy),
        nested(nf.NFTA_CHAIN_HOOK, be32(nf.NFTA_HOOK_HOOKNUM, hook), be32(nf.NFTA_HOOK_PRIORITY, priority)),
    ]
    if comment:
        parts.append(attribute(nf.NFTA_CHAIN_USERDATA, _notes(comment)))
    return Operation(
        nf.NFT_MSG_NEWCHAIN, nf.NLM_F_CREATE, where.family, b"".join(parts), f"add chain {where} {name}"
    )


def delete_chain(where: Table, name: str) -> Operation:
    """Delete an empty chain; ``EBUSY`` while rules or elements lead to it."""
    return _chain(nf.NFT_MSG_DELCHAIN, where, "delete chain", name)


def destroy_chain(where: Table, name: str) -> Operation:
    """Delete an empty chain, if there is one (Linux 6.3)."""
    return _chain(nf.NFT_MSG_DESTROYCHAIN, where, "destroy chain", name)


def _chain(message: int, where: Table, verb: str, name: str) -> Operation:
    parts = string(nf.NFTA_CHAIN_TABLE, where.name) + string(nf.NFTA_CHAIN_NAME, name)
    return Operation(message, 0, where.family, parts, f"{verb} {where} {name}")


# --- rules ---------------------------------------------------------------------------------------


def add_rule(where: Table, chain: str, *expressions: bytes, comment: str = "") -> Operation:
    """Append a rule made of packed expressions (:mod:`.rules`, :mod:`.expressions`) to a chain."""
    return _rule(nf.NLM_F_CREATE | nf.NLM_F_APPEND, where, "add rule", chain, expressions, comment)


def insert_rule(where: Table, chain: str, *expressions: bytes, comment: str = "") -> Operation:
    """Put a rule in front of all others of a chain."""
    return _rule(nf.NLM_F_CREATE, where, "insert rule", chain, expressions, comment)


def replace_rule(where: Table, chain: str, handle: int, *expressions: bytes, comment: str = "") -> Operation:
    """Put a rule in the place of the one with this handle."""
    return _rule(nf.NLM_F_REPLACE, where, "replace rule", chain, expressions, comment, handle)


def _rule(
    flags: int,
    where: Table,
    verb: str,
    chain: str,
    expressions: Sequence[bytes],
    comment: str,
    handle: int | None = None,
) -> Operation:
    parts = [string(nf.NFTA_RULE_TABLE, where.name), string(nf.NFTA_RULE_CHAIN, chain)]
    summary = f"{verb} {where} {chain}"
    if handle is not None:
        parts.append(be64(nf.NFTA_RULE_HANDLE, handle))
        summary += f" handle {handle}"
    parts.append(nested(nf.NFTA_RULE_EXPRESSIONS, *expressions))
    if comment:
        parts.append(attribute(nf.NFTA_RULE_USERDATA, _notes(comment)))
        summary += f" comment {comment!r}"
    return Operation(nf.NFT_MSG_NEWRULE, flags, where.family, b"".join(parts), summary)


def delete_rule(where: Table, chain: str, handle: int) -> Operation:
    """Delete the rule with this handle."""
    parts = (
        string(nf.NFTA_RULE_TABLE, where.name)
        + string(nf.NFTA_RULE_CHAIN, chain)
        + be64(nf.NFTA_RULE_HANDLE, handle)
    )
    return Operation(
        nf.NFT_MSG_DELRULE, 0, where.family, parts, f"delete rule {where} {chain} handle {handle}"
    )


def flush_chain(where: Table, chain: str) -> Operation:
    """Delete all rules of a chain."""
    parts = string(nf.NFTA_RULE_TABLE, where.name) + string(nf.NFTA_RULE_CHAIN, chain)
    return Operation(nf.NFT_MSG_DELRULE, 0, where.family, parts, f"flush chain {where} {chain}")


# --- sets and maps -------------------------------------------------------------------------------


def add_set(where: Table, spec: SetSpec) -> Operation:
    """Create a set or map, or leave an existing one as it is (``EEXIST`` when it differs, Linux 6.2)."""
    return Operation(
        nf.NFT_MSG_NEWSET,
        nf.NLM_F_CREATE,
        where.family,
        string(nf.NFTA_SET_TABLE, where.name) + spec.attributes(),
        f"add {spec.noun} {where} {spec.name}",
    )


def delete_set(where: Table, name: str) -> Operation:
    """Delete a set or map with its elements; ``EBUSY`` while rules use it."""
    return _set(nf.NFT_MSG_DELSET, where, "delete set", name)


def destroy_set(where: Table, name: str) -> Operation:
    """Delete a set or map with its elements, if there is one (Linux 6.3)."""
    return _set(nf.NFT_MSG_DESTROYSET, where, "destroy set", name)


def _set(message: int, where: Table, verb: str, name: str) -> Operation:
    parts = string(nf.NFTA_SET_TABLE, where.name) + string(nf.NFTA_SET_NAME, name)
    return Operation(message, 0, where.family, parts, f"{verb} {where} {name}")


# --- elements ------------------------------------------------------------------------------------


def add_elements(
    where: Table, spec: SetSpec, elements: Sequence[bytes], *, exclusive: bool = False
) -> list[Operation]:
    """Add packed elements, in as many messages as it takes.

    An element that is there already is left alone if its data is the same, else ``EEXIST``; with
    ``exclusive`` ``EEXIST`` in both cases.
    """
    flags = nf.NLM_F_CREATE | (nf.NLM_F_EXCL if exclusive else 0)
    return _elements(nf.NFT_MSG_NEWSETELEM, flags, "add element", where, spec, elements)


def delete_elements(where: Table, spec: SetSpec, elements: Sequence[bytes]) -> list[Operation]:
    """Delete elements by key; a missing one is ``ENOENT`` and fails the transaction."""
    return _elements(nf.NFT_MSG_DELSETELEM, 0, "delete element", where, spec, elements)


def destroy_elements(where: Table, spec: SetSpec, elements: Sequence[bytes]) -> list[Operation]:
    """Delete elements by key, missing ones being none of our concern (Linux 6.3)."""
    return _elements(nf.NFT_MSG_DESTROYSETELEM, 0, "destroy element", where, spec, elements)


def flush_set(where: Table, spec: SetSpec) -> Operation:
    """Delete all elements of a set or map."""
    return Operation(
        nf.NFT_MSG_DELSETELEM,
        0,
        where.family,
        set_reference(where, spec.name),
        f"flush {spec.noun} {where} {spec.name}",
    )


def set_reference(where: Table, name: str) -> bytes:
    """The attributes that name a set in a request about its elements."""
    return string(nf.NFTA_SET_ELEM_LIST_TABLE, where.name) + string(nf.NFTA_SET_ELEM_LIST_SET, name)


def element_lists(elements: Sequence[bytes]) -> Iterator[bytes]:
    """Packed elements in lists, each small enough for one message."""
    for chunk in _chunks(elements):
        yield nested(nf.NFTA_SET_ELEM_LIST_ELEMENTS, chunk)


def _elements(
    message: int, flags: int, verb: str, where: Table, spec: SetSpec, elements: Sequence[bytes]
) -> list[Operation]:
    head = set_reference(where, spec.name)
    summary = f"{verb} {where} {spec.name}"
    return [
        Operation(message, flags, where.family, head + part, summary, spec)
        for part in element_lists(elements)
    ]


def _chunks(elements: Sequence[bytes]) -> Iterable[bytes]:
    sizes = set(map(len, elements))
    if len(sizes) == 1:
        step = max(1, MAX_ELEMENT_LIST // sizes.pop())
        for start in range(0, len(elements), step):
            yield b"".join(elements[start : start + step])
        return
    chunk: list[bytes] = []
    size = 0
    for element in elements:
        if chunk and size + len(element) > MAX_ELEMENT_LIST:
            yield b"".join(chunk)
            chunk, size = [], 0
        chunk.append(element)
        size += len(element)
    if chunk:
        yield b"".join(chunk)
