"""A node's addresses: all of them, every change, and no word without one."""

import errno
import queue
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from pointsman.conformance.lab.netns import LOOPBACK, Namespace
from pointsman.core.addresses import parse_address
from pointsman.plugins.interface_addresses import Addresses, InterfaceAddresses, _drain
from pointsman.plugins.rtnetlink import interface_addresses

PATIENCE = 30  # seconds: a safety net, not a measure
OF_LOOPBACK = frozenset(map(parse_address, ("127.0.0.1", "::1")))


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    with Namespace("node") as made:
        yield made


class Watched:
    """What a watcher in a namespace reports."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self.reports: queue.SimpleQueue[Addresses | BaseException] = queue.SimpleQueue()
        self.watcher = InterfaceAddresses(self.reports.put, self.reports.put)

    def start(self) -> Addresses:
        """Start in the namespace; returns the first report, which must be there by then."""
        self._namespace.run(self.watcher.start)
        first = self.reports.get_nowait()
        assert isinstance(first, frozenset)
        return first

    def until(self, wanted: Callable[[Addresses], bool]) -> Addresses:
        """Wait for a report, whatever comes before it."""
        while True:
            report = self.reports.get(timeout=PATIENCE)
            assert isinstance(report, frozenset), report
            if wanted(report):
                return report


@pytest.fixture
def watched(namespace: Namespace) -> Iterator[Watched]:
    made = Watched(namespace)
    yield made
    made.watcher.stop()


def add(namespace: Namespace, address: str) -> None:
    prefix = 128 if ":" in address else 32
    namespace.configure(lambda rtnl: rtnl.addr("add", index=LOOPBACK, address=address, prefixlen=prefix))


def remove(namespace: Namespace, address: str) -> None:
    prefix = 128 if ":" in address else 32
    namespace.configure(lambda rtnl: rtnl.addr("del", index=LOOPBACK, address=address, prefixlen=prefix))


@pytest.mark.netns
@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
def test_addresses_that_come_and_go(namespace: Namespace, watched: Watched, address: str) -> None:
    assert watched.start() == OF_LOOPBACK
    add(namespace, address)
    assert watched.until(lambda now: parse_address(address) in now) == OF_LOOPBACK | {parse_address(address)}
    remove(namespace, address)
    assert watched.until(lambda now: parse_address(address) not in now) == OF_LOOPBACK


@pytest.mark.netns
def test_the_first_report_holds_what_was_there_before(namespace: Namespace, watched: Watched) -> None:
    add(namespace, "192.0.2.7")
    assert watched.start() == OF_LOOPBACK | {parse_address("192.0.2.7")}


@pytest.mark.netns
def test_of_a_point_to_point_link_our_end_counts(namespace: Namespace) -> None:
    namespace.configure(
        lambda rtnl: rtnl.addr("add", index=LOOPBACK, local="192.0.2.7", address="192.0.2.8", prefixlen=32)
    )
    assert namespace.run(interface_addresses) == OF_LOOPBACK | {parse_address("192.0.2.7")}


@pytest.mark.netns
def test_an_address_on_two_interfaces_stays_while_one_has_it(namespace: Namespace, watched: Watched) -> None:
    namespace.configure(lambda rtnl: rtnl.link("add", ifname="br0", kind="bridge"))
    [bridge] = namespace.configure(lambda rtnl: rtnl.link_lookup(ifname="br0"))
    add(namespace, "192.0.2.7")
    namespace.configure(lambda rtnl: rtnl.addr("add", index=bridge, address="192.0.2.7", prefixlen=32))
    assert parse_address("192.0.2.7") in watched.start()
    remove(namespace, "192.0.2.7")
    add(namespace, "192.0.2.9")
    seen = watched.until(lambda now: parse_address("192.0.2.9") in now)
    assert parse_address("192.0.2.7") in seen


@pytest.mark.netns
def test_many_changes_at_once_end_in_what_is_there(namespace: Namespace, watched: Watched) -> None:
    watched.start()
    texts = [f"198.51.100.{last}" for last in range(1, 200)]
    for text in texts:
        add(namespace, text)
    for text in texts[1::2]:
        remove(namespace, text)
    wanted = OF_LOOPBACK | {parse_address(text) for text in texts[::2]}
    assert watched.until(lambda now: now == wanted)


@pytest.mark.netns
def test_nothing_is_reported_and_nothing_left_after_the_end(namespace: Namespace, watched: Watched) -> None:
    watched.start()
    watched.watcher.stop()
    watched.watcher.stop()
    add(namespace, "192.0.2.7")
    assert watched.reports.empty()
    assert "interface-addresses" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.netns
def test_a_failure_is_told(namespace: Namespace, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    watched.start()

    def fail() -> Addresses:
        raise OSError(errno.ENOMEM, "no memory")

    monkeypatch.setattr("pointsman.plugins.interface_addresses.interface_addresses", fail)
    add(namespace, "192.0.2.7")
    error = watched.reports.get(timeout=PATIENCE)
    assert isinstance(error, OSError)
    assert error.errno == errno.ENOMEM


class Scripted(socket.socket):
    """A socket on which these things happen, one after the other."""

    def __init__(self, *happens: bytes | OSError) -> None:
        super().__init__(socket.AF_UNIX)
        self.happens = list(happens)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        now = self.happens.pop(0)
        if isinstance(now, OSError):
            raise now
        return now


def test_lost_notifications_are_made_up_for_by_the_look_that_follows() -> None:
    with Scripted(b"news", OSError(errno.ENOBUFS, ""), b"more", BlockingIOError()) as notifications:
        _drain(notifications)
        assert notifications.happens == []


def test_a_socket_that_fails_is_no_silence() -> None:
    with Scripted(OSError(errno.EBADF, "")) as notifications, pytest.raises(OSError, match=str(errno.EBADF)):
        _drain(notifications)
