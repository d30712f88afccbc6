"""The server: one thread, any number of listeners, and clients who can't hold it up."""

import logging
import os
import queue
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from errno import EMFILE, ENFILE
from struct import pack

from .connection import Connection, Limits
from .messages import Handler, Later, Request, Response, text

BACKLOG = 128

log = logging.getLogger(__name__)


class Listener:
    """An address that a server answers at, until it is closed."""

    def __init__(self, server: "HttpServer", sock: socket.socket, handler: Handler) -> None:
        self.socket = sock
        self.handler = handler
        self._server = server

    @property
    def port(self) -> int:
        """The port it listens on."""
        number: int = self.socket.getsockname()[1]
        return number

    def close(self) -> None:
        """Stop listening; once this returns, connections are refused. Idempotent."""
        self._server.forget(self)


class HttpServer:
    """Serves HTTP/1.1 on a thread of its own.

    Handlers run on that thread, one at a time, and must be quick; one that can't be returns a `Later`. What
    clients do, or don't, costs nobody else time: sockets don't block, and `Limits` bound the rest. Methods
    may be called from any thread but that of the handlers.
    """

    def __init__(self, name: str, limits: Limits | None = None) -> None:
        """``name`` is the thread's."""
        self._limits = limits or Limits()
        self._selector = selectors.DefaultSelector()
        self._connections: dict[int, Connection] = {}
        self._calls: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._closing = threading.Lock()
        self._slow = 0
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def listen(self, host: str, port: int, handler: Handler, *, v6only: bool = False) -> Listener:
        """Answer at an address from now on; port 0 takes a free one.

        ``host`` is an IP address. ``::`` takes IPv4 as well, unless ``v6only``.

        Raises:
            OSError: the address can't be had.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family is socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
            sock.bind((host, port))
            sock.listen(BACKLOG)
        except OSError:
            sock.close()
            raise
        listener = Listener(self, sock, handler)
        self._call(lambda: self._selector.register(sock, selectors.EVENT_READ, listener))
        return listener

    def forget(self, listener: Listener) -> None:
        """See `Listener.close`."""
        done = threading.Event()

        def close() -> None:
            self._unlisten(listener.socket)
            done.set()

        self._call(close)
        # If the server has stopped, or stops right now, the listener is closed, too.
        while not done.wait(0.1) and self._thread.is_alive():
            continue

    def stop(self) -> None:
        """Close everything and join the thread. Idempotent."""
        if self._thread.is_alive():
            self._call(self._stop)
            self._thread.join()

    def _stop(self) -> None:
        self._stopping = True

    def _call(self, work: Callable[[], object]) -> None:
        """Have something done on the server's thread."""
        with self._closing:
            if self._wake >= 0:
                self._calls.put(work)
                os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        try:
            while not self._stopping:
                for key, _ in self._selector.select(self._patience()):
                    # What an event before it, in this very round, has closed is there no more.
                    if key.fd not in self._selector.get_map():
                        continue
                    if isinstance(key.data, Connection):
                        self._serve(key.data)
                    elif isinstance(key.data, Listener):
                        self._accept(key.data)
                    else:
                        self._take_calls()
                self._end_overdue()
        finally:
            self._close_all()

    def _take_calls(self) -> None:
        os.eventfd_read(self._wake)
        for _ in range(self._calls.qsize()):
            self._calls.get_nowait()()

    def _accept(self, listener: Listener) -> None:
        try:
            sock, _ = listener.socket.accept()
        except OSError as error:
            if error.errno in (EMFILE, ENFILE):
                self._turn_away(listener)
            return  # else the client left
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(self._connections) >= self._limits.connections and not self._make_room():
            sock.close()
            return
        connection = Connection(sock, listener.handler, self._limits, self._answer, time.monotonic())
        self._connections[sock.fileno()] = connection
        self._selector.register(sock, selectors.EVENT_READ, connection)

    def _turn_away(self, listener: Listener) -> None:
        """End a connection that there is no file descriptor for, by means of the one that is kept for that.

        Left alone it would go on being announced, and this thread would do nothing else.
        """
        self._give_up_spare()
        with suppress(OSError):
            listener.socket.accept()[0].close()
        with suppress(OSError):  # another thread may have been quicker
            self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _give_up_spare(self) -> None:
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1

    def _make_room(self) -> bool:
        """End the oldest connection that asks for nothing, or is still asking: a flood drowns itself."""
        waiting = [connection for connection in self._connections.values() if connection.waits]
        if waiting:
            self._end(min(waiting, key=lambda connection: connection.began))
        return bool(waiting)

    def _serve(self, connection: Connection) -> None:
        now = time.monotonic()
        try:
            goes_on = connection.writable(now) if connection.writing else connection.readable(now)
        except Exception:  # one client's trouble must not become everybody's
            log.exception("http_connection_failed")
            goes_on = False
        self._go_on(connection, goes_on=goes_on)

    def _go_on(self, connection: Connection, *, goes_on: bool) -> None:
        """Wait for what the connection now waits for, or end it."""
        if not goes_on:
            self._end(connection)
            return
        self._selector.modify(
            connection.socket,
            selectors.EVENT_WRITE if connection.writing else selectors.EVENT_READ,
            connection,
        )

    def _answer(self, connection: Connection, request: Request) -> None:
        try:
            answer = connection.handler(request)
        except Exception:
            log.exception("http_handler_failed", extra={"path": request.path})
            answer = text("500 internal server error\n", 500)
        if isinstance(answer, Response):
            connection.reply(answer, time.monotonic())
        elif self._slow >= self._limits.slow_answers:
            connection.reply(text("503 too many slow requests\n", 503), time.monotonic())
        else:
            self._slow += 1
            # A daemon: nobody waits for it when the server stops.
            threading.Thread(target=self._work, args=(connection, answer), daemon=True).start()

    def _work(self, connection: Connection, answer: Later) -> None:
        try:
            response = answer.work()
        except Exception:
            log.exception("http_handler_failed")
            response = text("500 internal server error\n", 500)

        def reply() -> None:
            self._slow -= 1
            if self._connections.get(connection.socket.fileno()) is connection:
                connection.reply(response, time.monotonic())
                self._go_on(connection, goes_on=True)

        self._call(reply)

    def _patience(self) -> float | None:
        """Seconds until the next deadline; None if there is none."""
        deadlines = [c.deadline for c in self._connections.values() if c.deadline is not None]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _end_overdue(self) -> None:
        now = time.monotonic()
        for connection in list(self._connections.values()):
            if connection.deadline is not None and connection.deadline <= now:
                if connection.writing:  # the kernel is to forget what it still holds for the client, too
                    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))
                self._end(connection)

    def _end(self, connection: Connection) -> None:
        self._selector.unregister(connection.socket)
        del self._connections[connection.socket.fileno()]
        connection.socket.close()

    def _unlisten(self, sock: socket.socket) -> None:
        if sock.fileno() >= 0:
            self._selector.unregister(sock)
            sock.close()

    def _close_all(self) -> None:
        for key in list(self._selector.get_map().values()):
            if isinstance(key.data, Connection):
                self._end(key.data)
            elif isinstance(key.data, Listener):
                self._unlisten(key.data.socket)
        self._selector.close()
        self._give_up_spare()
        with self._closing:
            os.close(self._wake)
            self._wake = -1
