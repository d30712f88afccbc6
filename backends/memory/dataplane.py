"""The dataplane that holds its state in memory: what every other one does, without a kernel."""

from collections.abc import Iterable

from pointsman.core.addresses import collapse
from pointsman.core.backend import DataplaneSettings, Observed, ObservedAnswer, ObservedFrontend, lowest_terms
from pointsman.core.errors import ResyncRequired, SyncError
from pointsman.core.features import SUPPORTED, Capabilities, Feature, Level, Support
from pointsman.core.hookspecs import hookimpl
from pointsman.core.model import (
    Answer,
    Frontend,
    Masquerade,
    Match,
    Model,
    NodeContext,
    ServiceFrontends,
    ServicePortName,
)
from pointsman.core.packet import Packet, Trace
from pointsman.core.plan import Delta, SyncPlan, SyncReport

from .oracle import Oracle

NAME = "memory"


class MemoryDataplane:
    """The hooks of one IP family's dataplane, over an `Oracle` in the kernel's place."""

    def __init__(self, settings: DataplaneSettings) -> None:
        self._family = settings.family
        self._forget()

    def _forget(self) -> None:
        self._oracle = Oracle.of(Model(NodeContext(self._family)))
        self._services: dict[ServicePortName, ServiceFrontends] = {}
        self._complete = True

    @hookimpl
    def dataplane_probe(self) -> Capabilities:
        schedulers = Support(Level.UNSUPPORTED, "endpoints are picked at random, by weight")
        return Capabilities({**dict.fromkeys(Feature, SUPPORTED), Feature.SCHEDULERS: schedulers})

    @hookimpl
    def dataplane_sync(self, plan: SyncPlan) -> SyncReport:
        # After an early part of a cold start more may be held than was desired: no ground for a delta.
        if plan.full or not self._complete:
            report = self._replace(plan.desired, keep_others=not plan.complete)
        else:
            report = self._move(plan.delta)
        self._complete = plan.complete
        return report

    @hookimpl
    def dataplane_observe(self) -> Observed:
        return Observed(
            {match: _observed(*held) for match, held in self._oracle.frontends.items()},
            frozenset(self._oracle.cluster_ips),
            frozenset(self._oracle.node.service_cidrs),
        )

    @hookimpl
    def dataplane_trace(self, packet: Packet) -> Trace:
        return self._oracle.trace(packet)

    @hookimpl
    def dataplane_cleanup(self) -> bool:
        before = self._oracle
        self._forget()
        return self._oracle != before

    def _replace(self, desired: Model, *, keep_others: bool) -> SyncReport:
        """Hold ``desired``, and with ``keep_others`` also what was held for other destinations."""
        _check_claims(desired.services.values(), {})
        before, after = self._oracle, Oracle.of(desired)
        if keep_others:
            after.frontends = before.frontends | after.frontends
            after.cluster_ips |= before.cluster_ips
        self._oracle, self._services = after, dict(desired.services)
        matches = before.frontends.keys() | after.frontends.keys()
        writes = sum(_content(before, match) != _content(after, match) for match in matches)
        others = (before.node, before.cluster_ips) != (after.node, after.cluster_ips)
        return SyncReport(transactions=int(others or writes > 0), writes=writes)

    def _move(self, delta: Delta) -> SyncReport:
        """Write what differs, trusting that all else is as it should be."""
        self._check_start(delta)
        old = [change.old for change in delta.services if change.old]
        new = [change.new for change in delta.services if change.new]
        leaving = {frontend.match for service in old for frontend in service.frontends}
        coming = {frontend.match for service in new for frontend in service.frontends}
        taken = {
            match: self._oracle.frontends[match][0].name
            for match in coming - leaving
            if match in self._oracle.frontends
        }
        _check_claims(new, taken)
        before = {match: _content(self._oracle, match) for match in leaving | coming}
        self._oracle.apply(delta)
        for name, _, state in delta.services:
            if state is None:
                del self._services[name]
            else:
                self._services[name] = state
        writes = sum(content != _content(self._oracle, match) for match, content in before.items())
        others = bool(delta.node or delta.cluster_ips)
        return SyncReport(transactions=int(others or writes > 0), writes=writes)

    def _check_start(self, delta: Delta) -> None:
        """Raise ResyncRequired unless a delta starts from what is held."""
        strangers = [str(name) for name, old, _ in delta.services if self._services.get(name) != old]
        if delta.node and delta.node[0] != self._oracle.node:
            strangers.append("the node context")
        if strangers:
            raise ResyncRequired(
                NAME,
                f"the plan starts from another state than the one held for {', '.join(strangers)};"
                " nothing was written, a full plan is needed",
            )


def _check_claims(services: Iterable[ServiceFrontends], taken: dict[Match, ServicePortName]) -> None:
    """Raise SyncError where two frontends, or one and a destination that is taken, share a destination."""
    claims = dict(taken)
    for service in services:
        for frontend in service.frontends:
            other = claims.get(frontend.match)
            if other is not None:
                raise SyncError(
                    NAME,
                    f"{frontend.match} belongs to both {other} and {service.name}; nothing was written,"
                    " one of them has to give it up",
                )
            claims[frontend.match] = service.name


def _content(oracle: Oracle, match: Match) -> tuple[object, ...] | None:
    """All that the answers to one destination depend on; None where it isn't held."""
    held = oracle.frontends.get(match)
    if held is None:
        return None
    service, frontend = held
    pools = [service.pool(answer) for answer in frontend.answers]
    return service.name, frontend, pools, service.when_empty, service.affinity


def _observed(service: ServiceFrontends, frontend: Frontend) -> ObservedFrontend:
    near = _observed_answer(service, frontend.near)
    far = near if frontend.far is None else _observed_answer(service, frontend.far)
    return ObservedFrontend(
        near=near,
        far=None if far == near else far,
        sources=None if frontend.sources is None else collapse(frontend.sources),
        affinity=service.affinity if near.endpoints or far.endpoints else 0,
    )


def _observed_answer(service: ServiceFrontends, answer: Answer) -> ObservedAnswer:
    pool = service.pool(answer)
    if not pool:
        return ObservedAnswer(frozenset(), Masquerade.NEVER, service.when_empty)
    return ObservedAnswer(lowest_terms(pool), answer.masquerade)
