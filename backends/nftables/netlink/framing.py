"""Netlink messages as bytes: headers, batches, acknowledgements. No I/O.

Kernel counterparts: ``net/netlink/af_netlink.c`` (``netlink_ack``), ``net/netfilter/nfnetlink.c``
(``nfnetlink_rcv_batch``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from socket import htons
from struct import Struct
from typing import NamedTuple

from . import constants as nf
from .attributes import be32, table, to_text
from .constants import Family
from .messages import Operation

HEADER_SIZE = 16
NFGENMSG_SIZE = 4
_HEADER = Struct("=IHHII")
_REQUEST = Struct("=IHHIIBBH")
_ERRNO = Struct("=i")
_U32 = Struct("=I")
_SUBSYSTEM = nf.NFNL_SUBSYS_NFTABLES << 8
_BATCH_RES_ID = htons(nf.NFNL_SUBSYS_NFTABLES)


class Message(NamedTuple):
    """A netlink message: ``kind`` is its type, ``portid`` who caused it, ``body`` what follows the header."""

    kind: int
    flags: int
    sequence: int
    portid: int
    body: bytes


def request(message: int, flags: int, family: Family, attributes: bytes, sequence: int) -> bytes:
    """One ``NFT_MSG_*`` request."""
    size = HEADER_SIZE + NFGENMSG_SIZE + len(attributes)
    return (
        _REQUEST.pack(size, _SUBSYSTEM | message, flags | nf.NLM_F_REQUEST, sequence, 0, family, 0, 0)
        + attributes
    )


def batch(operations: Sequence[Operation], begin: int, genid: int | None) -> bytes:
    """A transaction: ``BATCH_BEGIN``, numbered ``begin``, the operations, ``BATCH_END``.

    Only the last operation asks for an acknowledgement; refusals are reported without being asked for.
    """
    condition = b"" if genid is None else be32(nf.NFNL_BATCH_GENID, genid)
    size = HEADER_SIZE + NFGENMSG_SIZE
    pack, request_flag = _REQUEST.pack, nf.NLM_F_REQUEST
    parts = [
        pack(size + len(condition), nf.NFNL_MSG_BATCH_BEGIN, request_flag, begin, 0, 0, 0, _BATCH_RES_ID),
        condition,
    ]
    last = begin + len(operations)
    for sequence, operation in enumerate(operations, begin + 1):
        flags = operation.flags | request_flag | (nf.NLM_F_ACK if sequence == last else 0)
        attributes = operation.attributes
        parts.append(
            pack(
                size + len(attributes),
                _SUBSYSTEM | operation.message,
                flags,
                sequence,
                0,
                operation.family,
                0,
                0,
            )
        )
        parts.append(attributes)
    parts.append(pack(size, nf.NFNL_MSG_BATCH_END, request_flag, last + 1, 0, 0, 0, _BATCH_RES_ID))
    return b"".join(parts)


def messages(buffer: bytes) -> Iterator[Message]:
    """The messages in what one ``recv`` returned."""
    offset = 0
    while offset + HEADER_SIZE <= len(buffer):
        size, kind, flags, sequence, portid = _HEADER.unpack_from(buffer, offset)
        if size < HEADER_SIZE:
            return
        yield Message(kind, flags, sequence, portid, buffer[offset + HEADER_SIZE : offset + size])
        offset += (size + 3) & ~3


def parse_error(message: Message) -> tuple[int, int | None, str]:
    """Errno (0 for success), offset of the culprit attribute and the kernel's words.

    For messages of kind ``NLMSG_ERROR`` and ``NLMSG_DONE``.
    """
    body = message.body
    if len(body) < _ERRNO.size:
        return 0, None, ""
    error = -_ERRNO.unpack_from(body)[0]
    if not message.flags & nf.NLM_F_ACK_TLVS:
        return error, None, ""
    # The header of the refused request follows the errno; NETLINK_CAP_ACK leaves its payload out.
    start = _ERRNO.size + (HEADER_SIZE if message.kind == nf.NLMSG_ERROR else 0)
    if message.kind == nf.NLMSG_ERROR and not message.flags & nf.NLM_F_CAPPED:
        start = _ERRNO.size + ((_U32.unpack_from(body, _ERRNO.size)[0] + 3) & ~3)
    notes = table(body, start)
    offset = notes.get(nf.NLMSGERR_ATTR_OFFS)
    words = to_text(notes.get(nf.NLMSGERR_ATTR_MSG, b""))
    return error, None if offset is None else _U32.unpack(offset)[0], words
