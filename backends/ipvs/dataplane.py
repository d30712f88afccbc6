"""The ipvs dataplane: the hooks, and the only place that commits."""

import logging
from collections.abc import Callable, Iterable, Iterator
from errno import ENOENT
from time import monotonic
from typing import NamedTuple

from pyroute2.netlink.exceptions import NetlinkError as RouteError

from pointsman.backends.nftables.dataplane import NftablesDataplane
from pointsman.backends.nftables.layout import layout
from pointsman.backends.nftables.netlink import messages
from pointsman.backends.nftables.netlink.elements import ElementCodec
from pointsman.backends.nftables.netlink.errors import NetlinkError
from pointsman.backends.nftables.netlink.messages import Table
from pointsman.backends.nftables.netlink.netfilter import NetfilterSocket
from pointsman.core.backend import DataplaneSettings, Observed
from pointsman.core.errors import BackendUnavailable, ResyncRequired, SyncError
from pointsman.core.features import Capabilities
from pointsman.core.hookspecs import hookimpl
from pointsman.core.model import Model, ServiceFrontends
from pointsman.core.packet import Packet, Trace
from pointsman.core.plan import SyncPlan, SyncReport
from pointsman.core.traffic import Count

from . import environment, guard, sweep
from .netlink import IpvsSocket
from .observe import observed
from .places import Places, block
from .planner import Held, Step, full, partial
from .plugin import IpvsOptions
from .probe import NAME, probe, refused
from .servers import DELETE_SERVICE, Leaving, Request
from .split import DEFAULT_SCHEDULER
from .state import read

log = logging.getLogger(__name__)


class _Sockets(NamedTuple):
    """The doors to the kernel that are this backend's own."""

    ipvs: IpvsSocket
    netfilter: NetfilterSocket


class IpvsDataplane:
    """One family's virtual servers, behind a table of the nftables backend's making.

    Sockets are opened on first use, in the network namespace of the calling thread, and then kept.
    """

    def __init__(self, settings: DataplaneSettings) -> None:
        options = settings.options or IpvsOptions()
        self._family = settings.family
        self.scheduler = options.scheduler or DEFAULT_SCHEDULER
        self._timeouts = options.timeouts
        self._refused: dict[str, bool] = {}
        self._network = block(settings.family, settings.instance)
        # A name of its own: while the proxy mode is changed, both modes' tables may be there.
        instance = f"ipvs-{settings.instance}"
        self._inner = NftablesDataplane(
            DataplaneSettings(settings.family, instance, traffic=settings.traffic)
        )
        self._layout = layout(settings.family, instance)
        self._guard = Table(self._layout.family, f"{self._layout.table.name}-guard")
        self._places = Places(self._network)
        self._held = Held()
        self._swept = 0.0
        self._sockets: _Sockets | None = None

    @hookimpl
    def dataplane_probe(self) -> Capabilities:
        """See `Drive.dataplane_probe`."""
        try:
            inner = self._inner.dataplane_probe()
        except BackendUnavailable as error:
            raise BackendUnavailable(NAME, error.reason, error.remedy) from error
        return probe(inner, self._network, self.scheduler)

    @hookimpl
    def dataplane_sync(self, plan: SyncPlan) -> SyncReport:
        """See `Drive.dataplane_sync`."""
        try:
            opened = self._open()
            held = read(opened.ipvs, self._network) if plan.full else {}
        except OSError as error:
            raise SyncError(NAME, f"can't read the virtual servers: {error}") from error
        if plan.full:
            self._try_schedulers(opened.ipvs, plan.desired.services.values())
            places = Places(self._network)
            report, step = self._prepare(opened), full(plan, held, places, self._choose)
        else:
            self._try_schedulers(opened.ipvs, (new for _, _, new in plan.delta.services if new is not None))
            places = self._places
            report, step = SyncReport(), partial(plan, self._held, places, self._choose)
        due = step.held.leaving if plan.full or self._is_time() else step.requests.leaving
        report, leaving = self._carry_out(step, due, opened, report)
        for name, _, new in plan.delta.services:
            if new is None and not plan.full:
                places.leave(name)
        self._places, self._held = places, step.held._replace(leaving=leaving)
        return report

    @hookimpl
    def dataplane_observe(self, meant: Model | None) -> Observed:
        """See `Drive.dataplane_observe`."""
        inner = self._inner.dataplane_observe(meant)
        held = read(self._open().ipvs, self._network)
        anything = bool(inner.frontends or inner.cluster_ips or inner.service_cidrs or held)
        return observed(inner, held, self._network, self._faults() if anything else iter(()))

    @hookimpl
    def dataplane_trace(self, packet: Packet) -> Trace:
        """See `Drive.dataplane_trace`."""
        # Imported late: only who explains packets pays for the interpreter.
        from .trace import follow

        inner = self._inner.dataplane_trace(packet)
        return follow(packet, inner, self._network, self._open().ipvs, self._is_hairpin)

    @hookimpl
    def dataplane_cleanup(self) -> bool:
        """See `Drive.dataplane_cleanup`."""
        anything = self._inner.dataplane_cleanup()
        ipvs, netfilter = self._open()
        ours = [server for server, _ in list(ipvs.services()) if server.address in self._network]
        ipvs.commit([Request(DELETE_SERVICE, server) for server in ours])
        if guard.present(netfilter, self._guard):
            netfilter.commit([messages.delete_table(self._guard)])
            anything = True
        self._places, self._held = Places(self._network), Held()
        routes = environment.remove(self._family, self._network)
        return anything or bool(ours) or bool(routes)

    @hookimpl
    def dataplane_traffic(self, model: Model) -> list[Count]:
        """See `Drive.dataplane_traffic`: connections are counted where the table leads them to IPVS."""
        return self._inner.dataplane_traffic(model)

    @hookimpl
    def dataplane_close(self) -> None:
        """See `Drive.dataplane_close`."""
        self._inner.dataplane_close()
        if self._sockets is not None:
            self._sockets.ipvs.close()
            self._sockets.netfilter.close()
        self._sockets = None

    @hookimpl
    def dataplane_watch(self, changed: Callable[[], None]) -> None:
        """See `Drive.dataplane_watch`. IPVS tells nobody of changes: they are the audit's to find."""
        self._inner.dataplane_watch(changed)

    def _open(self) -> _Sockets:
        if self._sockets is None:
            ipvs = IpvsSocket()
            try:
                self._sockets = _Sockets(ipvs, NetfilterSocket())
            except OSError:
                ipvs.close()
                raise
        return self._sockets

    def _choose(self, service: ServiceFrontends) -> str:
        """The scheduler a service port asks for if the kernel has it, else the one for all."""
        wanted = service.scheduler
        return wanted if wanted and not self._refused[wanted] else self.scheduler

    def _try_schedulers(self, ipvs: IpvsSocket, services: Iterable[ServiceFrontends]) -> None:
        """Find out about schedulers nobody has asked for before; one the kernel lacks is reported once."""
        for service in services:
            wanted = service.scheduler
            if wanted and wanted not in self._refused:
                error = refused(ipvs, self._network, wanted)
                self._refused[wanted] = error is not None
                if error is not None:
                    told = {"service": str(service.name), "scheduler": wanted, "reason": error.reason}
                    kept = f"the service is served by {self.scheduler}"
                    log.warning("scheduler_refused", extra=told | {"kept": kept, "remedy": error.remedy})

    def _prepare(self, opened: _Sockets) -> SyncReport:
        """Routes, settings and the guard, before anybody is led to a virtual server."""
        try:
            writes = environment.ensure(self._family, self._network)
            writes += self._set_timeouts(opened.ipvs)
            if guard.intact(opened.netfilter, self._guard, self._network):
                return SyncReport(writes=writes)
            operations = guard.create(self._guard, self._network)
            opened.netfilter.commit(operations)
        except (OSError, RouteError) as error:
            raise SyncError(NAME, f"can't prepare the node for virtual servers: {error}") from error
        return SyncReport(1, writes + len(operations))

    def _set_timeouts(self, ipvs: IpvsSocket) -> int:
        """Have IPVS forget idle connections when it should (IPVS-03)."""
        if not any(self._timeout_faults(ipvs)):
            return 0
        ipvs.set_timeouts(self._timeouts)
        return 1

    def _timeout_faults(self, ipvs: IpvsSocket) -> Iterator[str]:
        if any(self._timeouts):
            held = ipvs.timeouts()
            wanted = self._timeouts.over(held)
            if held != wanted:
                yield f"IPVS' time-outs are {held}, not {wanted}"

    def _is_time(self) -> bool:
        """Whether to look at all who are leaving, at most once in a while."""
        now = monotonic()
        if now - self._swept < sweep.PERIOD:
            return False
        self._swept = now
        return True

    def _carry_out(
        self, step: Step, due: Leaving, opened: _Sockets, done: SyncReport
    ) -> tuple[SyncReport, Leaving]:
        """First whom packets may be led to, then where they are led, then whom they are led to no more."""
        requests = step.requests
        inner = SyncReport()
        try:
            opened.ipvs.commit(requests.make)
            if step.table is not None:
                inner = self._inner.dataplane_sync(step.table)
            opened.ipvs.commit(requests.clear)
            swept = sweep.sweep(opened.ipvs, step.held.leaving, due)
        except (SyncError, ResyncRequired, OSError) as error:
            raise ResyncRequired(NAME, str(error)) from error
        parts = (requests.make, requests.clear, swept.requests)
        report = SyncReport(
            done.transactions + inner.transactions + sum(map(bool, parts)),
            done.writes + inner.writes + sum(map(len, parts)),
        )
        return report, swept.leaving

    def _faults(self) -> Iterator[str]:
        yield from environment.faults(self._family, self._network)
        yield from self._timeout_faults(self._open().ipvs)
        if not guard.intact(self._open().netfilter, self._guard, self._network):
            yield f"table {self._guard} is missing or has other rules"

    def _is_hairpin(self, address: bytes) -> bool:
        codec = ElementCodec(self._layout.hairpin)
        try:
            found = self._open().netfilter.get_elements(self._layout.table, codec, [address + address])
        except NetlinkError as error:
            if error.errno != ENOENT:
                raise
            return False
        return found != [None]
