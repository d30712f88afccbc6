"""Answers that no API server gives, but what stands before one may; and servers that want a certificate."""

import base64
import gzip
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from pointsman.plugins.kubernetes.client import connect
from pointsman.plugins.kubernetes.errors import Refused, Unreachable

from .following import read

NODE = json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a"}}).encode()


@contextmanager
def answering(
    code: int, headers: Mapping[str, str], body: bytes, context: ssl.SSLContext | None = None
) -> Iterator[int]:
    """A server that says the same to everybody; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *said: object) -> None:
            """Nobody reads it."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A client that is turned away is what is looked at here."""

    with Server(("127.0.0.1", 0), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"Retry-After": "7"}, b"", 7.0),
        ({"Retry-After": "7"}, b"<html>slow down</html>", 7.0),
        # A date would need the server's clock to be ours.
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, b"", 0.0),
        ({"Retry-After": "-1"}, b"", 0.0),
        ({}, b"", 0.0),
    ],
)
def test_a_header_alone_says_for_how_long_to_wait(
    headers: Mapping[str, str], body: bytes, seconds: float
) -> None:
    with answering(429, headers, body) as port, pytest.raises(Refused) as refused:
        read(connect("", f"http://127.0.0.1:{port}"))
    assert (refused.value.status.code, refused.value.status.retry_after) == (429, seconds)


def test_what_was_compressed_on_the_way_is_read() -> None:
    with answering(200, {"Content-Encoding": "gzip"}, gzip.compress(NODE)) as port:
        assert read(connect("", f"http://127.0.0.1:{port}")) == json.loads(NODE)


def test_a_page_from_something_in_between_is_no_answer() -> None:
    headers, page = {"Content-Type": "text/html; charset=utf-8"}, b"<html>\n<body>Sign in</body>\n</html>\n"
    with answering(200, headers, page) as port, pytest.raises(Unreachable, match=r"text/html.*on the way"):
        read(connect("", f"http://127.0.0.1:{port}"))


@pytest.mark.parametrize("vouched_for", [True, False])
def test_a_certificate_of_ours_is_shown(tmp_path: Path, *, vouched_for: bool) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    ours = (authority if vouched_for else trustme.CA()).issue_cert("pointsman@node-a")
    with answering(200, {}, NODE, context) as port:
        client = connect(kubeconfig(tmp_path, port, authority, ours))
        if vouched_for:
            assert read(client) == json.loads(NODE)
        else:
            with pytest.raises(Unreachable):
                read(client)


def kubeconfig(folder: Path, port: int, authority: trustme.CA, ours: trustme.LeafCert) -> str:
    """The path of one that has a certificate and its key in it."""
    user = {
        "client-certificate-data": encoded(ours.cert_chain_pems[0]),
        "client-key-data": encoded(ours.private_key_pem),
    }
    cluster = {
        "server": f"https://127.0.0.1:{port}",
        "certificate-authority-data": encoded(authority.cert_pem),
    }
    path = folder / "kubeconfig"
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "here",
                "contexts": [{"name": "here", "context": {"cluster": "here", "user": "us"}}],
                "clusters": [{"name": "here", "cluster": cluster}],
                "users": [{"name": "us", "user": user}],
            }
        )
    )
    return str(path)


def encoded(pem: trustme.Blob) -> str:
    return base64.b64encode(pem.bytes()).decode()
