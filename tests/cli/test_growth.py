"""What an engine with the daemon's observers holds after many changes: no more than after few."""

import gc
import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from prometheus_client import CollectorRegistry

from pointsman.backends.nftables.dataplane import NftablesDataplane
from pointsman.conformance.lab.netns import Namespace
from pointsman.core.addresses import IPFamily
from pointsman.core.apis import EndpointSlice, Service
from pointsman.core.backend import BackendSpec, DataplaneSettings
from pointsman.core.config import ProxyConfig
from pointsman.core.engine import KINDS, Engine
from pointsman.core.model import NamespacedName
from pointsman.core.plugins import Dataplane, Plugins
from pointsman.core.unsupported import UnsupportedFeatures
from pointsman.plugins.health.proxy import ProxyHealth
from pointsman.plugins.metrics.syncs import SyncMetrics
from pointsman.plugins.status.board import Board
from tests.core.objects import NODE, endpoint, endpoint_slice, service, service_port

V4 = IPFamily.IPV4
SERVICES = 100
ROUNDS = 4
ALLOWED = SERVICES // 2
"""Blocks of memory by which a round may differ from another: not one for every second Service."""


class World:
    """An engine, a table in the kernel, and who is told of syncs."""

    def __init__(self) -> None:
        plugins = Plugins(
            [SyncMetrics(CollectorRegistry(), (V4,), "nftables"), Board((V4,)), ProxyHealth((V4,), 30.0)],
            discover=False,
        )
        spec = BackendSpec("nftables", "", NftablesDataplane)
        self.dataplane = Dataplane(spec, DataplaneSettings(V4))
        config = ProxyConfig(NODE, families=(V4,), min_sync_period=0)
        self.engine = Engine(config, {V4: self.dataplane}, plugins)
        plugins.register(UnsupportedFeatures({V4: self.dataplane.probe()}, self.engine.rejections))
        for kind in KINDS:
            self.engine.replaced(kind, [])
        self.syncs = 0

    def sync(self) -> None:
        """Do what is due, of which there is something."""
        assert self.engine.wait() == 0
        self.engine.run_due()
        self.syncs += 1

    def come_and_go(self, name: str, protocol: str) -> None:
        """Have a Service appear, change and disappear, each on its own: together, it would be no change."""
        ports = [service_port(80, protocol=protocol)]
        self.engine.updated(service(name, ports=ports))
        self.sync()
        reached = [{"name": "", "port": 8080, "protocol": protocol}]
        for addresses in (["10.0.0.1"], ["10.0.0.2", "10.0.0.3"], ["nowhere"]):
            slice_ = endpoint_slice([endpoint(a) for a in addresses], service=name, name=name, ports=reached)
            self.engine.updated(slice_)
            self.sync()
        self.engine.deleted(EndpointSlice, NamespacedName("shop", name))
        self.engine.deleted(Service, NamespacedName("shop", name))
        self.sync()


@pytest.fixture
def world() -> Iterator[World]:
    with ExitStack() as ends:
        logging.disable(logging.CRITICAL)  # pytest keeps what is logged
        ends.callback(logging.disable, logging.NOTSET)
        namespace = ends.enter_context(Namespace("node"))
        made = namespace.run(World)
        ends.callback(made.dataplane.close)
        yield made


@pytest.mark.netns
def test_what_has_come_and_gone_leaves_nothing_behind(world: World) -> None:
    """Of names that never come back: a minute of fifty changes a second, in little."""
    held = []
    for number in range(ROUNDS):
        for index in range(SERVICES):
            world.come_and_go(f"web-{number}-{index}", ("TCP", "UDP")[index % 2])
        gc.collect()
        held.append(sys.getallocatedblocks())
    assert world.syncs == 5 * SERVICES * ROUNDS
    assert max(held[1:]) - min(held[1:]) < ALLOWED, held
    assert not list(world.engine.rejections)
