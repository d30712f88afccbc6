"""Whether this proxy keeps up (HZ-02…HZ-04)."""

import time
from collections.abc import Callable, Mapping

from immutables import Map
from msgspec import Struct

from pointsman.core.addresses import IPFamily
from pointsman.core.backlog import Backlog
from pointsman.core.hookspecs import hookimpl
from pointsman.core.node import NodeFacts
from pointsman.core.plan import SyncPlan, SyncReport

PATIENCE = 2
"""Sync periods that a change may wait before its family counts as unhealthy (HZ-02)."""


class FamilyHealth(Struct, frozen=True):
    """The health of one family; ``updated`` is when it was last in order, in seconds since the epoch."""

    healthy: bool
    updated: float | None


class Health(Struct, frozen=True):
    """The health of a proxy: that of all its families (HZ-03), and whether the node is to get traffic."""

    families: Mapping[IPFamily, FamilyHealth]
    node_eligible: bool

    @property
    def healthy(self) -> bool:
        """Whether every family is."""
        return all(family.healthy for family in self.families.values())

    @property
    def updated(self) -> float | None:
        """When the last family was brought in order."""
        return max((f.updated for f in self.families.values() if f.updated is not None), default=None)


class ProxyHealth:
    """Learns from the engine what waits and what is done; may be asked on any thread.

    Args:
        families: those that are served.
        sync_period: seconds.
        clock: `time.monotonic`, which the engine's backlogs go by: no step of the wall clock makes us ill.
        now: seconds since the epoch, to show.
    """

    def __init__(
        self,
        families: tuple[IPFamily, ...],
        sync_period: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._patience = PATIENCE * sync_period
        self._clock = clock
        self._now = now
        self._node_eligible = False
        # Replaced as a whole, so that whoever reads on another thread sees one state.
        self._since: Map[IPFamily, float | None] = Map(dict.fromkeys(families))
        self._updated: Map[IPFamily, float | None] = Map(dict.fromkeys(families))

    @hookimpl
    def pointsman_backlog(self, backlog: Backlog) -> None:
        self._since = self._since.set(backlog.family, backlog.since)

    @hookimpl
    def pointsman_after_sync(self, plan: SyncPlan, report: SyncReport | None) -> None:
        if report is not None and plan.complete:
            self._updated = self._updated.set(plan.family, self._now())

    @hookimpl
    def pointsman_node(self, facts: NodeFacts) -> None:
        self._node_eligible = facts.eligible

    def health(self) -> Health:
        """The health now."""
        now, updated = self._clock(), self._updated
        return Health(
            {
                family: FamilyHealth(since is None or now - since < self._patience, updated[family])
                for family, since in sorted(self._since.items())
            },
            self._node_eligible,
        )
