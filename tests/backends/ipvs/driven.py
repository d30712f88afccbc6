"""A dataplane in a namespace, driven as the engine drives it; skips where the kernel has no IPVS."""

from typing import TypeVar

import pytest

from pointsman.backends.ipvs.dataplane import IpvsDataplane
from pointsman.backends.ipvs.netlink import IpvsSocket
from pointsman.backends.ipvs.places import block
from pointsman.backends.ipvs.plugin import IpvsOptions
from pointsman.backends.ipvs.servers import Request, Server, Service, Timeouts
from pointsman.backends.ipvs.state import read
from pointsman.conformance.lab import Namespace
from pointsman.core.addresses import IPFamily
from pointsman.core.backend import DataplaneSettings, Observed
from pointsman.core.errors import BackendUnavailable
from pointsman.core.model import Model, NodeContext
from pointsman.core.plan import SyncPlan, SyncReport, diff

INSTANCE = "pointsman-test"
T = TypeVar("T")


class Driven:
    """A dataplane and the model that it holds."""

    def __init__(self, namespace: Namespace, family: IPFamily, options: IpvsOptions = IpvsOptions()) -> None:
        self.namespace = namespace
        self.family = family
        self.network = block(family, INSTANCE)
        self._options = options
        self.dataplane = self._make()
        self.model = Model(NodeContext(family))
        try:
            namespace.run(self.dataplane.dataplane_probe)
        except BackendUnavailable as error:
            pytest.skip(str(error))

    def _make(self) -> IpvsDataplane:
        return IpvsDataplane(DataplaneSettings(self.family, INSTANCE, self._options))

    def sync(self, desired: Model, *, full: bool = False) -> SyncReport:
        """Bring the kernel to a model."""
        plan = SyncPlan(self.family, desired, diff(self.model, desired), full=full)
        report = self.namespace.run(self.dataplane.dataplane_sync, plan)
        self.model = desired
        return report

    def observe(self) -> Observed:
        """What the kernel holds, and how that deviates from the model."""
        return self.namespace.run(self.dataplane.dataplane_observe, self.model)

    def restart(self, options: IpvsOptions | None = None) -> None:
        """A new process with nothing in memory, and maybe other options; the kernel keeps what it has."""
        self.namespace.run(self.dataplane.dataplane_close)
        self._options = options or self._options
        self.dataplane = self._make()

    def servers(self) -> dict[Server, Service]:
        """Our virtual servers."""
        return self.namespace.run(self._servers)

    def _servers(self) -> dict[Server, Service]:
        ipvs = IpvsSocket()
        try:
            return read(ipvs, self.network)
        finally:
            ipvs.close()

    def request(self, *requests: Request) -> None:
        """Write to IPVS as somebody else would."""
        self.namespace.run(_request, requests)

    def close(self) -> None:
        """Leave nothing behind."""
        self.namespace.run(self.dataplane.dataplane_cleanup)
        self.namespace.run(self.dataplane.dataplane_close)


def _request(requests: tuple[Request, ...]) -> None:
    ipvs = IpvsSocket()
    try:
        ipvs.commit(requests)
    finally:
        ipvs.close()


def timeouts() -> Timeouts:
    """For how long IPVS remembers, in the namespace of whoever asks."""
    ipvs = IpvsSocket()
    try:
        return ipvs.timeouts()
    finally:
        ipvs.close()
