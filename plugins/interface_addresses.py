"""The addresses of this node's interfaces, now and whenever they change (SVC-NP-06)."""

import errno
import os
import select
import socket
import threading
from collections.abc import Callable

from .rtnetlink import interface_addresses

# Multicast groups of rtnetlink, as bits (linux/rtnetlink.h).
RTMGRP_IPV4_IFADDR = 0x10
RTMGRP_IPV6_IFADDR = 0x100

Addresses = frozenset[bytes]


class InterfaceAddresses:
    """Watches the network namespace of the thread that starts it.

    Args:
        changed: is given all addresses: at the start, and again when they have become others.
        failed: is told why nothing will be reported any more.
    """

    def __init__(self, changed: Callable[[Addresses], None], failed: Callable[[BaseException], None]) -> None:
        self._changed = changed
        self._failed = failed
        self._notifications: socket.socket | None = None
        self._stop = -1
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Report what there is, then follow changes on a thread of its own.

        Raises:
            OSError: the kernel doesn't answer over netlink.
        """
        # Subscribed before the first look, so that no change can fall between the two.
        self._notifications = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._notifications.setblocking(False)
        self._notifications.bind((0, RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR))
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)
        now = interface_addresses()
        self._changed(now)
        self._thread = threading.Thread(
            target=self._follow, args=(self._notifications, now), name="interface-addresses", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop reporting and join the thread. Idempotent."""
        if self._thread is not None:
            os.eventfd_write(self._stop, 1)
            self._thread.join()
            self._thread = None
        if self._notifications is not None:
            self._notifications.close()
            self._notifications = None
        if self._stop >= 0:
            os.close(self._stop)
            self._stop = -1

    def _follow(self, notifications: socket.socket, known: Addresses) -> None:
        try:
            poll = select.poll()
            poll.register(notifications, select.POLLIN)
            poll.register(self._stop, select.POLLIN)
            while self._stop not in dict(poll.poll()):
                _drain(notifications)
                now = interface_addresses()
                if now != known:
                    known = now
                    self._changed(now)
        except Exception as error:
            self._failed(error)


def _drain(notifications: socket.socket) -> None:
    """Read whatever has come in: that something changed is all we take from it."""
    while True:
        try:
            notifications.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            # So many that some were lost: one look at the addresses makes up for all of them.
            if error.errno != errno.ENOBUFS:
                raise
