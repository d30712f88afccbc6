"""The engine: objects in, plans out, one independent half per IP family.

Single-threaded and without a clock of its own: `pointsman.core.loop` gives it a thread and a queue. Nothing
is written before everything has been listed once (SYNC-01), so that rules from before a restart keep serving.
"""

import logging
import time
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from .addresses import IPFamily, Network, parse_network
from .apis import ApiObject, EndpointSlice, Kind, Node, Service, ServiceCIDR, kind_name
from .backlog import Backlog
from .config import ProxyConfig
from .errors import DataplaneError, PointsmanError
from .frontends import FrontendRules
from .model import NamespacedName, NodeContext
from .node import NodeFacts, node_context, node_facts, with_bind_address
from .plan import SyncPlan, SyncReport
from .plugins import Dataplane, Plugins
from .proxy import FamilyProxy
from .rejections import Rejections
from .runner import BoundedFrequencyRunner, Clock
from .source import Rejection
from .startup import NodePatience, check_pod_networks

KINDS: frozenset[Kind] = frozenset({Service, EndpointSlice, Node, ServiceCIDR})
IDLE_SECONDS = 3600.0  # a full look at the kernel even when nothing happens (SYNC-03)

log = logging.getLogger(__name__)


class Family:
    """One family at work: its half of the engine, its dataplane, its timetable."""

    def __init__(self, proxy: FamilyProxy, dataplane: Dataplane, runner: BoundedFrequencyRunner) -> None:
        self.proxy = proxy
        self.dataplane = dataplane
        self.runner = runner
        self.chunk: int | None = None
        self._since: float | None = None

    def backlog(self, now: float, *, ready: bool) -> Backlog:
        """What waits; before the first lists are complete, nothing does."""
        if not ready or not self.proxy.pending():
            self._since = None
        elif self._since is None:
            self._since = now
        services, endpoints = self.proxy.services, self.proxy.endpoints
        return Backlog(
            self.proxy.family,
            self._since,
            len(services.pending),
            len(endpoints.pending),
            services.events,
            endpoints.events,
        )


class Engine:
    """Keeps the kernel as the objects say.

    Args:
        config: the settings.
        dataplanes: the dataplane of each family that is served.
        plugins: who is told of syncs.
        clock: monotonic seconds, for the timetable.
        now: seconds since the epoch, for latencies.
        patience: how long a first sync waits for the Node object; None for not at all.

    Attributes:
        rejections: what is wrong with objects.
        families: each family at work.
        crashes: how many plans could not be made, and objects taken in, for some bug of ours (SYNC-11).
    """

    def __init__(
        self,
        config: ProxyConfig,
        dataplanes: Mapping[IPFamily, Dataplane],
        plugins: Plugins,
        *,
        clock: Clock = time.monotonic,
        now: Clock = time.time,
        patience: NodePatience | None = None,
    ) -> None:
        self._config = config
        self._patience = patience
        self.crashes = 0
        self._plugins = plugins
        self._clock = clock
        self._now = now
        self._backlogs: dict[IPFamily, Backlog] = {}
        self._node_seen = False
        self._listed: set[Kind] = set()
        self._facts = NodeFacts()
        self._seen_ips: tuple[bytes, ...] = ()
        self._interface_addresses: frozenset[bytes] = frozenset()
        self._cidrs: dict[NamespacedName, tuple[Network, ...]] = {}
        self.rejections = Rejections()
        self.families = {
            family: Family(
                FamilyProxy(family, config, NodeContext(family), started=now()),
                dataplane,
                BoundedFrequencyRunner(
                    clock,
                    min_interval=config.min_sync_period,
                    max_interval=IDLE_SECONDS,
                    retry_interval=config.sync_period,
                ),
            )
            for family, dataplane in dataplanes.items()
        }
        self._refresh_context()

    def probe(self) -> None:
        """Ask every dataplane what it can do. Raises `BackendUnavailable`."""
        for family in self.families.values():
            family.chunk = family.dataplane.probe().cold_start_chunk

    def replaced(self, kind: Kind, objects: Iterable[ApiObject], kept: Iterable[NamespacedName] = ()) -> None:
        """Take in all the objects of a kind; others but the kept are gone; the kind counts as listed."""
        left = self._names(kind).difference(kept)
        for listed in objects:
            left.discard(_name(listed))
            self._update(listed)
        for name in left:
            self._delete(kind, name)
        self._listed.add(kind)
        self._request()

    def updated(self, updated: ApiObject) -> None:
        """Take in an added or changed object."""
        self._update(updated)
        self._request()

    def deleted(self, kind: Kind, name: NamespacedName) -> None:
        """Take in that an object is gone."""
        self._delete(kind, name)
        self._request()

    def _update(self, updated: ApiObject) -> None:
        place = (kind_name(updated), _name(updated))
        try:
            rejections = self._take_in(updated)
        except PointsmanError:
            raise  # said on purpose, as by `NodeUnfit`
        except Exception as error:
            self.crashes += 1
            rejections = [_not_taken_in(updated, error)]
            if place not in self.rejections.places():  # else it was said already
                log.exception("object_failed", extra={"kind": place[0], "object": str(place[1])})
        self.rejections.report(place, rejections)

    def _take_in(self, updated: ApiObject) -> list[Rejection]:
        proxies = [family.proxy for family in self.families.values()]
        rejections: list[Rejection] = []
        # What was there before we were is nobody's latency.
        heard = self._now() if self.ready() else None
        if isinstance(updated, Service):
            for proxy in proxies:
                rejections += proxy.services.update(updated, heard)
        elif isinstance(updated, EndpointSlice):
            for proxy in proxies:
                rejections += proxy.endpoints.update(updated)
        elif isinstance(updated, ServiceCIDR):
            self._cidrs[_name(updated)], rejections = _networks(updated)
            self._refresh_context()
        elif updated.metadata.name == self._config.node_name:
            facts, rejections = node_facts(updated)
            self._set_facts(facts)
        return rejections

    def _delete(self, kind: Kind, name: NamespacedName) -> None:
        now = self._now()
        for family in self.families.values():
            if kind is Service:
                family.proxy.services.delete(name, now)
            elif kind is EndpointSlice:
                family.proxy.endpoints.delete(name, now)
        if kind is ServiceCIDR and self._cidrs.pop(name, None) is not None:
            self._refresh_context()
        if kind is Node and name.name == self._config.node_name:
            log.warning("node_deleted", extra={"node": name.name})  # its last state stays (IN-NODE-07)
        self.rejections.report((kind.__name__, name), ())

    def rejected(self, origin: str, rejections: Iterable[Rejection]) -> None:
        """Take in all that a source finds wrong at an origin now."""
        self.rejections.report(origin, rejections)

    def set_interface_addresses(self, addresses: Iterable[bytes]) -> None:
        """Take in the addresses of this node's interfaces (SVC-NP-06)."""
        self._interface_addresses = frozenset(addresses)
        self._refresh_context()
        self._request()

    def request_full(self, family: IPFamily) -> None:
        """Have a family's dataplane look at the kernel: somebody else may have changed it."""
        self.families[family].proxy.request_full()
        self.families[family].runner.request()
        self._tell_backlog(self.families[family])

    def kernel_changed(self, family: IPFamily, how: str) -> None:
        """Take in that the kernel doesn't hold what it was given: have the dataplane look, and mend it."""
        log.warning("kernel_changed", extra={"family": str(family), "how": how, "remedy": "a full sync"})
        self.request_full(family)

    def wait(self) -> float | None:
        """Seconds until a sync is due, 0 if one is; None if none will be without news.

        Raises:
            NodeUnfit: this node can't be served.
        """
        if not self._listed >= KINDS:
            return None
        if self._patience is not None and (left := self._patience.left(self._facts)):
            return left
        waits = [wait for f in self.families.values() if (wait := f.runner.wait()) is not None]
        return min(waits, default=None)

    def ready(self) -> bool:
        """Whether everything has been listed once, and the node said who it is or had time enough to."""
        if not self._listed >= KINDS:
            return False
        return self._patience is None or not self._patience.left(self._facts)

    def run_due(self) -> None:
        """Sync the families that are due; one that fails doesn't stop another (PRO-02)."""
        for family in self.families.values():
            if self.ready() and family.runner.wait() == 0:
                self._run(family)

    def _run(self, family: Family) -> None:
        if family.runner.forced():
            family.proxy.request_full()
        ok = True
        while ok and family.proxy.pending():
            plan = self._plan(family)
            ok = plan is not None and self._sync(family, plan)
            if plan is None or plan.complete:
                break
        family.runner.ran(ok=ok)
        self._tell_backlog(family)

    def _plan(self, family: Family) -> SyncPlan | None:
        """The next plan; None if a bug of ours is in its way, which must not end everything (SYNC-11)."""
        try:
            return family.proxy.plan(family.chunk)
        except Exception:
            family.proxy.failed()
            self.crashes += 1
            fields = {"family": str(family.proxy.family), "kept": "the rules of the last sync"}
            log.exception("planning_failed", extra=fields | {"remedy": "tried again; please report this"})
            return None

    def _sync(self, family: Family, plan: SyncPlan) -> bool:
        """Carry out one plan; whether the dataplane now holds what it desires."""
        self._report_conflicts(family)
        writes = plan.full or bool(plan.delta)
        # What no rule shows may still concern observers: a draining endpoint that goes leaves flows behind.
        # New facts are told by identity: to compare them would cost as much as there are services.
        told = plan.triggers or plan.stale_udp or plan.facts is not family.proxy.applied_facts
        if not writes and not told:
            family.proxy.done(plan)
            return True
        self._plugins.before_sync(plan)
        report: SyncReport | None = None
        failure: DataplaneError | None = None
        began = time.perf_counter()
        try:
            report = family.dataplane.sync(plan) if writes else SyncReport()
            family.proxy.done(plan)
        except DataplaneError as error:
            failure = error
            family.proxy.failed()
        self._log_sync(family, plan, report, failure, time.perf_counter() - began)
        self._plugins.after_sync(plan, report, failure)
        return failure is None

    def _log_sync(
        self,
        family: Family,
        plan: SyncPlan,
        report: SyncReport | None,
        failure: DataplaneError | None,
        seconds: float,
    ) -> None:
        fields: dict[str, object] = {
            "family": str(plan.family),
            "full": plan.full,
            "services": len(plan.desired.services),
            "changed": len(plan.delta.services),
            "seconds": round(seconds, 6),
        }
        if report is not None:
            log.info("synced", extra=fields | {"transactions": report.transactions, "writes": report.writes})
        else:
            log.error(
                "sync_failed", extra=fields | {"error": str(failure), "kept": "the rules of the last sync"}
            )

    def _report_conflicts(self, family: Family) -> None:
        for name, conflicts in family.proxy.conflicts().items():
            self.rejections.report(
                ("conflict", family.proxy.family, name),
                (
                    Rejection("Service", str(name.service), str(c.match), f"it belongs to {c.winner} already")
                    for c in conflicts
                ),
            )

    def _request(self) -> None:
        for family in self.families.values():
            if family.proxy.pending():
                family.runner.request()
            self._tell_backlog(family)

    def _tell_backlog(self, family: Family) -> None:
        backlog = family.backlog(self._clock(), ready=self.ready())
        if backlog != self._backlogs.get(backlog.family):
            self._backlogs[backlog.family] = backlog
            self._plugins.backlog(backlog)

    def _names(self, kind: Kind) -> set[NamespacedName]:
        """The names of a kind that anything is known of, be it no more than that something is wrong."""
        names: set[NamespacedName] = set()
        for key in self.rejections.places():
            match key:
                case (kind.__name__, NamespacedName() as name):
                    names.add(name)
        if kind is ServiceCIDR:
            names |= self._cidrs.keys()
        for family in self.families.values():
            if kind is Service:
                names |= family.proxy.services.current.keys()
            elif kind is EndpointSlice:
                names |= family.proxy.endpoints.current.keys()
        return names

    def _set_facts(self, facts: NodeFacts) -> None:
        check_pod_networks(self._config, self._facts, facts)
        # Addresses count as they were first known; a later change is only worth a word (IN-NODE-03).
        if self._facts.ips:
            if facts.ips not in (self._facts.ips, self._seen_ips):
                log.warning("node_ips_changed", extra={"kept": "the first ones until the next start"})
            self._seen_ips = facts.ips
            facts = replace(facts, ips=self._facts.ips)
        if facts != self._facts or not self._node_seen:
            self._facts, self._node_seen = facts, True
            self._refresh_context()
            self._plugins.node(facts)

    def _refresh_context(self) -> None:
        cidrs = {network for networks in self._cidrs.values() for network in networks}
        facts = with_bind_address(self._facts, self._config.bind_address)
        for family, state in self.families.items():
            context = node_context(self._config, family, facts, self._interface_addresses, cidrs)
            rules = FrontendRules(
                zone=facts.zone,
                node_ip=facts.ip(family),
                knows_local_pods=context.local is not None,
                masquerade_all=self._config.masquerade_all,
            )
            state.proxy.set_context(context, rules)


def _name(named: ApiObject) -> NamespacedName:
    return NamespacedName(named.metadata.namespace, named.metadata.name)


def _not_taken_in(failed: ApiObject, error: Exception) -> Rejection:
    reason = f"{error!r} was raised; its last good version stays, if there was one; please report this"
    return Rejection(kind_name(failed), str(_name(failed)), "$", reason)


def _networks(cidr: ServiceCIDR) -> tuple[tuple[Network, ...], list[Rejection]]:
    networks, rejections = [], []
    for text in (cidr.spec.cidrs if cidr.spec else None) or ():
        try:
            networks.append(parse_network(text))
        except ValueError as error:
            reason = f"{error}; it is skipped"
            rejections.append(Rejection("ServiceCIDR", cidr.metadata.name, "$.spec.cidrs", reason))
    return tuple(networks), rejections
