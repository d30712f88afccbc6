"""The kernel's table: what it shows, what it keeps back, what it deletes."""

import errno
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from pointsman.conformance.lab.netns import Namespace
from pointsman.core.addresses import IPFamily, parse_address
from pointsman.core.model import Protocol
from pointsman.plugins.conntrack import table as under_test
from pointsman.plugins.conntrack.flows import Flow, Place, Target
from pointsman.plugins.conntrack.occupancy import occupancy
from pointsman.plugins.conntrack.table import BATCH, Interrupted, Table

from .entries import Entry, create, listed

V4, V6 = IPFamily.IPV4, IPFamily.IPV6
PREFIX = {V4: "10.0.0.", V6: "fd00::"}


def place(family: IPFamily, last: int, port: int) -> Place:
    return parse_address(f"{PREFIX[family]}{last}"), port


def entry(family: IPFamily, client: int, to: int = 10, port: int = 53, **more: object) -> Entry:
    destination = place(family, to, port)
    return Entry(place(family, 1, client), destination, place(family, 5, 5353), **more)  # type: ignore[arg-type]


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    with Namespace("conntrack") as made:
        yield made


@pytest.fixture
def table(namespace: Namespace) -> Iterator[Table]:
    with namespace.run(Table) as opened:
        yield opened


def ends(flows: Iterator[Flow]) -> set[tuple[Place, Place]]:
    return {(flow.destination, flow.source) for flow in flows}


@pytest.mark.netns
@pytest.mark.parametrize("family", IPFamily, ids=str)
def test_it_shows_the_udp_flows_of_one_family(namespace: Namespace, table: Table, family: IPFamily) -> None:
    namespace.run(create, [entry(V4, 1000), entry(V6, 1000), entry(family, 1001, to=11)])
    endpoint = place(family, 5, 5353)
    assert ends(table.flows(family)) == {
        (place(family, 10, 53), endpoint),
        (place(family, 11, 53), endpoint),
    }


@pytest.mark.netns
@pytest.mark.parametrize("family", IPFamily, ids=str)
def test_it_tells_flows_that_nobody_has_answered_yet(
    namespace: Namespace, table: Table, family: IPFamily
) -> None:
    namespace.run(create, [entry(family, 1000), entry(family, 1001, to=11, answered=False)])
    answered = {flow.destination: flow.answered for flow in table.flows(family)}
    assert answered == {place(family, 10, 53): True, place(family, 11, 53): False}


@pytest.mark.netns
@pytest.mark.parametrize("family", IPFamily, ids=str)
def test_it_keeps_to_one_frontend(namespace: Namespace, table: Table, family: IPFamily) -> None:
    others = [entry(family, 1001, to=11), entry(family, 1002, port=54), entry(family, 1003, to=11, port=54)]
    namespace.run(create, [entry(family, 1000), *others])

    def shown(target: Target) -> set[Place]:
        return {flow.destination for flow in table.flows(family, target)}

    assert shown(Target(*place(family, 10, 53))) == {place(family, 10, 53)}
    assert shown(Target(None, 53)) == {place(family, 10, 53), place(family, 11, 53)}
    assert shown(Target(None, 55)) == set()


@pytest.mark.netns
def test_CT_01_other_protocols_are_neither_shown_nor_deleted(namespace: Namespace, table: Table) -> None:
    protocols = (Protocol.TCP, Protocol.UDP, Protocol.SCTP)
    namespace.run(create, [entry(V4, 1000, protocol=protocol) for protocol in protocols])
    flows = list(table.flows(V4))
    assert len(flows) == 1
    assert table.delete(V4, flows) == 1
    assert {protocol for protocol, _, _ in namespace.run(listed)} == {Protocol.TCP, Protocol.SCTP}


@pytest.mark.netns
def test_entries_of_other_zones_are_somebody_elses(namespace: Namespace, table: Table) -> None:
    namespace.run(create, [entry(V4, 1000, zone=7)])
    assert list(table.flows(V4)) == []


@pytest.mark.netns
@pytest.mark.parametrize("family", IPFamily, ids=str)
def test_it_deletes_what_it_is_told_and_nothing_else(
    namespace: Namespace, table: Table, family: IPFamily
) -> None:
    count = BATCH + 7
    namespace.run(create, [entry(family, 1000 + n) for n in range(count)] + [entry(family, 999, to=11)])
    flows = list(table.flows(family, Target(*place(family, 10, 53))))
    assert table.delete(family, flows) == count
    assert {flow.destination for flow in table.flows(family)} == {place(family, 11, 53)}
    assert table.delete(family, flows) == 0


@pytest.mark.netns
def test_an_entry_that_has_taken_anothers_place_stays(namespace: Namespace, table: Table) -> None:
    namespace.run(create, [entry(V4, 1000)])
    flows = list(table.flows(V4))
    assert table.delete(V4, flows) == 1
    # The others take the memory that has become free: entries in the same memory have the same number.
    namespace.run(create, [entry(V4, 1001 + n) for n in range(100)] + [entry(V4, 1000)])
    assert table.delete(V4, flows) == 0
    assert len(list(table.flows(V4))) == 101


@pytest.mark.netns
def test_a_dump_that_nobody_read_to_its_end_is_in_nobodys_way(namespace: Namespace, table: Table) -> None:
    namespace.run(create, [entry(V4, 1000 + n) for n in range(2000)])
    next(table.flows(V4))
    assert len(list(table.flows(V4))) == 2000
    next(table.flows(V4))
    assert list(table.flows(V6)) == []


@pytest.mark.netns
def test_twenty_thousand_entries_take_a_moment(namespace: Namespace, table: Table) -> None:
    """Some 0.1 s each on a machine at rest; the bounds are those of one that is not."""
    count = 20_000
    namespace.run(create, [entry(V4, 1024 + n % 40_000, to=10 + n // 40_000, port=53) for n in range(count)])
    assert namespace.run(occupancy).entries == count
    began = time.thread_time()
    assert list(table.flows(V4, Target(None, 54))) == []
    filtered = time.thread_time() - began
    began = time.thread_time()
    flows = list(table.flows(V4))
    assert len(flows) == count
    assert time.thread_time() - began < 1
    assert filtered < time.thread_time() - began
    began = time.thread_time()
    assert table.delete(V4, flows) == count
    assert time.thread_time() - began < 2


class Kernel:
    """A socket on which these answers come to a dump."""

    def __init__(self, *answers: bytes | OSError) -> None:
        self.answers = list(answers)
        self.sent = False

    def send(self, request: bytes) -> int:
        self.sent = True
        return len(request)

    def recv(self, size: int) -> bytes:
        if not self.sent or not self.answers:
            raise BlockingIOError
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    def close(self) -> None:
        pass


def message(kind: int, error: int = 0, flags: int = 0) -> bytes:
    return struct.pack("=IHHIIi", 20, kind, flags, 1, 0, -error)


DONE, ERROR = 3, 2
INTERRUPTED = 0x10


def scripted(monkeypatch: pytest.MonkeyPatch, *answers: bytes | OSError) -> Table:
    monkeypatch.setattr(under_test, "_open", lambda: Kernel(*answers))
    return Table()


@pytest.mark.parametrize(
    "answers",
    [
        [message(DONE, flags=INTERRUPTED)],
        [message(DONE, errno.EINTR)],
        [OSError(errno.ENOBUFS, ""), message(DONE)],
        [],
    ],
    ids=["changed", "EINTR", "overrun", "lost"],
)
def test_CT_07_what_may_be_incomplete_says_so(
    monkeypatch: pytest.MonkeyPatch, answers: list[bytes | OSError]
) -> None:
    with scripted(monkeypatch, *answers) as table, pytest.raises(Interrupted):
        list(table.flows(V4))


def test_CT_07_a_refusal_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(monkeypatch, message(ERROR, errno.EPERM)) as table, pytest.raises(PermissionError):
        list(table.flows(V4))


def test_a_deletion_that_is_refused_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [message(ERROR, errno.ENOENT), message(ERROR, errno.EBUSY)]
    with scripted(monkeypatch, *answers) as table, pytest.raises(OSError, match="deleting") as raised:
        table.delete(V4, [Flow((b"\x0a\0\0\x0a", 53), (b"\x0a\0\0\x05", 53))] * 3)
    assert raised.value.errno == errno.EBUSY


def test_a_socket_that_can_not_be_had_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(PermissionError):
        Table()
