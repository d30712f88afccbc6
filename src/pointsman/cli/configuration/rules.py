"""What single values must be, and what they then mean.

Each function takes a value of the type that its field has and raises ValueError, saying what would be right.
What it returns is for those who use the value.
"""

import re
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from pointsman.cli.durations import Duration
from pointsman.core.addresses import (
    IPFamily,
    Network,
    family_of,
    format_endpoint,
    parse_address,
    parse_network,
)
from pointsman.core.config import LocalMode

from .gates import GATES
from .near import near
from .v1alpha1 import KUBERNETES

PRIMARY = "primary"
"""Instead of node ports' networks: the node's own addresses (SVC-NP-05)."""

_FAMILIES = {
    "dual": (IPFamily.IPV4, IPFamily.IPV6),
    "ipv4": (IPFamily.IPV4,),
    "ipv6": (IPFamily.IPV6,),
}
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_DNS_SUBDOMAIN = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-.a-z0-9]*[a-z0-9])?", re.ASCII)
_INTERFACE = re.compile(r"[^\s/:]{0,15}")  # as the kernel takes them; longer ones do not exist
_ADDRESS_AND_PORT = re.compile(r"(?:\[([^\]]*)\]|([^\[\]:]*)):([0-9]{1,5})", re.ASCII)


class Listener(NamedTuple):
    """Where a server listens."""

    address: bytes
    port: int

    def __str__(self) -> str:
        return format_endpoint(self.address, self.port)


def anything(value: object) -> object:
    """Whatever its type admits."""
    return value


def one_of(*choices: str) -> Callable[[str], str]:
    """One of some words."""

    def rule(text: str) -> str:
        if text not in choices:
            raise ValueError(f"{text[:80]!r} is not one of {', '.join(choices)}")
        return text

    return rule


def within(least: int, most: int) -> Callable[[int], int]:
    """A number within limits."""

    def rule(number: int) -> int:
        if not least <= number <= most:
            raise ValueError(f"{number} is not a whole number from {least} to {most}")
        return number

    return rule


def not_negative(number: float) -> float:
    """A number, or a duration, of 0 or more."""
    if number < 0:
        raise ValueError(f"{number} is less than 0")
    return number


def positive(span: Duration) -> Duration:
    """More than no time (CFG-14)."""
    if span <= 0:
        raise ValueError(f"{span} is not more than 0")
    return span


def source(text: str) -> tuple[str, str]:
    """A kind of source and its argument; two empty strings where none is given."""
    name, colon, argument = text.partition(":")
    if text and not (name and colon):
        raise ValueError(f"{text[:80]!r} is not NAME:ARGUMENT, such as files:/etc/pointsman/objects")
    return name, argument


def node_name(text: str) -> str:
    """A node's name (IN-NODE-01); where it is empty, the host's."""
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


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks in CIDR notation."""
    return tuple(parse_network(text) for text in texts)


def cluster_cidrs(text: str) -> tuple[Network, ...]:
    """At most one network of each family, with a comma between them (CFG-20)."""
    given = networks(text.split(",")) if text else ()
    if len({family_of(network.address) for network in given}) != len(given):
        raise ValueError(f"{text!r} has several networks of a family; give one, or one IPv4 and one IPv6")
    return given


def node_port_addresses(texts: tuple[str, ...]) -> tuple[Network, ...] | None:
    """Networks, or nothing but ``primary``: then it is None (CFG-21)."""
    if texts == (PRIMARY,):
        return None
    if PRIMARY in texts:
        raise ValueError(f"{','.join(texts)!r} mixes primary with networks; give primary alone, or networks")
    return networks(texts)


def listener(text: str) -> Listener | None:
    """An address and a port to listen at; None for port 0, which switches the server off (CFG-23)."""
    match = _ADDRESS_AND_PORT.fullmatch(text)
    if match is None or int(match[3]) > 0xFFFF:
        raise ValueError(f"{text[:80]!r} is not ADDRESS:PORT, such as 0.0.0.0:10256 or [::]:10256")
    bracketed, plain, port = match.groups()
    address = parse_address(bracketed if plain is None else plain)
    if (len(address) == 16) is (bracketed is None):
        raise ValueError(f"{text[:80]!r}: brackets are for IPv6 addresses, and those need them")
    return Listener(address, int(port)) if int(port) else None


def feature_gates(gates: Mapping[str, bool]) -> Mapping[str, bool]:
    """Gates that kube-proxy of our release knows (CFG-34)."""
    unknown = [f"{name[:80]!r}{near(name, GATES)}" for name in gates if name not in GATES]
    if unknown:
        release = ".".join(map(str, KUBERNETES))
        raise ValueError(f"there is no such feature gate in Kubernetes {release}: {', '.join(unknown)}")
    return gates


def hidden_metrics(text: str) -> str:
    """The previous minor release, or nothing (CFG-35)."""
    major, minor = KUBERNETES
    previous = f"{major}.{minor - 1}"
    if text not in ("", previous):
        raise ValueError(f"{text[:80]!r} is not the previous minor release, {previous}")
    return text
