"""A lab whose pods serve, service ports that lead to them, and any dataplane that has them in the kernel."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from pointsman.backends.ipvs.plugin import IpvsOptions
from pointsman.conformance.lab import Lab, LabUnavailable
from pointsman.core.addresses import IPFamily, parse_address
from pointsman.core.backend import DataplaneSettings
from pointsman.core.errors import BackendUnavailable
from pointsman.core.model import (
    Answer,
    Endpoint,
    Frontend,
    FrontendKind,
    Masquerade,
    Match,
    Model,
    NodeContext,
    Pool,
    Protocol,
    ServiceFrontends,
    ServicePortName,
)
from pointsman.core.plan import Delta, SyncPlan, advance
from pointsman.core.plugins import Dataplane, Plugins

BACKENDS = ("nftables", "iptables-legacy", "iptables-nft", "ipvs")
OPTIONS = {"ipvs": IpvsOptions(scheduler="rr")}
PODS = ("pod-a", "pod-b", "remote-a")
PORT, TARGET_PORT = 80, 8080
ANSWER = Answer(Pool.CLUSTER, Masquerade.ALWAYS)


@contextmanager
def serving_lab(*protocols: Protocol) -> Iterator[Lab]:
    """A lab in which each of `PODS` serves in both families; skips where there can be none."""
    try:
        opened = Lab()
    except LabUnavailable as error:
        pytest.skip(str(error))
    with opened:
        for pod in PODS:
            for protocol in protocols:
                for family in IPFamily:
                    opened.serve(pod, protocol, family, TARGET_PORT)
        yield opened


def cluster_ip(
    lab: Lab,
    family: IPFamily,
    name: ServicePortName,
    address: bytes,
    pods: Mapping[str, int],
    *,
    affinity: int = 0,
) -> ServiceFrontends:
    """A service port with a ClusterIP, answered by some pods of the lab, each with its weight."""
    endpoints = (
        Endpoint(parse_address(lab.address(pod, family)), TARGET_PORT, weight) for pod, weight in pods.items()
    )
    frontend = Frontend(Match(address, name.protocol, PORT), FrontendKind.CLUSTER_IP, ANSWER)
    return ServiceFrontends(name, (frontend,), tuple(sorted(endpoints)), affinity=affinity)


class Served:
    """A backend's dataplane on a lab's node, and the model that it holds; skips where it can't run."""

    def __init__(self, lab: Lab, backend: str, family: IPFamily, *, traffic: bool = False) -> None:
        self.lab, self.family = lab, family
        self.context = NodeContext(family)
        self.model = Model(self.context)
        self._spec = Plugins().backends[backend]
        self._settings = DataplaneSettings(family, "pointsman", OPTIONS.get(backend), traffic=traffic)
        self._dataplane = self.another()
        try:
            lab.node.run(self._dataplane.probe)
        except BackendUnavailable as error:
            pytest.skip(str(error))

    def another(self) -> Dataplane:
        """A dataplane of the same settings, that knows nothing yet."""
        return self.lab.node.run(Dataplane, self._spec, self._settings)

    def sync(self, *services: ServiceFrontends) -> None:
        """Have the kernel hold these service ports, besides those that it holds."""
        desired, delta = advance(self.model, ((one.name, one) for one in services), self.context)
        plan = SyncPlan(self.family, desired, delta, full=not self.model.services)
        self.lab.node.run(self._dataplane.sync, plan)
        self.model = desired

    def restart(self) -> None:
        """A new process, which looks at all that is there."""
        self.lab.node.run(self._dataplane.close)
        self._dataplane = self.another()
        plan = SyncPlan(self.family, self.model, Delta(), full=True)
        self.lab.node.run(self._dataplane.sync, plan)

    def close(self) -> None:
        """Leave nothing behind."""
        self.lab.node.run(self._dataplane.cleanup)
        self.lab.node.run(self._dataplane.close)
