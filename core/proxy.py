"""One IP family's half of the engine: from tracked objects to plans, and from outcomes to what is applied."""

from collections.abc import Iterable, Mapping, Sequence

from .addresses import IPFamily
from .claims import Claims, Conflict
from .config import ProxyConfig
from .endpointsmap import EndpointsMap
from .facts import NOTHING, FactBook, port_facts, service_facts
from .frontends import FrontendRules, service_frontends
from .model import Model, NamespacedName, NodeContext, ServicePortName
from .plan import Facts, SyncPlan, Trigger, advance
from .servicemap import ServiceMap

DNS_PORT = 53
API_SERVICE = NamespacedName("default", "kubernetes")


class FamilyProxy:
    """Plans for one family (PRO-02).

    What the dataplane holds, ``applied``, advances only when a plan is reported done; a failed plan therefore
    loses nothing: the next one is made from the same ground, and is full (SYNC-07).
    """

    def __init__(
        self, family: IPFamily, config: ProxyConfig, context: NodeContext, *, started: float = 0.0
    ) -> None:
        """``started`` is when the process did, in seconds since the epoch (TRK-06)."""
        self.family = family
        self.services = ServiceMap(family, external_ips_allowed=config.external_ips_allowed)
        self.endpoints = EndpointsMap(family, config.node_name, since=started)
        self.applied = Model(context)
        self.applied_facts = Facts()
        self._context = context
        self._rules = FrontendRules()
        self._claims = Claims()
        self._facts = FactBook()
        self._ports: dict[NamespacedName, tuple[ServicePortName, ...]] = {}
        # Service ports whose applied state may differ from the resolved one, until a plan is done.
        self._unsettled: set[ServicePortName] = set()
        self._planned: set[ServicePortName] = set()
        self._uncomputed: set[NamespacedName] = set()
        self._losers: set[ServicePortName] = set()
        self._conflicts: Mapping[ServicePortName, Sequence[Conflict]] = {}
        self._full = True
        self._cold = True
        self._in_parts = False

    def set_context(self, context: NodeContext, rules: FrontendRules) -> None:
        """Take in what changed on the node; new rules touch every service port."""
        self._context = context
        if rules != self._rules:
            self._rules = rules
            self._recompute(tuple(self._ports))

    def request_full(self) -> None:
        """Make the next plan full: the dataplane is to look at the kernel before it writes."""
        self._full = True

    def pending(self) -> bool:
        """Whether a plan would have anything to do."""
        return bool(
            self._full
            or self._unsettled
            or self.services.pending
            or self.endpoints.pending
            or self._context != self.applied.node
        )

    def plan(self, chunk: int | None = None) -> SyncPlan:
        """What the dataplane has to do now.

        ``chunk`` bounds the service ports of one plan of a cold start: the API server and DNS come first,
        and a last plan, full again, completes it. Whoever carried out an incomplete plan asks for the next
        at once.
        """
        # Not what is pending: what a failed plan held may since have changed back (SYNC-07). Kept until they
        # are computed: what a crash came upon must not be forgotten (SYNC-11).
        self._uncomputed |= self.services.take_changed() | self.endpoints.take_changed()
        self._recompute(self._uncomputed)
        self._uncomputed.clear()
        complete = not self._cold or chunk is None or len(self._unsettled) <= chunk
        self._planned = set(self._unsettled)
        if not complete:
            self._planned = set(sorted(self._unsettled, key=self._urgency)[:chunk])
        self._compare_conflicts()
        changes = ((name, self._claims.resolved(name)) for name in self._planned)
        desired, delta = advance(self.applied, changes, self._context)
        return SyncPlan(
            family=self.family,
            desired=desired,
            delta=delta,
            # What a cold start in parts left alone, its last plan must look at.
            full=self._full or (complete and self._in_parts),
            complete=complete,
            triggers=self._triggers() if complete else (),
            stale_udp=self.endpoints.stale_udp() if complete else frozenset(),
            facts=self._facts.current if complete else self.applied_facts,
        )

    def done(self, plan: SyncPlan) -> None:
        """The dataplane holds what ``plan``, the last one made, desired."""
        self.applied = plan.desired
        self.applied_facts = plan.facts
        self._unsettled -= self._planned
        self._full = False
        self._in_parts = not plan.complete
        if plan.complete:
            self._cold = False
            self.services.settle()
            self.endpoints.settle()

    def failed(self) -> None:
        """The last plan made was not carried out."""
        self._full = True

    def conflicts(self) -> Mapping[ServicePortName, Sequence[Conflict]]:
        """The addresses that service ports claim and don't get: what the last plan found new or changed."""
        return self._conflicts

    def _compare_conflicts(self) -> None:
        found = self._claims.conflicts(self._planned)
        concerned = sorted(found.keys() | (self._losers & self._planned))
        self._conflicts = {name: found.get(name, ()) for name in concerned}
        self._losers = (self._losers - self._planned) | found.keys()

    def _recompute(self, services: Iterable[NamespacedName]) -> None:
        facts = {}
        for service in services:
            found = []
            ports = self.services.current.get(service, ())
            names = tuple(port.name for port in ports)
            for gone in self._ports.get(service, ()):
                if gone not in names:
                    self._unsettled |= self._claims.put(gone, None, "")
            for port in ports:
                endpoints = self.endpoints.endpoints(port.name)
                state = service_frontends(port, endpoints, self._rules)
                self._unsettled |= self._claims.put(port.name, state, port.created)
                found.append(port_facts(port, endpoints, state))
            facts[service] = service_facts(found) if found else NOTHING
            if names:
                self._ports[service] = names
            else:
                self._ports.pop(service, None)
        self._facts.update(facts)

    def _triggers(self) -> tuple[Trigger, ...]:
        """Whose changes wait, and since when, oldest first."""
        found = (*self.endpoints.triggers(), *self.services.triggers())
        return tuple(sorted(found, key=lambda trigger: (trigger.time, trigger.service)))

    def _urgency(self, name: ServicePortName) -> tuple[bool, bool, ServicePortName]:
        """Sorts what everything else on a node waits for to the front: the API server, then DNS."""
        state = self._claims.resolved(name)
        is_dns = state is not None and any(f.match.port == DNS_PORT for f in state.frontends)
        return (name.service != API_SERVICE, not is_dns, name)
