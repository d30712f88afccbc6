"""Packets and what becomes of them: the words shared by the oracle, `explain` and the conformance suite."""

from enum import StrEnum

from msgspec import Struct

from .addresses import format_address, format_endpoint
from .model import Endpoint, Protocol, ServicePortName


class Packet(Struct, frozen=True):
    """The first packet of a connection, as this node meets it.

    ``interface`` is where it came in, None for one the node itself sends. ``port`` is the destination's, 0
    for an ICMP echo (``protocol`` None). ``to_node`` says whether the destination is an address of the node:
    node ports answer only there.
    """

    source: bytes
    destination: bytes
    port: int
    protocol: Protocol | None
    interface: str | None = None
    to_node: bool = False

    def __str__(self) -> str:
        """``source → destination:port/tcp``."""
        source = format_address(self.source)
        if self.protocol is None:
            return f"{source} → {format_address(self.destination)}/icmp"
        at = format_endpoint(self.destination, self.port)
        return f"{source} → {at}/{self.protocol.name.lower()}"


class Action(StrEnum):
    """What a service proxy does with a new connection."""

    FORWARD = "forward"  # DNAT to one of the verdict's endpoints
    REJECT = "reject"  # ICMP port unreachable: the client is told at once
    DROP = "drop"  # silence
    PASS = "pass"  # not ours: routes and sockets decide


class Verdict(Struct, frozen=True):
    """The answer to a packet.

    ``endpoints`` are the possible targets, each with its weight. ``masqueraded`` are those of them that see
    a node address instead of the client's.
    """

    action: Action
    endpoints: tuple[Endpoint, ...] = ()
    masqueraded: frozenset[Endpoint] = frozenset()


class Step(Struct, frozen=True):
    """One decision on a packet's way.

    ``topic`` is one of the words a reader knows the way by (``match``, ``policy``, ``pick``, ``dnat``,
    ``masquerade``, ``refuse``), ``text`` says what was decided and why, ``where`` names the rule, chain or
    table that decided, and ``probability`` is the chance of this step among its alternatives.
    """

    topic: str
    text: str
    where: str = ""
    probability: float = 1.0


class Affinity(Struct, frozen=True):
    """That a service port remembers its clients, by whichever of its addresses they come (AFF-02).

    A client meets the same endpoint again as long as it was away for less than ``seconds`` (AFF-01).
    """

    service: ServicePortName
    seconds: int


class Trace(Struct, frozen=True):
    """A verdict and the way to it.

    ``affinity`` is what an earlier connection of the same client may have narrowed the verdict by. Only
    dataplanes that are simulated have to tell it: where there is a kernel, it remembers by itself.
    """

    verdict: Verdict
    steps: tuple[Step, ...]
    affinity: Affinity | None = None
