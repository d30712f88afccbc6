"""What clients experience, in the words in which cases say what they should."""

import errno
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from pointsman.conformance.lab import NODE, Denied, EchoReply, Outcome, Refused, Reply
from pointsman.core.addresses import IPFamily, format_address, parse_address
from pointsman.core.model import Protocol
from pointsman.core.node import is_loopback
from pointsman.core.packet import Packet

from .scene import Scene

PORT_UNREACHABLE = {IPFamily.IPV4: (3, 3), IPFamily.IPV6: (1, 4)}
"""Type and code of the ICMP error by which a proxy refuses."""

_DEFAULT_PORT = 8080


class Source(StrEnum):
    """Whom a server takes for its client."""

    KEPT = "itself"
    NODE = "the node"
    STRANGER = "somebody else"


KEPT, MASQUERADED = Source.KEPT, Source.NODE


class Failure(StrEnum):
    """Ways in which a connection does not come about."""

    REJECTED = "rejected"  # at once, by an ICMP error from the node
    RESET = "reset"  # at once, by somebody's socket
    UNANSWERED = "unanswered"  # nothing comes; the node's own programs may be told at once that nothing left
    UNSENDABLE = "unsendable"  # the client's own kernel has no way there


class Arrival(NamedTuple):
    """A connection that was answered."""

    server: str
    source: Source

    def __repr__(self) -> str:
        """``pod-a:8080 seeing the node``."""
        return f"{self.server} seeing {self.source}"


Answer = Arrival | Failure
Answers = frozenset[Answer]

REJECTED: Answers = frozenset({Failure.REJECTED})
UNANSWERED: Answers = frozenset({Failure.UNANSWERED})
RESET: Answers = frozenset({Failure.RESET})


def forwarded(*servers: str, source: Source) -> Answers:
    """All of these answer, and nobody else; ``pod-a`` stands for ``pod-a:8080``."""
    return frozenset(Arrival(server, source) for server in ports_named(servers))


def untouched(server: str, client: str) -> Answers:
    """This one answers, and sees the client: no proxy had a hand in it."""
    return forwarded(server, source=Source.NODE if client == NODE else Source.KEPT)


def ports_named(servers: Iterable[str]) -> list[str]:
    """The servers, each with its port."""
    return [server if ":" in server else f"{server}:{_DEFAULT_PORT}" for server in servers]


def classified(where: Scene, packet: Packet, outcome: Outcome) -> Answer:
    """What an outcome amounts to, for the connection that began with a packet."""
    from_node = packet.interface is None
    match outcome:
        case Reply():
            return Arrival(f"{outcome.pod}:{outcome.port}", _source(where, packet, outcome))
        case EchoReply():
            return Arrival(where.owner(outcome.address) or outcome.address, Source.KEPT)
        case Refused() if outcome.icmp is not None:
            known = (
                outcome.icmp == PORT_UNREACHABLE[where.family] and outcome.offender in where.node_addresses
            )
            return Failure.REJECTED if known else Failure.RESET
        case Refused():
            # SCTP keeps from its users by whom it was refused.
            return Failure.REJECTED if packet.protocol is Protocol.SCTP else Failure.RESET
        case Denied():
            dropped = from_node and outcome.errno == errno.EPERM
            return Failure.UNANSWERED if dropped else Failure.UNSENDABLE
        case _:
            return Failure.UNANSWERED


def _source(where: Scene, packet: Packet, reply: Reply) -> Source:
    # What the node itself sends comes from the node, be it rewritten to another of its addresses or not.
    if reply.client in where.node_addresses or is_loopback(parse_address(reply.client)):
        return Source.NODE
    return Source.KEPT if reply.client == format_address(packet.source) else Source.STRANGER
