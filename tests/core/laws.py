"""The laws that every plan keeps, as a dataplane would rely on them."""

from collections import Counter
from collections.abc import Mapping

from immutables import Map

from pointsman.core.addresses import IPFamily
from pointsman.core.annotations import Weights
from pointsman.core.endpointsmap import EndpointInfo
from pointsman.core.errors import SyncError
from pointsman.core.model import Endpoint, Model, NodeContext, Protocol, ServiceFrontends, ServicePortName
from pointsman.core.plan import AddressChange, Facts, HealthCheck, SyncPlan, diff
from pointsman.core.proxy import FamilyProxy


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


def facts_of(proxy: FamilyProxy) -> Facts:
    """The facts of all that a proxy knows now, told as slowly and plainly as can be."""
    checks, serving, internal, external = {}, {}, 0, 0
    for service, ports in proxy.services.current.items():
        ready_here = set()
        for port in ports:
            endpoints = proxy.endpoints.endpoints(port.name)
            ready_here |= {ip for (ip, _), info in endpoints.items() if info.ready and info.local}
            if port.name.protocol is Protocol.UDP:
                answering = [place for place, info in endpoints.items() if info.ready or info.serving]
                serving[port.name] = frozenset(Endpoint(*place) for place in answering)
            usable = [
                info
                for info in endpoints.values()
                if _share(port.weights, info) != 0 and (info.ready or (info.serving and info.terminating))
            ]
            if usable and not any(info.local for info in usable):
                internal += port.internal_local
                external += port.external_local and port.externally_accessible
        if ports[0].health_check_node_port:
            checks[service] = HealthCheck(ports[0].health_check_node_port, len(ready_here))
    return Facts(Map(checks), Map(serving), internal, external)


def _share(weights: Weights, info: EndpointInfo) -> int | None:
    return weights.of(info.address) if info.weight is None else info.weight
