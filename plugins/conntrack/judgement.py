"""Which flows are wrong, and for how long each may still stay: decided, nothing done."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from pointsman.core.model import NamespacedName, Protocol, ServiceFrontends, ServicePortName
from pointsman.core.plan import ServiceChange

from .flows import Flow, Place, Target

EMPTY_SECONDS = 60.0
"""How long flows stay with what was an endpoint where a Service has none left.

Upstream leaves them for good (CT-05), so that a client that never pauses sends into the void for as long as
there is none, or to whoever was given the address since (kubernetes/kubernetes#139628). A minute rides out a
restart of the only pod, a probe that failed once and a slice that is late.
"""

ANSWER_SECONDS = 1.0
"""How long a flow that nobody has answered yet stays with an endpoint that has left.

Its first packet may have been sent on just before, and without the entry an answer under way is lost, as it
may be upstream. A client of an endpoint that is gone for good waits so much longer at most.
"""


class Rules(NamedTuple):
    """What flows are held against.

    Attributes:
        owners: the service port that each frontend belongs to.
        gone: frontends that nobody has any more, and for how many seconds their flows may go on.
        serving: the endpoints that flows of a service port may be with (CT-02).
        drains: for how many seconds flows may stay with an endpoint that has left, where that is any time.
    """

    owners: Mapping[Target, ServicePortName]
    gone: Mapping[Target, float]
    serving: Callable[[ServicePortName], frozenset[Place]]
    drains: Mapping[ServicePortName, float]


class Verdict(NamedTuple):
    """A flow that is wrong.

    Attributes:
        flow: the flow.
        target: the frontend by which it came.
        owner: whose that frontend is, None if it is gone.
        patience: for how many seconds, from when it was first seen, it may stay.
    """

    flow: Flow
    target: Target
    owner: ServicePortName | None
    patience: float


def wrong(flows: Iterable[Flow], rules: Rules) -> Iterator[Verdict]:
    """Those of some flows that are not where they should be (CT-02…CT-06), each by itself.

    An address says more than a number: a flow to a ClusterIP is not one to the node port that happens to have
    the same number, though a flow to that node port may go to whatever address (CT-04).
    """
    for flow in flows:
        for target in (Target(*flow.destination), Target(None, flow.destination[1])):
            owner = rules.owners.get(target)
            if owner is not None:
                patience = _patience(flow, owner, rules)
            elif target in rules.gone:
                # Nobody translated it: it has found another way, or none, and is none of our business.
                patience = rules.gone[target] if flow.translated else None
            else:
                continue
            if patience is not None:
                yield Verdict(flow, target, owner, patience)
            break


def _patience(flow: Flow, owner: ServicePortName, rules: Rules) -> float | None:
    """How long a flow to a service port may stay; None for ever."""
    serving = rules.serving(owner)
    if flow.source in serving:
        return None
    drain = rules.drains.get(owner, 0.0)
    if not serving:
        return max(drain, EMPTY_SECONDS)
    # Without an endpoint there is nothing to drain: such a flow began before the rules were there.
    if not flow.translated:
        return 0.0
    return drain if flow.answered else max(drain, ANSWER_SECONDS)


class Frontends:
    """The UDP frontends of one family, kept up from plan to plan.

    Attributes:
        owners, gone, drains: see `Rules`.
    """

    def __init__(self) -> None:
        self.owners: dict[Target, ServicePortName] = {}
        self.gone: dict[Target, float] = {}
        self.drains: dict[ServicePortName, float] = {}
        self._targets: dict[ServicePortName, frozenset[Target]] = {}
        self._ports: dict[NamespacedName, set[ServicePortName]] = {}

    def advance(self, changes: Iterable[ServiceChange]) -> set[Target]:
        """Take in what a plan changed; the frontends that appeared, disappeared or changed hands."""
        udp = [change for change in changes if change.name.protocol is Protocol.UDP]
        before: dict[Target, ServicePortName] = {}
        # First all that go: an address may pass from one Service to another within a plan.
        for change in udp:
            before.update(dict.fromkeys(self._remove(change.name), change.name))
        came = {target for change in udp for target in self._add(change)}
        return {target for target in before.keys() | came if before.get(target) != self.owners.get(target)}

    def targets(self, services: Iterable[NamespacedName]) -> set[Target]:
        """The frontends of some services."""
        ports = (name for service in services for name in self._ports.get(service, ()))
        return {target for name in ports for target in self._targets[name]}

    def forget(self, targets: Collection[Target] | None, *, but: Collection[Target]) -> None:
        """Forget those that are gone, of some targets or of all, save a few."""
        for target in [target for target in self.gone if targets is None or target in targets]:
            if target not in but:
                del self.gone[target]

    def _remove(self, name: ServicePortName) -> frozenset[Target]:
        targets = self._targets.pop(name, frozenset())
        drain = self.drains.pop(name, 0.0)
        for target in targets:
            del self.owners[target]
            self.gone[target] = drain
        if targets:
            ports = self._ports[name.service]
            ports.discard(name)
            if not ports:
                del self._ports[name.service]
        return targets

    def _add(self, change: ServiceChange) -> frozenset[Target]:
        targets = udp_targets(change.new)
        if change.new is None or not targets:
            return frozenset()
        for target in targets:
            self.owners[target] = change.name
            self.gone.pop(target, None)
        if change.new.drain:
            self.drains[change.name] = change.new.drain
        self._targets[change.name] = targets
        self._ports.setdefault(change.name.service, set()).add(change.name)
        return targets


def udp_targets(state: ServiceFrontends | None) -> frozenset[Target]:
    """The frontends of a service port, if it is one of UDP."""
    if state is None or state.name.protocol is not Protocol.UDP:
        return frozenset()
    return frozenset(Target(frontend.match.address, frontend.match.port) for frontend in state.frontends)
