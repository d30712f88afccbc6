"""What all broken dataplanes have in common."""

from typing import ClassVar

from immutables import Map
from msgspec.structs import replace

from pointsman.backends.memory.dataplane import MemoryDataplane
from pointsman.core.backend import DataplaneSettings, Observed
from pointsman.core.features import Capabilities
from pointsman.core.hookspecs import hookimpl
from pointsman.core.model import Frontend, Model, NodeContext, ServiceFrontends, ServicePortName
from pointsman.core.packet import Affinity, Packet, Trace, Verdict
from pointsman.core.plan import Delta, SyncPlan, SyncReport

Services = Map[ServicePortName, ServiceFrontends]


class Mutant:
    """Two dataplanes: a healthy one that is looked at, and a broken one that packets meet."""

    caught_by: ClassVar[str]
    """A case that finds it out, after its module."""

    def __init__(self, settings: DataplaneSettings) -> None:
        self.family = settings.family
        self.healthy = MemoryDataplane(settings)
        self.broken = MemoryDataplane(settings)
        self.held = Model(NodeContext(settings.family))

    @hookimpl
    def dataplane_probe(self) -> Capabilities:
        return self.healthy.dataplane_probe()

    @hookimpl
    def dataplane_sync(self, plan: SyncPlan) -> SyncReport:
        model = self.distorted(plan)
        self.broken.dataplane_sync(SyncPlan(self.family, model, Delta(), full=True))
        self.held = model
        return self.healthy.dataplane_sync(plan)

    @hookimpl
    def dataplane_observe(self) -> Observed:
        return self.healthy.dataplane_observe()

    @hookimpl
    def dataplane_trace(self, packet: Packet) -> Trace:
        affinity = self.broken.dataplane_trace(packet).affinity
        return Trace(
            self.answer(packet, self.judge(packet)),
            (),
            None if affinity is None else self.memory(packet, affinity),
        )

    @hookimpl
    def dataplane_cleanup(self) -> bool:
        self.held = Model(NodeContext(self.family))
        self.broken.dataplane_cleanup()
        return self.healthy.dataplane_cleanup()

    def judge(self, packet: Packet) -> Verdict:
        """What the broken one says."""
        return self.broken.dataplane_trace(packet).verdict

    def distorted(self, plan: SyncPlan) -> Model:
        """What the broken one is told."""
        services = {name: self.service(state) for name, state in plan.desired.services.items()}
        return replace(plan.desired, node=self.node(plan.desired.node), services=Map(services))

    def node(self, node: NodeContext) -> NodeContext:
        return node

    def service(self, state: ServiceFrontends) -> ServiceFrontends:
        return replace(state, frontends=tuple(self.frontend(one) for one in state.frontends))

    def frontend(self, frontend: Frontend) -> Frontend:
        return frontend

    def answer(self, packet: Packet, verdict: Verdict) -> Verdict:
        return verdict

    def memory(self, packet: Packet, affinity: Affinity) -> Affinity | None:
        """Whose memory of clients may narrow the answer, and how long it lasts."""
        return affinity
