"""The kernel's table of UDP flows, over netlink: read as a stream, written in batches.

The kernel walks the whole table whatever it is asked for, but what a filter keeps back costs no more than
that walk. Milliseconds on Linux 6.18, 262,144 buckets, UDP over IPv4 (2 busy virtual CPUs; ratios matter):

============================================ ============== ===============
.                                            20,000 entries 200,000 entries
============================================ ============== ===============
a dump that the kernel's filter leaves empty             14              57
all entries, the bytes alone                             62               –
all entries, as `Flow` values                            72             660
the same by pyroute2 0.9.7                            2,560               –
deleting all of them                                    103           1,045
============================================ ============== ===============

So a look at few frontends asks for them one by one, and only one at many asks for everything. Entries pass
through and nothing is kept of them: a table of half a million costs time and no memory.

Reference: ``net/netfilter/nf_conntrack_netlink.c``, ``include/uapi/linux/netfilter/nfnetlink_conntrack.h``.
"""

import socket
from collections.abc import Iterator, Sequence
from errno import EINTR, ENOBUFS, ENOENT
from os import strerror
from struct import Struct, pack
from typing import Self

from pointsman.core.addresses import IPFamily
from pointsman.plugins.netlink import (
    ATTRIBUTE,
    DONE,
    DUMP,
    ERRNO,
    ERROR,
    HEADER,
    INTERRUPTED,
    RECEIVE_SIZE,
    REQUEST,
    attributes,
    messages,
)

from .flows import Flow, Target

BATCH = 200
"""Deletions in one send: even if each fails, the answers, about 800 bytes of memory, fit a usual buffer."""

_NETLINK_NETFILTER = 12
_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10
_GET, _DELETE = 0x101, 0x102  # NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_…
_OVERRUN = 4

_CTA_TUPLE_ORIG, _CTA_TUPLE_REPLY, _CTA_STATUS, _CTA_ID, _CTA_ZONE, _CTA_FILTER = 1, 2, 3, 12, 18, 25
_CTA_TUPLE_IP, _CTA_TUPLE_PROTO = 1, 2
_CTA_IP_V4_DST = 2
_CTA_PROTO_NUM, _CTA_PROTO_DST_PORT = 1, 3
_CTA_FILTER_ORIG_FLAGS, _CTA_FILTER_REPLY_FLAGS = 1, 2
_FILTER_IP_DST, _FILTER_PROTO_NUM, _FILTER_PROTO_DST_PORT = 1 << 1, 1 << 3, 1 << 5
_NESTED = 0x8000
_ZONE = pack("=H", _CTA_ZONE)
_STATUS = pack("=H", _CTA_STATUS)
_SEEN_REPLY = 1 << 1  # IPS_SEEN_REPLY

_GENERIC = 4  # nfgenmsg

# A UDP entry begins with its two tuples, and these always look alike, so that one look at fixed places tells
# what walking the attributes would at ten times the cost: the headers of the tuple and of its addresses;
# source and destination; the protocol; ports. The status comes next. Where there is anything else, the
# headers have other lengths.
_ENTRY = ">4x 8s 4x{0}x 4x{0}s 8xB3x 8x 4xH2x 8s 4x{0}s 4x{0}x 12x 4xH2x 8x 2x2sI"
_TUPLE_LENGTH = {family: 36 + 4 + 4 + 2 * family.address_length for family in IPFamily}
_UDP = socket.IPPROTO_UDP


class Interrupted(Exception):
    """The table changed, or answers got lost, while it was read: some entries may not have been shown."""


class Table:
    """The connection tracking table of the network namespace of the thread that opens it.

    For one thread at a time. A context manager; `close` is the same.

    Raises:
        OSError: the kernel has no netlink for it, or we may not (``CAP_NET_ADMIN``).
    """

    def __init__(self) -> None:
        # Two, for entries are deleted while a dump is under way.
        self._reading = _open()
        try:
            self._writing = _open()
        except OSError:
            self._reading.close()
            raise
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the sockets."""
        self._reading.close()
        self._writing.close()

    def flows(self, family: IPFamily, target: Target | None = None) -> Iterator[Flow]:
        """The UDP flows of a family, all of them or those to one frontend, as the kernel hands them out.

        Entries of other zones than the default one are somebody else's, and not shown.

        Raises:
            Interrupted: when all was yielded that could be read, and that may not be everything.
            OSError: the kernel refuses.
        """
        self._discard()
        self._reading.send(self._message(_GET, REQUEST | DUMP, family, _filter(family, target)))
        parser = _Parser(family)
        complete = True
        while True:
            try:
                buffer = self._reading.recv(RECEIVE_SIZE)
            except BlockingIOError:  # the kernel answers inside the call: what isn't there got lost
                raise Interrupted from None
            except OSError as error:
                if error.errno != ENOBUFS:
                    raise
                complete = False
                continue
            for kind, flags, start, end in messages(buffer):
                complete = complete and not flags & INTERRUPTED and kind != _OVERRUN
                if kind in (DONE, ERROR):
                    [error_number] = ERRNO.unpack_from(buffer, start)
                    if error_number not in (0, -EINTR):
                        raise OSError(-error_number, f"reading conntrack: {strerror(-error_number)}")
                    if error_number or not complete:
                        raise Interrupted
                    return
                flow = parser.flow(buffer, start, end)
                if flow is not None and _meant(flow, target):
                    yield flow

    def delete(self, family: IPFamily, flows: Sequence[Flow]) -> int:
        """Delete flows; how many of them were still there.

        One that has gone is left as it is, even if another flow with the same ports goes on by now.

        Raises:
            OSError: the kernel refuses; all that it doesn't refuse are gone.
        """
        gone = 0
        refused: list[int] = []
        for at in range(0, len(flows), BATCH):
            batch = flows[at : at + BATCH]
            self._writing.send(
                b"".join(self._message(_DELETE, REQUEST, family, _name(flow)) for flow in batch)
            )
            errors = list(self._errors())
            gone += len(batch) - len(errors)
            refused += [error for error in errors if error != ENOENT]
        if refused:
            raise OSError(refused[0], f"deleting from conntrack: {strerror(refused[0])}")
        return gone

    def _errors(self) -> Iterator[int]:
        """What the kernel said to the last batch: a word for each deletion that failed, none for others."""
        while True:
            try:
                buffer = self._writing.recv(RECEIVE_SIZE)
            except BlockingIOError:
                return
            for kind, _, start, _ in messages(buffer):
                if kind == ERROR:
                    yield -ERRNO.unpack_from(buffer, start)[0]

    def _discard(self) -> None:
        """Read what is left of a dump that nobody wanted to the end: the kernel runs one at a time."""
        while True:
            try:
                self._reading.recv(RECEIVE_SIZE)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != ENOBUFS:
                    raise

    def _message(self, kind: int, flags: int, family: IPFamily, attributes: bytes) -> bytes:
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        length = HEADER.size + _GENERIC + len(attributes)
        return HEADER.pack(length, kind, flags, self._sequence, 0) + pack("=BBH", family, 0, 0) + attributes


class _Parser:
    """Reads the entries of one family."""

    def __init__(self, family: IPFamily) -> None:
        length = _TUPLE_LENGTH[family]
        self._entry = Struct(_ENTRY.format(family.address_length))
        self._heads = tuple(
            ATTRIBUTE.pack(length, kind | _NESTED)
            + ATTRIBUTE.pack(4 + 2 * (4 + family.address_length), _CTA_TUPLE_IP | _NESTED)
            for kind in (_CTA_TUPLE_ORIG, _CTA_TUPLE_REPLY)
        )

    def flow(self, buffer: bytes, start: int, end: int) -> Flow | None:
        """The flow of one message, None if it isn't one of UDP in the default zone."""
        if end - start < self._entry.size:
            return None
        original, destination, protocol, port, reply, source, source_port, following, status = (
            self._entry.unpack_from(buffer, start)
        )
        if protocol != _UDP or (original, reply) != self._heads or following == _ZONE:
            return None
        answered = following != _STATUS or bool(status & _SEEN_REPLY)
        return Flow((destination, port), (source, source_port), buffer[start + _GENERIC : end], answered)


def _open() -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
    try:
        opened.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        opened.bind((0, 0))
        opened.setblocking(False)
    except OSError:
        opened.close()
        raise
    return opened


def _filter(family: IPFamily, target: Target | None) -> bytes:
    """What the kernel is to hold back; one before 5.8 doesn't understand and shows everything."""
    flags = _FILTER_PROTO_NUM
    address = port = b""
    if target is not None:
        flags |= _FILTER_PROTO_DST_PORT
        port = _attribute(_CTA_PROTO_DST_PORT, target.port.to_bytes(2))
        # Of IPv6 addresses the kernel, to 6.18 at least, shows all others than the one that is asked for
        # (ctnetlink_filter_match_tuple takes ipv6_addr_cmp for a test of equality).
        if target.address is not None and family is IPFamily.IPV4:
            flags |= _FILTER_IP_DST
            address = _nest(_CTA_TUPLE_IP, _attribute(_CTA_IP_V4_DST, target.address))
    protocol = _nest(_CTA_TUPLE_PROTO, _attribute(_CTA_PROTO_NUM, bytes([_UDP])), port)
    return _nest(_CTA_TUPLE_ORIG, address, protocol) + _nest(
        _CTA_FILTER,
        _attribute(_CTA_FILTER_ORIG_FLAGS, pack("=I", flags)),
        _attribute(_CTA_FILTER_REPLY_FLAGS, pack("=I", 0)),
    )


def _meant(flow: Flow, target: Target | None) -> bool:
    """Whether a flow is to a frontend: what a filter lets through need not be."""
    return target is None or target in (flow.destination, (None, flow.destination[1]))


def _name(flow: Flow) -> bytes:
    """The attributes that name an entry: what the client sends, and the entry's own number.

    Without the number an entry that has taken the place of the one we saw would be deleted. It is a hash of
    tuple and memory address (``nf_ct_get_id``), so one in the very same memory still is.
    """
    wanted = (_CTA_TUPLE_ORIG | _NESTED, _CTA_ID)
    return b"".join(flow.handle[at:end] for kind, at, end in attributes(flow.handle) if kind in wanted)


def _attribute(kind: int, payload: bytes) -> bytes:
    return ATTRIBUTE.pack(4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def _nest(kind: int, *parts: bytes) -> bytes:
    return _attribute(kind | _NESTED, b"".join(parts))
