"""Declarations of sets and maps, with all that ``nft list`` needs to print them.

The kernel stores keys and data as plain bytes of some length. What they mean to people is nft's
business: type numbers (six bits per part of a concatenation) and a user data blob holding byte orders
and ``typeof`` records. Both are written here as nft 1.0.6 writes them (``mnl_nft_set_add`` in its
``src/mnl.c``), so that a set of ours lists, and reloads, like one declared in text.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias
from zlib import crc32

from . import constants as nf
from .attributes import attribute, be32, be64, iterate, nested, string
from .constants import ByteOrder, SetFlag
from .expressions import counter
from .selectors import (
    Selector,
    render,
    slots,
    typeof_concatenation,
    userdata,
    userdata_u32,
)

_EXPR_VERDICT = 1
_TYPE_BITS = 6


class _Verdicts(Enum):
    VERDICTS = "verdict"


VERDICTS: Final = _Verdicts.VERDICTS
"""As a map's ``data``: its elements hold verdicts."""

Data: TypeAlias = tuple[Selector, ...] | _Verdicts | None


@dataclass(frozen=True, slots=True)
class SetSpec:
    """A set or map as we want it.

    Attributes:
        name: unique among the sets and maps of its table.
        key: the parts of the key.
        data: the parts of a data map's values, :data:`VERDICTS` for a verdict map, ``None`` for a set.
        flags: ``INTERVAL``, ``TIMEOUT``, ``EVAL``; ``MAP`` and ``CONCAT`` follow from the shape.
        size: greatest number of elements; ``None`` for no limit. Without ``EVAL`` the kernel then picks
            a hash table of fixed size, which fills faster but takes more memory.
        timeout: of elements that do not bring their own, in milliseconds; 0 for none.
        comment: shown by ``nft list``, at most 128 characters.
        counted: whether each element counts the packets that look it up (Linux 5.11).
    """

    name: str
    key: tuple[Selector, ...]
    data: Data = None
    flags: SetFlag = SetFlag.NONE
    size: int | None = None
    timeout: int = 0
    comment: str = ""
    counted: bool = False

    @property
    def key_length(self) -> int:
        """Of a packed key, in bytes, as the kernel counts it."""
        return _length(self.key)

    @property
    def data_length(self) -> int:
        """Of a data map's packed value, in bytes; 0 for sets and verdict maps."""
        return _length(self.data) if isinstance(self.data, tuple) else 0

    @property
    def noun(self) -> str:
        """``map`` or ``set``."""
        return "set" if self.data is None else "map"

    @property
    def kernel_flags(self) -> SetFlag:
        """The flags the kernel is told, those that follow from the shape included."""
        flags = self.flags
        if self.data is not None:
            flags |= SetFlag.MAP
        if len(self.key) > 1 and flags & SetFlag.INTERVAL:
            flags |= SetFlag.CONCAT
        return flags

    def render_key(self, key: bytes) -> str:
        """A packed key as people write it, or its bytes in hexadecimal when it has another length."""
        return render(self.key, key) if len(key) == self.key_length else key.hex(" ")

    def attributes(self) -> bytes:
        """Everything ``NFT_MSG_NEWSET`` says about the set, but its table."""
        parts = [
            string(nf.NFTA_SET_NAME, self.name),
            be32(nf.NFTA_SET_FLAGS, self.kernel_flags),
            be32(nf.NFTA_SET_KEY_TYPE, _type_number(self.key)),
            be32(nf.NFTA_SET_KEY_LEN, self.key_length),
            *self._data_attributes(),
            # Wanted by the kernel although nothing refers to it: rules in the same transaction find
            # the set by its name.
            be32(nf.NFTA_SET_ID, crc32(self.name.encode()) or 1),
        ]
        if self.timeout:
            parts.append(be64(nf.NFTA_SET_TIMEOUT, self.timeout))
        if self.counted:
            # Elements get a copy each; an expression of a set is not wrapped as a rule's are.
            parts.append(nested(nf.NFTA_SET_EXPR, next(iterate(counter()))[1]))
        description = self._description()
        if description:
            parts.append(nested(nf.NFTA_SET_DESC, description))
        parts.append(attribute(nf.NFTA_SET_USERDATA, self.userdata()))
        return b"".join(parts)

    def _data_attributes(self) -> list[bytes]:
        if self.data is None:
            return []
        if isinstance(self.data, tuple):
            kind, length = _type_number(self.data), self.data_length
        else:
            kind, length = nf.NFT_DATA_VERDICT, 0
        return [be32(nf.NFTA_SET_DATA_TYPE, kind), be32(nf.NFTA_SET_DATA_LEN, length)]

    def _description(self) -> bytes:
        size = b"" if self.size is None else be32(nf.NFTA_SET_DESC_SIZE, self.size)
        if not self.kernel_flags & SetFlag.CONCAT:
            return size
        fields = [nested(nf.NFTA_LIST_ELEM, be32(nf.NFTA_SET_FIELD_LEN, part.length)) for part in self.key]
        return size + nested(nf.NFTA_SET_DESC_CONCAT, *fields)

    def userdata(self) -> bytes:
        """nft's notes about the set: byte orders, ``typeof`` records, comment."""
        is_map = self.data is not None
        records = [userdata_u32(nf.NFTNL_UDATA_SET_KEYBYTEORDER, _byteorder(self.key))]
        if is_map:
            order = _byteorder(self.data) if isinstance(self.data, tuple) else ByteOrder.UNSPECIFIED
            records.append(userdata_u32(nf.NFTNL_UDATA_SET_DATABYTEORDER, order))
        records.append(userdata(nf.NFTNL_UDATA_SET_KEY_TYPEOF, typeof_concatenation(self.key)))
        if is_map:
            records.append(userdata(nf.NFTNL_UDATA_SET_DATA_TYPEOF, self._data_typeof()))
            records.append(userdata_u32(nf.NFTNL_UDATA_SET_DATA_INTERVAL, 0))
        if self.comment:
            records.append(userdata(nf.NFTNL_UDATA_SET_COMMENT, self.comment.encode() + b"\0"))
        return b"".join(records)

    def _data_typeof(self) -> bytes:
        if isinstance(self.data, tuple):
            return typeof_concatenation(self.data)
        expression = userdata_u32(nf.NFTNL_UDATA_SET_TYPEOF_EXPR, _EXPR_VERDICT)
        return expression + userdata(nf.NFTNL_UDATA_SET_TYPEOF_DATA, b"")


def _length(parts: tuple[Selector, ...]) -> int:
    return parts[0].length if len(parts) == 1 else 4 * slots(parts)


def _type_number(parts: tuple[Selector, ...]) -> int:
    number = 0
    for part in parts:
        number = number << _TYPE_BITS | part.datatype
    return number


def _byteorder(parts: tuple[Selector, ...]) -> ByteOrder:
    return parts[0].byteorder if len(parts) == 1 else ByteOrder.UNSPECIFIED
