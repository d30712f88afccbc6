"""The addresses of interfaces: all of them, as pyroute2 tells them, however the kernel sends them."""

import errno
import socket
from collections.abc import Iterator
from struct import pack

import pytest
from pyroute2 import IPRoute

from pointsman.conformance.lab.netns import LOOPBACK, Namespace
from pointsman.core.addresses import parse_address
from pointsman.plugins.rtnetlink import _dump, interface_addresses

NEW_ADDRESS, ERROR, DONE = 20, 2, 3
INTERRUPTED = 0x10


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    with Namespace("node") as made:
        yield made


@pytest.mark.netns
def test_more_addresses_than_fit_a_message_are_those_that_pyroute2_finds(namespace: Namespace) -> None:
    def add(route: IPRoute) -> None:
        for number in range(600):
            address = f"198.18.{number >> 8}.{number & 255}"
            route.addr("add", index=LOOPBACK, address=address, prefixlen=32)
            route.addr("add", index=LOOPBACK, address=f"2001:db8::{number:x}", prefixlen=128)
        route.addr("add", index=LOOPBACK, local="192.0.2.7", address="192.0.2.8", prefixlen=32)

    namespace.configure(add)
    listed = namespace.configure(lambda route: [*route.get_addr()])
    texts = [message.get("IFA_LOCAL") or message.get("IFA_ADDRESS") for message in listed]
    assert len(texts) == 2 * 600 + 3
    assert namespace.run(interface_addresses) == {parse_address(text) for text in texts}


class Kernel(socket.socket):
    """A socket on which these messages come."""

    def __init__(self, *messages: bytes) -> None:
        super().__init__(socket.AF_UNIX)
        self._messages = list(messages)

    def send(self, data: bytes, flags: int = 0, /) -> int:  # type: ignore[override]
        return len(data)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        return self._messages.pop(0)


def message(kind: int, body: bytes = b"", flags: int = 0) -> bytes:
    return pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body


def address(packed: bytes) -> bytes:
    return pack("=BBBBIHH", socket.AF_INET, 32, 0, 0, 1, 8, 1) + packed


def test_a_list_that_was_changed_meanwhile_does_not_count() -> None:
    first = message(NEW_ADDRESS, address(b"\x0a\0\0\1"), INTERRUPTED)
    with Kernel(first, message(DONE, bytes(4))) as kernel:
        assert _dump(kernel) == (False, {b"\x0a\0\0\1"})
    with Kernel(message(DONE, bytes(4), INTERRUPTED)) as kernel:
        assert _dump(kernel) == (False, set())


def test_a_refusal_is_raised() -> None:
    with (
        Kernel(message(ERROR, pack("=i", -errno.EPERM) + bytes(16))) as kernel,
        pytest.raises(PermissionError),
    ):
        _dump(kernel)
