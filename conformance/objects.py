"""API objects as manifests: what a case writes down, and what a service proxy is given.

They have the API's shape and its field names, so that every backend, and any program that watches the API,
can be held to the same case.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict, Unpack

from pointsman.core.addresses import family_of, parse_address
from pointsman.core.apis import KINDS, ApiObject, convert
from pointsman.core.model import NamespacedName, Protocol

NAMESPACE = "default"
HEALTH_CHECK_NODE_PORT = 32000

Manifest = dict[str, Any]


class Ingress(TypedDict, total=False):
    """An entry of a load balancer's status."""

    ip: str
    ipMode: str
    hostname: str


class ServiceSpec(TypedDict, total=False):
    """The fields of a Service's spec beside its addresses and ports."""

    type: str
    externalIPs: Sequence[str]
    externalTrafficPolicy: str
    internalTrafficPolicy: str
    loadBalancerSourceRanges: Sequence[str]
    healthCheckNodePort: int
    sessionAffinity: str
    sessionAffinityConfig: Mapping[str, Any]


class Conditions(TypedDict, total=False):
    """An endpoint's conditions; None and absent are the API's defaults (IN-EPS-06)."""

    ready: bool | None
    serving: bool | None
    terminating: bool | None


def port(
    number: int, *, name: str = "", protocol: Protocol = Protocol.TCP, node_port: int | None = None
) -> Manifest:
    """A port of a Service."""
    plain: Manifest = {"port": number, "protocol": protocol.name}
    if name:
        plain["name"] = name
    if node_port is not None:
        plain["nodePort"] = node_port
    return plain


def service(
    name: str,
    *cluster_ips: str,
    ports: Iterable[Manifest] = (port(80),),
    ingress: Iterable[Ingress] = (),
    metadata: Mapping[str, Any] | None = None,
    **spec: Unpack[ServiceSpec],
) -> Manifest:
    """A Service with a ClusterIP for each of its families; ``metadata`` is added to what it must have.

    Fields that an API server fills in have the values that it would give them.
    """
    families = [str(family_of(parse_address(address))) for address in cluster_ips]
    addresses: Manifest = {"clusterIP": "None"}
    if cluster_ips:
        addresses = {
            "clusterIP": cluster_ips[0],
            "clusterIPs": list(cluster_ips),
            "ipFamilies": families,
            "ipFamilyPolicy": "RequireDualStack" if len(families) > 1 else "SingleStack",
        }
    defaults: Manifest = {"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster"}
    if spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local":
        defaults["healthCheckNodePort"] = HEALTH_CHECK_NODE_PORT
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE, **(metadata or {})},
        "spec": {**addresses, **defaults, "ports": list(ports), **spec},
        "status": {"loadBalancer": {"ingress": list(ingress)}},
    }


def endpoint(
    address: str,
    node: str | None,
    *,
    zones: Iterable[str] | None = None,
    nodes: Iterable[str] | None = None,
    **conditions: Unpack[Conditions],
) -> Manifest:
    """An endpoint of a slice; ``zones`` and ``nodes`` are its hints, None for no hint of that kind."""
    plain: Manifest = {"addresses": [address], "conditions": {"ready": True, **conditions}}
    if node is not None:
        plain["nodeName"] = node
    hints = {"forZones": zones, "forNodes": nodes}
    given = {key: [{"name": name} for name in names] for key, names in hints.items() if names is not None}
    if given:
        plain["hints"] = given
    return plain


def target(number: int, *, name: str = "", protocol: Protocol = Protocol.TCP) -> Manifest:
    """A port of an EndpointSlice."""
    return {"name": name, "port": number, "protocol": protocol.name}


def endpoint_slice(
    name: str, service: str, family: str, endpoints: Iterable[Manifest], ports: Iterable[Manifest]
) -> Manifest:
    """An EndpointSlice of a Service."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": family,
        "endpoints": list(endpoints),
        "ports": list(ports),
    }


def node(name: str, addresses: Iterable[str], pod_cidrs: Iterable[str], zone: str | None) -> Manifest:
    """A Node; without ``zone`` it has no such label."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone} if zone else {}},
        "spec": {"podCIDRs": list(pod_cidrs)},
        "status": {"addresses": [{"type": "InternalIP", "address": address} for address in addresses]},
    }


def service_cidr(name: str, cidrs: Iterable[str]) -> Manifest:
    """A ServiceCIDR."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": name},
        "spec": {"cidrs": list(cidrs)},
    }


def decoded(manifest: Manifest) -> ApiObject:
    """The object that a manifest says. Raises `ObjectRejected` if it can't be one."""
    return convert(KINDS[manifest["kind"]], manifest)


def identity(manifest: Manifest) -> tuple[str, NamespacedName]:
    """What tells one object from others: kind, namespace and name."""
    metadata = manifest["metadata"]
    return manifest["kind"], NamespacedName(metadata.get("namespace", ""), metadata["name"])
