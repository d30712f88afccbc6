"""Random edits while anything may go wrong: in the end the model is that of somebody who has just come.

From the API server through the source and the engine's loop to a dataplane's plans.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pointsman.conformance.apiserver import ApiServer
from pointsman.core.addresses import IPFamily
from pointsman.core.apis import KINDS, ApiObject, Service
from pointsman.core.config import ProxyConfig
from pointsman.core.loop import EventLoop
from pointsman.core.source import Sink
from pointsman.plugins.kubernetes.client import ApiClient, connect
from pointsman.plugins.kubernetes.resources import HEADLESS, PROXY_NAME
from pointsman.plugins.kubernetes.source import KubernetesSource
from tests.core import strategies as objects
from tests.core.fakes import Bench
from tests.core.objects import NODE

from .following import FAST, SECONDS, Key, Mirror, cidr, endpoint_slice, present, service

# Sockets of connections that break while they are made are urllib3's, which leaves some to the collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed <ssl.SSLSocket:ResourceWarning",
    "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning",
)

CONFIG = ProxyConfig(NODE, families=(IPFamily.IPV4,), min_sync_period=0)
TIMING = replace(FAST, first_wait=0.001, longest_wait=0.005)
API_VERSIONS = {
    "Service": "v1",
    "EndpointSlice": "discovery.k8s.io/v1",
    "Node": "v1",
    "ServiceCIDR": "networking.k8s.io/v1",
}
Step = Callable[[ApiServer], object]


def put(found: ApiObject) -> Step:
    kind = type(found).__name__
    manifest: dict[str, Any] = {
        "apiVersion": API_VERSIONS[kind],
        "kind": kind,
        **msgspec.json.decode(msgspec.json.encode(found)),
    }
    return lambda server: server.put(manifest)


def delete(kind: str, name: str) -> Step:
    namespace = "shop" if kind in ("Service", "EndpointSlice") else ""

    def step(server: ApiServer) -> None:
        if any(found["metadata"]["name"] == name for found in server.objects(kind)):
            server.delete(kind, namespace, name)

    return step


def away(server: ApiServer) -> None:
    server.go_away()
    server.come_back()


NAMES = [
    *(("Service", name) for name in objects.SERVICES),
    *(("EndpointSlice", name) for name in objects.SLICES),
    *(("ServiceCIDR", name) for name in objects.CIDRS),
]  # a Node that goes stays known (IN-NODE-07), which nobody who has just come can know
EDITS = st.one_of(
    st.sampled_from(objects.SERVICES).flatmap(objects.services).map(put),
    st.sampled_from(objects.SLICES).flatmap(objects.slices).map(put),
    st.sampled_from(objects.CIDRS).flatmap(objects.cidrs).map(put),
    objects.nodes().map(put),
    st.sampled_from(NAMES).map(lambda kind_and_name: delete(*kind_and_name)),
)
# Not the order of events: where a cut follows, one that was held back is lost, and no client can know.
FAULTS = st.sampled_from(
    [
        lambda server: server.faults.cut(times=2),
        lambda server: server.faults.garble(),
        lambda server: server.faults.duplicate(times=2),
        lambda server: server.faults.expire(times=2),
        lambda server: server.faults.fail(500, times=3),
        lambda server: server.faults.fail(422, verb="watch"),
        lambda server: server.faults.hang_up(times=2),
        lambda server: server.compact(),
        lambda server: server.bookmark(),
        lambda server: server.drop_connections(),
        away,
    ]
)
# Time for the source to follow, or for half of that: what happens at once is seen as one.
PAUSES = st.sampled_from([0.002, 0.01]).map(lambda seconds: lambda server: threading.Event().wait(seconds))
HISTORIES = st.lists(st.one_of(EDITS, EDITS, FAULTS, PAUSES), min_size=12, max_size=40)


class Both:
    """Tells two sinks what one is told."""

    def __init__(self, *sinks: Sink) -> None:
        self._sinks = sinks

    def __getattr__(self, name: str) -> Callable[..., None]:
        def tell(*arguments: object) -> None:
            for sink in self._sinks:
                getattr(sink, name)(*arguments)

        return tell


class World:
    """A server, a client of it, and two engines: one that goes through everything, and one that just came.

    Made once: certificates and plugins take longer than a history.
    """

    def __init__(self, server: ApiServer, client: ApiClient) -> None:
        self.server = server
        self.client = client
        self.followed, self.fresh = Bench(CONFIG), Bench(CONFIG)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("histories")
    logging.disable()
    with ApiServer() as server:
        client = connect(str(server.kubeconfig(folder / "kubeconfig")))
        yield World(server, client)
        client.close()
    logging.disable(logging.NOTSET)


@contextmanager
def running(world: World) -> Iterator[Mirror]:
    """The engine that follows, at work on its thread; and what it has been told."""
    world.followed.restart()
    mirror = Mirror()
    loop = EventLoop(world.followed.engine)
    source = KubernetesSource(world.client, NODE, TIMING)
    thread = threading.Thread(target=loop.run, name="engine")
    thread.start()
    source.start(cast(Sink, Both(loop, mirror)))
    try:
        yield mirror
    finally:
        source.stop()
        loop.stop()
        thread.join()


def model(bench: Bench) -> object:
    """What a dataplane should hold by now."""
    applied = bench.engine.families[IPFamily.IPV4].proxy.applied
    return applied.services, applied.node


# Not made smaller: each history that fails takes as long as a failure is waited for.
@settings(max_examples=30, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(HISTORIES)
def test_whatever_happens_the_end_is_that_of_a_fresh_list(world: World, history: list[Step]) -> None:
    server = world.server
    server.faults.clear()
    server.replace_all([])
    for manifest in (service(), service("db", "10.96.0.2"), endpoint_slice("s-1", "10.0.0.1"), cidr("extra")):
        server.put(manifest)
    with running(world) as mirror:
        wait_until(world.followed.engine.ready)
        for step in history:
            step(server)
        server.faults.clear()
        wanted = fresh_model(world)
        wait_until(lambda: mirror.objects == selected(server) and model(world.followed) == wanted)


def selected(server: ApiServer) -> dict[Key, ApiObject]:
    """What there is, without what is labelled as another's."""
    return {
        key: found
        for key, found in present(server).items()
        if (PROXY_NAME if key[0] is Service else HEADLESS) not in (found.metadata.labels or {})
    }


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < until
        threading.Event().wait(0.002)


def fresh_model(world: World) -> object:
    """What an engine makes of the present objects."""
    world.fresh.restart()
    found = present(world.server)
    for kind in KINDS.values():
        world.fresh.engine.replaced(kind, [each for key, each in found.items() if key[0] is kind])
    world.fresh.run()
    return model(world.fresh)
