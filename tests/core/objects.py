"""API objects for tests: short to write, and decoded from JSON as real ones are."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pointsman.core.addresses import parse_address
from pointsman.core.apis import EndpointSlice, Node, Service, ServiceCIDR, decode
from pointsman.core.endpointsmap import SERVICE_NAME
from pointsman.core.model import Endpoint, Protocol, ServicePortName
from pointsman.core.node import ZONE

NAMESPACE = "shop"
NODE = "node-a"
OTHER_NODE = "node-b"

Decoded = TypeVar("Decoded", Service, EndpointSlice, Node, ServiceCIDR)


def made(kind: type[Decoded], plain: object) -> Decoded:
    """An object decoded from what `plain` is in JSON."""
    decoded = decode(kind, json.dumps(plain).encode())
    assert isinstance(decoded, kind)
    return decoded


def service_port(
    port: int, name: str | None = None, protocol: str = "TCP", **fields: object
) -> dict[str, Any]:
    """An entry of a Service's ports."""
    return {"port": port, "protocol": protocol, **({} if name is None else {"name": name}), **fields}


def service(
    name: str = "web",
    ip: str | None = "10.96.0.10",
    ports: Iterable[Mapping[str, object]] = (service_port(80),),
    ingress: Iterable[Mapping[str, object]] = (),
    **fields: Any,
) -> Service:
    """A Service; ``metadata`` is added to its metadata, all else to its spec, by the API's names."""
    metadata = {"name": name, "namespace": NAMESPACE, **fields.pop("metadata", {})}
    spec = {"clusterIP": ip, "ports": list(ports), **fields}
    status = {"loadBalancer": {"ingress": list(ingress)}}
    return made(Service, {"metadata": metadata, "spec": spec, "status": status})


def endpoint(
    address: str,
    node: str | None = OTHER_NODE,
    *,
    zones: Iterable[str] | None = None,
    nodes: Iterable[str] | None = None,
    ready: bool | None = None,
    serving: bool | None = None,
    terminating: bool | None = None,
) -> dict[str, Any]:
    """An entry of a slice's endpoints; ``zones`` and ``nodes`` are its hints."""
    conditions = {"ready": ready, "serving": serving, "terminating": terminating}
    plain: dict[str, Any] = {"addresses": [address], "conditions": conditions}
    if node is not None:
        plain["nodeName"] = node
    hints = {"forZones": zones, "forNodes": nodes}
    plain["hints"] = {key: [{"name": n} for n in names] for key, names in hints.items() if names is not None}
    return plain


def draining(address: str, node: str | None = OTHER_NODE) -> dict[str, Any]:
    """An endpoint that is about to go and still answers."""
    return endpoint(address, node, ready=False, serving=True, terminating=True)


def endpoint_slice(
    endpoints: Iterable[Mapping[str, object]] = (),
    *,
    service: str | None = "web",
    name: str = "web-1",
    ports: Iterable[Mapping[str, object]] = ({"name": "", "port": 8080, "protocol": "TCP"},),
    family: str = "IPv4",
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> EndpointSlice:
    """An EndpointSlice."""
    owner = {} if service is None else {SERVICE_NAME: service}
    metadata = {
        "name": name,
        "namespace": NAMESPACE,
        "labels": {**owner, **(labels or {})},
        "annotations": dict(annotations or {}),
    }
    return made(
        EndpointSlice,
        {"metadata": metadata, "addressType": family, "endpoints": list(endpoints), "ports": list(ports)},
    )


def node(
    name: str = NODE,
    *,
    zone: str | None = None,
    addresses: Iterable[tuple[str, str]] = (("InternalIP", "192.0.2.1"),),
    pod_cidrs: Iterable[str] = (),
    **metadata: object,
) -> Node:
    """A Node; ``addresses`` are pairs of type and address."""
    labels = {} if zone is None else {ZONE: zone}
    return made(
        Node,
        {
            "metadata": {"name": name, "labels": labels, **metadata},
            "spec": {"podCIDRs": list(pod_cidrs)},
            "status": {"addresses": [{"type": kind, "address": ip} for kind, ip in addresses]},
        },
    )


def service_cidr(name: str, *cidrs: str) -> ServiceCIDR:
    """A ServiceCIDR."""
    return made(ServiceCIDR, {"metadata": {"name": name}, "spec": {"cidrs": list(cidrs)}})


def port_name(service: str = "web", port: str = "", protocol: Protocol = Protocol.TCP) -> ServicePortName:
    """The name of a service port in the tests' namespace."""
    return ServicePortName(NAMESPACE, service, port, protocol)


def target(text: str, port: int = 8080, weight: int = 1) -> Endpoint:
    """An endpoint, with the port that test slices have."""
    return Endpoint(parse_address(text), port, weight)
