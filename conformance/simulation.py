"""The network of a dataplane that touches no packet: what it says becomes of one is what becomes of one.

Around it stands what the lab's kernels add: established connections stay where they are, an answer has to
come back through the node that rewrote the request, and whatever the proxy leaves alone goes to its owner.
"""

import errno
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import ParamSpec, TypeVar
from typing import Protocol as Protocols

from msgspec import json
from msgspec.structs import replace

from pointsman.conformance.lab import (
    NODE,
    ROUTER,
    EchoReply,
    NotConnected,
    Outcome,
    Page,
    Refused,
    Reply,
    Silent,
)
from pointsman.core.addresses import IPFamily, family_of, format_address, parse_address
from pointsman.core.model import Endpoint, NamespacedName, Protocol, ServicePortName
from pointsman.core.node import is_loopback
from pointsman.core.packet import Action, Packet, Trace
from pointsman.core.plan import HealthCheck

from .answers import PORT_UNREACHABLE
from .referee import masqueraded
from .scene import PODS, PORTS, REAL_PORT, Scene, scene

P = ParamSpec("P")
R = TypeVar("R")

_REQUEST = 8
_BETWEEN = 16
_NOBODY = Refused(errno.ECONNREFUSED)

Listener = tuple[str, Protocol, IPFamily, int]


class Beside(Protocols):
    """What a proxy knows beside its rules, on which the parts of it that program none act."""

    def serving(self, packet: Packet) -> frozenset[Endpoint] | None:
        """The endpoints that a UDP flow may stay with; None where it is none of a service's."""

    def health_check(
        self, family: IPFamily, address: str, port: int
    ) -> tuple[NamespacedName, HealthCheck] | None:
        """What a load balancer is to hear on a port of one of the node's addresses, and of which Service."""


class SimulatedNetwork:
    """A `Network` whose node does with packets as ``trace`` says.

    ``seed`` decides what is left to chance. Where there is no ``beside``, nobody looks after UDP flows or
    answers load balancers.
    """

    def __init__(self, trace: Callable[[Packet], Trace], seed: str, beside: Beside | None = None) -> None:
        self._trace = trace
        self._beside = beside
        self._random = Random(seed)
        self._clock = 0.0
        self._met: dict[tuple[bytes, ServicePortName], tuple[Endpoint, float]] = {}
        self._ports = itertools.cycle(range(32768, 61000))
        places = [*itertools.product(PODS, PORTS), (ROUTER, REAL_PORT)]
        self._listeners: set[Listener] = {
            (machine, protocol, family, port)
            for (machine, port), protocol, family in itertools.product(places, Protocol, IPFamily)
        }

    @property
    def wire(self) -> None:
        """See `Network.wire`."""
        return None

    def run(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """See `Network.run`."""
        return function(*args, **kwargs)

    def missing(self, protocol: Protocol) -> str:
        """See `Network.missing`."""
        return ""

    def burst(
        self,
        client: str,
        destination: tuple[str, int],
        protocol: Protocol,
        *,
        count: int,
        wait: float,
        source: str | None,
    ) -> list[Outcome]:
        """See `Network.burst`."""
        where = scene(family_of(parse_address(destination[0])))
        packet = where.packet(client, *destination, protocol, source)
        return [self._outcome(where, client, packet, wait) for _ in range(count)]

    def each(
        self,
        client: str,
        sources: Sequence[str],
        destination: tuple[str, int],
        protocol: Protocol,
        *,
        wait: float,
    ) -> list[Outcome]:
        """See `Network.each`."""
        return [
            outcome
            for source in sources
            for outcome in self.burst(client, destination, protocol, count=1, wait=wait, source=source)
        ]

    def now(self) -> float:
        """See `Network.now`."""
        return self._clock

    def pass_time(self, seconds: float) -> None:
        """See `Network.pass_time`."""
        self._clock += seconds

    def burst_during(
        self,
        changes: Sequence[Callable[[], object]],
        client: str,
        destination: tuple[str, int],
        protocol: Protocol,
    ) -> list[Outcome]:
        """See `Network.burst_during`."""
        outcomes: list[Outcome] = []
        for change in changes:
            change()
            outcomes += self.burst(client, destination, protocol, count=_BETWEEN, wait=0, source=None)
        return outcomes

    def hold(self, client: str, destination: tuple[str, int], protocol: Protocol) -> "_Held":
        """See `Network.hold`."""
        [outcome] = self.burst(client, destination, protocol, count=1, wait=0, source=None)
        if not isinstance(outcome, Reply):
            raise NotConnected(outcome)
        where = scene(family_of(parse_address(destination[0])))
        packet = where.packet(client, *destination, protocol)
        return _Held(outcome, lambda last: self._go_on(where, client, packet, last))

    def ping(self, client: str, destination: str, wait: float) -> Outcome:
        """See `Network.ping`."""
        where = scene(family_of(parse_address(destination)))
        return self._outcome(where, client, where.packet(client, destination, 0, None), wait)

    def request(
        self, client: str, address: str, port: int, path: str, *, method: str, wait: float
    ) -> Page | Outcome:
        """See `Network.request`."""
        family = family_of(parse_address(address))
        found = None
        if self._beside is not None and address in scene(family).node_addresses:
            found = self._beside.health_check(family, address, port)
        return _NOBODY if found is None else _health_page(*found)

    @contextmanager
    def serve(self, machine: str, protocol: Protocol, family: IPFamily, port: int) -> Iterator[object]:
        """See `Network.serve`."""
        listener = (machine, protocol, family, port)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    @contextmanager
    def without_address(self, address: str) -> Iterator[None]:
        """See `Network.without_address`."""
        yield

    def forget_flows(self) -> None:
        """See `Network.forget_flows`; those held know by themselves where they go."""

    def _go_on(self, where: Scene, client: str, packet: Packet, last: Reply) -> Outcome:
        """What a connection gets by now: the same, unless it is over, or was taken elsewhere."""
        if packet.protocol is Protocol.UDP and self._beside is not None:
            serving = self._beside.serving(packet)
            place = (parse_address(where.address(last.pod)), last.port)
            if serving and place not in {(endpoint.address, endpoint.port) for endpoint in serving}:
                return self._outcome(where, client, packet, 0)
        alive = (last.pod, packet.protocol, where.family, last.port) in self._listeners
        return last if alive else _NOBODY

    def _outcome(self, where: Scene, client: str, packet: Packet, wait: float) -> Outcome:
        trace = self._trace(packet)
        verdict = trace.verdict
        match verdict.action:
            case Action.FORWARD:
                endpoint = self._pick(packet, trace)
                seen = masqueraded(where, endpoint, verdict)
                return self._forward(where, client, packet, endpoint, wait, masqueraded=seen)
            case Action.REJECT:
                return Refused(errno.ECONNREFUSED, PORT_UNREACHABLE[where.family], where.address(NODE))
            case Action.DROP:
                return Silent(wait)
            case Action.PASS:
                return self._pass(where, client, packet, wait)

    def _pick(self, packet: Packet, trace: Trace) -> Endpoint:
        """The endpoint that the client met last, where that is remembered, or one at random."""
        endpoints, affinity = trace.verdict.endpoints, trace.affinity
        [endpoint] = self._random.choices(endpoints, [one.weight for one in endpoints])
        if affinity is None:
            return endpoint
        last = self._met.get((packet.source, affinity.service))
        if last is not None and self._clock - last[1] < affinity.seconds:
            place = (last[0].address, last[0].port)
            endpoint = next((one for one in endpoints if (one.address, one.port) == place), endpoint)
        self._met[packet.source, affinity.service] = endpoint, self._clock
        return endpoint

    def _forward(
        self, where: Scene, client: str, packet: Packet, endpoint: Endpoint, wait: float, *, masqueraded: bool
    ) -> Outcome:
        pod = where.owner(format_address(endpoint.address))
        if pod is None:
            return Silent(wait)
        if masqueraded:
            return self._arrive(where, pod, packet, endpoint, where.node_address_towards(pod))
        itself = endpoint.address == packet.source and pod != NODE  # which has no other way to itself
        through_node = NODE in (where.node_of(client), where.node_of(pod))
        if itself or not through_node:
            return Silent(wait)  # the answer goes straight to a client that has asked somebody else
        return self._arrive(where, pod, packet, endpoint, format_address(packet.source))

    def _pass(self, where: Scene, client: str, packet: Packet, wait: float) -> Outcome:
        address = format_address(packet.destination)
        owner = client if is_loopback(packet.destination) else where.owner(address)
        if owner is None:
            return Silent(wait)
        if packet.protocol is None:
            return EchoReply(address)
        endpoint = Endpoint(packet.destination, packet.port)
        return self._arrive(where, owner, packet, endpoint, format_address(packet.source))

    def _arrive(self, where: Scene, machine: str, packet: Packet, endpoint: Endpoint, source: str) -> Outcome:
        assert packet.protocol is not None
        if (machine, packet.protocol, where.family, endpoint.port) in self._listeners:
            size = _REQUEST if packet.protocol is Protocol.UDP else 0
            return Reply(machine, endpoint.port, source, next(self._ports), packet.protocol, size)
        if packet.protocol is Protocol.UDP:
            offender = format_address(endpoint.address)
            return Refused(errno.ECONNREFUSED, PORT_UNREACHABLE[where.family], offender)
        return _NOBODY


class _Held:
    """A connection that is asked again and again."""

    def __init__(self, greeting: Reply, go_on: Callable[[Reply], Outcome]) -> None:
        self.greeting = greeting
        self._last = greeting
        self._go_on = go_on

    def exchange(self, size: int = _REQUEST) -> Outcome:
        """See `Held.exchange`."""
        outcome = self._go_on(self._last)
        if not isinstance(outcome, Reply):
            return outcome
        self._last = replace(outcome, client_port=self.greeting.client_port, size=size)
        return self._last

    def close(self) -> None:
        """See `Held.close`."""


def _health_page(service: NamespacedName, check: HealthCheck) -> Page:
    """What a load balancer hears (HC-02, HC-03)."""
    said = {
        "service": {"namespace": service.namespace, "name": service.name},
        "localEndpoints": check.local_endpoints,
        "serviceProxyHealthy": True,
    }
    headers = {
        "content-type": "application/json",
        "x-content-type-options": "nosniff",
        "x-load-balancing-endpoint-weight": str(check.local_endpoints),
    }
    return Page(200 if check.local_endpoints else 503, headers, json.encode(said))
