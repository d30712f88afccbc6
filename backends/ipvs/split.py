"""A service port cut in two: what nftables does for it, and what IPVS does. Pure.

To nftables, a pool has one endpoint, the place of its virtual server; everything else (who is admitted, who
is masqueraded, who is refused) is as ever. To IPVS, a pool is a virtual server and its destinations.

A service port with session affinity stays with nftables as a whole, for only there all its addresses share
what is remembered, for just as long as was asked (AFF-01, AFF-02).
"""

from collections.abc import Callable
from math import gcd

from msgspec.structs import replace

from pointsman.core.model import Endpoint, Pool, ServiceFrontends

from .places import Owner, Places
from .servers import Destination, Server, Service, Target, note

MH_FLAGS = 0x8 | 0x10
"""Of scheduler ``mh``: hash the source port too, and pick another where the first is out of service."""

DEFAULT_SCHEDULER = "mh"

Choose = Callable[[ServiceFrontends], str]
"""Which scheduler a service port gets."""


def shadow(service: ServiceFrontends, places: Places) -> ServiceFrontends:
    """A service port as nftables is to see it."""
    if service.affinity:
        return service
    return replace(
        service,
        cluster=_stand_in(service, Pool.CLUSTER, places),
        local=_stand_in(service, Pool.LOCAL, places),
        scheduler="",
    )


def servers(service: ServiceFrontends, places: Places, choose: Choose) -> dict[Server, Service]:
    """The virtual servers of a service port."""
    if service.affinity:
        return {}
    return {
        places.of(Owner(service.name, pool)): virtual_service(members, choose(service))
        for pool in Pool
        if (members := _members(service, pool))
    }


def virtual_service(pool: tuple[Endpoint, ...], scheduler: str) -> Service:
    """The virtual server of a pool; its weights are in lowest terms."""
    divisor = gcd(*(endpoint.weight for endpoint in pool))
    return Service(
        scheduler,
        MH_FLAGS if scheduler == "mh" else 0,
        {Target(e.address, e.port): Destination(e.weight // divisor) for e in pool},
        note(scheduler),
    )


def _stand_in(service: ServiceFrontends, pool: Pool, places: Places) -> tuple[Endpoint, ...]:
    if not _members(service, pool):
        return ()
    place = places.of(Owner(service.name, pool))
    return (Endpoint(place.address, place.port),)


def _members(service: ServiceFrontends, pool: Pool) -> tuple[Endpoint, ...]:
    return service.cluster if pool is Pool.CLUSTER else service.local
