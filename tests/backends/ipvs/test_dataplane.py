"""The dataplane against a real kernel: what it writes, reads back, mends and leaves alone."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from pyroute2 import IPRoute

from pointsman.backends.ipvs import environment
from pointsman.backends.ipvs.netlink import IpvsError, IpvsSocket
from pointsman.backends.ipvs.plugin import IpvsOptions
from pointsman.backends.ipvs.servers import (
    ADD,
    ADD_SERVICE,
    DELETE,
    DELETE_SERVICE,
    SET,
    SET_SERVICE,
    Destination,
    Request,
    Server,
    Service,
    Target,
    Timeouts,
)
from pointsman.backends.memory.oracle import Oracle
from pointsman.backends.nftables.netlink import messages
from pointsman.backends.nftables.netlink.constants import Family
from pointsman.backends.nftables.netlink.messages import Table
from pointsman.backends.nftables.netlink.netfilter import NetfilterSocket
from pointsman.conformance.lab import Namespace
from pointsman.core.addresses import IPFamily
from pointsman.core.backend import Observed, expected
from pointsman.core.model import Model, Protocol
from pointsman.core.packet import Verdict
from pointsman.core.plan import advance
from tests import strategies
from tests.backends.ipvs.driven import INSTANCE, Driven, timeouts
from tests.backends.nftables.models import seed

pytestmark = pytest.mark.netns


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    with Namespace("ipvs") as opened:
        yield opened


@pytest.fixture(params=IPFamily, ids=str)
def kernel(request: pytest.FixtureRequest, namespace: Namespace) -> Iterator[Driven]:
    opened = Driven(namespace, request.param)
    yield opened
    opened.close()


@pytest.mark.parametrize("family", IPFamily, ids=str)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_history_leaves_what_the_model_says(
    namespace: Namespace, family: IPFamily, data: st.DataObject
) -> None:
    """Partial syncs one after another, full ones and restarts in between: the kernel holds the model."""
    kernel = Driven(namespace, family)
    try:
        kernel.sync(data.draw(strategies.models(family)), full=True)
        for _ in range(data.draw(st.integers(1, 3))):
            if data.draw(st.booleans(), label="restart"):
                kernel.restart()
                assert kernel.sync(kernel.model, full=True).writes == 0
            desired, _ = data.draw(strategies.successors(kernel.model))
            kernel.sync(desired, full=data.draw(st.booleans(), label="full"))
            assert kernel.observe() == expected(desired)
            assert kernel.sync(desired).writes == 0
            assert kernel.sync(desired, full=True).writes == 0
    finally:
        kernel.close()


@pytest.mark.parametrize("family", IPFamily, ids=str)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_traces_agree_with_the_oracle(namespace: Namespace, family: IPFamily, data: st.DataObject) -> None:
    kernel = Driven(namespace, family)
    try:
        model = _without_loopback(data.draw(strategies.models(family)))
        kernel.sync(model, full=True)
        oracle = Oracle.of(model)
        for _ in range(4):
            packet = data.draw(strategies.packets(model))
            found = namespace.run(kernel.dataplane.dataplane_trace, packet)
            assert _shares(found.verdict) == _shares(oracle.judge(packet)), found.steps
    finally:
        kernel.close()


def _without_loopback(model: Model) -> Model:
    """The model without node ports on loopback addresses, which this backend has none of (DIV-06)."""
    node = replace(model.node, node_ports=replace(model.node.node_ports, loopback=False))
    return replace(model, node=node)


def _shares(verdict: Verdict) -> tuple[object, ...]:
    whole = sum(endpoint.weight for endpoint in verdict.endpoints)
    hidden = {(endpoint.address, endpoint.port) for endpoint in verdict.masqueraded}
    shares = {(e.address, e.port): e.weight / whole for e in verdict.endpoints}
    return verdict.action, shares, hidden


def test_cleanup_is_complete_and_idempotent(kernel: Driven) -> None:
    kernel.sync(seed(kernel.family), full=True)
    assert kernel.servers()
    assert kernel.namespace.run(kernel.dataplane.dataplane_cleanup) is True
    assert kernel.namespace.run(kernel.dataplane.dataplane_cleanup) is False
    assert not kernel.servers()
    assert kernel.observe() == Observed({})
    faults = kernel.namespace.run(lambda: list(environment.faults(kernel.family, kernel.network)))
    assert len(faults) == 2  # neither route nor rule; settings stay


def test_no_interface_gets_an_address(kernel: Driven) -> None:
    def addresses(netlink: IPRoute) -> list[str]:
        return sorted(str(message.get_attr("IFA_ADDRESS")) for message in netlink.get_addr())

    before = kernel.namespace.configure(addresses)
    kernel.sync(seed(kernel.family), full=True)
    assert kernel.namespace.configure(addresses) == before


def test_an_endpoint_that_comes_is_one_request_and_leaves_the_table_alone(kernel: Driven) -> None:
    """But for the set of endpoints' addresses, by which hairpins are known."""
    kernel.sync(seed(kernel.family), full=True)
    report = kernel.sync(seed(kernel.family, 5))
    assert report.writes == 2


def _server_of(kernel: Driven) -> tuple[Server, Service]:
    [found] = kernel.servers().items()
    return found


def _drop_guard(kernel: Driven) -> None:
    kernel.namespace.run(_delete_guard, kernel.family)


def _delete_guard(family: IPFamily) -> None:
    nf_family = Family.IP if family is IPFamily.IPV4 else Family.IP6
    with NetfilterSocket() as netlink:
        netlink.commit([messages.delete_table(Table(nf_family, f"pointsman-ipvs-{INSTANCE}-guard"))])


def _drop_routes(kernel: Driven) -> None:
    kernel.namespace.run(environment.remove, kernel.family, kernel.network)


def _drop_server(kernel: Driven) -> None:
    kernel.request(Request(DELETE_SERVICE, _server_of(kernel)[0]))


def _drop_destination(kernel: Driven) -> None:
    server, service = _server_of(kernel)
    kernel.request(Request(DELETE, server, None, min(service.destinations)))


def _quiesce(kernel: Driven) -> None:
    server, service = _server_of(kernel)
    kernel.request(Request(SET, server, None, min(service.destinations), Destination(0)))


def _tunnel(kernel: Driven) -> None:
    server, service = _server_of(kernel)
    kernel.request(Request(SET, server, None, min(service.destinations), Destination(1, 3)))


def _add_server(kernel: Driven) -> None:
    server, _ = _server_of(kernel)
    kernel.request(Request(ADD_SERVICE, server._replace(port=server.port ^ 1), Service("rr", 0, {})))


def _add_destination(kernel: Driven) -> None:
    server, service = _server_of(kernel)
    stranger = min(service.destinations)._replace(port=1)
    kernel.request(Request(ADD, server, None, stranger, Destination(1)))


def _forget_conntrack(kernel: Driven) -> None:
    kernel.namespace.sysctl({"ipv4/vs/conntrack": 0})


def _reschedule(kernel: Driven) -> None:
    """As ``ipvsadm -E`` does."""
    server, service = _server_of(kernel)
    kernel.request(Request(SET_SERVICE, server, Service("rr", 0, service.destinations)))


def _reschedule_alone(kernel: Driven) -> None:
    server, service = _server_of(kernel)
    kernel.request(Request(SET_SERVICE, server, replace(service, scheduler="rr")))


def _hash_otherwise(kernel: Driven) -> None:
    """The scheduler is told to heed the client's address alone."""
    server, service = _server_of(kernel)
    kernel.request(Request(SET_SERVICE, server, replace(service, flags=0)))


def _persist(kernel: Driven) -> None:
    server, service = _server_of(kernel)
    kernel.request(Request(SET_SERVICE, server, replace(service, flags=service.flags | 1)))


DAMAGES: list[Callable[[Driven], None]] = [
    _drop_guard,
    _drop_routes,
    _drop_server,
    _drop_destination,
    _quiesce,
    _tunnel,
    _add_server,
    _add_destination,
    _forget_conntrack,
    _reschedule,
    _reschedule_alone,
    _hash_otherwise,
    _persist,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.strip("_"))
def test_damage_is_seen_and_mended(kernel: Driven, damage: Callable[[Driven], None]) -> None:
    kernel.sync(seed(kernel.family), full=True)
    damage(kernel)
    assert kernel.observe() != expected(kernel.model)
    assert kernel.sync(kernel.model, full=True).writes > 0
    assert kernel.observe() == expected(kernel.model)
    assert kernel.sync(kernel.model, full=True).writes == 0


def test_a_service_may_ask_for_a_scheduler_and_one_that_is_not_there_is_told_once(
    kernel: Driven, caplog: pytest.LogCaptureFixture
) -> None:
    model = seed(kernel.family)
    kernel.sync(model, full=True)
    [(name, service)] = model.services.items()
    for asked, got in (("lc", "lc"), ("nonesuch", "mh"), ("wrr", "wrr"), ("nonesuch", "mh"), ("", "mh")):
        model, _ = advance(model, [(name, replace(service, scheduler=asked))], model.node)
        kernel.sync(model)
        assert _server_of(kernel)[1].scheduler == got
        assert kernel.sync(model, full=True).writes == 0
        assert kernel.observe() == expected(model)
    told = [record for record in caplog.records if record.message == "scheduler_refused"]
    assert [record.__dict__["scheduler"] for record in told] == ["nonesuch"]


def test_IPVS_03_timeouts_are_set_and_those_that_are_0_stay(namespace: Namespace) -> None:
    plain = Driven(namespace, IPFamily.IPV4)
    try:
        plain.sync(seed(IPFamily.IPV4), full=True)
        before = namespace.run(timeouts)
        assert all(before)
    finally:
        plain.close()
    kernel = Driven(namespace, IPFamily.IPV4, IpvsOptions(tcp_timeout=901.5, udp_timeout=77))
    try:
        assert kernel.sync(seed(IPFamily.IPV4), full=True).writes
        assert namespace.run(timeouts) == Timeouts(902, before.tcp_fin, 77)
        kernel.restart()
        assert kernel.sync(kernel.model, full=True).writes == 0
        kernel.restart(IpvsOptions(tcp_fin_timeout=33, udp_timeout=78))
        assert kernel.sync(kernel.model, full=True).writes
        assert namespace.run(timeouts) == Timeouts(902, 33, 78)
    finally:
        kernel.close()


def test_IPVS_03_timeouts_that_somebody_changes_are_seen_and_mended(namespace: Namespace) -> None:
    """By ``ipvsadm --set``, say; one that nobody asked for is nobody's business."""
    kernel = Driven(namespace, IPFamily.IPV4, IpvsOptions(tcp_timeout=700, udp_timeout=70))
    try:
        kernel.sync(seed(IPFamily.IPV4), full=True)
        assert kernel.observe() == expected(kernel.model)
        namespace.run(_set_timeouts, Timeouts(701, 99, 70))
        assert kernel.observe().strange == ("IPVS' time-outs are 701/99/70 s, not 700/99/70 s",)
        assert kernel.sync(kernel.model, full=True).writes == 1
        assert namespace.run(timeouts) == Timeouts(700, 99, 70)
        assert kernel.observe() == expected(kernel.model)
    finally:
        kernel.close()


def test_IPVS_03_the_longest_timeout_is_one_that_the_kernel_takes(namespace: Namespace) -> None:
    kernel = Driven(namespace, IPFamily.IPV4, IpvsOptions(tcp_timeout=1e9))
    try:
        kernel.sync(seed(IPFamily.IPV4), full=True)
        assert namespace.run(timeouts).tcp == 2147483
        assert kernel.observe() == expected(kernel.model)
    finally:
        kernel.close()


def _set_timeouts(timeouts: Timeouts) -> None:
    ipvs = IpvsSocket()
    try:
        ipvs.set_timeouts(timeouts)
    finally:
        ipvs.close()


SETTINGS = environment.settings(IPFamily.IPV4, os.uname().release)


@pytest.mark.parametrize("name", SETTINGS)
def test_IPVS_02_a_setting_that_somebody_changes_is_mended_and_only_in_our_namespace(name: str) -> None:
    def held() -> dict[str, str]:
        return {name: Path("/proc/sys/net/ipv4", name).read_text().strip() for name in SETTINGS}

    with Namespace("other") as other, Namespace("ours") as ours:
        kernel = Driven(ours, IPFamily.IPV4)
        before = other.run(held)
        assert before != SETTINGS
        kernel.sync(seed(IPFamily.IPV4), full=True)
        assert ours.run(held) == SETTINGS
        changed = "0" if SETTINGS[name] == "1" else "1"
        ours.sysctl({f"ipv4/{name}": changed})
        fault = f"net.ipv4.{name.replace('/', '.')} is not {SETTINGS[name]}"
        assert kernel.observe().strange == (fault,)
        assert kernel.sync(kernel.model, full=True).writes == 1
        assert ours.run(held) == SETTINGS
        assert kernel.observe() == expected(kernel.model)
        kernel.close()
        assert other.run(held) == before


def test_foreign_virtual_servers_are_left_alone(kernel: Driven) -> None:
    """Also at cleanup, also one at an address of a service, and one that somebody else drains."""
    model = seed(kernel.family)
    _, frontend = next(model.frontends())
    assert frontend.match.address is not None
    theirs = Server(Protocol.TCP, frontend.match.address, 8443)
    target = Target(frontend.match.address[:-1] + b"\x63", 8443)
    draining = target._replace(port=8444)
    held = {target: Destination(7, 3), draining: Destination(0)}
    kernel.request(
        Request(ADD_SERVICE, theirs, Service("wlc", 0, {})),
        Request(ADD, theirs, None, target, Destination(7, 3)),
        Request(ADD, theirs, None, draining, Destination(0)),
    )
    try:
        kernel.sync(model, full=True)
        assert kernel.observe() == expected(model)
        assert kernel.namespace.run(_destinations, theirs) == held
        kernel.namespace.run(kernel.dataplane.dataplane_cleanup)
        assert kernel.namespace.run(_destinations, theirs) == held
    finally:
        kernel.request(Request(DELETE_SERVICE, theirs))


def _destinations(server: Server) -> dict[Target, Destination]:
    ipvs = IpvsSocket()
    try:
        return ipvs.destinations(server)
    finally:
        ipvs.close()


def test_a_refusal_names_the_request(kernel: Driven) -> None:
    server = Server(Protocol.TCP, kernel.network.address, 7)
    with pytest.raises(IpvsError, match=r"add virtual server .*:7/tcp: No such file"):
        kernel.request(Request(ADD_SERVICE, server, Service("nonesuch", 0, {})))


def test_thousands_of_requests_go_in_batches(kernel: Driven) -> None:
    server = Server(Protocol.UDP, kernel.network.address, 7)
    base = server.address[:-2]
    targets = [Target(base + number.to_bytes(2), 53) for number in range(1, 1001)]
    kernel.request(
        Request(ADD_SERVICE, server, Service("rr", 0, {})),
        *(Request(ADD, server, None, target, Destination(1)) for target in targets),
    )
    assert kernel.servers()[server].destinations == dict.fromkeys(targets, Destination(1))
    kernel.request(Request(DELETE_SERVICE, server))
