"""What the daemon says of itself in the log: how it starts, what looks like a mistake, when it serves."""

import logging
import time
from collections.abc import Callable

from pointsman import __version__
from pointsman.core.addresses import IPFamily, family_of
from pointsman.core.config import LocalMode, ProxyConfig
from pointsman.core.hookspecs import hookimpl
from pointsman.core.plan import SyncPlan, SyncReport

from .configuration.agreement import mismatches
from .configuration.effective import Effective

log = logging.getLogger(__name__)


def announce(config: ProxyConfig) -> None:
    """Say what starts."""
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


def tell_of_configuration(chosen: Effective) -> None:
    """Say what of the configuration can't be taken as it is meant, once each (CFG-01, CFG-02)."""
    for warning in chosen.warnings:
        log.warning("configuration", extra={"about": warning})
    if chosen.ignored:
        log.warning("flags_ignored", extra={"flags": sorted(chosen.ignored), "reason": "--config is given"})
    if pointless := chosen.without_effect():
        log.info("accepted_without_effect", extra={"settings": pointless, "why": "see docs/kube-proxy.md"})


def warn(config: ProxyConfig, chosen: Effective) -> None:
    """Say what is likely to be a mistake, though it can be served (CFG-05)."""
    for mismatch in mismatches(chosen.config, config.families, chosen.labels):
        log.warning("configuration", extra={"about": mismatch})
    if config.node_port_addresses == ():
        log.info("node_ports_on_all_addresses", extra={"remedy": "--nodeport-addresses primary, or networks"})
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


class FirstSync:
    """Says when every family has been synced once; ``then`` is called."""

    def __init__(self, families: tuple[IPFamily, ...], then: Callable[[], None]) -> None:
        self._waiting = set(families)
        self._then = then
        self._began = time.monotonic()

    @hookimpl
    def pointsman_after_sync(self, plan: SyncPlan, report: SyncReport | None) -> None:
        if report is not None and plan.complete and plan.family in self._waiting:
            self._waiting.remove(plan.family)
            if not self._waiting:
                log.info("ready", extra={"seconds": round(time.monotonic() - self._began, 3)})
                self._then()
