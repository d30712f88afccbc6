"""HTTP/1.1 over TLS, a thread for each connection."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any

from .answers import Answer
from .faults import CutOff

_HANDSHAKE = 10.0

Application = Callable[[str, str, Mapping[str, str], bytes], Answer | Iterator[bytes]]
"""Answers a method, target, headers (names in lower case) and body.

It may return lines of an answer that goes on, of which empty ones are a chance to end, and raise `CutOff` to
have the connection closed instead.
"""


class Listener:
    """Accepts connections until it is closed, and then ends them all.

    Args:
        listening: the socket.
        context: the TLS context for the next connection.
        application: answers requests.
        hold: waits while nothing may be sent.
    """

    def __init__(
        self,
        listening: socket.socket,
        context: Callable[[], ssl.SSLContext],
        application: Application,
        hold: Callable[[float], bool],
    ) -> None:
        self.application = application
        self.closed = threading.Event()
        self._listening = listening
        self._context = context
        self._hold = hold
        self._lock = threading.Lock()
        self._connections: dict[threading.Thread, socket.socket] = {}
        self._accepting = threading.Thread(target=self._accept, name="apiserver", daemon=True)
        self._accepting.start()

    def close(self, wake: Callable[[], None]) -> None:
        """Accept nobody any more and end all connections; ``wake`` ends the waiting of answers that go on."""
        self.closed.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listening.close()
        with self._lock:
            connections = dict(self._connections)
            for raw in connections.values():
                with contextlib.suppress(OSError):
                    raw.shutdown(socket.SHUT_RDWR)
        wake()
        for thread in connections:
            thread.join()

    def drop_connections(self) -> None:
        """End all connections; new ones are welcome."""
        with self._lock:
            for raw in self._connections.values():
                with contextlib.suppress(OSError):
                    raw.shutdown(socket.SHUT_RDWR)

    def may_send(self) -> None:
        """Wait until something may be sent. Raises `CutOff` if that is never."""
        while not self._hold(0.2):
            if self.closed.is_set():
                raise CutOff

    def _accept(self) -> None:
        while not self.closed.is_set():
            try:
                raw, address = self._listening.accept()
            except OSError:
                continue  # closed, or the client was gone before it got in
            thread = threading.Thread(target=self._serve, args=(raw, address), daemon=True)
            with self._lock:
                self._connections[thread] = raw.dup()
            thread.start()

    def _serve(self, raw: socket.socket, address: Any) -> None:
        try:
            raw.settimeout(_HANDSHAKE)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with raw, self._context().wrap_socket(raw, server_side=True) as connection:
                connection.settimeout(None)
                _Handler(connection, address, self)  # type: ignore[arg-type]  # it asks nothing of a server
        except (OSError, CutOff):
            pass  # the client's to notice
        finally:
            with self._lock:
                self._connections.pop(threading.current_thread()).close()

    def is_gone(self) -> bool:
        """Whether the calling thread's client has ended its connection, or is about to."""
        with self._lock:
            raw = self._connections[threading.current_thread()]
        try:
            raw.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True  # be it the end or a request, which nobody makes while an answer goes on


class _Handler(BaseHTTPRequestHandler):
    """Reads requests from one connection and writes the answers."""

    protocol_version = "HTTP/1.1"
    server: Any

    def handle_one_request(self) -> None:
        """Take any method."""
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        listener: Listener = self.server
        answer = listener.application(self.command, self.path, headers, body)
        listener.may_send()
        if isinstance(answer, Answer):
            self._complete(answer)
        else:
            self._go_on(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # as the base class has it
        """Say nothing: the server keeps its requests."""

    def version_string(self) -> str:
        """No name, as a real server."""
        return ""

    def _complete(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _go_on(self, lines: Iterator[bytes]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        listener: Listener = self.server
        for line in lines:
            if line:
                listener.may_send()
                self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
            if listener.closed.is_set() or (not line and listener.is_gone()):
                raise CutOff
        self.wfile.write(b"0\r\n\r\n")
