"""What the page shows: kept by an observer, read as one value on another thread."""

import time
from collections.abc import Callable

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from pointsman.core.addresses import IPFamily
from pointsman.core.audit import AuditResult
from pointsman.core.backlog import Backlog
from pointsman.core.hookspecs import hookimpl
from pointsman.core.latency import Latencies
from pointsman.core.model import Model, NodeContext
from pointsman.core.plan import SyncPlan, SyncReport, Trigger

SLOWEST = 10
"""Changes that are remembered for how long they took."""


class LastSync(Struct, frozen=True):
    """A sync that is over; ``at`` is in seconds since the epoch, ``error`` empty if it succeeded."""

    at: float
    full: bool
    seconds: float
    changed: int
    writes: int = 0
    error: str = ""


class Slow(Struct, frozen=True):
    """A change that took ``seconds`` from its cause to the kernel."""

    trigger: Trigger
    seconds: float


class FamilyState(Struct, frozen=True):
    """How it stands with a family; ``held`` is what the kernel was last given."""

    held: Model
    backlog: Backlog
    sync: LastSync | None = None
    slowest: tuple[Slow, ...] = ()


class Board:
    """Observes the engine; `families` is a whole that nobody changes any more."""

    def __init__(self, families: tuple[IPFamily, ...], *, now: Callable[[], float] = time.time) -> None:
        """``now`` gives seconds since the epoch."""
        self._now = now
        self._began = time.perf_counter()
        self._latencies = Latencies(now)
        self.families: Map[IPFamily, FamilyState] = Map(
            {family: FamilyState(Model(NodeContext(family)), Backlog(family)) for family in families}
        )
        self._audits: Map[IPFamily, tuple[AuditResult, float]] = Map()

    @hookimpl
    def pointsman_backlog(self, backlog: Backlog) -> None:
        self._latencies.heard(backlog)
        self._set(backlog.family, replace(self.families[backlog.family], backlog=backlog))

    @hookimpl
    def pointsman_before_sync(self) -> None:
        self._began = time.perf_counter()

    @hookimpl
    def pointsman_after_sync(
        self, plan: SyncPlan, report: SyncReport | None, error: Exception | None
    ) -> None:
        state, now = self.families[plan.family], self._now()
        seconds = time.perf_counter() - self._began
        changed = len(plan.delta.services)
        if report is None:
            sync = LastSync(now, plan.full, seconds, changed, error=str(error))
            self._set(plan.family, replace(state, sync=sync))
            return
        slow = [Slow(trigger, self._latencies.of(plan.family, trigger)) for trigger in plan.triggers]
        slowest = sorted((*state.slowest, *slow), key=lambda change: -change.seconds)[:SLOWEST]
        sync = LastSync(now, plan.full, seconds, changed, report.writes)
        self._set(plan.family, replace(state, held=plan.desired, sync=sync, slowest=tuple(slowest)))

    @hookimpl
    def pointsman_audited(self, audit: AuditResult) -> None:
        # On a thread of its own: beside the rest, so that neither loses what the other writes.
        self._audits = self._audits.set(audit.family, (audit, self._now()))

    def audit(self, family: IPFamily) -> tuple[AuditResult, float] | None:
        """The last audit, and when it was."""
        return self._audits.get(family)

    def _set(self, family: IPFamily, state: FamilyState) -> None:
        self.families = self.families.set(family, state)
