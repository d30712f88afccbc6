"""EndpointSlices: what each says, whose they are, and which services' endpoints changed."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from sys import intern

from msgspec import Struct

from . import annotations
from .addresses import IPFamily, parse_address
from .annotations import NO_WEIGHTS, Weights
from .apis import EndpointSlice, SliceEndpoint, SlicePort, is_dns_label
from .model import NamespacedName, Protocol, ServicePortName
from .plan import Cause, Trigger
from .servicemap import PROTOCOLS
from .source import Rejection
from .tracker import ChangeTracker

SERVICE_NAME = "kubernetes.io/service-name"
HEADLESS = "service.kubernetes.io/headless"
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"

_FRACTION = re.compile(r"\.(\d+)", re.ASCII)


class EndpointInfo(Struct, frozen=True, gc=False):
    """An endpoint as a slice describes it; the flags are trusted verbatim (IN-EPS-06).

    ``on_node`` and ``zones`` are its hints: whether it is meant for this node, and the zones it is meant for;
    None where it carries no hint of that kind.
    """

    address: bytes
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    local: bool = False
    on_node: bool | None = None
    zones: tuple[str, ...] | None = None
    weight: int | None = None

    @property
    def trust(self) -> tuple[bool, bool, bool]:
        """Which of several records of one address to believe: the greatest (IN-EPS-09)."""
        return (not self.terminating, self.ready, self.serving)


class SliceInfo(Struct, frozen=True, gc=False):
    """The part of an EndpointSlice that counts: endpoints of one family of one service."""

    service: NamespacedName
    ports: tuple[tuple[str, Protocol, int], ...]
    endpoints: tuple[EndpointInfo, ...]

    def has_udp(self) -> bool:
        """Whether any of its ports is UDP."""
        return any(protocol is Protocol.UDP for _, protocol, _ in self.ports)


class EndpointsMap:
    """The slices of one family, by service, with their pending changes.

    Slices are kept one by one and united only when asked for, so that an endpoint that moves between slices
    can't vanish because one of them is stale (IN-EPS-10). ``events`` counts all that was heard (MET-06).
    """

    def __init__(self, family: IPFamily, node_name: str, *, since: float = 0.0) -> None:
        """``since``, in seconds since the epoch: changes caused earlier are nobody's latency (TRK-06)."""
        self._family = family
        self._address_type = str(family)
        self._since = since
        self._node_name = node_name
        self._tracker: ChangeTracker[NamespacedName, SliceInfo] = ChangeTracker()
        self._by_service: dict[NamespacedName, dict[NamespacedName, SliceInfo]] = {}
        self._triggers: dict[NamespacedName, list[tuple[float, Cause]]] = {}
        self._changed: set[NamespacedName] = set()
        self.current = self._tracker.current
        self.pending = self._tracker.pending
        self.events = 0

    def update(self, slice_: EndpointSlice) -> list[Rejection]:
        """Take in an added or changed EndpointSlice; what was wrong with parts of it is returned.

        One of another family, or of host names, holds nothing for us (IN-EPS-02).
        """
        name = NamespacedName(slice_.metadata.namespace, slice_.metadata.name)
        if slice_.address_type != self._address_type:
            self._set(name, None, None)
            return []
        self.events += 1
        reader = _Reader(slice_, self._family, self._node_name)
        info = reader.info()
        time = None if info is None else reader.trigger_time()
        self._set(name, info, None if time is None else (time, Cause.ENDPOINTS))
        return reader.rejections

    def delete(self, name: NamespacedName, now: float) -> None:
        """Take in that a slice is gone; ``now``, in seconds since the epoch, counts as its cause."""
        self.events += name in self.current
        self._set(name, None, (now, Cause.REMOVAL))

    def take_changed(self) -> set[NamespacedName]:
        """The services whose slices changed since this was last asked, those that changed back among them."""
        changed, self._changed = self._changed, set()
        return changed

    def triggers(self) -> set[Trigger]:
        """The pending changes with the times of their causes (TRK-06)."""
        return {
            Trigger(info.service, time, cause)
            for name, info in self._pending_infos()
            for time, cause in self._triggers.get(name, ())
        }

    def stale_udp(self) -> frozenset[NamespacedName]:
        """The services with pending changes that have or had a UDP port in their slices (TRK-05)."""
        return frozenset(info.service for _, info in self._pending_infos() if info.has_udp())

    def settle(self) -> None:
        """The dataplane holds what is current."""
        self._tracker.settle()
        self._triggers.clear()

    def endpoints(self, name: ServicePortName) -> dict[tuple[bytes, int], EndpointInfo]:
        """The endpoints of a service port over all its slices, each ip:port once (IN-EPS-08).

        The target port is the slice's (IN-EPS-03). Where slices contradict each other the most trustworthy
        record counts; between equals it is the one of the first slice by name, whatever order they came in.
        """
        united: dict[tuple[bytes, int], EndpointInfo] = {}
        slices = self._by_service.get(name.service, {})
        for slice_name in sorted(slices):
            info = slices[slice_name]
            for port_name, protocol, port in info.ports:
                if port_name == name.port and protocol is name.protocol:
                    for endpoint in info.endpoints:
                        known = united.get((endpoint.address, port))
                        if known is None or endpoint.trust > known.trust:
                            united[endpoint.address, port] = endpoint
        return united

    def _set(self, name: NamespacedName, info: SliceInfo | None, trigger: tuple[float, Cause] | None) -> None:
        old = self._tracker.current.get(name)
        if not self._tracker.set(name, info):
            return
        # A relabelled slice leaves the service it belonged to (IN-EPS-12).
        if old is not None:
            siblings = self._by_service[old.service]
            del siblings[name]
            if not siblings:
                del self._by_service[old.service]
            self._changed.add(old.service)
        if info is not None:
            self._changed.add(info.service)
            self._by_service.setdefault(info.service, {})[name] = info
        if name not in self._tracker.pending:
            self._triggers.pop(name, None)
        elif trigger is not None and trigger[0] > self._since:
            self._triggers.setdefault(name, []).append(trigger)

    def _pending_infos(self) -> Iterator[tuple[NamespacedName, SliceInfo]]:
        for name, before in self._tracker.pending.items():
            for info in (before, self.current.get(name)):
                if info is not None:
                    yield name, info


class _Reader:
    """Reads one EndpointSlice for one family, collecting what can't be used."""

    def __init__(self, slice_: EndpointSlice, family: IPFamily, node_name: str) -> None:
        self._slice = slice_
        self._family = family
        self._node_name = node_name
        self.rejections: list[Rejection] = []

    def info(self) -> SliceInfo | None:
        """What counts of the slice; None if it isn't ours to read (IN-EPS-01)."""
        labels: Mapping[str, str] = self._slice.metadata.labels or {}
        service = labels.get(SERVICE_NAME)
        if HEADLESS in labels or not service:
            return None
        if not is_dns_label(service):
            self._reject(f"$.metadata.labels[{SERVICE_NAME}]", f"{service[:80]!r} is not a Service's name")
            return None
        weights = self._weights()
        return SliceInfo(
            NamespacedName(self._slice.metadata.namespace, service),
            tuple(self._ports()),
            tuple(self._endpoints(self._slice.endpoints or (), weights)),
        )

    def trigger_time(self) -> float | None:
        """When the cause of this state happened, in seconds since the epoch; None if not said (TRK-06)."""
        text = annotations.annotation(self._slice.metadata.annotations, TRIGGER_TIME)
        if text is None:
            return None
        try:
            # Python reads microseconds, Kubernetes writes up to nanoseconds.
            return datetime.fromisoformat(_FRACTION.sub(lambda f: f".{f[1][:6]:0<6}", text)).timestamp()
        except (ValueError, OverflowError):
            self._reject(
                f"$.metadata.annotations[{TRIGGER_TIME}]", f"{text[:80]!r} is not a time; it is ignored"
            )
            return None

    def _ports(self) -> Iterator[tuple[str, Protocol, int]]:
        for index, port in enumerate(self._slice.ports or ()):
            read = self._port(index, port)
            if read is not None:
                yield read

    def _port(self, index: int, port: SlicePort) -> tuple[str, Protocol, int] | None:
        """A port that can match a service's; without name or number it can't (IN-EPS-04)."""
        text = port.protocol or "TCP"
        protocol = PROTOCOLS.get(text)
        if protocol is None:
            self._reject(f"$.ports[{index}].protocol", f"{text[:80]!r} is not TCP, UDP or SCTP")
        if port.name is None or not port.port or protocol is None:
            return None
        return (intern(port.name), protocol, port.port)

    def _endpoints(self, endpoints: Iterable[SliceEndpoint], weights: Weights) -> Iterator[EndpointInfo]:
        for index, endpoint in enumerate(endpoints):
            if not endpoint.addresses:
                continue
            try:
                address = parse_address(endpoint.addresses[0])  # the only one that is read (IN-EPS-05)
            except ValueError as error:
                self._reject(f"$.endpoints[{index}].addresses[0]", f"{error}; the endpoint is skipped")
                continue
            if len(address) != self._family.address_length:
                reason = f"{endpoint.addresses[0]} is not {self._family}; the endpoint is skipped"
                self._reject(f"$.endpoints[{index}].addresses[0]", reason)
                continue
            yield self._endpoint(endpoint, address, weights)

    def _endpoint(self, endpoint: SliceEndpoint, address: bytes, weights: Weights) -> EndpointInfo:
        conditions, hints = endpoint.conditions, endpoint.hints
        nodes = [target.name for target in (hints.for_nodes if hints else None) or ()]
        zones = [intern(target.name) for target in (hints.for_zones if hints else None) or ()]
        return EndpointInfo(
            address,
            ready=conditions is None or conditions.ready is not False,
            serving=conditions is None or conditions.serving is not False,
            terminating=conditions is not None and conditions.terminating is True,
            local=endpoint.node_name == self._node_name,
            on_node=self._node_name in nodes if nodes else None,
            zones=tuple(zones) if zones else None,
            weight=weights.of(address),
        )

    def _weights(self) -> Weights:
        text = annotations.annotation(self._slice.metadata.annotations, annotations.WEIGHTS)
        try:
            return NO_WEIGHTS if text is None else annotations.parse_weights(text)
        except ValueError as error:
            self._reject(f"$.metadata.annotations[{annotations.WEIGHTS}]", f"{error}; it is ignored")
            return NO_WEIGHTS

    def _reject(self, field: str, reason: str) -> None:
        meta = self._slice.metadata
        self.rejections.append(Rejection("EndpointSlice", f"{meta.namespace}/{meta.name}", field, reason))
