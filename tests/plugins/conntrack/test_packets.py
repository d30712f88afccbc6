"""Real datagrams through the nftables dataplane: where flows go as endpoints come and go."""

import queue
import socket
import time
from collections.abc import Iterator
from errno import EADDRNOTAVAIL

import pytest
from pyroute2 import IPRoute

from pointsman.backends.nftables.dataplane import NftablesDataplane
from pointsman.conformance.lab.netns import LOOPBACK, Namespace
from pointsman.core.addresses import IPFamily, format_address, parse_address
from pointsman.core.apis import EndpointSlice, Service
from pointsman.core.backend import BackendSpec, DataplaneSettings
from pointsman.core.config import ProxyConfig
from pointsman.core.engine import KINDS, Engine
from pointsman.core.model import NamespacedName, Protocol
from pointsman.core.plugins import Dataplane, Plugins
from pointsman.plugins.conntrack.judgement import EMPTY_SECONDS
from pointsman.plugins.conntrack.reconciler import Reconciler
from tests.core.objects import NODE, draining, endpoint, endpoint_slice, service, service_port

from .entries import Entry, create, listed

PATIENCE = 30  # seconds: a safety net, not a measure
NODE_PORT = 30053
# The node's address, another one of it, the ClusterIP and two endpoints.
ADDRESSES = {
    IPFamily.IPV4: ("192.0.2.1", "192.0.2.101", "10.96.0.10", ("10.244.1.1", "10.244.1.2")),
    IPFamily.IPV6: ("2001:db8::1", "2001:db8::101", "fd00:96::10", ("fd00:244::1", "fd00:244::2")),
}


def _bind(opened: socket.socket, address: str, port: int) -> None:
    """Bind to an address that has just been added: IPv6 makes it local a little later."""
    ends = time.monotonic() + PATIENCE
    while True:
        try:
            return opened.bind((address, port))
        except OSError as error:
            if error.errno != EADDRNOTAVAIL or time.monotonic() > ends:
                raise
        time.sleep(0.005)


class Node:
    """One namespace in which client, node and endpoints all live, served by the nftables dataplane."""

    def __init__(self, namespace: Namespace, family: IPFamily) -> None:
        self.namespace, self.family = namespace, family
        self.host, self.other, self.vip, self.pods = ADDRESSES[family]
        self.reports: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.sockets: list[socket.socket] = []
        self.later = 0.0  # than it is, for the reconciler
        namespace.configure(self._set_up)
        self.servers = {pod: self._socket(pod, 5353) for pod in self.pods}
        self.start()

    def _set_up(self, ip: IPRoute) -> None:
        """The addresses, and a way out for what nobody translates."""
        bits = self.family.address_length * 8
        for address in (self.host, self.other, *self.pods):
            ip.addr("add", index=LOOPBACK, address=address, prefixlen=bits)
        ip.link("add", ifname="up", kind="veth", peer={"ifname": "up-peer"})
        [uplink], [peer] = ip.link_lookup(ifname="up"), ip.link_lookup(ifname="up-peer")
        for index in (uplink, peer):
            ip.link("set", index=index, state="up")
        ip.route("add", dst=f"{self.vip}/{bits}", oif=uplink, family=self.family)

    def start(self) -> None:
        """Serve, with neither Service nor endpoints yet; that everything was looked at is waited for."""
        self.reconciler = Reconciler(
            [self.family],
            lambda family, seconds, deleted: self.reports.put(deleted),
            clock=lambda: time.monotonic() + self.later,
        )
        spec = BackendSpec("nftables", "", NftablesDataplane)
        self.dataplane = self.namespace.run(Dataplane, spec, DataplaneSettings(self.family))
        config = ProxyConfig(NODE, families=(self.family,), min_sync_period=0)
        plugins = Plugins([self.reconciler], discover=False)
        self.engine = Engine(config, {self.family: self.dataplane}, plugins)
        self.namespace.run(self.reconciler.start)

    def list(self, service: Service | None = None, *pods: object) -> None:
        """Give the engine everything at once, as a source does at the start."""
        lists = {Service: [service], EndpointSlice: [self.slice(*pods)]} if service else {}
        for kind in KINDS:
            self.engine.replaced(kind, lists.get(kind, []))  # type: ignore[arg-type]
        self.sync()

    def slice(self, *pods: object, port: int = 5353) -> EndpointSlice:
        plain = [endpoint(pod) if isinstance(pod, str) else pod for pod in pods]
        ports = [{"name": "", "port": port, "protocol": "UDP"}]
        return endpoint_slice(plain, service="dns", ports=ports, family=str(self.family))  # type: ignore[arg-type]

    def serve(self, *pods: object, port: int = 5353) -> int:
        """Have these endpoints; how many entries went when flows were looked at."""
        self.engine.updated(self.slice(*pods, port=port))
        return self.sync()

    def service(self) -> Service:
        ports = [service_port(53, protocol="UDP", nodePort=NODE_PORT)]
        family = {"clusterIPs": [self.vip], "ipFamilies": [str(self.family)]}
        return service("dns", self.vip, ports, (), type="NodePort", **family)

    def sync(self) -> int:
        self.namespace.run(self.engine.run_due)
        return self.reports.get(timeout=PATIENCE)

    def client(self, address: str, port: int) -> socket.socket:
        """A socket that goes on sending from one port."""
        opened = self._socket(self.host, 0)
        opened.connect((address, port))
        return opened

    def ask(self, client: socket.socket) -> str | None:
        """Send a datagram; the endpoint that it reached, None for none. Over loopback nothing takes time."""
        try:
            client.send(b"?")
        except OSError:  # refused, or forbidden by the rule that refuses
            return None
        for pod, server in self.servers.items():
            try:
                _, sender = server.recvfrom(64)
            except BlockingIOError:
                continue
            server.sendto(b"!", sender)
            assert client.recv(64) == b"!"
            return pod
        return None

    def _socket(self, address: str, port: int) -> socket.socket:
        [opened] = self.namespace.sockets(1, self.family, socket.SOCK_DGRAM, 0)
        self.sockets.append(opened)
        _bind(opened, address, port)
        return opened

    def stop(self) -> None:
        """End the daemon; rules and flows stay."""
        self.reconciler.stop()
        self.dataplane.close()

    def close(self) -> None:
        self.stop()
        for opened in self.sockets:
            opened.close()


@pytest.fixture(params=IPFamily, ids=str)
def here(request: pytest.FixtureRequest) -> Iterator[Node]:
    with Namespace("node") as namespace:
        made = Node(namespace, request.param)
        yield made
        made.close()


pytestmark = pytest.mark.netns


def test_CT_03_and_DIV_22_a_flow_leaves_an_endpoint_that_is_removed(here: Node) -> None:
    here.list(here.service(), here.pods[0])
    client = here.client(here.vip, 53)
    assert here.ask(client) == here.pods[0]
    assert here.serve(here.pods[1]) == 1
    assert here.ask(client) == here.pods[1]


def test_CT_04_so_does_a_flow_to_a_node_port_at_whatever_address(here: Node) -> None:
    here.list(here.service(), here.pods[0])
    clients = [here.client(address, NODE_PORT) for address in (here.host, here.other)]
    assert {here.ask(client) for client in clients} == {here.pods[0]}
    assert here.serve(here.pods[1]) == 2
    assert {here.ask(client) for client in clients} == {here.pods[1]}


def test_CT_05_flows_that_began_without_rules_find_the_first_endpoint(here: Node) -> None:
    here.list()
    vip = (parse_address(here.vip), 53)
    early = here.client(here.vip, 53)
    assert here.ask(early) is None
    assert (Protocol.UDP, vip, vip) in here.namespace.run(listed)
    here.engine.updated(here.service())
    assert here.serve(here.pods[0]) == 1
    assert here.ask(early) == here.pods[0]


def test_CT_05_the_last_endpoint_that_goes_leaves_its_flows(here: Node) -> None:
    here.list(here.service(), here.pods[0])
    client = here.client(here.vip, 53)
    assert here.ask(client) == here.pods[0]
    assert here.serve() == 0
    assert here.ask(client) == here.pods[0]
    assert here.serve(here.pods[1]) == 1
    assert here.ask(client) == here.pods[1]


def test_a_service_without_endpoints_for_long_loses_its_flows(here: Node) -> None:
    """Whoever has the address of the last endpoint by now must not be sent what was meant for it."""
    here.list(here.service(), here.pods[0])
    client, late = here.client(here.vip, 53), here.client(here.vip, 53)
    assert here.ask(client) == here.pods[0]
    assert here.serve() == 0
    assert here.ask(client) == here.pods[0]
    here.later = EMPTY_SECONDS
    # Its thread sleeps by a clock that can't be moved; the change of another Service has it look at this one.
    here.engine.updated(service("other", here.vip, [service_port(80)], (), ipFamilies=[str(here.family)]))
    assert here.sync() == 1
    assert here.ask(client) is None
    assert here.ask(late) is None
    here.serve(here.pods[1])
    for opened in (client, late):  # whose first send may tell of the refusal before it
        assert here.pods[1] in (here.ask(opened), here.ask(opened))


def test_CT_06_a_flow_stays_with_an_endpoint_that_drains(here: Node) -> None:
    here.list(here.service(), here.pods[0])
    client = here.client(here.vip, 53)
    assert here.ask(client) == here.pods[0]
    assert here.serve(draining(here.pods[0]), here.pods[1]) == 0
    assert here.ask(client) == here.pods[0]


def test_CT_06_a_flow_leaves_a_target_port_that_is_changed(here: Node) -> None:
    here.list(here.service(), here.pods[0])
    client = here.client(here.vip, 53)
    assert here.ask(client) == here.pods[0]
    assert here.serve(here.pods[0], port=5354) == 1
    assert here.ask(client) is None


def test_a_flow_of_a_deleted_service_ends(here: Node) -> None:
    here.list(here.service(), here.pods[0])
    client = here.client(here.vip, 53)
    assert here.ask(client) == here.pods[0]
    here.engine.deleted(Service, NamespacedName("shop", "dns"))
    assert here.sync() == 1
    assert here.ask(client) is None


def test_a_restart_keeps_right_flows_and_ends_wrong_ones(here: Node) -> None:
    here.list(here.service(), *here.pods)
    clients = [here.client(here.vip, 53) for _ in range(20)]
    before = {client: here.ask(client) for client in clients}
    assert set(before.values()) == set(here.pods)
    here.stop()
    here.start()
    here.list(here.service(), here.pods[0])
    wrong = [client for client in clients if before[client] == here.pods[1]]
    kept = {entry for entry in here.namespace.run(listed) if entry[1] == (parse_address(here.vip), 53)}
    assert {format_address(source) for _, _, (source, _) in kept} == {here.pods[0]}
    assert {here.ask(client) for client in wrong} == {here.pods[0]}


def test_CT_01_TCP_and_SCTP_to_the_same_places_are_never_touched(here: Node) -> None:
    here.list(here.service(), here.pods[0])
    client, vip = (parse_address(here.host), 1234), (parse_address(here.vip), 53)
    gone = (parse_address("10.9.9.9" if here.family is IPFamily.IPV4 else "fd00:9::9"), 53)
    entries = [Entry(client, vip, gone, protocol) for protocol in Protocol]
    here.namespace.run(create, entries)
    assert here.serve(here.pods[1]) == 1
    left = {protocol for protocol, to, source in here.namespace.run(listed) if (to, source) == (vip, gone)}
    assert left == {Protocol.TCP, Protocol.SCTP}
