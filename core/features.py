"""What a dataplane can do, said in four values and with a reason."""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct


class Feature(StrEnum):
    """A capability that a conformance case may need.

    Those in `CORE` make a service proxy; a dataplane that lacks one can't be selected for production use.
    """

    CLUSTER_IP = "cluster-ip"
    NODE_PORT = "node-port"
    LOAD_BALANCER = "load-balancer"
    EXTERNAL_IP = "external-ip"
    SOURCE_RANGES = "source-ranges"
    TRAFFIC_POLICY = "traffic-policy"
    SESSION_AFFINITY = "session-affinity"
    REFUSALS = "refusals"
    MASQUERADE = "masquerade"
    IPV6 = "ipv6"
    SCTP = "sctp"
    WEIGHTS = "weights"
    SERVICE_CIDRS = "service-cidrs"
    LOCALHOST_NODE_PORTS = "localhost-node-ports"
    SCHEDULERS = "schedulers"


CORE = frozenset(Feature) - {
    Feature.SCTP,
    Feature.WEIGHTS,
    Feature.LOCALHOST_NODE_PORTS,
    Feature.SCHEDULERS,
}


class Level(StrEnum):
    """How far a feature is there."""

    SUPPORTED = "supported"
    UNSUPPORTED = "unsupported"  # this kind of dataplane can't have it
    NOT_IMPLEMENTED = "not-implemented"  # it could, and does not yet
    NOT_HERE = "not-here"  # it has it, but this machine lacks something


class Support(Struct, frozen=True):
    """A level, and why it isn't more."""

    level: Level
    reason: str = ""


SUPPORTED = Support(Level.SUPPORTED)


class Capabilities(Struct, frozen=True):
    """What a dataplane says of itself once it has probed the machine.

    ``cold_start_chunk`` is how many service ports a first full plan should hold at most where the backend
    programs large states too slowly to do it in one go; None for no limit. ``remarks`` are what else it has
    to say of how it works on this machine, for people.
    """

    features: Mapping[Feature, Support]
    cold_start_chunk: int | None = None
    remarks: tuple[str, ...] = ()

    def support(self, feature: Feature) -> Support:
        """The support of a feature; one that wasn't mentioned is not implemented."""
        return self.features.get(feature, Support(Level.NOT_IMPLEMENTED, "not declared by the backend"))
