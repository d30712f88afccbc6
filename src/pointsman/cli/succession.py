"""Once this proxy serves, what served before it goes: other backends' rules, and kube-proxy's (CLN-02)."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

from pointsman.core.backend import BackendSpec, DataplaneSettings
from pointsman.core.config import ProxyConfig
from pointsman.core.errors import BackendUnavailable, PointsmanError
from pointsman.core.plugins import Dataplane, Plugins

from .configuration.v1alpha1 import Pointsman

log = logging.getLogger(__name__)

IPTABLES = "iptables"

Removal = tuple[str, Callable[[], bool]]


class Succession:
    """Removes, once and on a thread, what other proxies of this node left.

    kube-proxy removes its other modes' rules before it writes any; here they serve until ours do.
    """

    def __init__(self, predecessors: Iterator[Removal]) -> None:
        self._predecessors = predecessors
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="succession", daemon=True)

    def start(self) -> None:
        """Begin: this proxy's own rules are in place."""
        self._thread.start()

    def stop(self) -> None:
        """Leave the rest for the next time, and wait for what is at hand."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        for name, remove in self._predecessors:
            if self._stopping.is_set():
                return
            try:
                if remove():
                    log.info("predecessor_removed", extra={"rules": name})
            except BackendUnavailable:
                continue  # what can't run here has left nothing either
            except PointsmanError as error:
                log.warning("predecessor_kept", extra={"rules": name, "error": str(error)})


def predecessors(
    plugins: Plugins, serving: BackendSpec, config: ProxyConfig, *, in_kube_proxys_place: bool
) -> Iterator[Removal]:
    """The rules of other backends of this instance; and kube-proxy's, if it is it that is succeeded."""
    if serving.simulated:
        return
    for spec in plugins.backends:
        if spec.name != serving.name and spec.name not in serving.kin and not spec.simulated:
            for family in config.families:
                settings = DataplaneSettings(family, config.instance)
                yield f"{spec.name} {family}", partial(_clean, spec, settings)
    # Several proxies on a node are there on purpose: only who has the usual name takes kube-proxy's place.
    if in_kube_proxys_place and config.instance == Pointsman().instance:
        from .leftovers import leftovers

        for leftover in leftovers(iptables=IPTABLES not in {serving.name, *serving.kin}):
            yield f"kube-proxy's {leftover.name}", leftover.remove


def _clean(spec: BackendSpec, settings: DataplaneSettings) -> bool:
    with closing(Dataplane(spec, settings)) as dataplane:
        dataplane.probe()
        return dataplane.cleanup()
