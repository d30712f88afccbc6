"""A client that says exactly what it is told to, byte by byte."""

import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager

TIMEOUT = 10.0


@contextmanager
def connected(port: int, host: str = "127.0.0.1") -> Iterator[socket.socket]:
    """A connection."""
    with socket.create_connection((host, port), timeout=TIMEOUT) as sock:
        yield sock


def until_closed(sock: socket.socket) -> bytes:
    """All that comes until the other end closes."""
    received = b""
    try:
        while data := sock.recv(65536):
            received += data
    except ConnectionResetError:
        pass
    return received


def ask(
    port: int,
    path: str = "/",
    method: str = "GET",
    *,
    host: str = "127.0.0.1",
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer."""
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()
