"""``pointsman run``: keep the kernel as the objects say."""

import argparse
import logging
import signal
import socket
import sys
import threading
import time
from contextlib import ExitStack
from functools import partial

from pointsman import __version__
from pointsman.core.addresses import IPFamily, family_of
from pointsman.core.audit import Auditor, AuditThread
from pointsman.core.backend import DataplaneSettings
from pointsman.core.config import LocalMode, ProxyConfig
from pointsman.core.engine import Engine
from pointsman.core.hookspecs import hookimpl
from pointsman.core.loop import EventLoop
from pointsman.core.plan import SyncPlan, SyncReport
from pointsman.core.plugins import Dataplane, Plugins
from pointsman.core.source import Source
from pointsman.core.unsupported import UnsupportedFeatures
from pointsman.plugins.interface_addresses import InterfaceAddresses

from .command import Subparsers
from .flags import add
from .options import FLAGS, options, settled
from .selection import Selection, select

log = logging.getLogger(__name__)


def add_parser(commands: Subparsers) -> None:
    """See `Command.add_parser`."""
    parser = commands.add_parser(
        "run",
        help="serve this node until told to stop",
        description="Program this node's kernel as Services and EndpointSlices say, and follow their changes."
        " SIGTERM or SIGINT ends it; the rules stay and go on serving: pointsman cleanup removes them.",
        allow_abbrev=False,
    )
    add(parser, FLAGS)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, plugins: Plugins) -> int:
    """See `Command.run`."""
    from . import logs  # late: structlog takes as long to load as all the rest

    chosen = options(args, plugins)
    logs.configure(sys.stderr, chosen.log_format, chosen.verbosity)
    selection = select(plugins, chosen.config)
    config = settled(chosen, selection.spec.name, tuple(selection.capabilities))
    plugins.configure(config)
    kind, argument = chosen.source
    _serve(config, selection, plugins.sources[kind].make(argument, config), plugins)
    return 0


def _serve(config: ProxyConfig, selection: Selection, source: Source, plugins: Plugins) -> None:
    """Serve until a signal comes. Whatever was started is stopped; what the kernel holds stays."""
    with ExitStack() as ends:
        dataplanes = {}
        for family in config.families:
            dataplanes[family] = Dataplane(selection.spec, DataplaneSettings(family, config.instance))
            ends.callback(dataplanes[family].close)
        engine = Engine(config, dataplanes, plugins)
        engine.probe()
        plugins.register(UnsupportedFeatures(selection.capabilities, engine.rejections))
        plugins.register(_FirstSync(config.families))
        ends.callback(plugins.shutdown)
        loop = EventLoop(engine)
        received = _stop_on_signals(loop)
        _announce(config)
        _warn(config)
        # First of all the addresses, so that not even the first sync goes without them.
        addresses = InterfaceAddresses(
            lambda now: loop.call(lambda: engine.set_interface_addresses(now)), loop.failed
        )
        ends.callback(addresses.stop)
        addresses.start()
        ends.callback(source.stop)
        source.start(loop)
        _keep_watch(loop, engine, selection, ends)
        loop.run()
        log.info("stopping", extra={"signal": received[0].name, "kept": "the rules; they go on serving"})


def _keep_watch(loop: EventLoop, engine: Engine, selection: Selection, ends: ExitStack) -> None:
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
        Auditor(lambda family: engine.families[family].proxy.applied, readers, changed), tuple(readers)
    )
    ends.callback(audits.stop)
    audits.start()


def _stop_on_signals(loop: EventLoop) -> list[signal.Signals]:
    """Have SIGTERM and SIGINT stop the loop; they are listed as they come.

    A thread waits for them. Python's own handlers run on the main thread between two steps of the program:
    one that comes as the loop is about to wait for news would be heard only when there is some.
    """
    received: list[signal.Signals] = []
    heard, told = socket.socketpair()
    told.setblocking(False)
    signal.set_wakeup_fd(told.detach())
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda _signum, _frame: None)

    def wait() -> None:
        with heard:
            received.append(signal.Signals(heard.recv(1)[0]))
        loop.stop()

    threading.Thread(target=wait, name="signals", daemon=True).start()
    return received


def _announce(config: ProxyConfig) -> None:
    log.info(
        "starting",
        extra={
            "version": __version__,
            "backend": config.proxy_mode,
            "families": [str(family) for family in config.families],
            "instance": config.instance,
            "node": config.node_name,
        },
    )


def _warn(config: ProxyConfig) -> None:
    """Say what is likely to be a mistake, though it can be served (CFG-05)."""
    known = {family_of(network.address) for network in config.cluster_cidrs}
    unknown = [str(family) for family in config.families if family not in known]
    if config.local_mode is LocalMode.CLUSTER_CIDR and unknown:
        log.warning(
            "local_pods_unknown",
            extra={
                "families": unknown,
                "effect": "clients outside the pods' network are not masqueraded on their way to a ClusterIP",
                "remedy": "give --cluster-cidr, or another --detect-local-mode",
            },
        )


class _FirstSync:
    """Says when every family has been synced once."""

    def __init__(self, families: tuple[IPFamily, ...]) -> None:
        self._waiting = set(families)
        self._began = time.monotonic()

    @hookimpl
    def pointsman_after_sync(self, plan: SyncPlan, report: SyncReport | None) -> None:
        if report is not None and plan.complete and plan.family in self._waiting:
            self._waiting.remove(plan.family)
            if not self._waiting:
                log.info("ready", extra={"seconds": round(time.monotonic() - self._began, 3)})
