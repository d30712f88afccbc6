"""The machine that nf_tables' expressions run on, and the first packet of a connection in it.

Registers, marks and connection tracking as the kernel has them (``include/net/netfilter/nf_tables.h``), and
for every packet what befell it on its way.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

from pointsman.core.addresses import FAMILY_OF_LENGTH, IPFamily
from pointsman.core.packet import Action, Packet

from .netlink import constants as nf
from .netlink.constants import CtStatus, VerdictCode
from .netlink.elements import Verdict
from .netlink.objects import RuleInfo

CONTINUE = Verdict(VerdictCode.CONTINUE)
ACCEPT = Verdict(VerdictCode.ACCEPT)
DROP = Verdict(VerdictCode.DROP)
BREAK = Verdict(-2)  # NFT_BREAK: the rule doesn't match

_REGISTERS = 64
_ICMP = {IPFamily.IPV4: 1, IPFamily.IPV6: 58}


class Found(NamedTuple):
    """A set or map has an element for the key; ``data`` is None in plain sets."""

    name: str
    key: bytes
    data: bytes | Verdict | None


class Missed(NamedTuple):
    """A set or map has no element for the key."""

    name: str
    key: bytes


class Chosen(NamedTuple):
    """A random number below ``modulus`` came out as ``value``."""

    modulus: int
    value: int


class Marked(NamedTuple):
    """The packet's mark became ``mark``."""

    mark: int


class Translated(NamedTuple):
    """DNAT: the destination became another."""

    address: bytes
    port: int


class Masqueraded(NamedTuple):
    """The source becomes an address of the node."""


class Rejected(NamedTuple):
    """The client is told that nobody is there."""


class Noted(NamedTuple):
    """The packet writes an element of a set, which has no bearing on its own way."""

    name: str


Effect = Found | Missed | Chosen | Marked | Translated | Masqueraded | Rejected | Noted


class Visit(NamedTuple):
    """What a rule did, or without a rule a base chain's policy; ``CONTINUE`` is the way to the next rule."""

    chain: str
    rule: RuleInfo | None
    effects: tuple[Effect, ...]
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class State:
    """A packet on one of its possible ways, and that way so far.

    ``source`` is None once masqueraded: which address it has become, only routes know. ``effects`` are those
    of the rule at hand.
    """

    packet: Packet
    source: bytes | None
    destination: bytes
    port: int
    mark: int = 0
    priority: int = 0
    status: CtStatus = CtStatus(0)
    probability: Fraction = Fraction(1)
    registers: bytes = bytes(_REGISTERS)
    verdict: Verdict = CONTINUE
    effects: tuple[Effect, ...] = ()
    visits: tuple[Visit, ...] = ()

    @property
    def family(self) -> IPFamily:
        """The family of the packet."""
        return FAMILY_OF_LENGTH[len(self.destination)]

    @property
    def protocol(self) -> int:
        """The number of the protocol above IP."""
        return _ICMP[self.family] if self.packet.protocol is None else self.packet.protocol

    @property
    def action(self) -> Action:
        """What becomes of the packet, at the end of its way."""
        if self.verdict == DROP:
            rejected = any(isinstance(effect, Rejected) for visit in self.visits for effect in visit.effects)
            return Action.REJECT if rejected else Action.DROP
        return Action.FORWARD if self.status & CtStatus.DNAT else Action.PASS

    @property
    def masqueraded(self) -> bool:
        """Whether the receiver sees an address of the node."""
        return bool(self.status & CtStatus.SNAT)

    def put(self, register: int, value: bytes) -> "State":
        """The state with a value in a register, filled with zeros to whole 4 bytes as the kernel does."""
        start = _offset(register)
        value += bytes(-len(value) % 4)
        return replace(self, registers=self.registers[:start] + value + self.registers[start + len(value) :])

    def get(self, register: int, length: int) -> bytes:
        """What a register holds."""
        start = _offset(register)
        return self.registers[start : start + length]

    def note(self, effect: Effect) -> "State":
        """The state with one more effect."""
        return replace(self, effects=(*self.effects, effect))

    def end(self, verdict: Verdict) -> "State":
        """The state with a verdict."""
        return replace(self, verdict=verdict)


def _offset(register: int) -> int:
    if register >= nf.NFT_REG32_00:
        return 4 * (register - nf.NFT_REG32_00)
    return 16 * (register - nf.NFT_REG_1)
