"""Real connections: schedulers do what they promise, and connections outlive the endpoint's removal."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from pointsman.backends.ipvs.places import Owner, Places
from pointsman.backends.ipvs.plugin import IpvsOptions
from pointsman.conformance.lab import (
    NODE,
    SERVICE_CIDRS,
    Denied,
    Lab,
    LabUnavailable,
    Outcome,
    Reply,
    Silent,
    connect,
    open_connection,
)
from pointsman.core.addresses import IPFamily, format_address, parse_address, parse_network
from pointsman.core.model import (
    Answer,
    Endpoint,
    Frontend,
    FrontendKind,
    Masquerade,
    Match,
    Model,
    NodeContext,
    Pool,
    Protocol,
    ServiceFrontends,
    ServicePortName,
)
from pointsman.core.plan import advance
from tests.backends.ipvs.driven import Driven

pytestmark = pytest.mark.netns

PODS = ("pod-a", "pod-b", "remote-a")
PROTOCOLS = (Protocol.TCP, Protocol.UDP)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    try:
        opened = Lab()
    except LabUnavailable as error:
        pytest.skip(str(error))
    with opened:
        for pod in PODS:
            for protocol in PROTOCOLS:
                for family in IPFamily:
                    opened.serve(pod, protocol, family, 8080)
        yield opened


class Case:
    """A service in the lab."""

    def __init__(self, lab: Lab, family: IPFamily, scheduler: str) -> None:
        self.lab = lab
        self.family = family
        network = parse_network(SERVICE_CIDRS[family])
        self._vip = network.address[:-1] + b"\x0a"
        self.vip = format_address(self._vip)
        self.kernel = Driven(lab.node, family, IpvsOptions(scheduler=scheduler))

    def serve(self, protocol: Protocol, pods: dict[str, int], *, full: bool = False) -> None:
        """Have the service answered by some pods, each with its weight."""
        name = ServicePortName("default", "web", "", protocol)
        endpoints = (
            Endpoint(parse_address(self.lab.address(p, self.family)), 8080, w) for p, w in pods.items()
        )
        answer = Answer(Pool.CLUSTER, Masquerade.ALWAYS)
        frontend = Frontend(Match(self._vip, protocol, 80), FrontendKind.CLUSTER_IP, answer)
        service = ServiceFrontends(name, (frontend,), tuple(sorted(endpoints)))
        context = NodeContext(self.family)
        model, _ = advance(Model(context), [(name, service)], context)
        self.kernel.sync(model, full=full)

    def picks(self, count: int, machine: str = "client") -> Counter[str]:
        """Who answers connections, one after the other."""
        outcomes = (connect(self.lab[machine], self.vip, 80) for _ in range(count))
        return Counter(outcome.pod if isinstance(outcome, Reply) else str(outcome) for outcome in outcomes)


@pytest.fixture
def case(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Case]:
    family, scheduler = request.param
    opened = Case(lab, family, scheduler)
    yield opened
    opened.kernel.close()


def each_family(scheduler: str) -> pytest.MarkDecorator:
    cases = [(family, scheduler) for family in IPFamily]
    return pytest.mark.parametrize("case", cases, indirect=True, ids=lambda one: f"{one[0]}-{one[1]}")


@each_family("wrr")
def test_wrr_gives_exactly_what_weights_say(case: Case) -> None:
    case.serve(Protocol.TCP, {"pod-a": 3, "pod-b": 1}, full=True)
    assert case.picks(16) == {"pod-a": 12, "pod-b": 4}
    case.serve(Protocol.TCP, {"pod-a": 1, "pod-b": 1})
    assert case.picks(16, NODE) == {"pod-a": 8, "pod-b": 8}


@each_family("lc")
def test_lc_evens_out_open_connections(case: Case) -> None:
    """A pod that comes late gets all new connections until it has as many as the others."""
    case.serve(Protocol.TCP, {"pod-a": 1, "pod-b": 1}, full=True)
    with ExitStack() as held:
        for _ in range(8):
            connection = held.enter_context(open_connection(case.lab["client"], case.vip, 80))
            assert isinstance(connection.exchange(), Reply)
        case.serve(Protocol.TCP, {"pod-a": 1, "pod-b": 1, "remote-a": 1})
        late = Counter[str]()
        for _ in range(4):
            connection = held.enter_context(open_connection(case.lab["client"], case.vip, 80))
            assert isinstance(connection.exchange(), Reply)
            late[connection.greeting.pod] += 1
        assert late == {"remote-a": 4}


@each_family("mh")
@pytest.mark.parametrize("client", ["client", "pod-b", NODE])
@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name.lower())
def test_connections_outlive_the_endpoint_and_the_process(
    case: Case, client: str, protocol: Protocol
) -> None:
    """An endpoint that leaves gets nothing new, what it has goes on, and when it returns it serves again."""
    case.serve(protocol, {"pod-a": 1}, full=True)
    with open_connection(case.lab[client], case.vip, 80, protocol) as old:
        assert old.greeting.pod == "pod-a"
        case.serve(protocol, {"remote-a": 1})
        assert _pod(old.exchange()) == "pod-a"
        assert _pod(connect(case.lab[client], case.vip, 80, protocol)) == "remote-a"
        case.kernel.restart()
        case.serve(protocol, {"remote-a": 1}, full=True)
        assert _pod(old.exchange()) == "pod-a"
        case.serve(protocol, {"pod-a": 1})
        assert _pod(old.exchange()) == "pod-a"
        assert _pod(connect(case.lab[client], case.vip, 80, protocol)) == "pod-a"


def _pod(outcome: Outcome) -> str:
    return outcome.pod if isinstance(outcome, Reply) else str(outcome)


@each_family("mh")
def test_virtual_servers_have_no_clients_of_their_own(case: Case) -> None:
    """Who knows a place reaches neither the service past its rules, nor a socket of the node."""
    case.serve(Protocol.TCP, {"pod-a": 1}, full=True)
    [place] = case.kernel.servers()
    assert place == Places(case.kernel.network).of(
        Owner(ServicePortName("default", "web", "", Protocol.TCP), Pool.CLUSTER)
    )
    address = format_address(place.address)
    with case.lab.serve(NODE, Protocol.TCP, case.family, 2222):
        assert _pod(connect(case.lab["pod-b"], case.lab.address(NODE, case.family), 2222)) == NODE
        for port in (place.port, 2222):
            for client in ("pod-b", NODE):
                outcome = connect(case.lab[client], address, port)
                assert isinstance(outcome, Silent | Denied), (client, port, outcome)
