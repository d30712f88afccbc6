"""Netlink attributes: type-length-value records, padded to four bytes, nested at will.

Attribute headers are in host byte order; the integers nf_tables carries in them are big-endian.
Reference: ``Documentation/userspace-api/netlink/intro.rst`` and ``include/uapi/linux/netlink.h``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from struct import Struct
from typing import TypeAlias, Union

from .constants import NLA_F_NESTED, NLA_TYPE_MASK

HEADER_SIZE = 4

Tree: TypeAlias = tuple[tuple[int, Union[bytes, "Tree"]], ...]
"""Attributes in the order they came: ``(type, payload)``, the payload itself a tree when nested."""

Schema: TypeAlias = Mapping[int, "Schema"]
"""Which attribute types hold nested attributes, and the schema of those.

Needed because nf_tables answers without ``NLA_F_NESTED`` (it uses ``nla_nest_start_noflag``), so the
bytes alone do not tell nests from values.
"""

_HEADER = Struct("=HH")
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")
_U8 = Struct("=HHB3x")
_BE32 = Struct("=HH4s")
_BE64 = Struct("=HH8s")


class MalformedAttribute(ValueError):
    """The buffer does not hold well-formed attributes."""


def padded(payload: bytes) -> bytes:
    """``payload`` filled up with zeros to a multiple of four bytes."""
    return payload + _PADDING[len(payload) & 3]


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute holding raw bytes."""
    return _HEADER.pack(HEADER_SIZE + len(payload), kind) + padded(payload)


def nested(kind: int, *parts: bytes) -> bytes:
    """One attribute holding other, already packed attributes."""
    return attribute(kind | NLA_F_NESTED, b"".join(parts))


def string(kind: int, value: str) -> bytes:
    """One attribute holding a zero-terminated string."""
    return attribute(kind, value.encode() + b"\0")


def be32(kind: int, value: int) -> bytes:
    """One attribute holding an unsigned 32-bit big-endian integer (negative numbers wrap)."""
    return _BE32.pack(8, kind, (value & 0xFFFFFFFF).to_bytes(4, "big"))


def be64(kind: int, value: int) -> bytes:
    """One attribute holding an unsigned 64-bit big-endian integer."""
    return _BE64.pack(12, kind, value.to_bytes(8, "big"))


def u8(kind: int, value: int) -> bytes:
    """One attribute holding a single byte."""
    return _U8.pack(5, kind, value)


def iterate(buffer: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Yield ``(type, payload)`` of each attribute of ``buffer[start:end]``, flags stripped off the type.

    Raises:
        MalformedAttribute: a length is too small, or reaches past the end.
    """
    stop = len(buffer) if end is None else end
    offset = start
    while stop - offset >= HEADER_SIZE:
        length, kind = _HEADER.unpack_from(buffer, offset)
        if length < HEADER_SIZE or offset + length > stop:
            raise MalformedAttribute(
                f"attribute {kind} at byte {offset}: length {length}, {stop - offset} left"
            )
        yield kind & NLA_TYPE_MASK, buffer[offset + HEADER_SIZE : offset + length]
        offset += (length + 3) & ~3


def table(buffer: bytes, start: int = 0, end: int | None = None) -> dict[int, bytes]:
    """The attributes of ``buffer[start:end]`` by type; of repeated ones the last."""
    return dict(iterate(buffer, start, end))


def parse(buffer: bytes, schema: Schema) -> Tree:
    """All attributes of ``buffer``, nested ones taken apart as ``schema`` says; nothing is lost but flags."""
    return tuple(
        (kind, parse(payload, schema[kind]) if kind in schema else payload)
        for kind, payload in iterate(buffer)
    )


def pack(tree: Tree) -> bytes:
    """The inverse of :func:`parse`."""
    return b"".join(
        attribute(kind, value) if isinstance(value, bytes) else nested(kind, pack(value))
        for kind, value in tree
    )


def to_int(payload: bytes) -> int:
    """An unsigned big-endian integer payload."""
    return int.from_bytes(payload, "big")


def to_text(payload: bytes) -> str:
    """A zero-terminated string payload."""
    return payload.rstrip(b"\0").decode(errors="replace")
