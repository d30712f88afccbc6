"""A board with services on it, some of them with names that nobody should trust."""

from immutables import Map

from pointsman.core.addresses import IPFamily, parse_address
from pointsman.core.audit import AuditResult
from pointsman.core.model import (
    Answer,
    Endpoint,
    Frontend,
    FrontendKind,
    Masquerade,
    Match,
    Model,
    NamespacedName,
    NodeContext,
    Pool,
    Protocol,
    ServiceFrontends,
    ServicePortName,
)
from pointsman.core.plan import Delta, SyncPlan, SyncReport, Trigger
from pointsman.core.source import Rejection
from pointsman.plugins.http.messages import Later, Request
from pointsman.plugins.status.board import Board
from pointsman.plugins.status.following import Followed
from pointsman.plugins.status.page import About, page

V4, V6 = IPFamily.IPV4, IPFamily.IPV6
NOW = 1767225600.0
ABOUT = About("9.9", "nftables", "node-a", ("/metrics", "/configz"))
HOSTILE = "<script>document.title='taken'</script><img src=x onerror=alert(1)>\"'&"


def web(number: int, endpoints: int = 2, name: str = "web") -> ServiceFrontends:
    """A service port with a ClusterIP and a node port."""
    port_name = ServicePortName("shop", f"{name}-{number}", "http", Protocol.TCP)
    ip = bytes((10, 96, number // 250, number % 250 + 1))
    near = Answer(Pool.CLUSTER, Masquerade.UNLESS_LOCAL)
    frontends = (
        Frontend(Match(ip, Protocol.TCP, 80), FrontendKind.CLUSTER_IP, near),
        Frontend(
            Match(None, Protocol.TCP, 30000 + number % 2767),
            FrontendKind.NODE_PORT,
            Answer(Pool.CLUSTER, Masquerade.ALWAYS),
        ),
    )
    pods = [Endpoint(bytes((10, 244, number % 250, pod + 1)), 8080) for pod in range(endpoints)]
    return ServiceFrontends(port_name, frontends, tuple(pods))


def model(services: list[ServiceFrontends]) -> Model:
    return Model(
        NodeContext(V4),
        Map({service.name: service for service in services}),
        Map({parse_address("10.96.0.1"): 1}),
        Map({parse_address("10.244.0.1"): 1}),
    )


class Shown:
    """A board and the page of it."""

    def __init__(self, services: list[ServiceFrontends] | None = None) -> None:
        self.now = NOW
        self.board = Board((V4, V6), now=lambda: self.now)
        self.rejections: list[Rejection] = []
        self.followed: list[Followed] = []
        self.handler = page(
            ABOUT, self.board, lambda: self.rejections, lambda: self.followed, now=lambda: self.now
        )
        self.sync(services or [])

    def sync(
        self, services: list[ServiceFrontends], *triggers: Trigger, error: Exception | None = None
    ) -> None:
        plan = SyncPlan(V4, model(services), Delta(), full=True, triggers=triggers)
        self.board.pointsman_before_sync()
        self.board.pointsman_after_sync(plan, None if error else SyncReport(1, 42), error)

    def text(self, target: str = "/") -> str:
        answer = self.handler(Request("GET", target))
        assert isinstance(answer, Later)
        return answer.work().body.decode()


def lively() -> Shown:
    """A page with something of everything on it."""
    services = [web(number, endpoints=number % 4) for number in range(230)]
    shown = Shown(services)
    shown.sync(
        services,
        Trigger(NamespacedName("shop", "web-7"), NOW - 1.25),
        Trigger(NamespacedName("shop", "web-9"), NOW - 0.031),
    )
    reason = f"{HOSTILE} is not an IP address; it is skipped"
    shown.rejections = [Rejection("Service", "shop/bad", "$.spec.externalIPs", reason)]
    shown.followed = [
        Followed("Service", 2.5, 0, "", served=True),
        Followed("EndpointSlice", 185.0, 7, f"{HOSTILE}: connection refused", served=True),
        Followed("Node", None, 1, "403, forbidden", served=True),
        Followed("ServiceCIDR", None, 0, "404, not found", served=False),
    ]
    shown.board.pointsman_audited(AuditResult(V4, 2, ("10.96.0.1:80/tcp is missing",), 0.2))
    shown.now += 75
    return shown
