"""API objects, decoded: only the fields a service proxy uses.

JSON bytes go straight into typed Structs; unknown fields cost nothing and are ignored, a field of the wrong
type rejects its object with a path and a reason. YAML readers use `convert` on what their library gives them.
Kubernetes treats null and absent alike, so every optional field admits None.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from sys import intern
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from .errors import ObjectRejected

# Names as the API server admits them; anything else never reaches a kernel object, a log line or a file.
_PART = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_LABEL = re.compile(rf"(?=.{{1,63}}\Z){_PART}", re.ASCII)
_DNS_SUBDOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_PART}(\.{_PART})*", re.ASCII)

PortNumber = Annotated[int, Meta(ge=0, le=65535)]
Labels = dict[str, str] | None


class _Fields(Struct, rename="camel", gc=False):
    """Part of an API object."""


class ObjectMeta(_Fields):
    """The metadata that matters here."""

    name: str = ""
    namespace: str = ""
    labels: Labels = None
    annotations: Labels = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


class ServicePortSpec(_Fields):
    """One entry of ``spec.ports`` of a Service."""

    port: PortNumber
    name: str | None = None
    protocol: str | None = None
    node_port: PortNumber | None = None


class ClientIPConfig(_Fields):
    """``spec.sessionAffinityConfig.clientIP``."""

    timeout_seconds: Annotated[int, Meta(ge=1, le=86400)] | None = None


class SessionAffinityConfig(_Fields):
    """``spec.sessionAffinityConfig``."""

    client_ip: ClientIPConfig | None = msgspec.field(default=None, name="clientIP")


class ServiceSpec(_Fields):
    """``spec`` of a Service."""

    type: str | None = None
    cluster_ip: str | None = msgspec.field(default=None, name="clusterIP")
    cluster_ips: list[str] | None = msgspec.field(default=None, name="clusterIPs")
    ip_families: list[str] | None = None
    ports: list[ServicePortSpec] | None = None
    external_ips: list[str] | None = msgspec.field(default=None, name="externalIPs")
    load_balancer_source_ranges: list[str] | None = None
    session_affinity: str | None = None
    session_affinity_config: SessionAffinityConfig | None = None
    internal_traffic_policy: str | None = None
    external_traffic_policy: str | None = None
    health_check_node_port: PortNumber | None = None


class LoadBalancerIngress(_Fields):
    """One entry of ``status.loadBalancer.ingress``."""

    ip: str | None = None
    ip_mode: str | None = None


class LoadBalancerStatus(_Fields):
    """``status.loadBalancer``."""

    ingress: list[LoadBalancerIngress] | None = None


class ServiceStatus(_Fields):
    """``status`` of a Service."""

    load_balancer: LoadBalancerStatus | None = None


class Service(_Fields):
    """A v1 Service."""

    metadata: ObjectMeta
    spec: ServiceSpec
    status: ServiceStatus | None = None


class EndpointConditions(_Fields):
    """``conditions`` of an endpoint; None is a default, not false (IN-EPS-06)."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class HintTarget(_Fields):
    """A zone or node named by a hint."""

    name: str


class EndpointHints(_Fields):
    """``hints`` of an endpoint (SEL-05)."""

    for_zones: list[HintTarget] | None = None
    for_nodes: list[HintTarget] | None = None


class SliceEndpoint(_Fields):
    """One entry of ``endpoints`` of an EndpointSlice."""

    addresses: list[str] | None = None
    conditions: EndpointConditions | None = None
    node_name: str | None = None
    hints: EndpointHints | None = None


class SlicePort(_Fields):
    """One entry of ``ports`` of an EndpointSlice."""

    name: str | None = None
    port: PortNumber | None = None
    protocol: str | None = None


class EndpointSlice(_Fields):
    """A discovery.k8s.io/v1 EndpointSlice."""

    metadata: ObjectMeta
    address_type: str
    endpoints: list[SliceEndpoint] | None = None
    ports: list[SlicePort] | None = None


class Taint(_Fields):
    """One entry of ``spec.taints`` of a Node."""

    key: str = ""


class NodeSpec(_Fields):
    """``spec`` of a Node."""

    pod_cidrs: list[str] | None = msgspec.field(default=None, name="podCIDRs")
    taints: list[Taint] | None = None


class NodeAddress(_Fields):
    """One entry of ``status.addresses`` of a Node."""

    type: str = ""
    address: str = ""


class NodeStatus(_Fields):
    """``status`` of a Node."""

    addresses: list[NodeAddress] | None = None


class Node(_Fields):
    """A v1 Node."""

    metadata: ObjectMeta
    spec: NodeSpec | None = None
    status: NodeStatus | None = None


class ServiceCIDRSpec(_Fields):
    """``spec`` of a ServiceCIDR."""

    cidrs: list[str] | None = None


class ServiceCIDR(_Fields):
    """A networking.k8s.io/v1 ServiceCIDR."""

    metadata: ObjectMeta
    spec: ServiceCIDRSpec | None = None


ApiObject = Service | EndpointSlice | Node | ServiceCIDR
Kind = type[Service] | type[EndpointSlice] | type[Node] | type[ServiceCIDR]

KINDS: dict[str, Kind] = {kind.__name__: kind for kind in (Service, EndpointSlice, Node, ServiceCIDR)}
_NAMESPACED = (Service, EndpointSlice)
_DECODERS: dict[Kind, "msgspec.json.Decoder[Any]"] = {
    kind: msgspec.json.Decoder(kind) for kind in KINDS.values()
}


class _Name(Struct):
    name: Any = None
    namespace: Any = None


class _Identity(Struct):
    metadata: _Name | None = None


class _List(Struct):
    kind: Any = None
    items: list[msgspec.Raw] | None = None


_identities = msgspec.json.Decoder(_Identity)
_lists = msgspec.json.Decoder(_List)


def decode(kind: Kind, raw: bytes | msgspec.Raw, namespace: str = "") -> ApiObject:
    """Decode one object of a known kind from JSON; ``namespace`` is that of one that names none.

    Raises:
        ObjectRejected: it isn't JSON, a used field has the wrong type, or a name is not one.
    """
    try:
        decoded: ApiObject = _DECODERS[kind].decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _rejected(kind, *_name_in(raw), namespace, error) from None
    return _checked(decoded, namespace)


def convert(kind: Kind, plain: object, namespace: str = "") -> ApiObject:
    """Make an object of a known kind from dicts and lists, as a YAML reader gives them.

    ``namespace`` is that of an object that names none.

    Raises:
        ObjectRejected: as `decode`.
    """
    try:
        converted: ApiObject = msgspec.convert(plain, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        metadata = plain.get("metadata") if isinstance(plain, dict) else None
        given = metadata if isinstance(metadata, dict) else {}
        raise _rejected(kind, given.get("namespace"), given.get("name"), namespace, error) from None
    return _checked(converted, namespace)


def split_list(raw: bytes) -> Sequence[msgspec.Raw]:
    """The items of a JSON list object, each still undecoded, so that a bad one spoils no other.

    Raises:
        ObjectRejected: it isn't a list object.
    """
    try:
        return _lists.decode(raw).items or ()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ObjectRejected("List", "?", *_field_and_reason(error)) from None


def kind_name(decoded: ApiObject) -> str:
    """The Kubernetes kind of a decoded object."""
    return type(decoded).__name__


def is_dns_label(text: str) -> bool:
    """Whether a text may name a Service, a namespace or a port."""
    return _DNS_LABEL.fullmatch(text) is not None


_is_frequent_label = lru_cache(maxsize=1024)(is_dns_label)
"""The same of namespaces and ports, whose names are few and come with every object."""


def _checked(decoded: ApiObject, namespace: str) -> ApiObject:
    kind, meta = type(decoded), decoded.metadata
    if kind in _NAMESPACED:
        meta.namespace = intern(meta.namespace or namespace)
    for field, reason in _bad_names(decoded):
        name = _display_name(meta.namespace if kind in _NAMESPACED else None, meta.name)
        raise ObjectRejected(kind.__name__, name, field, reason)
    return decoded


def _bad_names(decoded: ApiObject) -> Iterator[tuple[str, str]]:
    """Each field that holds something else than a name, and why that is none."""
    kind, meta = type(decoded), decoded.metadata
    if kind is Service and not is_dns_label(meta.name):
        yield "$.metadata.name", f"{meta.name[:80]!r} is not a DNS label"
    elif not _DNS_SUBDOMAIN.fullmatch(meta.name):
        yield "$.metadata.name", f"{meta.name[:80]!r} is not a DNS name"
    if kind in _NAMESPACED:
        if not _is_frequent_label(meta.namespace):
            yield "$.metadata.namespace", f"{meta.namespace[:80]!r} is not a DNS label"
    elif meta.namespace:
        yield "$.metadata.namespace", f"a {kind.__name__} is in no namespace"
    where, ports = "$", list[ServicePortSpec | SlicePort]()
    if isinstance(decoded, Service):
        where, ports = "$.spec.ports", [*(decoded.spec.ports or ())]
    elif isinstance(decoded, EndpointSlice):
        where, ports = "$.ports", [*(decoded.ports or ())]
    for index, port in enumerate(ports):
        if port.name and not _is_frequent_label(port.name):
            yield f"{where}[{index}].name", f"{port.name[:80]!r} is not a port name"


def _rejected(kind: Kind, namespace: object, name: object, default: str, error: Exception) -> ObjectRejected:
    known = (namespace or (default if name else None)) if kind in _NAMESPACED else None
    return ObjectRejected(kind.__name__, _display_name(known, name), *_field_and_reason(error))


def _field_and_reason(error: Exception) -> tuple[str, str]:
    # msgspec words its errors "Expected `int`, got `str` - at `$.spec.ports[0].port`".
    # For the key of a map it says "at `key` in `$.metadata.labels`".
    reason, _, path = str(error).partition(" - at ")
    what, _, field = path.replace("`", "").rpartition(" in ")
    return field or "$", (reason or type(error).__name__) + (f" for a {what}" if what else "")


def _name_in(raw: bytes | msgspec.Raw) -> tuple[object, object]:
    try:
        meta = _identities.decode(raw).metadata or _Name()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None, None
    return meta.namespace, meta.name


def _display_name(namespace: object, name: object) -> str:
    """A name that may be anything, made fit for one line of a log."""
    known = name if isinstance(name, str) and name else "?"
    text = f"{namespace}/{known}" if isinstance(namespace, str) and namespace else known
    # Room for the longest that is valid, namespace and all: a reader may go by it.
    return text[:320] if text.isascii() and text.isprintable() else ascii(text[:320])
