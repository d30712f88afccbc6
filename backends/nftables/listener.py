"""Hears when somebody else writes to our table."""

import logging
import os
import selectors
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .netlink.messages import Table
from .netlink.monitor import Change, Monitor, Overrun

log = logging.getLogger(__name__)


class Listener:
    """Listens to nf_tables' notifications for one table.

    Two may ask: a sync, right before it trusts what it remembers, and a thread that tells whoever wants to
    know at once. What one of them hears the other is told too.
    """

    def __init__(self, table: Table, own: int) -> None:
        """``own`` is the port ID of the socket whose writes are our own."""
        self._table = table
        self._monitor = Monitor(own=own)
        self._lock = threading.Lock()
        self._heard = False
        self._thread: threading.Thread | None = None
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)

    def heard(self) -> bool:
        """Whether somebody else has written to the table since this was last asked."""
        with self._lock:
            self._listen()
            heard, self._heard = self._heard, False
        return heard

    def suspect(self) -> None:
        """Somebody may have written while nobody listened."""
        with self._lock:
            self._heard = True

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Don't listen meanwhile: the kernel writes a notification of every element for whoever does."""
        with self._monitor.paused():
            yield

    def tell(self, changed: Callable[[], None]) -> None:
        """From now on, call ``changed`` on a thread of its own whenever something is heard."""
        self._thread = threading.Thread(
            target=self._follow, args=(changed,), name=f"listen {self._table}", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        if self._thread is not None:
            os.eventfd_write(self._wake, 1)
            self._thread.join()
        os.close(self._wake)
        self._monitor.close()

    def _listen(self) -> bool:
        """Take in what has arrived; whether anything of it is news.

        Elements whose time was up are the kernel's doing, which signs with 0.
        """
        news = any(
            isinstance(notification, Overrun)
            or (
                isinstance(notification, Change) and notification.table == self._table and notification.portid
            )
            for notification in self._monitor.read()
        )
        self._heard = self._heard or bool(news)
        return bool(news)

    def _follow(self, changed: Callable[[], None]) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._monitor, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while all(key.fd != self._wake for key, _ in selector.select()):
                with self._lock:
                    news = self._listen()
                if news:
                    changed()
