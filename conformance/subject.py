"""The service proxy under test: a backend's dataplanes, and an engine that drives them in this process."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from pointsman.core.addresses import IPFamily
from pointsman.core.apis import KINDS, ApiObject
from pointsman.core.backend import BackendSpec, DataplaneSettings, Observed, expected
from pointsman.core.calls import Unreturned
from pointsman.core.companions import Companion
from pointsman.core.config import ProxyConfig
from pointsman.core.engine import Engine
from pointsman.core.errors import PluginError
from pointsman.core.features import Capabilities
from pointsman.core.hookspecs import hookimpl
from pointsman.core.model import Match, Model, NamespacedName, ServicePortName
from pointsman.core.packet import Packet, Trace
from pointsman.core.plan import Delta, Facts, SyncPlan, SyncReport
from pointsman.core.plugins import Dataplane, Plugins
from pointsman.core.source import Rejection

ORACLE = "memory"

R = TypeVar("R")
Run = Callable[..., Any]


class Synced(NamedTuple):
    """A sync that was carried out, or the error that stopped it."""

    plan: SyncPlan
    report: SyncReport | None
    error: Exception | None


class Journal:
    """A plugin that keeps what becomes of syncs, until somebody takes it."""

    def __init__(self) -> None:
        self._entries: list[Synced] = []

    @hookimpl
    def pointsman_after_sync(
        self, plan: SyncPlan, report: SyncReport | None, error: Exception | None
    ) -> None:
        """See `Observe.pointsman_after_sync`."""
        self._entries.append(Synced(plan, report, error))

    def take(self) -> list[Synced]:
        """What became of the syncs since this was last asked."""
        taken, self._entries = self._entries, []
        return taken


class Subject:
    """A backend for the length of a run, used by one case after another.

    Args:
        spec: the backend.
        capabilities: what it can do, for each family that it can serve here.
        plugins: all plugins, among them the oracle.
        journal: told of every sync.
        run: calls a function where the dataplanes are to live.
        instance: the name that the dataplanes' kernel objects carry.
    """

    def __init__(
        self,
        spec: BackendSpec,
        capabilities: Mapping[IPFamily, Capabilities],
        plugins: Plugins,
        journal: Journal,
        run: Run,
        instance: str,
    ) -> None:
        self.spec = spec
        self.capabilities = capabilities
        self.plugins = plugins
        self.journal = journal
        self.run = run
        self.instance = instance
        self._dataplanes: dict[IPFamily, Dataplane] = {}
        self._hung: list[Dataplane] = []
        self._unmade = ""
        self._companions: list[Companion] = []

    @property
    def families(self) -> tuple[IPFamily, ...]:
        """The families served."""
        return tuple(self.capabilities)

    def dataplanes(self) -> Mapping[IPFamily, Dataplane]:
        """The dataplanes, made when first asked for: opening a kernel's door takes long.

        Raises:
            SyncFailed: an earlier one is still at work, by a hook that hangs, or was never made for the same
                reason; another would wait for it, too.
            PluginError: one can't be made.
        """
        if self._unmade:
            raise SyncFailed(self._unmade)
        for hung in self._hung:
            if hung.hanging:
                raise SyncFailed(f"{hung.name}: {hung.hanging}")
        for family in self.families:
            if family not in self._dataplanes:
                self._dataplanes[family] = self._make(family)
        return self._dataplanes

    def accompanied(self) -> Plugins:
        """Those that a new proxy tells of its syncs: the journal, and what works beside it from now on.

        What worked beside the last one ends.
        """
        self._leave()
        told = Plugins([self.journal], discover=False)
        if not self.spec.simulated:
            for spec in self.plugins.companions:
                companion = self.run(spec.start, self.families)
                self._companions.append(companion)
                told.register(companion, spec.name)
        return told

    def oracles(self) -> dict[IPFamily, Dataplane]:
        """A new oracle for each family."""
        spec = self.plugins.backends[ORACLE]
        return {family: Dataplane(spec, DataplaneSettings(family)) for family in self.families}

    def cleanup(self) -> None:
        """Remove what the dataplanes hold; where one can't, they are made anew."""
        self._leave()
        try:
            for dataplane in self._dataplanes.values():
                self.run(dataplane.cleanup)
        except BaseException:
            self.forget()
            raise

    def forget(self) -> None:
        """Let go of the dataplanes, as a process does that ends: what the kernel holds stays.

        One that only simulates stays itself: it is all the kernel there is.
        """
        self._leave()
        if self.spec.simulated:
            return
        gone, self._dataplanes = self._dataplanes, {}
        for dataplane in gone.values():
            self._end(dataplane)

    def wipe(self) -> None:
        """Remove what the dataplanes hold behind their backs, as a careless administrator might."""
        for family, own in self._dataplanes.items():
            other = own if self.spec.simulated else self._make(family)
            try:
                self.run(other.cleanup)
            finally:
                if other is not own:
                    self._end(other)

    def _make(self, family: IPFamily) -> Dataplane:
        try:
            made: Dataplane = self.run(Dataplane, self.spec, DataplaneSettings(family, self.instance))
        except PluginError as error:
            if isinstance(error.__cause__, Unreturned):
                self._unmade = str(error)
            raise
        return made

    def _end(self, dataplane: Dataplane) -> None:
        self.run(dataplane.close)
        if dataplane.hanging:
            self._hung.append(dataplane)

    def _leave(self) -> None:
        while self._companions:
            self._companions.pop().stop()


class SyncFailed(AssertionError):
    """A dataplane did not carry out a plan."""


class Proxy:
    """An engine with its dataplanes, and oracles that are told the same; it syncs when told to.

    Raises:
        SyncFailed: from `sync` and `resync`.
    """

    def __init__(self, subject: Subject, config: ProxyConfig) -> None:
        self._subject = subject
        self._dataplanes = subject.dataplanes()
        self._engine = Engine(config, self._dataplanes, subject.accompanied())
        self._oracles = subject.oracles()

    @property
    def rejections(self) -> tuple[Rejection, ...]:
        """All that is wrong with the objects now."""
        return tuple(self._engine.rejections)

    def list(self, objects: Iterable[ApiObject], interface_addresses: Iterable[bytes]) -> None:
        """Tell the engine of all objects there are, and of the node's addresses."""
        self.see_addresses(interface_addresses)
        listed = list(objects)
        for kind in KINDS.values():
            self._engine.replaced(kind, [one for one in listed if isinstance(one, kind)])

    def see_addresses(self, interface_addresses: Iterable[bytes]) -> None:
        """Tell the engine which addresses the node has now."""
        self._engine.set_interface_addresses(interface_addresses)

    def update(self, updated: ApiObject) -> None:
        """Tell the engine of an object that was added or changed."""
        self._engine.updated(updated)

    def delete(self, kind: str, name: NamespacedName) -> None:
        """Tell the engine of an object that is gone."""
        self._engine.deleted(KINDS[kind], name)

    def sync(self) -> dict[IPFamily, SyncReport]:
        """Have the dataplanes do what is to be done; what each of them did."""
        self._subject.journal.take()
        self._subject.run(self._engine.run_due)
        reports: dict[IPFamily, SyncReport] = {}
        for plan, report, error in self._subject.journal.take():
            if report is None:
                raise SyncFailed(f"{plan.family}: {error}") from error
            done = reports.get(plan.family, SyncReport())
            reports[plan.family] = SyncReport(
                done.transactions + report.transactions, done.writes + report.writes
            )
        for family, oracle in self._oracles.items():
            oracle.sync(SyncPlan(family, self._engine.families[family].proxy.applied, Delta(), full=True))
        return reports

    def resync(self) -> dict[IPFamily, SyncReport]:
        """Have the dataplanes look at what they hold, as if somebody else could have changed it."""
        for family in self._dataplanes:
            self._engine.request_full(family)
        return self.sync()

    def trace(self, packet: Packet) -> Trace:
        """The dataplane's word on a packet."""
        return self._dataplanes[self._family(packet)].trace(packet)

    def judge(self, packet: Packet) -> Trace:
        """The oracle's word on a packet."""
        return self._oracles[self._family(packet)].trace(packet)

    def model(self, family: IPFamily) -> Model:
        """What the dataplane was told last."""
        return self._engine.families[family].proxy.applied

    def facts(self, family: IPFamily) -> Facts:
        """What the engine knows beside the model, as of the last sync."""
        return self._engine.families[family].proxy.applied_facts

    def owner(self, packet: Packet) -> ServicePortName | None:
        """The service port that a packet is for, if it is for any."""
        model = self.model(self._family(packet))
        owners = {frontend.match: service.name for service, frontend in model.frontends()}
        if packet.protocol is None:
            return None
        at_port = (packet.protocol, packet.port)
        node_port = owners.get(Match(None, *at_port)) if packet.to_node else None
        return owners.get(Match(packet.destination, *at_port), node_port)

    def observations(self) -> Iterator[tuple[IPFamily, Observed, Observed]]:
        """For each family, what its dataplane holds and what it has to."""
        for family, dataplane in self._dataplanes.items():
            yield family, self._subject.run(dataplane.observe), expected(self.model(family))

    def _family(self, packet: Packet) -> IPFamily:
        return next(f for f in self._dataplanes if f.address_length == len(packet.destination))
