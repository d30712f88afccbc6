"""Models that tests of the backend begin with."""

from immutables import Map

from pointsman.core.addresses import IPFamily
from pointsman.core.model import (
    Answer,
    Endpoint,
    Frontend,
    FrontendKind,
    LocalNetwork,
    Masquerade,
    Match,
    Model,
    NodeContext,
    Pool,
    Protocol,
    ServiceFrontends,
    ServicePortName,
)
from pointsman.core.plan import advance
from tests.strategies import WORLDS

NAME = ServicePortName("default", "seed", "http", Protocol.TCP)


def context(family: IPFamily) -> NodeContext:
    """A node that tells its pods by their addresses, with a network of service addresses."""
    world = WORLDS[family]
    return NodeContext(
        family, local=LocalNetwork(world.pod_networks[1]), service_cidrs=world.service_networks[1:2]
    )


def seed(family: IPFamily, endpoints: int = 4, *, affinity: int = 0, frontends: int = 1) -> Model:
    """One service port with ClusterIPs and so many endpoints."""
    world = WORLDS[family]
    service = ServiceFrontends(
        name=NAME,
        frontends=tuple(
            Frontend(
                Match(address, Protocol.TCP, 80),
                FrontendKind.CLUSTER_IP,
                Answer(Pool.CLUSTER, Masquerade.UNLESS_LOCAL),
            )
            for address in world.virtual[:frontends]
        ),
        cluster=tuple(
            Endpoint(world.pods[0][:-1] + bytes((number,)), 8080) for number in range(1, endpoints + 1)
        ),
        affinity=affinity,
    )
    return advance(Model(context(family), Map()), [(NAME, service)], context(family))[0]
