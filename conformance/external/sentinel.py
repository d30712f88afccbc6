"""How to tell from outside that a proxy has taken in a change.

After each change, one Service and one EndpointSlice are written, of which every generation has another port
and another endpoint. A proxy takes in the changes of one kind in their order. So once a connection to the
new port arrives at the new endpoint, all earlier changes to Services and EndpointSlices have been taken in:
the port tells it of the one kind, the endpoint of the other. Proxies that gather changes carry out what
they have gathered in one go, and with it what was gathered before.

It tells nothing of other kinds, of node addresses, or of a proxy that carries out one gathering piece by
piece: see `TargetWorld`, which gives these a moment.
"""

import itertools
from collections.abc import Iterator

from pointsman.conformance import objects
from pointsman.conformance.kernel import KernelNetwork
from pointsman.conformance.lab import Reply
from pointsman.conformance.objects import Manifest
from pointsman.conformance.scene import POD, PODS, PORTS, scene
from pointsman.core.addresses import IPFamily
from pointsman.core.model import Protocol

_NAME = "pointsman-sentinel"
_ADDRESS = 63  # of the scene's service addresses; cases take theirs from the other end
_PORTS = range(1024, 60000)
_PLACES = tuple(itertools.product((pod for pod in PODS if pod != POD), PORTS))
_WAIT = 0.25


class Sentinel:
    """The sentinel of one family: a service address whose answer tells of the last generation taken in."""

    def __init__(self, family: IPFamily) -> None:
        self._family = family
        self._scene = scene(family)
        self._generation = 0

    def next(self) -> Iterator[Manifest]:
        """The objects of the next generation."""
        self._generation += 1
        name = f"{_NAME}-{self._family}".lower()
        pod, port = self._place
        endpoint = objects.endpoint(self._scene.address(pod), self._scene.node_of(pod))
        ports = [objects.port(self._port)]
        yield objects.service(name, self._scene.cluster_ip(_ADDRESS), ports=ports)
        yield objects.endpoint_slice(name, name, str(self._family), [endpoint], [objects.target(port)])

    def is_served(self, network: KernelNetwork) -> bool:
        """Whether a connection from a pod arrives where the last generation says."""
        destination = (self._scene.cluster_ip(_ADDRESS), self._port)
        [outcome] = network.burst(POD, destination, Protocol.TCP, count=1, wait=_WAIT, source=None)
        return isinstance(outcome, Reply) and (outcome.pod, outcome.port) == self._place

    @property
    def _port(self) -> int:
        return _PORTS[self._generation % len(_PORTS)]

    @property
    def _place(self) -> tuple[str, int]:
        return _PLACES[self._generation % len(_PLACES)]
