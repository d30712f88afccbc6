"""Packets to health checks, and those that are counted, with both variants."""

import select
import socket
import struct
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from pointsman.backends.iptables import accounting
from pointsman.backends.iptables import probe as subject
from pointsman.backends.iptables.kernel import Variant
from pointsman.conformance.lab import Lab, LabSpec
from pointsman.core.addresses import IPFamily, parse_address
from pointsman.core.backend import expected
from pointsman.core.model import (
    Answer,
    Endpoint,
    Frontend,
    FrontendKind,
    Masquerade,
    Match,
    Model,
    NodePortAddresses,
    Pool,
    Protocol,
    ServiceFrontends,
    ServicePortName,
)
from pointsman.core.plan import advance
from tests.backends.iptables.driven import Kernel
from tests.backends.iptables.test_seed import seed

pytestmark = [
    pytest.mark.netns,
    pytest.mark.program("iptables-legacy", "iptables-nft", "ip6tables-legacy", "ip6tables-nft"),
]

HEALTH = 32000
NODE_PORT = 30080
SOON = 5.0
SILENCE = 0.3
LOOPBACK = "127.0.0.1"
NEIGHBOURS = ("-p", "58", "-j", "ACCEPT")  # ICMPv6: without it nobody is found


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(LabSpec(pods=("client", "server"), remote_pods=(), clients=())) as opened:
        yield opened


@pytest.fixture(params=[(v, f) for v in Variant for f in IPFamily], ids=lambda p: f"{p[0]}-{p[1]}")
def kernel(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Kernel]:
    opened = Kernel(lab.node, *request.param)
    yield opened
    opened.close()


@pytest.fixture(params=Variant, ids=str)
def counting(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Kernel]:
    opened = Kernel(lab.node, request.param)
    found = lab.node.run(opened.dataplane._found)
    try:
        if found.uncounted:
            pytest.skip(found.uncounted)
        yield opened
    finally:
        opened.close()


def with_health(model: Model, *names: str) -> Model:
    services = [
        (name, ServiceFrontends(name, (), health_check_node_port=HEALTH))
        for name in (ServicePortName("default", "checked", port, Protocol.TCP) for port in names)
    ]
    return advance(model, services, model.node)[0]


def test_SEC_04_health_checks_are_accepted_whatever_the_policy(kernel: Kernel, lab: Lab) -> None:
    """IPT-08: as long as any port of the Service is there."""
    empty = kernel.model
    kernel.sync(empty, full=True)
    kernel.command("-P", "INPUT", "DROP")
    kernel.command("-A", "INPUT", *NEIGHBOURS)
    try:
        assert not answered(lab, kernel.family)
        both = with_health(empty, "http", "https")
        kernel.sync(both)
        assert answered(lab, kernel.family)
        kernel.sync(with_health(empty, "https"))
        assert answered(lab, kernel.family)
        assert kernel.observe() == expected(kernel.model)
        assert kernel.sync(kernel.model, full=True) == 0
        kernel.sync(empty)
        assert not answered(lab, kernel.family)
    finally:
        kernel.command("-P", "INPUT", "ACCEPT")
        kernel.command("-D", "INPUT", *NEIGHBOURS)


def answered(lab: Lab, family: IPFamily) -> bool:
    """Whether a connection to the health check's port of the node comes about."""
    address = lab.address("node", family)
    [listener] = lab.node.sockets(1, family, socket.SOCK_STREAM, Protocol.TCP)
    [client] = lab["client"].sockets(1, family, socket.SOCK_STREAM, Protocol.TCP)
    with listener, client:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, HEALTH))
        listener.listen()
        client.connect_ex((address, HEALTH))
        readable, _, _ = select.select([listener], [], [], SILENCE)
        return bool(readable)


def test_SEC_01_from_elsewhere_no_loopback_address_is_reached_by_a_health_checks_port(
    counting: Kernel, lab: Lab
) -> None:
    """What accepts health checks stands before the guard that the kubelet shares."""
    model = with_health(counting.model, "http")
    node = replace(model.node, node_ports=NodePortAddresses(loopback=True))
    counting.sync(replace(model, node=node), full=True)
    [receiver] = lab.node.sockets(1, socket.AF_INET, socket.SOCK_RAW, Protocol.TCP)
    [sender] = lab["client"].sockets(1, socket.AF_INET, socket.SOCK_RAW, Protocol.TCP)
    address, source = (lab.address(name, IPFamily.IPV4) for name in ("node", "client"))
    with receiver, sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
        for target in (LOOPBACK, address):  # whatever the header says, the way is that to the node
            sender.sendto(opening(source, target), (address, 0))
        assert select.select([receiver], [], [], SOON)[0]
        first = receiver.recv(64)

    assert socket.inet_ntoa(first[16:20]) == address


def opening(source: str, target: str) -> bytes:
    """The first packet of a connection to the health check's port."""
    ends = socket.inet_aton(source) + socket.inet_aton(target)
    pieces = struct.pack("!HHIIBBHHH", 12345, HEALTH, 1, 0, 5 << 4, 2, 1024, 0, 0)
    total = sum(struct.unpack("!16H", ends + struct.pack("!HH", socket.IPPROTO_TCP, 20) + pieces))
    checksum = 0xFFFF - (total % 0xFFFF)
    segment = pieces[:16] + struct.pack("!H", checksum) + pieces[18:]
    return struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0, 64, socket.IPPROTO_TCP, 0) + ends + segment


def test_SEC_03_services_are_forwarded_whatever_the_policy(counting: Kernel, lab: Lab) -> None:
    """There and back: what is marked, and what belongs to it."""
    counting.sync(with_node_port(lab), full=True)
    counting.command("-P", "FORWARD", "DROP")
    [server] = lab["server"].sockets(1, socket.AF_INET, socket.SOCK_DGRAM, Protocol.UDP)
    [client] = lab["client"].sockets(1, socket.AF_INET, socket.SOCK_DGRAM, Protocol.UDP)
    try:
        with server, client:
            server.bind((lab.address("server", IPFamily.IPV4), 8080))
            client.sendto(b"there", (lab.address("node", IPFamily.IPV4), NODE_PORT))
            assert select.select([server], [], [], SOON)[0]
            _, source = server.recvfrom(16)
            server.sendto(b"back", source)
            assert select.select([client], [], [], SOON)[0]
    finally:
        counting.command("-P", "FORWARD", "ACCEPT")


def test_MET_12_connections_to_node_ports_on_localhost_are_counted(counting: Kernel, lab: Lab) -> None:
    """No others are, and a flush or a restart doesn't begin anew."""
    counting.sync(with_node_port(lab), full=True)
    before = counted(lab, accounting.LOCALHOST_NODE_PORTS)
    address = lab.address("server", IPFamily.IPV4)
    [server] = lab["server"].sockets(1, socket.AF_INET, socket.SOCK_DGRAM, Protocol.UDP)
    with server:
        server.bind((address, 8080))
        for where in (LOOPBACK, LOOPBACK, lab.address("node", IPFamily.IPV4)):
            [client] = lab.node.sockets(1, socket.AF_INET, socket.SOCK_DGRAM, Protocol.UDP)
            with client:
                client.sendto(b"x", (where, NODE_PORT))
                client.sendto(b"y", (where, NODE_PORT))  # of the same connection
            for _ in range(2):
                assert select.select([server], [], [], SOON)[0], where
                server.recv(16)

    assert counted(lab, accounting.LOCALHOST_NODE_PORTS) == before + 2
    counting.namespace.run(counting.dataplane.dataplane_cleanup)
    counting.sync(counting.model, full=True)
    assert counted(lab, accounting.LOCALHOST_NODE_PORTS) == before + 2


def test_SEC_02_MET_12_forwarded_packets_of_no_valid_state_are_dropped_and_counted(
    counting: Kernel, lab: Lab
) -> None:
    counting.sync(seed(), full=True)
    before = counted(lab, accounting.INVALID)
    target = lab.address("server", IPFamily.IPV4)
    [raw] = lab["client"].sockets(1, socket.AF_INET, socket.SOCK_RAW, Protocol.TCP)
    with raw:
        no_flags = b"\x30\x39\x1f\x90" + bytes(8) + b"\x50\x00\x00\x00" + bytes(4)
        raw.sendto(no_flags, (target, 0))

    assert counted(lab, accounting.INVALID) == before + 1


def counted(lab: Lab, name: str) -> int:
    return lab.node.run(accounting.counters).get(name, 0)


def with_node_port(lab: Lab) -> Model:
    frontend = Frontend(
        Match(None, Protocol.UDP, NODE_PORT),
        FrontendKind.NODE_PORT,
        Answer(Pool.CLUSTER, Masquerade.ALWAYS),
    )
    endpoint = Endpoint(parse_address(lab.address("server", IPFamily.IPV4)), 8080)
    name = ServicePortName("default", "local", "", Protocol.UDP)
    node = replace(seed().node, node_ports=NodePortAddresses(loopback=True))
    return advance(Model(node), [(name, ServiceFrontends(name, (frontend,), (endpoint,)))], node)[0]


def test_where_the_kernel_counts_nothing_the_backend_says_so_and_works(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking() -> None:
        raise OSError("no nfnetlink_acct here")

    monkeypatch.setattr(accounting, "ensure", lacking)
    subject.examine.cache_clear()
    kernel = Kernel(lab.node, Variant.NFT)
    try:
        remarks = lab.node.run(kernel.dataplane.dataplane_probe).remarks
        kernel.sync(seed(), full=True)
        assert any("no nfacct counters: no nfnetlink_acct here" in remark for remark in remarks)
        assert "nfacct" not in kernel.save()
        assert kernel.observe() == expected(seed())
    finally:
        kernel.close()
        subject.examine.cache_clear()
