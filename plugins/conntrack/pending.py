"""What one family's flows are held against, which of them need a look, and when."""

import threading
from collections.abc import Iterable, Iterator
from functools import cache, cached_property

from pointsman.core.model import ServicePortName
from pointsman.core.plan import SyncPlan

from .flows import Flow, Place, Target
from .judgement import Frontends, Rules, Verdict, udp_targets, wrong

Waiting = dict[tuple[Target, Place], tuple[float, float]]
"""Flows that are wrong and may stay for now, by frontend and endpoint: since when, and until when."""


class UnderWay:
    """A plan that a dataplane was given, and that hasn't been taken in yet."""

    def __init__(self, plan: SyncPlan) -> None:
        self.plan = plan
        self.postponed: set[Target] = set()

    @cached_property
    def _targets(self) -> frozenset[Target]:
        states = (state for change in self.plan.delta.services for state in (change.old, change.new))
        return frozenset[Target]().union(*map(udp_targets, states))

    def postpones(self, verdict: Verdict) -> bool:
        """Whether what a flow is held against may be out of date already; it is then noted for later."""
        target, owner = verdict.target, verdict.owner
        if target in self._targets or (owner is not None and owner.service in self.plan.stale_udp):
            self.postponed.add(target)
            return True
        return False


class Pending:
    """One family: the frontends, what serves, what is to be looked at, and what waits for its time.

    Of one thread, but for `begin`, which the engine's thread calls. All times are in seconds of one clock.
    """

    def __init__(self) -> None:
        self._frontends = Frontends()
        self._plan: SyncPlan | None = None
        self._targets: set[Target] = set()
        self._everything = False
        self._waiting: Waiting = {}
        self._lock = threading.Lock()
        self._under_way: tuple[UnderWay, ...] = ()

    def begin(self, plan: SyncPlan) -> None:
        """A dataplane is about to be given a plan."""
        with self._lock:
            self._under_way = (*self._under_way, UnderWay(plan))

    def take(self, plan: SyncPlan, *, done: bool) -> None:
        """A dataplane has carried out a plan, or failed to."""
        with self._lock:
            ended = [one for one in self._under_way if one.plan is plan]
            self._under_way = tuple(one for one in self._under_way if one.plan is not plan)
        self._targets.update(*(one.postponed for one in ended))
        if not done:
            return
        self._plan = plan
        self._targets |= self._frontends.advance(plan.delta.services)
        self._targets |= self._frontends.targets(plan.stale_udp)
        # Others may have written to the kernel before a plan that is full, and let flows begin without rules.
        self._everything = self._everything or plan.full

    def due(self) -> float | None:
        """When flows need a look: 0 for now, None for not before the next plan."""
        # What an early part of a cold start doesn't hold yet is not known to be wrong.
        if self._plan is None or not self._plan.complete:
            return None
        if self._targets or self._everything:
            return 0.0
        return min((until for _, until in self._waiting.values()), default=None)

    def start(self, now: float) -> frozenset[Target] | None:
        """The frontends whose flows are to be looked at; None for all there are."""
        self._targets |= {target for (target, _), (_, until) in self._waiting.items() if until <= now}
        return None if self._everything else frozenset(self._targets)

    def judge(self, flows: Iterable[Flow], now: float, later: Waiting) -> Iterator[Flow]:
        """Those of some flows that are to be deleted now; those that are to wait are noted in ``later``."""
        for verdict in wrong(flows, self._rules()):
            # Asked flow by flow: a plan that may have let one begin was announced before the flow was read.
            if any(plan.postpones(verdict) for plan in self._under_way):
                continue
            key = (verdict.target, verdict.flow.source)
            since, _ = self._waiting.get(key) or later.get(key) or (now, now)
            if since + verdict.patience <= now:
                yield verdict.flow
            else:
                later[key] = (since, since + verdict.patience)

    def finish(self, looked_at: frozenset[Target] | None, later: Waiting) -> None:
        """Everything that `start` named has been judged."""
        if looked_at is None:
            self._waiting, self._everything = later, False
            self._targets.clear()
        else:
            kept = {key: times for key, times in self._waiting.items() if key[0] not in looked_at}
            self._waiting = kept | later
            self._targets -= looked_at
        kept_for_later = {target for target, _ in self._waiting}.union(
            *(one.postponed for one in self._under_way)
        )
        self._frontends.forget(looked_at, but=kept_for_later)

    def _rules(self) -> Rules:
        assert self._plan is not None  # nothing is due before
        known = self._plan.facts.serving

        @cache
        def serving(name: ServicePortName) -> frozenset[Place]:
            return frozenset((endpoint.address, endpoint.port) for endpoint in known.get(name, ()))

        return Rules(self._frontends.owners, self._frontends.gone, serving, self._frontends.drains)
