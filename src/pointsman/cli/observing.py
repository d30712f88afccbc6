"""The daemon's observers: health for load balancers and kubelets, metrics and pages for operators."""

import logging
import platform
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from errno import EADDRINUSE
from functools import partial
from typing import TYPE_CHECKING

from pointsman import __version__
from pointsman.core.addresses import IPFamily
from pointsman.core.engine import Engine, Family
from pointsman.core.errors import PointsmanError
from pointsman.core.events import Event
from pointsman.core.model import Model, NamespacedName, ServicePortName
from pointsman.core.plugins import Dataplane, Plugins
from pointsman.core.traffic import Traffic

from .configuration.gates import in_force
from .configuration.writing import plain

# Loaded when they are needed: they take as long as the rest of the daemon, and only `run` serves HTTP.
if TYPE_CHECKING:
    from pointsman.plugins.http.messages import Handler
    from pointsman.plugins.http.server import HttpServer
    from pointsman.plugins.kubernetes.client import ApiClient
    from pointsman.plugins.status.following import Followed

    from .daemon import Decided

log = logging.getLogger(__name__)

LINKS = ("/metrics", "/configz", "/flagz", "/statusz", "/proxyMode")

Fail = Callable[[BaseException], None]


class Observers:
    """Listens to the engine, and answers over HTTP.

    To be made when the source is at work already, so that it need not wait for libraries, and before the
    engine runs. ``fail`` ends the process, where an address can't be had and must be (HTTP-03); ``ends``
    takes what is to be done at its end. ``reconciled`` is for conntrack's reconciler to tell (MET-14).
    """

    def __init__(
        self, decided: "Decided", plugins: Plugins, engine: Engine, fail: Fail, ends: ExitStack
    ) -> None:
        from prometheus_client import CollectorRegistry

        from pointsman.plugins.health.proxy import ProxyHealth
        from pointsman.plugins.metrics.parts import ConntrackMetrics

        self._decided = decided
        self._plugins = plugins
        self._engine = engine
        self._fail = fail
        self._ends = ends
        self._registry = CollectorRegistry()
        self._health = ProxyHealth(decided.config.families, decided.config.sync_period)
        plugins.register(self._health, "health")
        self.reconciled = ConntrackMetrics(self._registry, decided.config.families).reconciled
        self._traffic = _traffic(decided, engine, ends)
        self._measure()
        self._answer_health()
        self._answer_operators()

    def _measure(self) -> None:
        from pointsman.plugins.conntrack.occupancy import occupancy
        from pointsman.plugins.metrics import parts
        from pointsman.plugins.metrics.syncs import SyncMetrics

        config, registry = self._decided.config, self._registry
        self._plugins.register(SyncMetrics(registry, config.families, config.proxy_mode), "metrics")
        parts.process_metrics(registry, __version__, _gates(self._decided))
        parts.Asked(registry, lambda: parts.rejection_metrics(self._engine.rejections))
        parts.Asked(registry, lambda: parts.crash_metrics(self._engine.crashes))
        parts.Asked(registry, lambda: parts.conntrack_metrics(occupancy))
        parts.Asked(registry, lambda: parts.traffic_metrics(self._traffic))
        if config.proxy_mode.startswith("iptables"):
            from pointsman.backends.iptables import accounting

            parts.Asked(registry, lambda: parts.packet_metrics(accounting.counters))
        if self._decided.api_server is not None:
            self._measure_api_server(self._decided.api_server)

    def _measure_api_server(self, server: "ApiClient") -> None:
        from pointsman.plugins.kubernetes.source import KubernetesSource
        from pointsman.plugins.metrics import parts

        client = parts.ClientMetrics(self._registry)
        server.observe(lambda r: client.requested(r.code, r.method, r.host, r.seconds))
        source = self._decided.source
        if isinstance(source, KubernetesSource):
            parts.Asked(self._registry, lambda: parts.source_metrics(source.status()))

    def _answer_health(self) -> None:
        from pointsman.plugins.health.pages import health_pages
        from pointsman.plugins.health.services import ServiceHealthChecks
        from pointsman.plugins.metrics.parts import HealthMetrics

        server, health = self._server("http-health"), self._health.health
        checks = ServiceHealthChecks(
            server, lambda: health().healthy, self._plugins.event, self._decided.config.node_name
        )
        self._plugins.register(checks, "health checks of services")
        self._listen(
            server,
            self._decided.chosen.config.healthz_bind_address,
            health_pages(health, HealthMetrics(self._registry).answered),
            "FailedToStartProxierHealthcheck",
        )

    def _answer_operators(self) -> None:
        from prometheus_client import CollectorRegistry

        from pointsman.plugins.metrics import parts
        from pointsman.plugins.metrics.exposition import exposition
        from pointsman.plugins.status.board import Board
        from pointsman.plugins.status.page import About, page
        from pointsman.plugins.status.pages import status_pages
        from pointsman.plugins.status.profiling import WRITING

        def slis() -> dict[str, bool]:
            return {f"sync-{family}": f.healthy for family, f in self._health.health().families.items()}

        asked = CollectorRegistry()
        parts.Asked(asked, lambda: parts.sli_metrics(slis()))
        chosen = self._decided.chosen.config
        board = Board(self._decided.config.families)
        self._plugins.register(board, "status")
        config = self._decided.config
        about = About(__version__, config.proxy_mode, config.node_name, LINKS)
        pages = status_pages(
            page=page(about, board, lambda: self._engine.rejections, self._followed),
            metrics=self._metrics(),
            slis=partial(exposition, asked),
            mode=config.proxy_mode,
            config=plain(chosen),
            more=_more(self._decided),
            writing=WRITING if chosen.enable_profiling else {},
        )
        server = self._server("http-status")
        self._listen(server, chosen.metrics_bind_address, pages, "FailedToStartMetricServer")

    def _followed(self) -> "list[Followed]":
        """How it stands with the API server, if objects come from one."""
        from pointsman.plugins.kubernetes.source import KubernetesSource
        from pointsman.plugins.status.following import Followed

        source, now = self._decided.source, time.monotonic()
        if not isinstance(source, KubernetesSource):
            return []
        return [
            Followed(kind, None if s.heard is None else now - s.heard, s.failures, s.error, s.served)
            for kind, s in source.status().items()
        ]

    def _metrics(self) -> "Handler":
        """The handler for who scrapes; connections of many Services take a while."""
        from pointsman.plugins.http.messages import Later
        from pointsman.plugins.metrics.exposition import exposition

        if not self._traffic:
            return partial(exposition, self._registry)
        return lambda request: Later(lambda: exposition(self._registry, request))

    def _server(self, name: str) -> "HttpServer":
        from pointsman.plugins.http.server import HttpServer

        server = HttpServer(name)
        self._ends.callback(server.stop)
        return server

    def _listen(self, server: "HttpServer", where: str, handler: "Handler", reason: str) -> None:
        """Have a server listen at an address of the configuration, if it has one (HTTP-03)."""
        from pointsman.plugins.http.binding import Address, Binding

        host, _, port = where.rpartition(":")
        if not port or not int(port):
            return
        address = Address(host.strip("[]"), int(port))

        def failed(error: OSError) -> None:
            message = f"can't listen on {address}: {error.strerror}"
            node = NamespacedName("", self._decided.config.node_name)
            self._plugins.event(Event("Node", node, "Warning", reason, message))
            if self._decided.chosen.config.bind_address_hard_fail:
                do = "free it" if error.errno == EADDRINUSE else "give one that it can listen on"
                remedy = f"{do}, or set bindAddressHardFail to false to have it tried again"
                self._fail(PointsmanError(f"{message}; {remedy}"))

        binding = Binding(server, address, handler, failed)
        self._ends.callback(binding.stop)
        binding.start()


def _traffic(
    decided: "Decided", engine: Engine, ends: ExitStack
) -> dict[IPFamily, Callable[[], Mapping[ServicePortName, int]]]:
    """What counts connections, by family, if that is asked for and the dataplane can."""
    if not decided.chosen.config.pointsman.traffic_counters:
        return {}
    found = {}
    for family, state in engine.families.items():
        if not state.dataplane.counts_traffic:
            fields = {"setting": "pointsman.trafficCounters", "backend": decided.selection.spec.name}
            log.warning("setting_without_effect", extra=fields | {"why": "it counts no connections"})
            return {}
        # Not the one that writes: it belongs to another thread.
        reader = Dataplane(decided.selection.spec, state.dataplane.settings)
        ends.callback(reader.close)
        found[family] = Traffic(partial(_applied, state), reader.traffic).connections
    return found


def _applied(state: Family) -> Model:
    return state.proxy.applied


def _gates(decided: "Decided") -> dict[str, bool]:
    return in_force(decided.chosen.config.feature_gates)


def _more(decided: "Decided") -> Mapping[str, "Handler"]:
    """The pages that can be switched off, or on."""
    from pointsman.plugins.metrics.parts import KUBERNETES
    from pointsman.plugins.status.profiling import profiling_routes
    from pointsman.plugins.status.zpages import Process, flagz, statusz

    gates, routes = _gates(decided), dict[str, "Handler"]()
    if gates["ComponentFlagz"]:
        routes["/flagz"] = flagz(decided.chosen.flags)
    if gates["ComponentStatusz"]:
        paths = ("/configz", "/flagz", "/healthz", "/metrics", "/metrics/slis", "/proxyMode")
        emulated = ".".join(KUBERNETES)
        process = Process(time.time(), __version__, emulated, platform.python_version(), paths)
        routes["/statusz"] = statusz(process)
    if decided.chosen.config.enable_profiling:
        routes |= profiling_routes(_set_verbosity)
    return routes


def _set_verbosity(level: int) -> None:
    from .logs import VERBOSE

    logging.getLogger("pointsman").setLevel(logging.DEBUG if level >= VERBOSE else logging.INFO)
