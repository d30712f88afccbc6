"""Entries of a connection tracking table, made and listed over netlink without the code under test."""

import socket
from collections.abc import Iterable, Iterator
from struct import pack, unpack_from
from typing import NamedTuple

from pointsman.core.addresses import family_of
from pointsman.core.model import Protocol
from pointsman.plugins.conntrack.flows import Place

CREATE = 0x1 | 0x400 | 0x200  # request, create, exclusive
SEEN_REPLY, ASSURED, CONFIRMED = 0x2, 0x4, 0x8
TIMEOUT = 600  # seconds; longer than any test


class Entry(NamedTuple):
    """A flow from a client, sent to a destination, answered by a source."""

    client: Place
    destination: Place
    source: Place
    protocol: Protocol = Protocol.UDP
    zone: int = 0
    answered: bool = True


def create(entries: Iterable[Entry]) -> None:
    """Add entries to the table of the calling thread's network namespace."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as netlink:
        netlink.bind((0, 0))
        messages = [_message(entry) for entry in entries]
        for at in range(0, len(messages), 500):
            netlink.send(b"".join(messages[at : at + 500]))
            netlink.setblocking(False)
            try:
                error = -unpack_from("=i", netlink.recv(65536), 16)[0]
            except BlockingIOError:
                continue
            raise OSError(error, "an entry was not created")


def listed() -> set[tuple[Protocol, Place, Place]]:
    """Protocol, destination and answering source of all TCP, UDP and SCTP entries."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as netlink:
        netlink.bind((0, 0))
        netlink.send(pack("=IHHIIBBH", 20, 0x101, 0x301, 1, 0, socket.AF_UNSPEC, 0, 0))
        found: set[tuple[Protocol, Place, Place]] = set()
        while True:
            buffer, at = netlink.recv(65536), 0
            while at < len(buffer):
                length, kind = unpack_from("=IH", buffer, at)
                if kind == 3:
                    return found
                tuples = dict(_attributes(buffer[at + 20 : at + length]))
                (protocol, destination), (_, source) = _far_end(tuples[1], "to"), _far_end(tuples[2], "from")
                if protocol in set(Protocol):
                    found.add((Protocol(protocol), destination, source))
                at += length


def _far_end(tuple_: bytes, which: str) -> tuple[int, Place]:
    parts = dict(_attributes(tuple_))
    addresses, ports = dict(_attributes(parts[1])), dict(_attributes(parts[2]))
    first = min(addresses) + (which == "to")
    port = ports.get(3 if which == "to" else 2, bytes(2))
    return ports[1][0], (addresses[first], int.from_bytes(port))


def _attributes(buffer: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(buffer):
        length, kind = unpack_from("=HH", buffer, at)
        yield kind & 0x3FFF, buffer[at + 4 : at + length]
        at += (length + 3) & ~3


def _message(entry: Entry) -> bytes:
    attributes = (
        _nest(1, *_tuple(entry.client, entry.destination, entry.protocol))
        + _nest(2, *_tuple(entry.source, entry.client, entry.protocol))
        + _attribute(3, pack(">I", (SEEN_REPLY | ASSURED if entry.answered else 0) | CONFIRMED))
        + _attribute(7, pack(">I", TIMEOUT))
        + (_attribute(18, pack(">H", entry.zone)) if entry.zone else b"")
        + _protocol_state(entry.protocol)
    )
    family = family_of(entry.destination[0])
    return pack("=IHHIIBBH", 20 + len(attributes), 0x100, CREATE, 1, 0, family, 0, 0) + attributes


def _protocol_state(protocol: Protocol) -> bytes:
    """Established; for SCTP with both verification tags."""
    if protocol is Protocol.TCP:
        return _nest(4, _nest(1, _attribute(1, bytes([3]))))
    if protocol is Protocol.SCTP:
        tags = _attribute(2, pack(">I", 1)) + _attribute(3, pack(">I", 2))
        return _nest(4, _nest(3, _attribute(1, bytes([4])), tags))
    return b""


def _tuple(source: Place, destination: Place, protocol: Protocol) -> tuple[bytes, bytes]:
    first = 1 if len(source[0]) == 4 else 3
    addresses = _attribute(first, source[0]) + _attribute(first + 1, destination[0])
    ports = _attribute(2, source[1].to_bytes(2)) + _attribute(3, destination[1].to_bytes(2))
    return _nest(1, addresses), _nest(2, _attribute(1, bytes([protocol])), ports)


def _attribute(kind: int, payload: bytes) -> bytes:
    return pack("=HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def _nest(kind: int, *parts: bytes) -> bytes:
    return _attribute(kind | 0x8000, b"".join(parts))
