"""A case's world whose proxy is a target: what is wrong just after a change may be right in a moment."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from pointsman.conformance.answers import Answers, Failure
from pointsman.conformance.network import Network
from pointsman.conformance.statistics import Budget
from pointsman.conformance.world import World
from pointsman.core.addresses import IPFamily
from pointsman.core.model import Protocol

from .cluster import OutOfSight, TargetCluster

R = TypeVar("R")


class TargetWorld(World):
    """Makes connections again where the oracle objects, or an endpoint is not reached, until all is settled.

    Changes to Nodes, ServiceCIDRs and the node's addresses reach a proxy on ways of their own, and proxies
    that program a kernel piece by piece serve the sentinel before they have come to the last piece.
    """

    def __init__(self, family: IPFamily, cluster: TargetCluster, network: Network, budget: Budget) -> None:
        super().__init__(family, cluster, network, budget)
        self._target_cluster = cluster

    def in_family(self, family: IPFamily) -> "TargetWorld":
        return TargetWorld(family, self._target_cluster, self._network, self.budget)

    def answers_during(
        self,
        changes: Sequence[Callable[[], object]],
        client: str,
        destination: str,
        port: int,
        protocol: Protocol = Protocol.TCP,
    ) -> Answers:
        found = super().answers_during(changes, client, destination, port, protocol)
        if protocol is Protocol.UDP and Failure.UNANSWERED in found:
            raise OutOfSight(
                "nobody can tell why a datagram was not answered: a proxy forgets UDP flows whose endpoint"
                " has left (CT-03), and with them an answer on its way; try again"
            )
        return found

    def _settled(self, attempt: Callable[[], R], complete: Callable[[R], bool] = lambda _: True) -> R:
        """What comes of an attempt that nobody objects to, or of one that began when all was settled."""
        while True:
            last = time.monotonic() > self._target_cluster.settled
            try:
                result = attempt()
            except AssertionError:
                if last:
                    raise
            else:
                if last or complete(result):
                    return result
