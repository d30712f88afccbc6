"""The laws that every plan keeps, as a dataplane would rely on them."""

from collections import Counter
from collections.abc import Mapping

from immutables import Map

from pointsman.core.addresses import IPFamily
from pointsman.core.errors import SyncError
from pointsman.core.model import Model, NodeContext, ServiceFrontends, ServicePortName
from pointsman.core.plan import AddressChange, SyncPlan, diff


class Holder:
    """What a dataplane of one family holds, kept by the delta of each plan; it checks them."""

    def __init__(self, family: IPFamily) -> None:
        self.model = Model(NodeContext(family))
        self.known = False  # whether what is held is what the last plan desired
        self.complete = True
        self.failures: list[Exception | None] = []
        self.broken: AssertionError | None = None

    def sync(self, plan: SyncPlan) -> None:
        """Take a plan, or fail as told. A broken law is kept: the engine takes any error for the kernel's."""
        try:
            self.check(plan)
        except AssertionError as error:
            self.broken = error
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            # All others leave open what was written.
            self.known = self.known and isinstance(failure, SyncError)
            raise failure
        self.model, self.known, self.complete = plan.desired, True, plan.complete

    def check(self, plan: SyncPlan) -> None:
        """Hold a plan to the laws."""
        assert plan.full or self.known, "a partial plan on unknown ground"
        assert plan.full or self.complete or not plan.complete, "what an early part left alone needs a look"
        assert plan.delta == diff(self.model, plan.desired)
        assert moved(self.model, plan) == plan.desired
        assert_counted(plan.desired)
        assert list(plan.triggers) == sorted(plan.triggers, key=lambda t: (t.time, t.service))


def moved(model: Model, plan: SyncPlan) -> Model:
    """What a plan's delta makes of a model, told as slowly and plainly as can be."""
    services = dict(model.services)
    for name, old, new in plan.delta.services:
        assert old != new
        assert services.pop(name, None) == old
        if new is not None:
            services[name] = new
    if plan.delta.node is not None:
        assert plan.delta.node == (model.node, plan.desired.node)
        assert plan.delta.node[0] != plan.delta.node[1]
    counts = counted(services)
    assert plan.delta.cluster_ips == appeared(model.cluster_ips, counts[0])
    assert plan.delta.endpoint_addresses == appeared(model.endpoint_addresses, counts[1])
    node = plan.delta.node[1] if plan.delta.node else model.node
    return Model(node, Map(services), Map(counts[0]), Map(counts[1]))


def appeared(before: Mapping[bytes, int], after: Mapping[bytes, int]) -> AddressChange:
    return AddressChange(tuple(sorted(set(after) - set(before))), tuple(sorted(set(before) - set(after))))


def counted(services: Mapping[ServicePortName, ServiceFrontends]) -> tuple[Counter[bytes], Counter[bytes]]:
    """The users of each ClusterIP and of each endpoint address."""
    frontends = [frontend for state in services.values() for frontend in state.frontends]
    cluster_ips = Counter(
        f.match.address for f in frontends if f.kind == "ClusterIP" and f.match.address is not None
    )
    pools = [{e.address for e in (*state.cluster, *state.local)} for state in services.values()]
    return cluster_ips, Counter(address for pool in pools for address in pool)


def assert_counted(model: Model) -> None:
    assert (dict(model.cluster_ips), dict(model.endpoint_addresses)) == counted(model.services)
    matches = [frontend.match for _, frontend in model.frontends()]
    assert len(matches) == len(set(matches)), "two frontends answer for one destination"
    for name, state in model.services.items():
        assert state.name == name
        assert state.frontends
        for pool in (state.cluster, state.local):
            assert list(pool) == sorted(set(pool))
            assert len({(e.address, e.port) for e in pool}) == len(pool)
