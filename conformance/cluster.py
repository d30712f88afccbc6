"""The objects of one case, and the proxy that is told of them."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from msgspec.structs import replace

from pointsman.conformance.lab import NODE, SERVICE_CIDRS
from pointsman.core.addresses import IPFamily, parse_address, parse_network
from pointsman.core.backend import Observed
from pointsman.core.config import ProxyConfig
from pointsman.core.model import Endpoint, NamespacedName
from pointsman.core.packet import Packet, Trace
from pointsman.core.plan import HealthCheck, SyncReport

from . import objects
from .objects import Manifest
from .scene import CLUSTER_CIDRS, ZONE, scene
from .subject import Proxy, Subject

_LOOPBACK = (parse_address("127.0.0.1"), parse_address("::1"))


class Cluster:
    """A node and its service addresses at first; every change is in the dataplanes before the call returns.

    Attributes:
        proxy: what is under test; another one after a restart.
        config: the settings it runs with.

    Raises:
        SyncFailed: from every method that changes anything.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self.config = ProxyConfig(
            node_name=NODE,
            proxy_mode=subject.spec.name,
            instance=subject.instance,
            families=subject.families,
            cluster_cidrs=tuple(parse_network(CLUSTER_CIDRS[family]) for family in IPFamily),
            min_sync_period=0.0,
        )
        self._start(())

    def apply(self, manifests: Iterable[Manifest], *, flaws: int = 0) -> Mapping[IPFamily, SyncReport]:
        """Add or change objects; ``flaws`` is how many faults the proxy has to find in all there are."""
        for manifest in manifests:
            self._manifests[objects.identity(manifest)] = manifest
            self.proxy.update(objects.decoded(manifest))
        reports = self.proxy.sync()
        rejections = self.proxy.rejections
        assert len(rejections) == flaws, f"{flaws} faults were to be found in the objects: {rejections}"
        return reports

    def delete(self, manifests: Iterable[Manifest]) -> Mapping[IPFamily, SyncReport]:
        """Remove objects."""
        for manifest in manifests:
            identity = objects.identity(manifest)
            del self._manifests[identity]
            self.proxy.delete(*identity)
        return self.proxy.sync()

    def restart(self, manifests: Iterable[Manifest] | None, **settings: Any) -> Mapping[IPFamily, SyncReport]:
        """End the proxy without a word, and start another.

        Args:
            manifests: the objects that there are by then; those that there were, if None.
            settings: fields of its configuration.
        """
        self.config = replace(self.config, **settings)
        self._subject.forget()
        return self._start(list(self._manifests.values()) if manifests is None else manifests)

    def wipe(self) -> Mapping[IPFamily, SyncReport]:
        """Have somebody remove all rules, and the proxy look at them again."""
        self._subject.wipe()
        return self.proxy.resync()

    @contextmanager
    def without_address(self, address: str) -> Iterator[None]:
        """Have the proxy know that the node goes without one of its addresses until the context ends."""
        everything = _interface_addresses()
        self.proxy.see_addresses(everything - {parse_address(address)})
        self.proxy.sync()
        yield
        self.proxy.see_addresses(everything)
        self.proxy.sync()

    def trace(self, packet: Packet) -> Trace:
        """The dataplanes' word on a packet."""
        return self.proxy.trace(packet)

    def serving(self, packet: Packet) -> frozenset[Endpoint] | None:
        """The endpoints that a UDP flow may stay with (CT-02); None where it is none of a service's."""
        owner = self.proxy.owner(packet)
        return None if owner is None else self.proxy.facts(_family(packet)).serving.get(owner)

    def health_check(
        self, family: IPFamily, address: str, port: int
    ) -> tuple[NamespacedName, HealthCheck] | None:
        """What a load balancer is to hear on a port of one of the node's addresses, and of which Service."""
        listening = self.proxy.model(family).node.node_ports.addresses
        if listening is not None and parse_address(address) not in listening:
            return None
        checks = self.proxy.facts(family).health_checks
        return next((one for one in checks.items() if one[1].port == port), None)

    def verify(self) -> None:
        """Hold what the dataplanes have against what they were told, and let them look for themselves.

        Raises:
            AssertionError: they hold something else, or find something to write.
        """
        for family, observed, expected in self.proxy.observations():
            if observed != expected:
                raise AssertionError(f"{family}: {_difference(observed, expected)}")
        for family, report in self.proxy.resync().items():
            assert report.writes == 0, (
                f"{family}: another look at the same state made for {report.writes} writes"
            )

    def _start(self, manifests: Iterable[Manifest]) -> Mapping[IPFamily, SyncReport]:
        self._manifests = {objects.identity(one): one for one in (*basics(), *manifests)}
        self.proxy = Proxy(self._subject, self.config)
        self.proxy.list(map(objects.decoded, self._manifests.values()), _interface_addresses())
        return self.proxy.sync()


def _family(packet: Packet) -> IPFamily:
    return next(family for family in IPFamily if family.address_length == len(packet.destination))


def _interface_addresses() -> frozenset[bytes]:
    own = (parse_address(one) for family in IPFamily for one in scene(family).node_addresses)
    return frozenset((*own, *_LOOPBACK))


def basics() -> tuple[Manifest, ...]:
    """What there is before any service: the node under test, and where service addresses lie."""
    return (node(), objects.service_cidr("kubernetes", SERVICE_CIDRS.values()))


def node(zone: str | None = ZONE) -> Manifest:
    """The node under test, in another zone or none if need be."""
    scenes = [scene(family) for family in IPFamily]
    addresses = [one.address(NODE) for one in scenes]
    return objects.node(NODE, addresses, [one.pod_cidr() for one in scenes], zone)


def _difference(observed: Observed, expected: Observed) -> str:
    """What a dataplane holds too much, too little or otherwise, a line each."""
    lines = ["what is held differs from what was asked for:"]
    for match in sorted(observed.frontends.keys() | expected.frontends.keys(), key=str):
        held, due = observed.frontends.get(match), expected.frontends.get(match)
        if held != due:
            lines.append(f"{match}: {held} where {due} was due")
    for what in ("cluster_ips", "service_cidrs", "strange"):
        held_set, due_set = getattr(observed, what), getattr(expected, what)
        if held_set != due_set:
            lines.append(f"{what}: {held_set} where {due_set} was due")
    return "\n  ".join(lines)
