"""IP addresses and networks as packed bytes.

Every address in the model is its network-order bytes, 4 or 16 of them: half the memory of text, cheap to
compare, and ready for the kernel. The length tells the family. Text appears only at the edges.
"""

import re
import socket
from collections.abc import Iterable
from enum import IntEnum
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import NamedTuple

# Four decimal octets, leading zeros allowed: old Service objects hold them, and Kubernetes reads them as
# decimal (IN-SVC-05), where inet_pton refuses and inet_aton would read octal.
_LEGACY_IPV4 = re.compile(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})", re.ASCII)

_PREFIX = re.compile(r"\d{1,4}", re.ASCII)


class IPFamily(IntEnum):
    """An IP family; the value is the kernel's AF_ number."""

    IPV4 = socket.AF_INET
    IPV6 = socket.AF_INET6

    def __str__(self) -> str:
        """The family as metrics and logs name it: ``IPv4`` or ``IPv6``."""
        return "IPv4" if self is IPFamily.IPV4 else "IPv6"

    @property
    def address_length(self) -> int:
        """Bytes in an address of this family."""
        return 4 if self is IPFamily.IPV4 else 16


FAMILY_OF_LENGTH = {family.address_length: family for family in IPFamily}


class Network(NamedTuple):
    """A CIDR block: the address with its host bits cleared, and the prefix length in bits."""

    address: bytes
    prefix: int

    def __str__(self) -> str:
        """The usual text form, such as ``10.96.0.0/12``."""
        return f"{format_address(self.address)}/{self.prefix}"

    def __contains__(self, address: object) -> bool:
        """Whether a packed address lies inside; one of the other family never does."""
        if not isinstance(address, bytes) or len(address) != len(self.address):
            return False
        host_bits = len(address) * 8 - self.prefix
        return int.from_bytes(address) >> host_bits == int.from_bytes(self.address) >> host_bits


def family_of(address: bytes) -> IPFamily:
    """The family of a packed address."""
    return FAMILY_OF_LENGTH[len(address)]


def parse_address(text: str) -> bytes:
    """Pack an IPv4 or IPv6 address; leading zeros in IPv4 octets are decimal (IN-SVC-05).

    Raises:
        ValueError: ``text`` is not an address.
    """
    try:
        return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except (OSError, ValueError):
        legacy = _LEGACY_IPV4.fullmatch(text)
        octets = [int(octet) for octet in legacy.groups()] if legacy else []
        if not octets or max(octets) > 255:
            raise ValueError(f"{text[:80]!r} is not an IP address") from None
        return bytes(octets)


def format_address(address: bytes) -> str:
    """The canonical text of a packed address."""
    return socket.inet_ntop(FAMILY_OF_LENGTH[len(address)], address)


def format_endpoint(address: bytes, port: int) -> str:
    """``ip:port``, with brackets around IPv6."""
    text = format_address(address)
    return f"[{text}]:{port}" if len(address) == 16 else f"{text}:{port}"


def parse_network(text: str) -> Network:
    """Parse a CIDR block, clearing host bits; white space around it is ignored (IN-SVC-05).

    Raises:
        ValueError: ``text`` is not ``ADDRESS/PREFIX``.
    """
    base, slash, length = text.strip().partition("/")
    address = parse_address(base)
    bits = len(address) * 8
    if not slash or not _PREFIX.fullmatch(length) or int(length) > bits:
        raise ValueError(f"{text[:80]!r} is not a network in CIDR notation")
    prefix = int(length)
    host_bits = bits - prefix
    return Network((int.from_bytes(address) >> host_bits << host_bits).to_bytes(len(address)), prefix)


def collapse(networks: Iterable[Network]) -> frozenset[Network]:
    """The fewest networks that hold the same addresses as the given ones."""
    blocks = [ip_network((network.address, network.prefix)) for network in networks]
    v4 = collapse_addresses([block for block in blocks if isinstance(block, IPv4Network)])
    v6 = collapse_addresses([block for block in blocks if isinstance(block, IPv6Network)])
    return frozenset(
        {Network(block.network_address.packed, block.prefixlen) for block in v4}
        | {Network(block.network_address.packed, block.prefixlen) for block in v6}
    )


def host_network(address: bytes) -> Network:
    """The network that holds this one address."""
    return Network(address, len(address) * 8)
