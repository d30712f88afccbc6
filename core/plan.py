"""From one model to the next: deltas, and the plan that a dataplane is given.

A `Delta` is exact: `advance(old, changes)` returns the new model together with the delta that leads there,
at a cost that depends on the changes alone, and `diff(old, new)` finds the same delta the slow way.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

from immutables import Map
from msgspec import Struct

from .addresses import IPFamily
from .model import (
    Endpoint,
    FrontendKind,
    Model,
    NamespacedName,
    NodeContext,
    ServiceFrontends,
    ServicePortName,
)


class ServiceChange(NamedTuple):
    """One service port before and after; None where it did not or does not exist."""

    name: ServicePortName
    old: ServiceFrontends | None
    new: ServiceFrontends | None


class AddressChange(Struct, frozen=True):
    """Addresses that got their first user and addresses that lost their last one, each sorted."""

    added: tuple[bytes, ...] = ()
    removed: tuple[bytes, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything changed."""
        return bool(self.added or self.removed)


class Delta(Struct, frozen=True):
    """What differs between two models; ``node`` holds both contexts where they differ."""

    services: tuple[ServiceChange, ...] = ()
    cluster_ips: AddressChange = AddressChange()
    endpoint_addresses: AddressChange = AddressChange()
    node: tuple[NodeContext, NodeContext] | None = None

    def __bool__(self) -> bool:
        """Whether the models differ at all."""
        return bool(self.services or self.node)


class Cause(StrEnum):
    """What a change came of, and whose word its time is."""

    ENDPOINTS = (
        "endpoints"  # a slice changed; the time is what the slice says, that of a Pod's change (TRK-06)
    )
    SERVICE = "service"  # a Service was added or edited; the time is when that was heard
    REMOVAL = "removal"  # a slice or Service is gone; the time is when that was heard


class Trigger(NamedTuple):
    """A change and when its cause happened, in seconds since the epoch."""

    service: NamespacedName
    time: float
    cause: Cause = Cause.ENDPOINTS


class HealthCheck(Struct, frozen=True):
    """What a load balancer that asks on ``port`` is to hear: this node's Ready endpoints (HC-02).

    ``local_endpoints`` counts distinct addresses over all of a Service's ports, without those that terminate.
    """

    port: int
    local_endpoints: int


class Facts(Struct, frozen=True):
    """What observers need to know of a family beside the model, for no rule shows it.

    ``health_checks`` is another object only where it says something else: who follows it need not look
    through it with every sync. ``serving`` has every UDP service port, with all endpoints that answer, be
    they elsewhere, draining or of no share; their weights mean nothing (CT-02). ``no_local_internal`` and
    ``no_local_external`` count the service ports whose policy is Local, and which have endpoints, but none of
    them here (MET-07).
    """

    health_checks: Map[NamespacedName, HealthCheck] = Map()
    serving: Map[ServicePortName, frozenset[Endpoint]] = Map()
    no_local_internal: int = 0
    no_local_external: int = 0


class SyncPlan(Struct, frozen=True):
    """One unit of work for a dataplane: make the kernel hold ``desired``.

    Where ``full`` is false, the kernel holds ``desired`` less ``delta``: the dataplane may trust that and
    write the delta alone. Where it is true, what the kernel holds is unknown: the dataplane looks, and writes
    the difference. A plan that is not ``complete`` is an early part of a cold start: whatever the kernel
    holds beyond ``desired`` must be left alone, for its turn comes in a later plan.

    What is for observers alone comes with complete plans: ``facts`` of an incomplete one are still those of
    the last complete plan that was carried out.
    """

    family: IPFamily
    desired: Model
    delta: Delta
    full: bool
    complete: bool = True
    triggers: tuple[Trigger, ...] = ()
    stale_udp: frozenset[NamespacedName] = frozenset()
    facts: Facts = Facts()


class TableRules(NamedTuple):
    """The rules of one of the kernel's tables: all that are there, and those that a sync wrote (MET-11)."""

    table: str
    held: int
    written: int


class SyncReport(Struct, frozen=True):
    """What a dataplane did: kernel transactions committed, and objects or elements written or removed.

    ``tables`` is for dataplanes whose work is a rule for this and a rule for that, and which count them.
    """

    transactions: int = 0
    writes: int = 0
    tables: tuple[TableRules, ...] = ()


def advance(
    model: Model, changes: Iterable[tuple[ServicePortName, ServiceFrontends | None]], node: NodeContext
) -> tuple[Model, Delta]:
    """The model after ``changes``, and the delta that leads there.

    ``changes`` maps service ports to their new state, None for gone; those that change nothing fall away.
    """
    services = model.services.mutate()
    cluster_ips, endpoint_addresses = _Users(model.cluster_ips), _Users(model.endpoint_addresses)
    effective = []
    for name, new in sorted(changes, key=lambda change: change[0]):
        old = model.services.get(name)
        if old == new:
            continue
        effective.append(ServiceChange(name, old, new))
        if new is None:
            del services[name]
        else:
            services[name] = new
        for state, step in ((new, +1), (old, -1)):
            if state is not None:
                cluster_ips.count(_cluster_ips(state), step)
                endpoint_addresses.count(_endpoint_addresses(state), step)
    desired = Model(node, services.finish(), cluster_ips.counts(), endpoint_addresses.counts())
    return desired, Delta(
        tuple(effective),
        cluster_ips.change(),
        endpoint_addresses.change(),
        None if node == model.node else (model.node, node),
    )


def diff(old: Model, new: Model) -> Delta:
    """The delta that leads from one model to another, found by comparing everything."""
    names = set(old.services) | set(new.services)
    _, delta = advance(old, ((name, new.services.get(name)) for name in names), new.node)
    return delta


class _Users:
    """Counts users per address on top of a map of counts, and knows whose number rose from or fell to 0."""

    def __init__(self, base: Map[bytes, int]) -> None:
        self._base = base
        self._steps: dict[bytes, int] = {}

    def count(self, addresses: Iterable[bytes], step: int) -> None:
        for address in addresses:
            self._steps[address] = self._steps.get(address, 0) + step

    def counts(self) -> Map[bytes, int]:
        counts = self._base.mutate()
        for address, step in self._steps.items():
            users = self._base.get(address, 0) + step
            if users:
                counts[address] = users
            elif address in self._base:
                del counts[address]
        return counts.finish()

    def change(self) -> AddressChange:
        before = {address: self._base.get(address, 0) for address in self._steps}
        return AddressChange(
            added=tuple(sorted(a for a, step in self._steps.items() if step > 0 and before[a] == 0)),
            removed=tuple(sorted(a for a, step in self._steps.items() if step < 0 and before[a] == -step)),
        )


def _cluster_ips(state: ServiceFrontends) -> Iterator[bytes]:
    for frontend in state.frontends:
        if frontend.kind is FrontendKind.CLUSTER_IP and frontend.match.address is not None:
            yield frontend.match.address


def _endpoint_addresses(state: ServiceFrontends) -> set[bytes]:
    return {endpoint.address for pool in (state.cluster, state.local) for endpoint in pool}
