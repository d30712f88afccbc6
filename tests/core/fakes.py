"""A clock that is set by hand, a dataplane that does as it is told, and an engine made of both."""

from collections.abc import Callable, Sequence

from pointsman.core.addresses import IPFamily
from pointsman.core.backend import BackendSpec, DataplaneSettings, Observed
from pointsman.core.backlog import Backlog
from pointsman.core.config import ProxyConfig
from pointsman.core.engine import KINDS, Engine
from pointsman.core.errors import DataplaneError
from pointsman.core.features import Capabilities
from pointsman.core.hookspecs import hookimpl
from pointsman.core.node import NodeFacts
from pointsman.core.packet import Action, Packet, Trace, Verdict
from pointsman.core.plan import SyncPlan, SyncReport
from pointsman.core.plugins import Dataplane, Plugins
from pointsman.core.startup import NodePatience

from .objects import NODE


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


class Script:
    """A dataplane that keeps every plan, and raises what it was told to."""

    def __init__(self) -> None:
        self.plans: list[SyncPlan] = []
        self.failures: list[Exception] = []
        self.chunk: int | None = None
        self.on_sync: Callable[[SyncPlan], None] = lambda plan: None

    @hookimpl
    def dataplane_probe(self) -> Capabilities:
        return Capabilities({}, cold_start_chunk=self.chunk)

    @hookimpl
    def dataplane_sync(self, plan: SyncPlan) -> SyncReport:
        self.plans.append(plan)
        self.on_sync(plan)
        if self.failures:
            raise self.failures.pop(0)
        return SyncReport(transactions=1, writes=len(plan.delta.services))

    @hookimpl
    def dataplane_observe(self) -> Observed:
        return Observed({})

    @hookimpl
    def dataplane_trace(self, packet: Packet) -> Trace:
        return Trace(Verdict(Action.PASS), ())

    @hookimpl
    def dataplane_cleanup(self) -> bool:
        return False


class Listener:
    """An observer that keeps what it was told."""

    def __init__(self) -> None:
        self.before: list[SyncPlan] = []
        self.after: list[tuple[SyncPlan, SyncReport | None, Exception | None]] = []
        self.ended = 0
        self.backlogs: list[Backlog] = []
        self.nodes: list[NodeFacts] = []

    @hookimpl
    def pointsman_backlog(self, backlog: Backlog) -> None:
        self.backlogs.append(backlog)

    @hookimpl
    def pointsman_node(self, facts: NodeFacts) -> None:
        self.nodes.append(facts)

    @hookimpl
    def pointsman_before_sync(self, plan: SyncPlan) -> None:
        self.before.append(plan)

    @hookimpl
    def pointsman_after_sync(
        self, plan: SyncPlan, report: SyncReport | None, error: Exception | None
    ) -> None:
        self.after.append((plan, report, error))

    @hookimpl
    def pointsman_shutdown(self) -> None:
        self.ended += 1


class Bench:
    """An engine, what drives it and what it drives.

    ``scripts`` are its dataplanes, ``listener`` is an observer, ``clock`` what it goes by if not another.
    """

    def __init__(
        self,
        config: ProxyConfig | None = None,
        plugins: Sequence[object] = (),
        *,
        now: float = 1e9,
        clock: Callable[[], float] | None = None,
        on_sync: Callable[[SyncPlan], None] = lambda plan: None,
    ) -> None:
        self.clock = Clock()
        self.now = now
        self.listener = Listener()
        self.config = config or ProxyConfig(NODE, families=(IPFamily.IPV4,), min_sync_period=0)
        self.scripts = {family: Script() for family in self.config.families}
        self.script.on_sync = on_sync
        spec = BackendSpec("script", "does as it is told", lambda settings: self.scripts[settings.family])
        self._dataplanes = {
            family: Dataplane(spec, DataplaneSettings(family)) for family in self.config.families
        }
        self._plugins = Plugins([*plugins, self.listener], discover=False)
        self._clock = clock or self.clock
        self.patience: NodePatience | None = None
        self.restart()

    def restart(self) -> None:
        """Begin anew, with an engine that knows nothing and dataplanes that remember no plan."""
        for script in self.scripts.values():
            script.plans.clear()
        self.engine = Engine(
            self.config,
            self._dataplanes,
            self._plugins,
            clock=self._clock,
            now=lambda: self.now,
            patience=self.patience,
        )

    @property
    def script(self) -> Script:
        """The IPv4 dataplane."""
        return self.scripts[IPFamily.IPV4]

    def list_all(self) -> None:
        """Say that nothing exists yet, and sync that."""
        for kind in KINDS:
            self.engine.replaced(kind, [])
        self.engine.run_due()

    def run(self) -> list[SyncPlan]:
        """Let the engine do what is due; the IPv4 plans that came of it."""
        known = len(self.script.plans)
        self.engine.run_due()
        return self.script.plans[known:]


def failure(text: str = "no memory") -> DataplaneError:
    """What a dataplane may raise."""
    return DataplaneError("script", text)
