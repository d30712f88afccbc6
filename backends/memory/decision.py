"""What the oracle decided about a packet: the facts that a verdict follows from and a story is told of."""

from enum import StrEnum

from msgspec import Struct

from pointsman.core.model import Answer, Frontend, ServiceFrontends
from pointsman.core.packet import Verdict


class Client(StrEnum):
    """Who sent a packet. Local pods and the node itself are near, all others far (MTX-02, MTX-07)."""

    LOCAL_POD = "a local pod"
    NODE = "the node itself"
    OTHER = "neither a local pod nor the node"


class Decision(Struct, frozen=True):
    """A verdict and the choices that led to it.

    ``service`` and ``frontend`` are None where no frontend is for the packet; ``answer`` also where the
    frontend doesn't admit its source.
    """

    client: Client
    verdict: Verdict
    service: ServiceFrontends | None = None
    frontend: Frontend | None = None
    answer: Answer | None = None
