"""Listeners that can't be had at once: tried again, or a reason to give up (HTTP-03)."""

import logging
import threading
from collections.abc import Callable

from msgspec import Struct

from .messages import Handler
from .server import HttpServer, Listener

RETRY_SECONDS = 5.0

log = logging.getLogger(__name__)


class Address(Struct, frozen=True):
    """An IP address, as text, and a port to listen on."""

    host: str
    port: int

    def __str__(self) -> str:
        """``ip:port``, with brackets around an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Binding:
    """Has a server listen at an address as soon as that can be had.

    Args:
        server: who listens.
        address: where; ``0.0.0.0`` is IPv4 alone, ``::`` is both families, as in Go.
        handler: what answers.
        failed: told why not, once for as long as it lasts, on any thread.
        retry: seconds between two tries.

    ``listening`` is set once it does.
    """

    def __init__(
        self,
        server: HttpServer,
        address: Address,
        handler: Handler,
        failed: Callable[[OSError], None],
        *,
        retry: float = RETRY_SECONDS,
    ) -> None:
        self._server = server
        self._address = address
        self._handler = handler
        self._failed = failed
        self._retry = retry
        self._listener: Listener | None = None
        self.listening = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int | None:
        """The port it listens on, None while it can't."""
        return None if self._listener is None else self._listener.port

    def start(self) -> None:
        """Listen, now or later."""
        if not self._try():
            self._thread = threading.Thread(target=self._try_again, name="http-binding", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Listen no more, and don't try to. Idempotent."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        if self._listener is not None:
            self._listener.close()

    def _try(self, *, again: bool = False) -> bool:
        try:
            self._listener = self._server.listen(self._address.host, self._address.port, self._handler)
        except OSError as error:
            if not again:
                extra = {"address": str(self._address), "error": str(error), "retry_seconds": self._retry}
                log.warning("listen_failed", extra=extra)
                self._failed(error)
            return False
        self.listening.set()
        log.info("listening", extra={"address": str(self._address)})
        return True

    def _try_again(self) -> None:
        while not self._stopping.wait(self._retry):
            if self._try(again=True):
                return
