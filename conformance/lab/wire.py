"""Packets made by hand, and packets seen on their way: what no ordinary socket sends or shows."""

import ctypes
import select
import socket
import struct
import time
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self

from pointsman.core.addresses import IPFamily, format_address, parse_address

from .netns import Namespace

SO_MARK = 36  # <asm-generic/socket.h>; neither is in the socket module
_SO_ATTACH_FILTER = 26
_ETHERTYPES = {IPFamily.IPV4: 0x0800, IPFamily.IPV6: 0x86DD}
_EVERYTHING = 3  # ETH_P_ALL
_TCP, _UDP = socket.IPPROTO_TCP, socket.IPPROTO_UDP
_LARGEST_PACKET = 65535
_HOPS = 64
# Classic BPF, <linux/filter.h>: load the mark of the packet, compare, accept all of it or nothing.
_LOAD_WORD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_MARK_OF_PACKET = 0xFFFFF000 + 20  # SKF_AD_OFF + SKF_AD_MARK
_INSTRUCTION = struct.Struct("=HBBI")


class Segment(NamedTuple):
    """A TCP segment or a UDP datagram as it was on the wire; ``sequence`` and ``acknowledged`` are TCP's."""

    source: str
    source_port: int
    destination: str
    port: int
    protocol: int
    payload: bytes = b""
    sequence: int = 0
    acknowledged: int = 0


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


class Tap:
    """Sees the packets on an interface, both ways; with ``mark``, only those that bear exactly this one."""

    def __init__(self, namespace: Namespace, interface: str, *, mark: int | None = None) -> None:
        # Nothing is seen before it is bound, and nothing unfiltered afterwards.
        [self._socket] = namespace.sockets(1, socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        try:
            if mark is not None:
                _see_only(self._socket, mark)
            self._socket.bind((interface, _EVERYTHING))  # bound to one kind, it would see none that leave
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        """Use it until the block ends."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self._socket.close()

    def seen(self) -> list[Segment]:
        """What has been seen since this was last asked."""
        found: list[Segment] = []
        while True:
            try:
                packet = self._socket.recv(_LARGEST_PACKET)
            except BlockingIOError:
                return found
            segment = parse(packet)
            if segment is not None:
                found.append(segment)

    def first(self, wanted: Callable[[Segment], bool], wait: float) -> Segment | None:
        """The first packet of a kind, None if none comes within ``wait`` seconds."""
        deadline = time.monotonic() + wait
        while (left := deadline - time.monotonic()) > 0:
            select.select([self._socket], [], [], left)
            for segment in self.seen():
                if wanted(segment):
                    return segment
        return None


def inject(namespace: Namespace, segment: Segment) -> None:
    """Send a segment, whatever the machine's own connections think of it; routes decide its way."""
    family = socket.AF_INET6 if ":" in segment.destination else socket.AF_INET
    [opened] = namespace.sockets(1, family, socket.SOCK_RAW, segment.protocol)
    with opened:
        opened.bind((segment.source, 0))
        opened.sendto(_transport(segment), (segment.destination, 0))


def throw(namespace: Namespace, interface: str, neighbour: bytes, segment: Segment) -> None:
    """Put a segment onto a link, to a neighbour's link-layer address: no route would lead it there."""
    packet = _network(segment)
    family = IPFamily.IPV6 if ":" in segment.destination else IPFamily.IPV4
    [opened] = namespace.sockets(1, socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    with opened:
        opened.sendto(packet, (interface, _ETHERTYPES[family], 0, 0, neighbour))


def parse(packet: bytes) -> Segment | None:
    """Read a packet, from its IP header on; None if it isn't one, of TCP or UDP, or is a later fragment."""
    version = packet[0] >> 4
    if version == 4:
        start, protocol = (packet[0] & 15) * 4, packet[9]
        source, destination = packet[12:16], packet[16:20]
        if int.from_bytes(packet[6:8]) & 0x1FFF:
            return None
    elif version == 6:
        start, protocol = 40, packet[6]
        source, destination = packet[8:24], packet[24:40]
    else:
        return None
    if protocol not in (_TCP, _UDP):
        return None
    ports = struct.unpack_from(">HH", packet, start)
    at = format_address(source), ports[0], format_address(destination), ports[1], protocol
    if protocol == _UDP:
        return Segment(*at, packet[start + 8 :])
    sequence, acknowledged, length = struct.unpack_from(">IIB", packet, start + 4)
    return Segment(*at, packet[start + (length >> 4) * 4 :], sequence, acknowledged)


def _transport(segment: Segment) -> bytes:
    """The segment from its transport header on, an ACK with PSH if it is TCP's."""
    ports = segment.source_port, segment.port
    if segment.protocol == _UDP:
        head = struct.pack(">HHHH", *ports, 8 + len(segment.payload), 0)
        place = 6
    else:
        numbers = segment.sequence & 0xFFFFFFFF, segment.acknowledged & 0xFFFFFFFF
        head = struct.pack(">HHIIBBHHH", *ports, *numbers, 5 << 4, 0x18, 0xFFFF, 0, 0)
        place = 16
    source, destination = parse_address(segment.source), parse_address(segment.destination)
    data = head + segment.payload
    pseudo = source + destination + struct.pack(">II", len(data), segment.protocol)
    return data[:place] + _checksum(pseudo + data).to_bytes(2) + data[place + 2 :]


def _network(segment: Segment) -> bytes:
    """The segment from its IP header on."""
    data = _transport(segment)
    source, destination = parse_address(segment.source), parse_address(segment.destination)
    if len(source) > 4:
        return struct.pack(">IHBB", 6 << 28, len(data), segment.protocol, _HOPS) + source + destination + data
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(data), 0, 0, _HOPS, segment.protocol, 0)
    head += source + destination
    return head[:10] + _checksum(head).to_bytes(2) + head[12:] + data


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = data + bytes(len(data) % 2)
    total: int = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _see_only(opened: socket.socket, mark: int) -> None:
    program = b"".join(
        _INSTRUCTION.pack(*instruction)
        for instruction in (
            (_LOAD_WORD, 0, 0, _MARK_OF_PACKET),
            (_JUMP_IF_EQUAL, 0, 1, mark),
            (_RETURN, 0, 0, _LARGEST_PACKET),
            (_RETURN, 0, 0, 0),
        )
    )
    held = ctypes.create_string_buffer(program)
    whole = _Filter(len(program) // _INSTRUCTION.size, ctypes.addressof(held))
    opened.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, bytes(whole))
