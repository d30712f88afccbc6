"""Answers of a real API server (1.36), byte for byte, through the source."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pointsman.core.apis import KINDS, ApiObject, decode, split_list
from pointsman.plugins.kubernetes import stream
from pointsman.plugins.kubernetes.client import connect
from pointsman.plugins.kubernetes.gathering import name_of

from .following import Key, Mirror, followed

ANSWERS = Path(__file__).parents[4] / "shared/data/apiserver-1.36"
KIND_OF = {"services": "Service", "endpointslices": "EndpointSlice"}
ENDING = b',"annotations":{"k8s.io/initial-events-end":"true"}'
# What the first two pages say comes next.
CONTINUE = [
    "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MTMxLCJzdGFydCI6Ii9zaG9wL2R1YWxcdTAwMDAifQ",
    "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MTMxLCJzdGFydCI6Ii9zaG9wL25lYXJcdTAwMDAifQ",
]
pytestmark = pytest.mark.skipif(not ANSWERS.is_dir(), reason="there are no recordings beside the checkout")


class Player(ThreadingHTTPServer):
    """Answers each request with a recording, in parts of ``block`` bytes, and keeps watches open.

    ``streams`` are the files that requests for a list as a stream are answered with, ``without`` a part of
    them; where there is none, the answer is no.
    """

    daemon_threads = True

    def __init__(self, streams: str, block: int, without: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.streams, self.block, self.without = streams, block, without
        self.ending = threading.Event()
        self.played: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Player

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        plural = parts.path.rpartition("/")[2]
        self.server.played.append(self.path)
        if query.get("watch") != "true":
            self._send((ANSWERS / _list(plural, query)).read_bytes())
        elif query.get("sendInitialEvents") != "true":
            self._stream(_later(ANSWERS / f"watch-{plural}.jsonl", int(query["resourceVersion"])))
        elif (file := ANSWERS / self.server.streams.format(plural)).is_file():
            self._stream(file.read_bytes().replace(self.server.without, b""))
        else:
            self._send(b'{"kind":"Status","code":422,"reason":"Invalid"}', 422)

    def _send(self, body: bytes, code: int = 200) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for begin in range(0, len(body), self.server.block):
            part = body[begin : begin + self.server.block]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.server.ending.wait()
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass


def _list(plural: str, query: dict[str, str]) -> str:
    """The file of a list. Of Services the first two pages are recorded, and the whole, which ends them."""
    if plural != "services":
        return f"list-{plural}.json"
    pages = {"": "list-services-page1.json", CONTINUE[0]: "list-services-page2.json"}
    return pages.get(query.get("continue", ""), "list-services.json")


def _later(file: Path, version: int) -> bytes:
    """The lines of a watch that come after a version."""
    lines = file.read_bytes().splitlines(keepends=True) if file.exists() else []
    return b"".join(line for line in lines if _version(line) > version)


def _version(line: bytes) -> int:
    return int(json.loads(line)["object"]["metadata"]["resourceVersion"])


@contextmanager
def playing(streams: str = "", block: int = 1 << 14, without: bytes = b"") -> Iterator[Player]:
    with Player(streams, block, without) as player:
        thread = threading.Thread(target=player.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield player
        finally:
            player.ending.set()
            player.shutdown()
            thread.join()


def url(player: Player) -> str:
    return f"http://127.0.0.1:{player.server_address[1]}"


def listed(file: str, kind: str) -> dict[Key, ApiObject]:
    """The objects of a recorded list."""
    decoded = [decode(KINDS[kind], raw) for raw in split_list((ANSWERS / file).read_bytes())]
    return {(KINDS[kind], name_of(found)): found for found in decoded}


def told(file: str, kind: str, known: dict[Key, ApiObject]) -> dict[Key, ApiObject]:
    """What is there after a recorded watch, read in the plainest way."""
    found = dict(known)
    for line in (ANSWERS / file).read_text().splitlines():
        event: dict[str, Any] = json.loads(line)
        if event["type"] in ("ADDED", "MODIFIED"):
            decoded = decode(KINDS[kind], json.dumps(event["object"]).encode())
            found[KINDS[kind], name_of(decoded)] = decoded
        elif event["type"] == "DELETED":
            decoded = decode(KINDS[kind], json.dumps(event["object"]).encode())
            found.pop((KINDS[kind], name_of(decoded)), None)
    return found


def of(kind: str, mirror: Mirror) -> dict[Key, ApiObject]:
    return {key: found for key, found in mirror.objects.items() if key[0] is KINDS[kind]}


@pytest.mark.parametrize("block", [7, 1 << 14])
def test_lists_as_streams(block: int) -> None:
    with playing("watchlist-{}.jsonl", block) as player, followed(connect("", url(player))) as (_, mirror):
        mirror.wait_until_listed()
        for plural in ("services", "endpointslices"):
            kind = KIND_OF[plural]
            wanted = told(f"watchlist-{plural}.jsonl", kind, {})
            assert wanted
            assert of(kind, mirror) == wanted
        assert sum("services?" in request for request in player.played) == 1


@pytest.mark.parametrize(
    ("streams", "without", "pages"), [("", b"", 3), ("watch-{}.jsonl", b"", 0), ("watch-{}.jsonl", ENDING, 3)]
)
def test_lists_and_what_came_after_them(streams: str, without: bytes, pages: int) -> None:
    """In pages, as a stream, and where the server doesn't know of such: to it that is an ordinary watch."""
    with playing(streams, without=without) as player, followed(connect("", url(player))) as (source, mirror):
        mirror.wait_until_listed()
        services = told("watch-services.jsonl", "Service", listed("list-services.json", "Service"))
        mirror.wait_for(lambda: of("Service", mirror) == services)
        slices = told(
            "watch-endpointslices.jsonl",
            "EndpointSlice",
            listed("list-endpointslices.json", "EndpointSlice"),
        )
        mirror.wait_for(lambda: of("EndpointSlice", mirror) == slices)
        nodes = told("watch-nodes.jsonl", "Node", listed("list-nodes.json", "Node"))
        mirror.wait_for(lambda: of("Node", mirror) == nodes)
        assert of("ServiceCIDR", mirror) == listed("list-servicecidrs.json", "ServiceCIDR")
        assert sum("/services?" in request and "limit=" in request for request in player.played) == pages
        assert not mirror.wrong()
        assert {status.lists for status in source.status().values()} == {1}


@pytest.mark.parametrize(
    ("file", "code", "expired"),
    [
        ("error-401.json", 401, False),
        ("error-404.json", 404, False),
        ("error-400-bad-rv.json", 500, False),
        ("error-bad-continue.json", 400, False),
        ("error-future-rv.json", 504, True),
    ],
)
def test_errors(file: str, code: int, expired: bool) -> None:
    status = stream.status((ANSWERS / file).read_bytes())
    assert (status.code, status.expired) == (code, expired)
    assert status.message
