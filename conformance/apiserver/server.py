"""The server: the API, an address, certificates and a token."""

import secrets
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

import msgspec
import trustme

from .answers import Answer, Failure
from .api import Api
from .connections import Listener
from .defaults import ServiceDefaults
from .encoding import Manifest
from .faults import CutOff, Faults
from .requests import Request, understood
from .resources import RESOURCES, Resource
from .store import Store
from .watching import Watch

P = ParamSpec("P")
R = TypeVar("R")

SERVICE_CIDRS = ("10.96.0.0/12", "fd00:96::/112")
_BACKLOG = 128
_INTERCEPTED = Answer(200, b"<!DOCTYPE html>\n<html><body>\nSign in\n</body></html>\n", "text/html")


class ApiServer:
    """A Kubernetes API server for Services, Nodes, EndpointSlices, ServiceCIDRs and Events.

    Use it as a context manager: it serves within. Objects may be read and changed before and after too.

    Args:
        address: where to listen; the port is the kernel's choice.
        run: calls a function where the listening socket is to be opened, such as a `Namespace`'s ``run``.
        service_cidrs: where Services that clients create get their addresses from.
        history: how many changes of a resource are remembered before watches from earlier on expire.
        bookmark_every: seconds between the bookmarks of a watch; a real server's are a minute apart.

    Attributes:
        token: what clients have to show.
        ca: the certificate that vouches for the server, in PEM.
        requests: all requests so far, in the order of their coming.
        faults: what is to go wrong.
        store: the objects.
    """

    def __init__(
        self,
        address: str = "127.0.0.1",
        run: Callable[..., Any] | None = None,
        *,
        service_cidrs: Iterable[str] = SERVICE_CIDRS,
        history: int = 100_000,
        bookmark_every: float = 60.0,
    ) -> None:
        self.address = address
        self.port = 0
        self.token = secrets.token_urlsafe(24)
        self.requests: list[Request] = []
        self.faults = Faults()
        self.store = Store(history)
        self._run: Callable[..., Any] = run or _here
        self._api = Api(self.store, self.token, ServiceDefaults(self.store, service_cidrs), bookmark_every)
        self._watches: list[Watch] = []
        self._lock = threading.Lock()
        authority = trustme.CA()
        self.ca = authority.cert_pem.bytes().decode()
        self._right = self._context = _context(authority, address)
        self._listener: Listener | None = None

    def __enter__(self) -> Self:
        """Serve."""
        self.come_back()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Serve no more."""
        self.go_away()

    @property
    def url(self) -> str:
        """Where clients find it."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"https://{host}:{self.port}"

    def kubeconfig(self, path: Path | str, *, token: str | None = None) -> Path:
        """Write a kubeconfig that leads here, with the right token or another; its path."""
        path = Path(path)
        ca = msgspec.json.decode(msgspec.json.encode(self.ca.encode()))  # base64
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "pointsman",
            "clusters": [
                {"name": "pointsman", "cluster": {"server": self.url, "certificate-authority-data": ca}}
            ],
            "users": [{"name": "pointsman", "user": {"token": self.token if token is None else token}}],
            "contexts": [{"name": "pointsman", "context": {"cluster": "pointsman", "user": "pointsman"}}],
        }
        path.write_bytes(msgspec.json.encode(config))  # JSON is YAML too
        path.chmod(0o600)
        return path

    # Objects.

    def put(self, manifest: Mapping[str, Any]) -> int:
        """Add or change an object; the revision that it has then."""
        return self.store.put(_resource(manifest["kind"], manifest.get("apiVersion")), manifest).revision

    def delete(self, kind: str, namespace: str, name: str) -> int:
        """Remove an object, with an empty namespace if its kind has none; the revision of the removal.

        Raises:
            KeyError: there is no such object.
        """
        gone = self.store.delete(_resource(kind), namespace, name)
        if gone is None:
            raise KeyError(f"{kind} {namespace}/{name}")
        return gone.revision

    def replace_all(self, manifests: Iterable[Mapping[str, Any]]) -> int:
        """Have these objects and no others, Events aside; the revision at which it is so."""
        wanted: dict[Resource, dict[str, Mapping[str, Any]]] = {}
        for manifest in manifests:
            resource = _resource(manifest["kind"], manifest.get("apiVersion"))
            metadata = manifest["metadata"]
            namespace = metadata.get("namespace", "") if resource.namespaced else ""
            key = f"{namespace}/{metadata['name']}" if namespace else metadata["name"]
            wanted.setdefault(resource, {})[key] = manifest
        with self.store.lock:
            for resource in RESOURCES:
                if resource.kind == "Event":
                    continue
                new = wanted.get(resource, {})
                for stored in self.store.objects(resource)[1]:
                    if stored.key not in new:
                        self.store.delete(resource, stored.namespace, stored.name)
                for manifest in new.values():
                    self.store.put(resource, manifest)
            return self.store.revision

    def objects(self, kind: str, api_version: str | None = None) -> list[Manifest]:
        """All objects of a kind."""
        return [stored.manifest() for stored in self.store.objects(_resource(kind, api_version))[1]]

    def compact(self) -> None:
        """Forget the history: earlier revisions have expired for whoever asks for them next."""
        self.store.compact()

    def bookmark(self) -> None:
        """Send a bookmark on every watch that wants any."""
        with self._lock:
            for watch in self._watches:
                watch.bookmark()
        self.store.wake()

    # Accessibility.

    def go_away(self) -> None:
        """Refuse connections, and end those there are."""
        if self._listener is not None:
            self._listener.close(self.store.wake)
            self._listener = None

    def come_back(self) -> None:
        """Serve again, on the same port."""
        listening = self._run(_listen, self.address, self.port)
        self.port = listening.getsockname()[1]
        self._listener = Listener(
            listening, lambda: self._context, self._answer, self.faults.wait_while_frozen
        )

    def drop_connections(self) -> None:
        """End all connections; new ones are welcome."""
        if self._listener is not None:
            self._listener.drop_connections()

    def break_tls(self) -> None:
        """Show new connections a certificate that nobody has vouched for."""
        self._context = _context(trustme.CA(), self.address)

    def mend_tls(self) -> None:
        """Show the right certificate again."""
        self._context = self._right

    def change_token(self, token: str | None = None) -> str:
        """Accept another token only, as when one has expired; the new one."""
        self.token = token or secrets.token_urlsafe(24)
        self._api.token = self.token
        return self.token

    def _answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Answer | Iterator[bytes]:
        request = understood(method, target, headers, body)
        self.requests.append(request)
        if self.faults.strike("hang up", request):
            raise CutOff
        if self.faults.strike("intercept", request):
            request.status = _INTERCEPTED.status
            return _INTERCEPTED
        try:
            if rule := self.faults.strike("fail", request):
                assert rule.failure is not None
                raise rule.failure
            if request.verb != "watch" and (rule := self.faults.strike("expire", request)):
                assert rule.failure is not None
                raise rule.failure
            answer = self._api.answer(request)
        except Failure as failure:
            answer = failure.answer
        if isinstance(answer, Answer):
            request.status = answer.status
            return answer
        request.status = 200
        return self._told(answer, request)

    def _told(self, watch: Watch, request: Request) -> Iterator[bytes]:
        with self._lock:
            self._watches.append(watch)
        try:
            yield from self.faults.lines(request, iter(watch))
        finally:
            with self._lock:
                self._watches.remove(watch)


def _here(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    return function(*args, **kwargs)


def _listen(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, port), family=family, backlog=_BACKLOG)


def _context(authority: trustme.CA, address: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(address, "localhost", "kubernetes.default.svc").configure_cert(context)
    return context


def _resource(kind: str, api_version: str | None = None) -> Resource:
    for resource in RESOURCES:
        if resource.kind == kind and api_version in (None, resource.api_version):
            return resource
    raise ValueError(f"this server has no {kind} of {api_version}" if api_version else f"no kind {kind}")
