"""Session affinity in a real kernel, told by who answers real connections (AFF-01 to AFF-06)."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from ipaddress import ip_network
from itertools import islice

import pytest
from msgspec.structs import replace
from pyroute2 import IPRoute

from pointsman.backends.nftables.affinity import group
from pointsman.backends.nftables.dataplane import NftablesDataplane
from pointsman.backends.nftables.layout import layout
from pointsman.backends.nftables.netlink.elements import Element
from pointsman.backends.nftables.netlink.messages import Table
from pointsman.backends.nftables.netlink.netfilter import NetfilterSocket
from pointsman.conformance.lab import NODE, POD_CIDRS, Client, Lab, LabSpec, Outcome, Reply, burst, connect
from pointsman.core.addresses import IPFamily, parse_address, parse_network
from pointsman.core.backend import DataplaneSettings, expected
from pointsman.core.model import (
    Answer,
    Endpoint,
    Frontend,
    FrontendKind,
    LocalNetwork,
    Masquerade,
    Match,
    Model,
    NodeContext,
    Pool,
    Protocol,
    ServiceFrontends,
    ServicePortName,
)
from pointsman.core.plan import SyncPlan, advance

pytestmark = [pytest.mark.netns, pytest.mark.timeout(600)]

FAMILIES = tuple(IPFamily)
INSTANCE = "pointsman-affinity"
PODS = ("pod-a", "pod-b")
REMOTE = "remote-a"
CLIENT = "client"
TARGET = 8080
NODE_PORT = 30080
HOURS = 10800
CLUSTER_IPS = {IPFamily.IPV4: "10.96.0.10", IPFamily.IPV6: "fd00:96::10"}
EXTERNAL_IPS = {IPFamily.IPV4: "198.51.100.5", IPFamily.IPV6: "2001:db8:100::5"}
# Whole networks that the client answers for. 24 clients pick the same of two pods once in 2**23 times.
CROWDS = {IPFamily.IPV4: "100.64.0.0/16", IPFamily.IPV6: "fd00:64::/64"}
FEW, MANY = 24, 10500
CLUSTER = Answer(Pool.CLUSTER, Masquerade.UNLESS_LOCAL)
LOCAL = Answer(Pool.LOCAL, Masquerade.NEVER)
HTTP = ServicePortName("default", "web", "http", Protocol.TCP)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(LabSpec(pods=PODS, remote_pods=(REMOTE,), clients=(Client(CLIENT),))) as opened:
        opened[CLIENT].sysctl({"ipv6/ip_nonlocal_bind": 1})
        for family, network in CROWDS.items():
            opened.node.configure(partial(add_route, dst=network, gateway=opened.address(CLIENT, family)))
            own = {"family": family, "oif": 1, "type": "local", "table": 255, "scope": 254}
            opened[CLIENT].configure(partial(add_route, dst=network, **own))
            for pod in (*PODS, REMOTE):
                for protocol in (Protocol.TCP, Protocol.UDP):
                    opened.serve(pod, protocol, family, TARGET)
        yield opened


def add_route(netlink: IPRoute, **route: object) -> None:
    netlink.route("add", **route)


class Node:
    """The node under test with one service in it."""

    def __init__(self, lab: Lab, family: IPFamily) -> None:
        self.lab = lab
        self.family = family
        self.layout = layout(family, INSTANCE)
        self.model = Model(NodeContext(family, local=LocalNetwork(parse_network(POD_CIDRS[family]))))
        self._dataplane = NftablesDataplane(DataplaneSettings(family, INSTANCE))
        self._full = True

    def sync(self, *services: ServiceFrontends) -> None:
        """Bring the node to hold these service ports, and see that it does."""
        states: dict[ServicePortName, ServiceFrontends | None] = dict.fromkeys(self.model.services)
        states |= {service.name: service for service in services}
        desired, delta = advance(self.model, states.items(), self.model.node)
        plan = SyncPlan(self.family, desired, delta, full=self._full)
        self.lab.node.run(self._dataplane.dataplane_sync, plan)
        self.model, self._full = desired, False
        assert self.lab.node.run(self._dataplane.dataplane_observe, None) == expected(desired)

    def service(self, *pods: str, affinity: int = HOURS, name: ServicePortName = HTTP) -> ServiceFrontends:
        """A service port at a ClusterIP, an external IP and a node port."""
        port = 80 if name == HTTP else 81
        cluster_ip, external_ip = CLUSTER_IPS[self.family], EXTERNAL_IPS[self.family]
        frontends = (
            Frontend(Match(parse_address(cluster_ip), name.protocol, port), FrontendKind.CLUSTER_IP, CLUSTER),
            Frontend(
                Match(parse_address(external_ip), name.protocol, port), FrontendKind.EXTERNAL_IP, CLUSTER
            ),
            Frontend(Match(None, name.protocol, NODE_PORT + port), FrontendKind.NODE_PORT, CLUSTER),
        )
        return ServiceFrontends(name, frontends, self.endpoints(*pods), affinity=affinity)

    def endpoints(self, *pods: str) -> tuple[Endpoint, ...]:
        return tuple(
            sorted(Endpoint(parse_address(self.lab.address(pod, self.family)), TARGET) for pod in pods)
        )

    @property
    def places(self) -> tuple[tuple[str, int], ...]:
        """Where the service port answers."""
        node = self.lab.address(NODE, self.family)
        return ((CLUSTER_IPS[self.family], 80), (EXTERNAL_IPS[self.family], 80), (node, NODE_PORT + 80))

    def crowd(self, size: int = FEW) -> list[str]:
        """So many clients."""
        return [str(host) for host in islice(ip_network(CROWDS[self.family]).hosts(), size)]

    def ask(self, crowd: Sequence[str], place: int = 0, port: int = 0, udp: bool = False) -> dict[str, str]:
        """Who answers each client."""
        address, own_port = self.places[place]
        outcomes = burst(
            self.lab[CLIENT],
            address,
            port or own_port,
            Protocol.UDP if udp else Protocol.TCP,
            count=len(crowd),
            sources=crowd,
        )
        return {source: pod(outcome) for source, outcome in zip(crowd, outcomes, strict=True)}

    def remembered(self, pool: Pool = Pool.CLUSTER) -> list[Element]:
        """The clients of the service port that the kernel remembers."""
        service = self.model.services[HTTP]
        return self.lab.node.run(elements, self.layout.table, group(service).clients(self.layout, pool).name)

    def wait(self, condition: Callable[[list[Element]], bool]) -> None:
        """Wait until something holds of the clients that are remembered."""
        deadline = time.monotonic() + 20
        while not condition(self.remembered()):
            assert time.monotonic() < deadline, "it didn't come to pass"

    def close(self) -> None:
        self.lab.node.run(self._dataplane.dataplane_cleanup)
        self.lab.node.run(self._dataplane.dataplane_close)


def elements(where: Table, name: str) -> list[Element]:
    with NetfilterSocket() as netlink:
        return netlink.dump_elements(where, name)


def pod(outcome: Outcome) -> str:
    assert isinstance(outcome, Reply), outcome
    return outcome.pod


@pytest.fixture(params=FAMILIES, ids=str)
def node(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Node]:
    opened = Node(lab, request.param)
    yield opened
    opened.close()


def test_AFF_01_02_a_client_keeps_its_pod_at_every_address_of_the_service_port(node: Node) -> None:
    node.sync(node.service(*PODS))
    crowd = node.crowd()
    first = node.ask(crowd)
    assert set(first.values()) == set(PODS)
    for place in (1, 2, 0):
        assert node.ask(crowd, place) == first


def test_the_node_and_its_pods_are_clients_too(node: Node) -> None:
    node.sync(node.service(*PODS))
    address, port = node.places[0]
    for machine in (node.lab.node, node.lab["pod-a"]):
        assert len({pod(connect(machine, address, port)) for _ in range(12)}) == 1


def test_service_ports_remember_apart(node: Node) -> None:
    metrics = HTTP._replace(port="metrics")
    node.sync(node.service(*PODS), node.service(*PODS, name=metrics))
    crowd = node.crowd()
    first, other = node.ask(crowd), node.ask(crowd, port=81)
    assert first != other
    assert (node.ask(crowd), node.ask(crowd, port=81)) == (first, other)


def test_protocols_remember_apart(node: Node) -> None:
    node.sync(node.service(*PODS), node.service(*PODS, name=HTTP._replace(protocol=Protocol.UDP)))
    crowd = node.crowd()
    tcp, udp = node.ask(crowd), node.ask(crowd, port=81, udp=True)
    assert tcp != udp
    assert (node.ask(crowd), node.ask(crowd, port=81, udp=True)) == (tcp, udp)


def test_AFF_04_clients_of_a_pod_that_leaves_pick_anew_and_no_others(node: Node) -> None:
    node.sync(node.service(*PODS, REMOTE))
    crowd = node.crowd()
    before = node.ask(crowd)
    gone, *staying = sorted(set(before.values()))
    node.sync(node.service(*staying))
    after = node.ask(crowd)
    assert set(after.values()) == set(staying)
    assert all(after[client] == where for client, where in before.items() if where != gone)
    node.sync(node.service(*PODS, REMOTE))
    assert node.ask(crowd) == after, "who has settled anew stays when the pod comes back"


def test_AFF_04_nobody_is_remembered_when_all_have_left(node: Node) -> None:
    node.sync(node.service("pod-a"))
    crowd = node.crowd()
    node.ask(crowd)
    node.sync(node.service())
    node.sync(node.service("pod-b"))
    assert set(node.ask(crowd).values()) == {"pod-b"}


def test_AFF_01_each_connection_starts_the_clock_anew(node: Node) -> None:
    node.sync(node.service(*PODS, affinity=30))
    [client] = node.crowd(1)
    node.ask([client])
    node.wait(lambda clients: clients[0].expires < 29_500)
    node.ask([client], place=1)
    [element] = node.remembered()
    assert element.expires > 29_500
    assert element.timeout == 30_000


def test_AFF_03_who_comes_after_the_timeout_picks_anew(node: Node) -> None:
    node.sync(node.service(*PODS, affinity=2))
    crowd = node.crowd()
    before = node.ask(crowd)
    node.wait(lambda clients: not clients)
    assert node.ask(crowd) != before


def test_AFF_06_another_timeout_holds_at_once_also_for_those_who_came_before(node: Node) -> None:
    node.sync(node.service(*PODS, affinity=HOURS))
    crowd = node.crowd()
    before = node.ask(crowd)
    for seconds in (60, 2 * HOURS):
        node.sync(node.service(*PODS, affinity=seconds))
        remembered = node.remembered()
        assert len(remembered) == FEW
        assert {element.timeout for element in remembered} == {1000 * seconds}
        assert all(1000 * (seconds - 55) < element.expires <= 1000 * seconds for element in remembered)
        assert node.ask(crowd) == before


def test_affinity_may_be_switched_off_and_on_again(node: Node) -> None:
    node.sync(node.service(*PODS))
    crowd = node.crowd()
    before = node.ask(crowd)
    node.sync(node.service(*PODS, affinity=0))
    assert node.ask(crowd) != before
    assert set(node.ask(crowd[:1] * FEW).values()) <= set(PODS)
    node.sync(node.service(*PODS))
    again = node.ask(crowd)
    assert node.ask(crowd, 1) == again


def test_ten_thousand_clients_and_more_are_remembered(node: Node) -> None:
    node.sync(node.service(*PODS, name=HTTP._replace(protocol=Protocol.UDP)))
    crowd = node.crowd(MANY)
    before = node.ask(crowd, port=81, udp=True)
    assert set(before.values()) == set(PODS)
    assert node.ask(crowd, port=81, udp=True) == before


def test_AFF_02_far_clients_keep_their_pod_of_the_local_pool_and_their_address(node: Node) -> None:
    everywhere = node.service(*PODS, REMOTE)
    frontends = tuple(
        frontend if frontend.kind is FrontendKind.CLUSTER_IP else replace(frontend, far=LOCAL)
        for frontend in everywhere.frontends
    )
    service = replace(everywhere, frontends=frontends, local=node.endpoints(*PODS))
    node.sync(service)
    crowd = node.crowd(2 * FEW)
    far = node.ask(crowd[:FEW], 1)
    assert set(far.values()) == set(PODS)
    assert node.ask(crowd[:FEW], 2) == far, "the node port leads to the same pool"
    assert node.ask(crowd[:FEW], 0) == far, "the ClusterIP's pool has these pods too"
    near = node.ask(crowd[FEW:], 0)
    assert REMOTE in near.values()
    then_far = node.ask(crowd[FEW:], 1)
    assert all(then_far[client] == where for client, where in near.items() if where != REMOTE)
    assert node.ask(crowd[FEW:], 0) == near, "who was remote stays there, whatever it found in the other pool"

    address, port = node.places[1]
    outcome = connect(node.lab[CLIENT], address, port, source=crowd[0])
    assert isinstance(outcome, Reply)
    assert outcome.client == crowd[0]

    stays, leaves = PODS
    node.sync(replace(service, local=node.endpoints(stays)))
    assert set(node.ask(crowd, 1).values()) == {stays}
    assert node.ask(crowd, 0) == far | near, f"{leaves} has left the local pool only"
