"""Services: from API objects to the service ports of one family, and which of them changed."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from . import annotations
from .addresses import IPFamily, Network, family_of, parse_address, parse_network
from .annotations import NO_WEIGHTS, Weights
from .apis import Service, ServicePortSpec
from .model import NamespacedName, Protocol, ServicePortName
from .plan import Cause, Trigger
from .source import Rejection
from .tracker import ChangeTracker

SERVICE_PROXY_NAME = "service.kubernetes.io/service-proxy-name"
PROTOCOLS = {protocol.name: protocol for protocol in Protocol}
DEFAULT_AFFINITY_SECONDS = 10800
UNKNOWN_AGE = "~"  # sorts after every time

Parsed = TypeVar("Parsed")


class ServicePort(Struct, frozen=True, gc=False):
    """What one family needs to know of one port of a Service.

    ``internal_local`` and ``external_local`` are the traffic policies, already restricted to where they
    count (IN-SVC-08). ``externally_accessible`` looks at the family's own addresses (SEL-03). ``created``
    is the object's creation time as the API words it, which sorts by age.
    """

    name: ServicePortName
    cluster_ip: bytes
    port: int
    node_port: int = 0
    external_ips: tuple[bytes, ...] = ()
    load_balancer_ips: tuple[bytes, ...] = ()
    source_ranges: tuple[Network, ...] | None = None
    internal_local: bool = False
    external_local: bool = False
    affinity: int = 0
    health_check_node_port: int = 0
    weights: Weights = NO_WEIGHTS
    drain: int = 0
    scheduler: str = ""
    created: str = UNKNOWN_AGE

    @property
    def externally_accessible(self) -> bool:
        """Whether anything but the ClusterIP leads here."""
        return bool(self.node_port or self.load_balancer_ips or self.external_ips)


class ServiceMap:
    """The service ports of one family, by Service, with their pending changes.

    ``events`` counts all that was heard (MET-06).
    """

    def __init__(self, family: IPFamily, *, external_ips_allowed: bool = True) -> None:
        self._family = family
        self._external_ips_allowed = external_ips_allowed
        self._tracker: ChangeTracker[NamespacedName, tuple[ServicePort, ...]] = ChangeTracker()
        self._changed: set[NamespacedName] = set()
        self.current = self._tracker.current
        self.pending = self._tracker.pending
        self.events = 0
        # When the oldest pending change of each Service was heard, and the kind of the latest.
        self._triggers: dict[NamespacedName, tuple[float, Cause]] = {}

    def update(self, service: Service, now: float | None = None) -> list[Rejection]:
        """Take in an added or changed Service; what was wrong with parts of it is returned.

        ``now``, in seconds since the epoch, counts as the time of its cause, if given.
        """
        name = NamespacedName(service.metadata.namespace, service.metadata.name)
        reader = _Reader(service, self._family, external_ips_allowed=self._external_ips_allowed)
        ports = tuple(reader.ports())
        self.events += 1
        self._set(name, ports, now)
        return reader.rejections

    def delete(self, name: NamespacedName, now: float | None = None) -> None:
        """Take in that a Service is gone; ``now`` is as in `update`."""
        self.events += 1
        self._set(name, (), now)

    def triggers(self) -> Iterator[Trigger]:
        """The Services with pending changes, and when the oldest of these was heard."""
        return (Trigger(name, time, cause) for name, (time, cause) in self._triggers.items())

    def take_changed(self) -> set[NamespacedName]:
        """The Services that changed since this was last asked, those that changed back among them."""
        changed, self._changed = self._changed, set()
        return changed

    def settle(self) -> None:
        """The dataplane holds what is current."""
        self._tracker.settle()
        self._triggers.clear()

    def _set(self, name: NamespacedName, ports: tuple[ServicePort, ...], now: float | None) -> None:
        if not self._tracker.set(name, ports or None):
            return
        self._changed.add(name)
        if name not in self.pending:
            self._triggers.pop(name, None)
        elif now is not None:
            oldest, _ = self._triggers.get(name, (now, None))
            self._triggers[name] = (oldest, Cause.SERVICE if ports else Cause.REMOVAL)


class _Reader:
    """Reads one Service for one family, collecting what can't be used."""

    def __init__(self, service: Service, family: IPFamily, *, external_ips_allowed: bool) -> None:
        self._service = service
        self._family = family
        self._external_ips_allowed = external_ips_allowed
        self.rejections: list[Rejection] = []

    def ports(self) -> Iterator[ServicePort]:
        """The service ports, none if this Service isn't ours to serve (IN-SVC-01…03)."""
        meta, spec = self._service.metadata, self._service.spec
        if SERVICE_PROXY_NAME in (meta.labels or {}) or spec.type == "ExternalName":
            return
        cluster_ip = self._cluster_ip()
        if cluster_ip is None:
            return
        external_ips = self._of_family(self._addresses("$.spec.externalIPs", spec.external_ips))
        takes_external_policy = spec.type in ("NodePort", "LoadBalancer") or bool(spec.external_ips)
        template = ServicePort(
            name=ServicePortName(meta.namespace, meta.name, "", Protocol.TCP),
            port=0,
            cluster_ip=cluster_ip,
            external_ips=external_ips if self._external_ips_allowed else (),
            load_balancer_ips=self._load_balancer_ips(),
            source_ranges=self._source_ranges(),
            internal_local=spec.internal_traffic_policy == "Local",
            external_local=takes_external_policy and spec.external_traffic_policy == "Local",
            affinity=self._affinity(),
            health_check_node_port=self._health_check_node_port(),
            weights=self._annotation(annotations.WEIGHTS, annotations.parse_weights, NO_WEIGHTS),
            drain=self._annotation(annotations.DRAIN, annotations.parse_drain, 0),
            scheduler=self._annotation(annotations.SCHEDULER, annotations.parse_scheduler, ""),
            created=meta.creation_timestamp or UNKNOWN_AGE,
        )
        seen: set[ServicePortName] = set()
        for index, port in enumerate(spec.ports or ()):
            name = self._port_name(index, port)
            if name is None:
                continue
            if name in seen:
                self._reject(
                    f"$.spec.ports[{index}]", f"the port {name} is there twice; the first one counts"
                )
                continue
            seen.add(name)
            yield replace(template, name=name, port=port.port, node_port=port.node_port or 0)

    def _port_name(self, index: int, port: ServicePortSpec) -> ServicePortName | None:
        meta = self._service.metadata
        text = port.protocol or "TCP"
        protocol = PROTOCOLS.get(text)
        if protocol is None:
            self._reject(f"$.spec.ports[{index}].protocol", f"{text[:80]!r} is not TCP, UDP or SCTP")
            return None
        if not port.port:
            self._reject(f"$.spec.ports[{index}].port", "0 is not a port")
            return None
        return ServicePortName(meta.namespace, meta.name, port.name or "", protocol)

    def _cluster_ip(self) -> bytes | None:
        """The ClusterIP of our family (IN-SVC-02, IN-SVC-03)."""
        spec = self._service.spec
        if spec.cluster_ip in (None, "", "None"):
            return None
        families = spec.ip_families or ()
        texts = spec.cluster_ips or [spec.cluster_ip]
        if families:
            texts = [
                text for text, family in zip(texts, families, strict=False) if family == str(self._family)
            ]
        else:
            texts = [spec.cluster_ip]
        addresses = self._of_family(self._addresses("$.spec.clusterIPs", texts))
        return addresses[0] if addresses else None

    def _load_balancer_ips(self) -> tuple[bytes, ...]:
        """Ingress addresses that are virtual here (IN-SVC-06)."""
        status = self._service.status
        ingress = (status.load_balancer.ingress if status and status.load_balancer else None) or ()
        virtual = [entry.ip or "" for entry in ingress if entry.ip_mode in (None, "", "VIP")]
        return self._of_family(self._addresses("$.status.loadBalancer.ingress", virtual))

    def _source_ranges(self) -> tuple[Network, ...] | None:
        """The family's source ranges; None where everyone may come in (IN-SVC-11)."""
        field = "$.spec.loadBalancerSourceRanges"
        networks = self._parse_all(field, self._service.spec.load_balancer_source_ranges, parse_network)
        ours = {network for network in networks if family_of(network.address) is self._family}
        if not ours or any(network.prefix == 0 for network in ours):
            return None
        return tuple(sorted(ours))

    def _affinity(self) -> int:
        spec = self._service.spec
        if spec.session_affinity != "ClientIP":
            return 0
        config = spec.session_affinity_config
        seconds = config.client_ip.timeout_seconds if config and config.client_ip else None
        return seconds or DEFAULT_AFFINITY_SECONDS

    def _health_check_node_port(self) -> int:
        """The health check node port, where one is due (IN-SVC-10)."""
        spec = self._service.spec
        if spec.type != "LoadBalancer" or spec.external_traffic_policy != "Local":
            return 0
        if not spec.health_check_node_port:
            self._reject(
                "$.spec.healthCheckNodePort", "there is none; the load balancer can't check this node"
            )
        return spec.health_check_node_port or 0

    def _annotation(self, key: str, parse: Callable[[str], Parsed], default: Parsed) -> Parsed:
        text = annotations.annotation(self._service.metadata.annotations, key)
        if text is None:
            return default
        try:
            return parse(text)
        except ValueError as error:
            self._reject(f"$.metadata.annotations[{key}]", f"{error}; it is ignored")
            return default

    def _addresses(self, field: str, texts: Iterable[str] | None) -> list[bytes]:
        return self._parse_all(field, texts, parse_address)

    def _parse_all(
        self, field: str, texts: Iterable[str] | None, parse: Callable[[str], Parsed]
    ) -> list[Parsed]:
        """What can be read; blank entries are skipped silently, others with a word (IN-SVC-05)."""
        parsed = []
        for text in texts or ():
            if not text.strip():
                continue
            try:
                parsed.append(parse(text))
            except ValueError as error:
                self._reject(field, f"{error}; it is skipped")
        return parsed

    def _of_family(self, addresses: Iterable[bytes]) -> tuple[bytes, ...]:
        """Those of our family, once each, in the order given."""
        return tuple(dict.fromkeys(a for a in addresses if len(a) == self._family.address_length))

    def _reject(self, field: str, reason: str) -> None:
        meta = self._service.metadata
        self.rejections.append(Rejection("Service", f"{meta.namespace}/{meta.name}", field, reason))
