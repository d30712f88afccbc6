"""Real connections: schedulers do what they promise, and connections outlive the endpoint's removal."""

import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from pointsman.backends.ipvs.places import Owner, Places
from pointsman.backends.ipvs.plugin import IpvsOptions
from pointsman.conformance.lab import (
    NODE,
    SERVICE_CIDRS,
    Denied,
    Lab,
    Outcome,
    Reply,
    Silent,
    connect,
    open_connection,
)
from pointsman.conformance.lab.outcomes import decode_reply
from pointsman.core.addresses import IPFamily, format_address, parse_network
from pointsman.core.backend import expected
from pointsman.core.model import Model, NodeContext, Pool, Protocol, ServicePortName
from pointsman.core.plan import advance
from tests.backends.ipvs.driven import Driven
from tests.backends.serving import cluster_ip, serving_lab

pytestmark = pytest.mark.netns

PROTOCOLS = (Protocol.TCP, Protocol.UDP)
NAMES = ("web", "twin", "smaller")
SOURCE_PORTS = range(20000, 20400)
CONNECTIONS = Path("/proc/thread-self/net/ip_vs_conn")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with serving_lab(*PROTOCOLS) as opened:
        yield opened


class Case:
    """A service in the lab."""

    def __init__(self, lab: Lab, family: IPFamily, options: IpvsOptions) -> None:
        self.lab = lab
        self.family = family
        self._network = parse_network(SERVICE_CIDRS[family])
        self.vip = format_address(self._address("web"))
        self.kernel = Driven(lab.node, family, options)

    def _address(self, name: str) -> bytes:
        return self._network.address[:-1] + bytes((10 + NAMES.index(name),))

    def serve(
        self, protocol: Protocol, pods: dict[str, int], *, name: str = "web", full: bool = False
    ) -> None:
        """Have a service, and no other, answered by some pods, each with its weight."""
        port_name = ServicePortName("default", name, "", protocol)
        service = cluster_ip(self.lab, self.family, port_name, self._address(name), pods)
        context = NodeContext(self.family)
        model, _ = advance(Model(context), [(port_name, service)], context)
        self.kernel.sync(model, full=full)

    def stop(self) -> None:
        """Have no service."""
        self.kernel.sync(Model(NodeContext(self.family)))

    def forgotten_by_ipvs(self) -> None:
        """Wait until IPVS knows of no connection."""
        deadline = time.monotonic() + 30
        while self.lab.node.run(CONNECTIONS.read_text).count("\n") > 1:
            assert time.monotonic() < deadline

    def picks(self, count: int, machine: str = "client") -> Counter[str]:
        """Who answers connections, one after the other."""
        outcomes = (connect(self.lab[machine], self.vip, 80) for _ in range(count))
        return Counter(map(_pod, outcomes))

    def picks_by_source_port(self, name: str = "web") -> dict[int, str]:
        """Who answers connections from each of some source ports."""
        address = format_address(self._address(name))
        return self.lab["client"].run(lambda: {port: _greeting(address, port) for port in SOURCE_PORTS})


def _greeting(address: str, source_port: int) -> str:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        connection.settimeout(5)
        connection.bind(("", source_port))
        connection.connect((address, 80))
        return decode_reply(connection.makefile("rb").readline()).pod


def _pod(outcome: Outcome) -> str:
    return outcome.pod if isinstance(outcome, Reply) else str(outcome)


@pytest.fixture
def case(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Case]:
    family, options = request.param
    opened = Case(lab, family, options)
    yield opened
    opened.kernel.close()


def each_family(scheduler: str, **options: float) -> pytest.MarkDecorator:
    cases = [(family, IpvsOptions(scheduler, **options)) for family in IPFamily]
    ids = [f"{family}-{scheduler}" for family in IPFamily]
    return pytest.mark.parametrize("case", cases, indirect=True, ids=ids)


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


@each_family("lc")
@pytest.mark.parametrize("restarted", [False, True], ids=["", "restarted"])
def test_IPVS_06_lc_counts_what_an_endpoint_kept_that_left_and_returned(case: Case, restarted: bool) -> None:
    """It isn't flooded as if it were new."""
    with ExitStack() as held:

        def more(count: int) -> Counter[str]:
            opened = (open_connection(case.lab["client"], case.vip, 80) for _ in range(count))
            return Counter(held.enter_context(one).greeting.pod for one in opened)

        case.serve(Protocol.TCP, {"pod-a": 1}, full=True)
        assert more(4) == {"pod-a": 4}
        case.serve(Protocol.TCP, {"pod-b": 1})
        assert more(4) == {"pod-b": 4}
        if restarted:
            case.kernel.restart()
            case.serve(Protocol.TCP, {"pod-b": 1}, full=True)
            assert more(1) == {"pod-b": 1}
        case.serve(Protocol.TCP, {"pod-a": 1, "pod-b": 1})
        assert more(6 - restarted) == {"pod-a": 3, "pod-b": 3 - restarted}


@each_family("lc", tcp_timeout=1, tcp_fin_timeout=1)
def test_IPVS_06_who_leaves_gets_nothing_new_and_goes_when_its_last_connection_is_over(case: Case) -> None:
    case.serve(Protocol.TCP, {"pod-a": 1}, full=True)
    [server] = case.kernel.servers()
    with open_connection(case.lab["client"], case.vip, 80) as old:
        case.serve(Protocol.TCP, {"remote-a": 1})
        assert sorted(d.weight for d in case.kernel.servers()[server].destinations.values()) == [0, 1]
        assert case.kernel.observe() == expected(case.kernel.model)
        assert case.picks(3) == {"remote-a": 3}
        assert _pod(old.exchange()) == "pod-a"
        case.kernel.restart()
        assert case.kernel.sync(case.kernel.model, full=True).writes == 0
    case.forgotten_by_ipvs()
    assert case.kernel.sync(case.kernel.model, full=True).writes == 1
    assert [d.weight for d in case.kernel.servers()[server].destinations.values()] == [1]


@each_family("lc")
def test_IPVS_06_who_has_no_connections_goes_at_once(case: Case) -> None:
    """As does a UDP endpoint, whatever it has."""
    case.serve(Protocol.TCP, {"pod-a": 1, "pod-b": 1}, full=True)
    case.serve(Protocol.TCP, {"pod-a": 1})
    case.serve(Protocol.UDP, {"pod-a": 1})
    with open_connection(case.lab["client"], case.vip, 80, Protocol.UDP):
        case.serve(Protocol.UDP, {"remote-a": 1})
        [service] = case.kernel.servers().values()
        assert [d.weight for d in service.destinations.values()] == [1]


@each_family("mh")
def test_mh_picks_by_source_and_moves_few_when_an_endpoint_leaves(case: Case) -> None:
    """What the kernel's ip_vs_mh promises: one source, one endpoint, on whatever node; shares by weight.

    The hash has no secret and these addresses are always the same, so the picks are, too: the bounds are no
    matter of luck.
    """
    pods = {"pod-a": 2, "pod-b": 1, "remote-a": 1}
    case.serve(Protocol.TCP, pods, full=True)
    before = case.picks_by_source_port()
    shares = Counter(before.values())
    for pod, weight in pods.items():
        assert abs(shares[pod] - len(before) * weight / 4) < len(before) / 10, shares
    case.serve(Protocol.TCP, pods, name="twin")
    assert case.picks_by_source_port("twin") == before
    case.serve(Protocol.TCP, {"pod-a": 2, "pod-b": 1}, name="smaller")
    after = case.picks_by_source_port("smaller")
    stayed = [port for port, pod in before.items() if pod != "remote-a"]
    moved = [port for port in stayed if after[port] != before[port]]
    assert len(moved) < len(stayed) / 10
    assert "remote-a" not in after.values()


@each_family("mh")
@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name.lower())
def test_connections_outlive_removals_one_after_another_and_the_service(
    case: Case, protocol: Protocol
) -> None:
    """Each endpoint that left keeps its own; a Service that is made anew gets only what is new."""
    case.serve(protocol, {"pod-a": 1}, full=True)
    with open_connection(case.lab["client"], case.vip, 80, protocol) as first:
        case.serve(protocol, {"pod-b": 1})
        with open_connection(case.lab["client"], case.vip, 80, protocol) as second:
            case.serve(protocol, {"remote-a": 1})
            case.serve(protocol, {"pod-a": 1})
            case.serve(protocol, {"remote-a": 1})
            assert (_pod(first.exchange()), _pod(second.exchange())) == ("pod-a", "pod-b")
            case.stop()
            assert not isinstance(connect(case.lab["client"], case.vip, 80, protocol, wait=0.2), Reply)
            assert (_pod(first.exchange()), _pod(second.exchange())) == ("pod-a", "pod-b")
            case.serve(protocol, {"remote-a": 1})
            assert (_pod(first.exchange()), _pod(second.exchange())) == ("pod-a", "pod-b")
            assert _pod(connect(case.lab["client"], case.vip, 80, protocol)) == "remote-a"


@each_family("rr", tcp_timeout=1, tcp_fin_timeout=1, udp_timeout=1)
@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name.lower())
@pytest.mark.parametrize("client", ["client", "pod-b", NODE])
def test_connections_outlive_what_ipvs_remembers(case: Case, client: str, protocol: Protocol) -> None:
    """Idle for longer than its time-outs, they are none to IPVS, and go on, be their endpoint there or gone.

    ``mh`` would find the endpoint again by its hash.
    """
    case.serve(protocol, {"pod-a": 1}, full=True)
    with ExitStack() as held:
        old, idle = (
            held.enter_context(open_connection(case.lab[client], case.vip, 80, protocol)) for _ in range(2)
        )
        case.forgotten_by_ipvs()
        case.serve(protocol, {"pod-a": 1, "remote-a": 1})
        for _ in range(4):
            assert _pod(old.exchange()) == "pod-a"
        case.serve(protocol, {"remote-a": 1})
        case.forgotten_by_ipvs()
        assert (_pod(old.exchange()), _pod(idle.exchange())) == ("pod-a", "pod-a")


@each_family("wrr")
def test_no_connection_fails_that_is_made_while_endpoints_leave(case: Case) -> None:
    """Whoever is sent to an endpoint in the moment it goes is served by it: there is always one to go to."""
    case.serve(Protocol.TCP, {"pod-a": 1}, full=True)
    removals = 0
    with ThreadPoolExecutor(1) as beside:
        picks = beside.submit(case.picks, 200)
        while not picks.done():
            case.serve(Protocol.TCP, {("pod-b", "pod-a")[removals % 2]: 1})
            removals += 1
    assert picks.result().keys() == {"pod-a", "pod-b"}
    assert removals > 20


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


@pytest.mark.parametrize(
    "case", [(IPFamily.IPV4, IpvsOptions("rr"))], indirect=True, ids=["what strictARP is for"]
)
def test_IPVS_02_nobody_answers_arp_for_a_virtual_address(case: Case) -> None:
    """Without arp_ignore and arp_announce, for none is on an interface, nor local by a route."""
    case.serve(Protocol.TCP, {"pod-a": 1}, full=True)
    source = case.lab.address("client", case.family)

    def answered(address: str) -> bool:
        return case.lab["client"].run(_answers_arp, source, address)

    assert answered(case.lab.address(NODE, case.family))
    assert not answered(case.vip)
    assert case.picks(1) == {"pod-a": 1}


def _answers_arp(source: str, address: str) -> bool:
    """Whether somebody on this machine's segment says to a neighbour that an address is his."""
    arp, request, reply = 0x0806, 1, 2
    [interface] = [name for _, name in socket.if_nameindex() if name != "lo"]
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(arp)) as wire:
        wire.bind((interface, arp))
        own = wire.getsockname()[4]
        sender, target = own + socket.inet_aton(source), bytes(6) + socket.inet_aton(address)
        question = struct.pack(">HHBBH10s10s", 1, 0x0800, 6, 4, request, sender, target)
        wire.sendto(question, (interface, arp, 0, 0, b"\xff" * 6))
        deadline = time.monotonic() + 0.5
        while (left := deadline - time.monotonic()) > 0:
            wire.settimeout(left)
            try:
                answer = wire.recv(64)
            except TimeoutError:
                return False
            if answer[6:8] == reply.to_bytes(2) and answer[14:18] == socket.inet_aton(address):
                return True
    return False
