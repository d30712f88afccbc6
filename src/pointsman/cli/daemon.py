"""The daemon: its parts, made, brought together, started in order, and stopped the other way round.

To add a part: write a function that makes it of plain values, registers it with ``plugins`` if it observes,
starts it, and leaves its stop with ``ends``; then call it from `serve`, where the order is right.
"""

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from pointsman.core.addresses import IPFamily
from pointsman.core.audit import Auditor, AuditThread
from pointsman.core.backend import DataplaneSettings
from pointsman.core.config import ProxyConfig
from pointsman.core.engine import Engine
from pointsman.core.events import Event
from pointsman.core.loop import EventLoop
from pointsman.core.model import NamespacedName
from pointsman.core.plugins import Dataplane, Plugins
from pointsman.core.source import Source
from pointsman.core.startup import NodePatience
from pointsman.core.unsupported import UnsupportedFeatures
from pointsman.plugins.conntrack.reconciler import Reconciler
from pointsman.plugins.interface_addresses import InterfaceAddresses

from .announcements import FirstSync, announce, warn
from .configuration.effective import Effective
from .configuration.watch import FileWatch
from .garbage import Garbage
from .observing import Observers
from .selection import Selection
from .signals import stop_on_signals
from .succession import Succession, predecessors

if TYPE_CHECKING:
    from pointsman.plugins.kubernetes.client import ApiClient

log = logging.getLogger(__name__)


class Decided(Struct, frozen=True):
    """What is settled before anything starts.

    ``config`` is for the engine; what all else is to do is in ``chosen``. ``api_server`` is where objects
    come from; None if that is no API server.
    """

    config: ProxyConfig
    selection: Selection
    source: Source
    chosen: Effective
    api_server: "ApiClient | None" = None


def serve(decided: Decided, plugins: Plugins) -> None:
    """Serve until a signal comes. Whatever was started is stopped; what the kernel holds stays."""
    config = decided.config
    with ExitStack() as ends:
        engine = _engine(decided, plugins, ends)
        plugins.register(UnsupportedFeatures(decided.selection.capabilities, engine.rejections))
        plugins.register(FirstSync(config.families, _settling(decided, plugins, ends)))
        ends.callback(plugins.shutdown)
        loop = EventLoop(engine)
        received = stop_on_signals(loop)
        announce(config)
        warn(config, decided.chosen)
        _watch_configuration(loop, decided.chosen, ends)
        # First of all the addresses, so that not even the first sync goes without them.
        _follow_addresses(loop, engine, ends)
        ends.callback(decided.source.stop)
        decided.source.start(loop)
        _post_events(decided, plugins, ends)
        observers = Observers(decided, plugins, engine, loop.failed, ends)
        _reconcile_flows(decided, plugins, observers, ends)
        plugins.event(Event("Node", NamespacedName("", config.node_name), "Normal", "Starting", ""))
        _keep_watch(loop, engine, decided.selection, plugins, ends)
        loop.run()
        log.info("stopping", extra={"signal": received[0].name, "kept": "the rules; they go on serving"})


def _settling(decided: Decided, plugins: Plugins, ends: ExitStack) -> Callable[[], None]:
    """What is to be done once our rules are there."""
    garbage = Garbage()
    ends.callback(garbage.close)
    succession = _succession(decided, plugins, ends)

    def settle() -> None:
        garbage.settle()
        succession.start()

    return settle


def _succession(decided: Decided, plugins: Plugins, ends: ExitStack) -> Succession:
    """Who removes the rules of what served before, once ours are there (CLN-02)."""
    in_place = decided.api_server is not None
    before = predecessors(plugins, decided.selection.spec, decided.config, in_kube_proxys_place=in_place)
    succession = Succession(before)
    ends.callback(succession.stop)
    return succession


def _engine(decided: Decided, plugins: Plugins, ends: ExitStack) -> Engine:
    """The engine and a dataplane for each family, which can work here."""
    dataplanes = {}
    for family in decided.config.families:
        config, options = decided.config, decided.selection.options
        counted = decided.chosen.config.pointsman.traffic_counters
        settings = DataplaneSettings(family, config.instance, options, config.sync_period, counted)
        dataplanes[family] = Dataplane(decided.selection.spec, settings)
        ends.callback(dataplanes[family].close)
    # Objects from a file may well do without a Node; an API server has one, or will have soon (IN-NODE-04).
    patience = NodePatience(decided.config, time.monotonic) if decided.api_server else None
    engine = Engine(decided.config, dataplanes, plugins, patience=patience)
    engine.probe()
    return engine


def _reconcile_flows(decided: Decided, plugins: Plugins, observers: Observers, ends: ExitStack) -> None:
    """Have UDP flows follow their Services' endpoints (CT-01), where it is conntrack that holds them."""
    if not decided.selection.spec.conntrack:
        return
    reconciler = Reconciler(decided.config.families, observers.reconciled)
    plugins.register(reconciler, "conntrack reconciler")
    ends.callback(reconciler.stop)
    reconciler.start()


def _post_events(decided: Decided, plugins: Plugins, ends: ExitStack) -> None:
    """Have Events posted, if there is an API server to post them to."""
    if decided.api_server is not None:
        from pointsman.plugins.kubernetes.events import EventPoster

        ends.callback(decided.api_server.close)
        poster = EventPoster(decided.api_server, decided.config.node_name)
        plugins.register(poster, "events")
        ends.callback(poster.stop)
        poster.start()


def _watch_configuration(loop: EventLoop, chosen: Effective, ends: ExitStack) -> None:
    """Have the process end when its configuration file changes (CFG-03)."""
    if path := chosen.commands["--config"]:
        watch = FileWatch(path, loop.failed)
        ends.callback(watch.stop)
        watch.start()


def _follow_addresses(loop: EventLoop, engine: Engine, ends: ExitStack) -> None:
    """Have the engine know the addresses of this node's interfaces, now and later (SVC-NP-06)."""
    addresses = InterfaceAddresses(
        lambda now: loop.call(lambda: engine.set_interface_addresses(now)), loop.failed
    )
    ends.callback(addresses.stop)
    addresses.start()


def _keep_watch(
    loop: EventLoop, engine: Engine, selection: Selection, plugins: Plugins, ends: ExitStack
) -> None:
    """Have the engine told of what others do to the kernel's rules: at once if possible, else by an audit."""

    def changed(family: IPFamily, how: str) -> None:
        loop.call(lambda: engine.kernel_changed(family, how))

    readers = {}
    for family, state in engine.families.items():
        state.dataplane.watch(partial(changed, family, "somebody else wrote to it"))
        if not selection.spec.simulated:  # what is only simulated, another instance couldn't read
            readers[family] = Dataplane(selection.spec, state.dataplane.settings)
            ends.callback(readers[family].close)
    if not readers:
        return
    audits = AuditThread(
        Auditor(lambda family: engine.families[family].proxy.applied, readers, changed, plugins.audited),
        tuple(readers),
    )
    ends.callback(audits.stop)
    audits.start()
