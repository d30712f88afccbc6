"""A source that follows an API server, and a sink that mirrors what it tells."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pointsman.conformance.apiserver import ApiServer
from pointsman.core.apis import KINDS, ApiObject, Kind, decode
from pointsman.core.model import NamespacedName
from pointsman.core.source import Rejection
from pointsman.plugins.kubernetes.client import ApiClient, connect
from pointsman.plugins.kubernetes.gathering import name_of
from pointsman.plugins.kubernetes.reflector import Timing
from pointsman.plugins.kubernetes.source import KubernetesSource
from pointsman.plugins.kubernetes.status import WatchStatus

NODE = "node-a"
SECONDS = 20.0
FAST = Timing(first_wait=0.01, longest_wait=0.05, initial_silence=1.0, short=0.0, unserved=0.05)
Key = tuple[Kind, NamespacedName]


class Mirror:
    """A sink that holds what an engine would, and counts."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self.objects: dict[Key, ApiObject] = {}
        self.lists: list[Kind] = []
        self.updates: list[NamespacedName] = []
        self.rejections: dict[str, list[Rejection]] = {}
        self.failures: list[BaseException] = []

    def replaced(self, kind: Kind, objects: Iterable[ApiObject], kept: Iterable[NamespacedName] = ()) -> None:
        listed = {(kind, name_of(found)): found for found in objects}
        stays = {(kind, name) for name in kept} | listed.keys()
        with self._news:
            others = {key: old for key, old in self.objects.items() if key[0] is not kind or key in stays}
            self.objects = {**others, **listed}
            self.lists.append(kind)
            self._news.notify_all()

    def updated(self, updated: ApiObject) -> None:
        with self._news:
            self.objects[type(updated), name_of(updated)] = updated
            self.updates.append(name_of(updated))
            self._news.notify_all()

    def deleted(self, kind: Kind, name: NamespacedName) -> None:
        with self._news:
            self.objects.pop((kind, name), None)
            self._news.notify_all()

    def rejected(self, origin: str, rejections: Iterable[Rejection]) -> None:
        with self._news:
            self.rejections[origin] = list(rejections)
            self._news.notify_all()

    def failed(self, error: BaseException) -> None:
        with self._news:
            self.failures.append(error)
            self._news.notify_all()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so."""
        with self._news:
            if not self._news.wait_for(lambda: self.failures or condition(), SECONDS):
                raise AssertionError(f"not in {SECONDS} s: {self.names()} {self.rejections}")
        if self.failures:
            raise AssertionError("the source failed") from self.failures[0]

    def wait_until_listed(self) -> None:
        self.wait_for(lambda: set(self.lists) == set(KINDS.values()))

    def wait_until_same(self, server: ApiServer) -> None:
        """Wait until this is what a client that has just come would see."""
        wanted = present(server)
        self.wait_for(lambda: self.objects == wanted)

    def names(self, kind: str = "Service") -> set[str]:
        """The names of all objects of a kind."""
        return {name.name for found, name in self.objects if found.__name__ == kind}

    def wrong(self) -> list[Rejection]:
        """All that is rejected now."""
        return [rejection for rejections in self.rejections.values() for rejection in rejections]


def present(server: ApiServer) -> dict[Key, ApiObject]:
    """What a server has, decoded."""
    found = {}
    for kind in KINDS.values():
        for manifest in server.objects(kind.__name__):
            decoded = decode(kind, json.dumps(manifest).encode())
            found[kind, name_of(decoded)] = decoded
    return found


@contextmanager
def followed(client: ApiClient, timing: Timing = FAST) -> Iterator[tuple[KubernetesSource, Mirror]]:
    """A source at work, and its sink."""
    mirror = Mirror()
    source = KubernetesSource(client, NODE, timing)
    source.start(mirror)
    try:
        yield source, mirror
    finally:
        source.stop()
        source.stop()
        client.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("kubernetes-")]
    assert not mirror.failures


@contextmanager
def following(
    server: ApiServer, folder: Path, timing: Timing = FAST
) -> Iterator[tuple[KubernetesSource, Mirror]]:
    """A source that has listed everything a server has."""
    with followed(connect(str(server.kubeconfig(folder / "kubeconfig"))), timing) as (source, mirror):
        mirror.wait_until_listed()
        yield source, mirror


def wait_for_status(
    source: KubernetesSource, kind: str, condition: Callable[[WatchStatus], bool]
) -> WatchStatus:
    """Wait until the status of a kind is as wished; what it is then."""
    progress = source.progress(kind)
    assert progress.wait_for(condition, SECONDS), progress.status()
    return progress.status()


def service(name: str = "web", ip: str = "10.96.0.10", **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "shop", **metadata},
        "spec": {"clusterIP": ip, "clusterIPs": [ip], "ports": [{"port": 80, "protocol": "TCP"}]},
    }


def endpoint_slice(name: str = "web-1", *addresses: str, **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "labels": {"kubernetes.io/service-name": "web", **labels},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address]} for address in addresses],
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
    }


def node(name: str = NODE, **labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


def cidr(name: str, *cidrs: str) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": name},
        "spec": {"cidrs": list(cidrs)},
    }


def read(client: ApiClient) -> Any:
    """What the server answers to who asks for its Services."""
    with client.get("/api/v1/services") as answer:
        return json.loads(answer.body())


def queries(server: ApiServer, plural: str, verb: str = "watch") -> list[Mapping[str, str]]:
    """The parameters of all requests of a kind so far."""
    return [
        request.query
        for request in list(server.requests)
        if request.plural == plural and request.verb == verb
    ]
