"""A client of few words, and objects to ask for."""

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

from pointsman.conformance import objects
from pointsman.conformance.apiserver import ApiServer

SERVICES = "/api/v1/services"
SLICES = "/apis/discovery.k8s.io/v1/endpointslices"
TIMEOUT = 20


class Response(NamedTuple):
    """A complete answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def decoded(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Client:
    """Makes one request after another, over one connection where that is possible."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._context = ssl.create_default_context(cadata=server.ca)
        self._connection = self._connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def ask(self, path: str, *, method: str = "GET", body: object = None, **headers: str) -> Response:
        """Header names have underscores for hyphens."""
        answer = self._request(path, method, body, headers)
        return Response(answer.status, dict(answer.headers), answer.read())

    def lines(self, path: str, **headers: str) -> Iterator[bytes]:
        """The lines of a watch, as they come."""
        answer = self._request(path, "GET", None, headers)
        assert answer.status == 200, answer.read()
        while line := answer.readline():
            yield line

    def events(self, path: str) -> Iterator[tuple[str, Any]]:
        """A watch's events: type and object."""
        for line in self.lines(path):
            event = json.loads(line)
            yield event["type"], event["object"]

    def _request(
        self, path: str, method: str, body: object, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        known = {"Authorization": f"Bearer {self._server.token}"}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        encoded = None if body is None else json.dumps(body)
        self._connection.close()
        self._connection.request(method, path, encoded, {**known, **given})
        return self._connection.getresponse()

    def _connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            self._server.address, self._server.port, timeout=TIMEOUT, context=self._context
        )


def service(name: str, port: int = 80, **metadata: Any) -> objects.Manifest:
    """A Service."""
    return objects.service(name, "10.96.0.10", ports=[objects.port(port)], metadata=metadata)
