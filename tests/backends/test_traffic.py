"""Every backend that counts connections counts them right: so many are made, so many are told."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from pointsman.conformance.lab import NODE, SERVICE_CIDRS, Lab, Reply, connect
from pointsman.core.addresses import IPFamily, format_address, parse_network
from pointsman.core.model import (
    Frontend,
    FrontendKind,
    Match,
    Protocol,
    ServiceFrontends,
    ServicePortName,
)
from pointsman.core.traffic import Traffic
from tests.backends.serving import ANSWER, BACKENDS, PORT, Served, cluster_ip, serving_lab

pytestmark = pytest.mark.netns

WEB = ServicePortName("default", "web", "http", Protocol.TCP)
OTHER = ServicePortName("default", "other", "", Protocol.TCP)
STICKY = ServicePortName("default", "sticky", "", Protocol.TCP)
NODE_PORT = 30080


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with serving_lab(Protocol.TCP) as opened:
        yield opened


class Case(Served):
    """Two dataplanes of one backend: one that writes, one that is asked what was counted."""

    def __init__(self, lab: Lab, backend: str, family: IPFamily) -> None:
        super().__init__(lab, backend, family, traffic=True)
        self._reads = self.another()
        self._sums = Traffic(lambda: self.model, self._reads.traffic, clock=lambda: 0.0)

    def address(self, number: int) -> bytes:
        return parse_network(SERVICE_CIDRS[self.family]).address[:-1] + bytes((number,))

    def service(self, name: ServicePortName, number: int, *pods: str, affinity: int = 0) -> ServiceFrontends:
        weights = dict.fromkeys(pods, 1)
        found = cluster_ip(self.lab, self.family, name, self.address(number), weights, affinity=affinity)
        if name != WEB:
            return found
        node_port = Frontend(Match(None, name.protocol, NODE_PORT), FrontendKind.NODE_PORT, ANSWER)
        return replace(found, frontends=(*found.frontends, node_port))

    def told(self) -> dict[ServicePortName, int]:
        return dict(self.lab.node.run(self._sums.connections))

    def connect(self, times: int, number: int, client: str = "client") -> None:
        """Make connections to a service, and wait for each one's answer."""
        self._each(times, client, format_address(self.address(number)), PORT)

    def connect_node_port(self, times: int) -> None:
        self._each(times, "client", self.lab.address(NODE, self.family), NODE_PORT)

    def _each(self, times: int, client: str, address: str, port: int) -> None:
        for _ in range(times):
            assert isinstance(connect(self.lab[client], address, port), Reply)

    def close(self) -> None:
        super().close()
        self.lab.node.run(self._reads.close)


@pytest.fixture(params=[(b, f) for b in BACKENDS for f in IPFamily], ids=lambda one: f"{one[0]}-{one[1]}")
def case(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Case]:
    backend, family = request.param
    opened = Case(lab, backend, family)
    yield opened
    opened.close()


def test_so_many_connections_so_many_counted(case: Case) -> None:
    """By every address, from everywhere, and on through a rewrite; packets after the first don't count."""
    web, other = case.service(WEB, 10, "pod-a", "pod-b"), case.service(OTHER, 11, "remote-a")
    case.sync(web, other, case.service(STICKY, 12, "pod-a", "pod-b", affinity=60))
    case.connect(2, 10)  # before anybody asked: the first answer is where counting begins
    assert case.told() == {WEB: 0, OTHER: 0, STICKY: 0}
    case.connect(3, 10)
    case.connect(2, 10, "pod-a")
    case.connect(1, 10, NODE)
    case.connect_node_port(4)
    case.connect(5, 11)
    case.connect(6, 12)
    assert case.told() == {WEB: 10, OTHER: 5, STICKY: 6}
    case.sync(case.service(WEB, 10, "pod-a", "pod-b", "remote-a"))
    assert case.told() == {WEB: 10, OTHER: 5, STICKY: 6}
    case.connect(7, 10)
    case.connect(1, 11)
    assert case.told() == {WEB: 17, OTHER: 6, STICKY: 6}


def test_a_service_without_endpoints_gets_no_connection(case: Case) -> None:
    case.sync(case.service(WEB, 10), case.service(OTHER, 11, "pod-a"))
    assert case.told() == {WEB: 0, OTHER: 0}
    assert not isinstance(connect(case.lab["client"], format_address(case.address(10)), PORT), Reply)
    assert case.told() == {WEB: 0, OTHER: 0}
