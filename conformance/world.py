"""What a case is given: a cluster to change, clients to connect with, and answers to compare.

Whatever a case expects it says itself; besides, the oracle judges every connection that is made.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any, TypeVar

from pointsman.conformance.lab import Outcome, Page, Reply
from pointsman.core.addresses import IPFamily, format_endpoint, parse_address
from pointsman.core.model import Protocol
from pointsman.core.packet import Action, Packet, Trace
from pointsman.core.plan import SyncReport

from . import objects, statistics
from .answers import Answer, Answers, classified, ports_named
from .cluster import Cluster
from .network import Held, Network
from .objects import Manifest, target
from .referee import objection
from .remembered import Place, Remembered, Span
from .scene import Scene, scene
from .statistics import Budget
from .wire import Wire

SILENCE = 0.3
"""Seconds to wait where nothing should come: nothing is lost in a lab, and nobody is slow."""

PATIENCE = 5.0
"""Seconds to wait where something should come; only a case that fails waits so long."""

SOON = 30.0
"""Seconds within which those parts of a proxy have to act that no sync waits for, however busy the machine.

Only a case that fails waits so long. It leaves room for several datagrams that are lost, of `PATIENCE` each.
"""

_A_MOMENT = 0.02
_REFUSALS = 4

R = TypeVar("R")


class World:
    """One case's cluster and network, seen in one IP family.

    Attributes:
        family: the family that the case is about.
        scene: everybody's addresses in it.
        budget: what the case leaves to chance.
    """

    def __init__(self, family: IPFamily, cluster: Cluster, network: Network, budget: Budget) -> None:
        self.family = family
        self.scene = scene(family)
        self.budget = budget
        self._cluster = cluster
        self._network = network
        self._remembered = Remembered()

    def in_family(self, family: IPFamily) -> "World":
        """The same world, seen in another family."""
        return World(family, self._cluster, self._network, self.budget)

    # What there is.

    def endpoint(self, machine: str, **fields: Any) -> Manifest:
        """A machine as an endpoint; ``fields`` are those of `objects.endpoint`."""
        return objects.endpoint(self.scene.address(machine), self.scene.node_of(machine), **fields)

    def slice(
        self,
        service: str,
        *endpoints: str | Manifest,
        ports: Iterable[Manifest] = (target(8080),),
        name: str | None = None,
    ) -> Manifest:
        """A slice of a Service; machines' names stand for endpoints that are ready."""
        listed = [self.endpoint(one) if isinstance(one, str) else one for one in endpoints]
        name = name or f"{service}-{str(self.family).lower()}"
        return objects.endpoint_slice(name, service, str(self.family), listed, ports)

    def apply(self, *manifests: Manifest, flaws: int = 0) -> Mapping[IPFamily, SyncReport]:
        """Add or change objects, and have the proxy take them in; see `Cluster.apply`."""
        self._remembered.changed()
        return self._cluster.apply(manifests, flaws=flaws)

    def delete(self, *manifests: Manifest) -> Mapping[IPFamily, SyncReport]:
        """Remove objects, and have the proxy take it in."""
        self._remembered.changed()
        return self._cluster.delete(manifests)

    def restart(
        self, manifests: Iterable[Manifest] | None = None, **settings: Any
    ) -> Mapping[IPFamily, SyncReport]:
        """End the proxy and start another; see `Cluster.restart`."""
        self._remembered.changed()
        return self._cluster.restart(manifests, **settings)

    def wipe(self) -> Mapping[IPFamily, SyncReport]:
        """Have somebody remove all rules, and the proxy look at them again."""
        self._remembered.changed()
        return self._cluster.wipe()

    @contextmanager
    def without_address(self, address: str) -> Iterator[None]:
        """Have the node lose one of its further addresses until the context ends, and the proxy know of both.

        Nobody should connect meanwhile: the scene knows the address as the node's.
        """
        with self._cluster.without_address(address), self._network.without_address(address):
            yield

    def verify(self) -> None:
        """See `Cluster.verify`."""
        self._cluster.verify()

    # What becomes of connections.

    def judge(self, packet: Packet) -> Trace:
        """The oracle's word on a packet."""
        return self._cluster.proxy.judge(packet)

    def connect(
        self,
        client: str,
        destination: str,
        port: int,
        protocol: Protocol = Protocol.TCP,
        *,
        source: str | None = None,
    ) -> Outcome:
        """Make one new connection."""
        [outcome] = self.burst(client, destination, port, protocol, count=1, source=source)
        return outcome

    def burst(
        self,
        client: str,
        destination: str,
        port: int,
        protocol: Protocol = Protocol.TCP,
        *,
        count: int,
        source: str | None = None,
    ) -> list[Outcome]:
        """Make many new connections, in this order.

        Raises:
            AssertionError: the oracle objects to one of the outcomes.
        """
        packet = self.scene.packet(client, destination, port, protocol, source)
        trace = self._cluster.proxy.judge(packet)

        def attempt() -> list[Outcome]:
            began = self._network.now()
            outcomes = self._network.burst(
                client, (destination, port), protocol, count=count, wait=_wait(trace), source=source
            )
            self._judge([packet] * count, [trace] * count, outcomes, Span(began, self._network.now()))
            return outcomes

        return self._settled(attempt)

    def each(
        self,
        client: str,
        sources: Sequence[str],
        destination: str,
        port: int,
        protocol: Protocol = Protocol.TCP,
    ) -> list[Outcome]:
        """Make a new connection from each of a client's addresses; the outcomes are in their order.

        Raises:
            AssertionError: the oracle objects to one of the outcomes.
        """
        packets = [self.scene.packet(client, destination, port, protocol, source) for source in sources]
        traces = [self._cluster.proxy.judge(packet) for packet in packets]

        def attempt() -> list[Outcome]:
            began = self._network.now()
            outcomes = self._network.each(
                client, sources, (destination, port), protocol, wait=max(map(_wait, traces))
            )
            self._judge(packets, traces, outcomes, Span(began, self._network.now()))
            return outcomes

        return self._settled(attempt)

    def now(self) -> float:
        """Seconds on the clock by which timeouts run."""
        return self._network.now()

    def pass_time(self, seconds: float) -> None:
        """Let time go by, in which nobody connects."""
        self._network.pass_time(seconds)

    def answers(
        self,
        client: str,
        destination: str,
        port: int,
        protocol: Protocol = Protocol.TCP,
        *,
        source: str | None = None,
    ) -> Answers:
        """All the answers that new connections get, by as many of them as that takes."""
        packet = self.scene.packet(client, destination, port, protocol, source)

        def attempt() -> Answers:
            count = self._enough(packet)
            outcomes = self.burst(client, destination, port, protocol, count=count, source=source)
            return frozenset(classified(self.scene, packet, outcome) for outcome in outcomes)

        def complete(found: Answers) -> bool:
            trace = self.judge(packet)
            return trace.affinity is not None or len(found) >= len(trace.verdict.endpoints)

        return self._settled(attempt, complete)

    def answers_during(
        self,
        changes: Sequence[Callable[[], object]],
        client: str,
        destination: str,
        port: int,
        protocol: Protocol = Protocol.TCP,
    ) -> Answers:
        """All the answers that new connections get while changes are carried out; the oracle has no say."""
        packet = self.scene.packet(client, destination, port, protocol)
        began = self._network.now()
        outcomes = self._network.burst_during(changes, client, (destination, port), protocol)
        self._learn(packet, outcomes, Span(began, self._network.now()))
        return frozenset(classified(self.scene, packet, outcome) for outcome in outcomes)

    def ping(self, client: str, destination: str) -> Answer:
        """What becomes of an ICMP echo request.

        Raises:
            AssertionError: the oracle objects to it.
        """
        packet = self.scene.packet(client, destination, 0, None)
        trace = self._cluster.proxy.judge(packet)
        wait = SILENCE if trace.verdict.action is Action.DROP else PATIENCE

        def attempt() -> Answer:
            outcome = self._network.ping(client, destination, wait)
            wrong = objection(self.scene, packet, outcome, trace)
            assert wrong is None, wrong
            return classified(self.scene, packet, outcome)

        return self._settled(attempt)

    @property
    def wire(self) -> Wire:
        """What can be done with packets themselves; for cases that require `Part.RAW_PACKETS`."""
        wire = self._network.wire
        assert wire is not None
        return wire

    def request(
        self, client: str, address: str, port: int, path: str = "/", *, method: str = "GET"
    ) -> Page | Outcome:
        """Ask a web server for a page, or find out that there is none."""
        return self._network.request(client, address, port, path, method=method, wait=PATIENCE)

    @contextmanager
    def hold(
        self, client: str, destination: str, port: int, protocol: Protocol = Protocol.TCP
    ) -> Iterator[Held]:
        """A connection that stays open until the context ends. Raises `NotConnected`."""
        began = self._network.now()
        with closing(self._network.hold(client, (destination, port), protocol)) as held:
            packet = self.scene.packet(client, destination, port, protocol)
            self._learn(packet, [held.greeting], Span(began, self._network.now()))
            yield held

    def serve(
        self, machine: str, port: int, protocol: Protocol = Protocol.TCP
    ) -> AbstractContextManager[object]:
        """Have a machine answer on a port until the context ends."""
        return self._network.serve(machine, protocol, self.family, port)

    def comes_about(self, condition: Callable[[], bool]) -> bool:
        """Whether something that isn't done within a change itself is true soon after."""
        deadline = self.now() + SOON
        while not (true := condition()) and self.now() < deadline:
            self.pass_time(_A_MOMENT)
        return true

    def assert_spread(
        self,
        client: str,
        destination: str,
        port: int,
        shares: Mapping[str, int],
        protocol: Protocol = Protocol.TCP,
    ) -> None:
        """Check that endpoints are picked at random, in these proportions and whatever was picked before.

        Raises:
            AssertionError: an endpoint has another share, or one pick tells of the next. It is raised with
                probability `EXCESS` times `ALARM_RATE`, twice, if all is well.
        """
        whole = sum(shares.values())
        due = {
            server: share / whole for server, share in zip(ports_named(shares), shares.values(), strict=True)
        }
        count = statistics.sample_size(min(due.values()), len(due) - 1)
        outcomes = self.burst(client, destination, port, protocol, count=count)
        picks = [f"{one.pod}:{one.port}" if isinstance(one, Reply) else str(one) for one in outcomes]
        for test in (statistics.evenness(Counter(picks), due), statistics.independence(picks, due)):
            self.budget.spend(statistics.EXCESS * statistics.ALARM_RATE)
            assert test >= statistics.ALARM_RATE, (
                f"{dict(Counter(picks))} in {count} connections, shares {due} were due: p = {test:.2g}"
            )

    def assert_even(self, picks: Sequence[str], servers: Sequence[str]) -> None:
        """Check that many clients' picks are spread evenly over all servers.

        Raises:
            AssertionError: they aren't, or with probability `EXCESS` times `ALARM_RATE` though they are.
        """
        self.budget.spend(statistics.EXCESS * statistics.ALARM_RATE)
        test = statistics.evenness(Counter(picks), dict.fromkeys(servers, 1 / len(servers)))
        assert test >= statistics.ALARM_RATE, f"{dict(Counter(picks))} is not even: p = {test:.2g}"

    def _settled(self, attempt: Callable[[], R], complete: Callable[[R], bool] = lambda _: True) -> R:
        """What comes of connections, made and judged.

        A proxy that takes its time may get another try where something is wrong, or not ``complete``.
        """
        return attempt()

    def _judge(
        self, packets: Sequence[Packet], traces: Sequence[Trace], outcomes: Sequence[Outcome], span: Span
    ) -> None:
        """Hold outcomes against the oracle's word, and where clients are against where they went before."""
        bound = [self._bound(packet, trace, span) for packet, trace in zip(packets, traces, strict=True)]
        for packet, trace, outcome, places in zip(packets, traces, outcomes, bound, strict=True):
            wrong = objection(self.scene, packet, outcome, trace)
            assert wrong is None, wrong
            place = _place(self.scene, outcome)
            if trace.affinity is not None and place is not None:
                assert not places or place in places, (
                    f"{packet}: {outcome} answered a client that had met {_named(places)} less than"
                    f" {trace.affinity.seconds} s before"
                )
                self._remembered.learn(packet.source, trace.affinity, place, span)

    def _bound(self, packet: Packet, trace: Trace, span: Span) -> frozenset[Place]:
        if trace.affinity is None:
            return frozenset()
        pool = [(endpoint.address, endpoint.port) for endpoint in trace.verdict.endpoints]
        return self._remembered.bound(packet.source, trace.affinity, pool, span)

    def _learn(self, packet: Packet, outcomes: Iterable[Outcome], span: Span) -> None:
        affinity = self._cluster.proxy.judge(packet).affinity
        for place in (_place(self.scene, outcome) for outcome in outcomes):
            if affinity is not None and place is not None:
                self._remembered.learn(packet.source, affinity, place, span)

    def _enough(self, packet: Packet) -> int:
        """How many connections show all that may become of them, by the oracle's word on who may answer."""
        endpoints = self._cluster.proxy.judge(packet).verdict.endpoints
        if not endpoints:
            return _REFUSALS
        self.budget.spend(statistics.UNREACHED_RATE)
        whole = sum(endpoint.weight for endpoint in endpoints)
        return statistics.coverage([endpoint.weight / whole for endpoint in endpoints])


def _wait(trace: Trace) -> float:
    """How long to wait for what a connection comes to."""
    return SILENCE if trace.verdict.action in (Action.DROP, Action.PASS) else PATIENCE


def _place(where: Scene, outcome: Outcome) -> Place | None:
    """The endpoint that answered."""
    return (parse_address(where.address(outcome.pod)), outcome.port) if isinstance(outcome, Reply) else None


def _named(places: Iterable[Place]) -> str:
    return " or ".join(sorted(format_endpoint(*place) for place in places))
