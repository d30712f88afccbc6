"""What the flags of a service proxy hold: from text to values, or to a word on what would be right.

Each function raises ValueError for text that isn't what it reads.
"""

import re
import socket
from collections.abc import Callable

from pointsman.core.addresses import IPFamily, Network, family_of, parse_address, parse_network
from pointsman.core.config import LocalMode

from .durations import parse_duration

_FAMILIES = {
    "dual": (IPFamily.IPV4, IPFamily.IPV6),
    "ipv4": (IPFamily.IPV4,),
    "ipv6": (IPFamily.IPV6,),
}
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_DNS_SUBDOMAIN = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-.a-z0-9]*[a-z0-9])?", re.ASCII)
_INTERFACE = re.compile(r"[^\s/:]{0,15}")  # as the kernel takes them; longer ones do not exist


def boolean(text: str) -> bool:
    """``true`` or ``false``, as Go writes them."""
    if text not in ("true", "false"):
        raise ValueError(f"{text!r} is not true or false")
    return text == "true"


def one_of(*choices: str) -> Callable[[str], str]:
    """Reads one of some words."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"{text!r} is not one of {', '.join(choices)}")
        return text

    return parse


def whole(least: int, most: int) -> Callable[[str], int]:
    """Reads a whole number within limits."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 9 and least <= int(text) <= most):
            raise ValueError(f"{text!r} is not a whole number from {least} to {most}")
        return int(text)

    return parse


def source(text: str) -> tuple[str, str]:
    """A kind of source and its argument."""
    if not text:
        raise ValueError("it is required: NAME:ARGUMENT, such as files:/etc/pointsman/objects")
    name, colon, argument = text.partition(":")
    if not (name and colon and argument):
        raise ValueError(f"{text!r} is not NAME:ARGUMENT, such as files:/etc/pointsman/objects")
    return name, argument


def mode(text: str) -> str:
    """A backend's name."""
    if not text:
        raise ValueError("give a backend's name, or auto")
    return text


def node_name(text: str) -> str:
    """A node's name (IN-NODE-01)."""
    name = (text or socket.gethostname()).strip().lower()
    if not _DNS_SUBDOMAIN.fullmatch(name):
        raise ValueError(f"{name[:80]!r} is no Node's name; give that of this node's Node object")
    return name


def instance(text: str) -> str:
    """The name of a proxy among others on its node."""
    if not _DNS_LABEL.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is not a name of at most 63 lower-case letters, digits and dashes")
    return text


def families(text: str) -> tuple[IPFamily, ...]:
    """The IP families that a word stands for."""
    return _FAMILIES[one_of(*_FAMILIES)(text)]


def local_mode(text: str) -> LocalMode:
    """How local pods are told from others (CFG-18)."""
    return LocalMode(one_of(*LocalMode)(text))


def interface(text: str) -> str:
    """The name of a network interface, or what it begins with; empty for none (CFG-19)."""
    if not _INTERFACE.fullmatch(text):
        raise ValueError(
            f"{text[:80]!r} is no interface's name: 15 characters at most, no space, slash, colon"
        )
    return text


def bind_address(text: str) -> bytes | None:
    """The node's own address; None for an unspecified one, which leaves it to the Node object (CFG-22)."""
    address = parse_address(text)
    return address if any(address) else None


def networks(text: str) -> tuple[Network, ...]:
    """Networks in CIDR notation, with commas between them."""
    return tuple(parse_network(part) for part in text.split(",")) if text else ()


def cluster_cidrs(text: str) -> tuple[Network, ...]:
    """At most one network of each family (CFG-20)."""
    given = networks(text)
    if len({family_of(network.address) for network in given}) != len(given):
        raise ValueError(f"{text!r} has several networks of a family; give one, or one IPv4 and one IPv6")
    return given


def node_port_addresses(text: str) -> tuple[Network, ...] | None:
    """CIDRs, or exactly ``primary`` (CFG-21)."""
    if text == "primary":
        return None
    if "primary" in text.split(","):
        raise ValueError(f"{text!r} mixes primary with networks; give primary alone, or networks")
    return networks(text)


def period(text: str) -> float:
    """More than no time, in seconds (CFG-14)."""
    seconds = parse_duration(text)
    if seconds <= 0:
        raise ValueError(f"{text!r} is not more than 0")
    return seconds


def min_period(text: str) -> float:
    """A time in seconds, which may be none (CFG-15)."""
    seconds = parse_duration(text)
    if seconds < 0:
        raise ValueError(f"{text!r} is less than 0")
    return seconds
