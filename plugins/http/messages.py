"""Requests and responses, as values."""

from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl, unquote

import msgspec
from msgspec import Struct

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
HTML = "text/html; charset=utf-8"

_encoder = msgspec.json.Encoder()


class Request(Struct, frozen=True):
    """What a client asks. Names of ``headers`` are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str] = {}
    body: bytes = b""

    @property
    def path(self) -> str:
        """The path, decoded, without the query; of a whole URL, as proxies ask for, that of the URL."""
        target = self.target.partition("?")[0]
        if not target.startswith("/"):
            target = "/" + target.partition("://")[2].partition("/")[2]
        return unquote(target)

    @property
    def query(self) -> dict[str, str]:
        """The fields of the query; of those that are there twice, the last."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))


class Response(Struct, frozen=True):
    """An answer. Its length and date are added when it is sent."""

    status: int
    body: bytes
    content_type: str = TEXT
    headers: tuple[tuple[str, str], ...] = ()


class Later(Struct, frozen=True):
    """An answer that takes its time: ``work`` is called on another thread than the server's."""

    work: Callable[[], Response]


Handler = Callable[[Request], Response | Later]


def text(content: str, status: int = 200) -> Response:
    """An answer in plain text."""
    return Response(status, content.encode())


def json(content: object, status: int = 200) -> Response:
    """An answer in JSON, its fields in the order given."""
    return Response(status, _encoder.encode(content), JSON)
