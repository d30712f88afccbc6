"""Destinations that have left and whose last connection is over: found, and deleted."""

from collections.abc import Mapping
from typing import NamedTuple

from .netlink import IpvsSocket
from .servers import DELETE, Leaving, Request, Server, Target

PERIOD = 60.0
"""Seconds after which all are looked at again that are leaving, as a sync comes by."""


class Swept(NamedTuple):
    """Who is still leaving, and the requests that let the others go."""

    leaving: Leaving
    requests: list[Request]


def sweep(ipvs: IpvsSocket, leaving: Leaving, due: Leaving) -> Swept:
    """Look at the connections of those that are ``due`` among those that are leaving, and delete the idle.

    Raises:
        OSError: IPVS can't be asked, or refuses.
    """
    swept = plan(leaving, {server: ipvs.connections(server) for server in due})
    ipvs.commit(swept.requests)
    return swept


def plan(leaving: Leaving, connections: Mapping[Server, Mapping[Target, int]]) -> Swept:
    """What comes of looking at some virtual servers; whom somebody else has deleted has left. Pure."""
    still = dict(leaving)
    requests: list[Request] = []
    for server, counts in connections.items():
        busy = frozenset(target for target in leaving[server] if counts.get(target))
        idle = sorted(target for target in leaving[server] - busy if target in counts)
        requests += (Request(DELETE, server, None, target) for target in idle)
        still[server] = busy
    return Swept({server: targets for server, targets in still.items() if targets}, requests)
