"""Synthetic API objects as JSON bytes, with all that a real API server sends along and a proxy ignores."""

import ipaddress
import json
from collections.abc import Iterator

NODE = "node-a"
NODES = 500
ZONES = ("zone-1", "zone-2", "zone-3")
CREATED = "2026-01-01T00:00:00Z"
CLUSTER_IPS = ipaddress.ip_address("10.96.0.1")
PODS = ipaddress.ip_address("10.128.0.1")


def service(index: int) -> bytes:
    """A ClusterIP Service with one port."""
    address = str(CLUSTER_IPS + index)
    ports: dict[str, object] = {
        ".": {},
        'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}, "f:targetPort": {}},
    }
    fields = {"f:spec": {"f:internalTrafficPolicy": {}, "f:ports": ports, "f:selector": {}}}
    return _json(
        {
            "metadata": _metadata(f"service-{index}", "v1", fields),
            "spec": {
                "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}],
                "selector": {"app": f"app-{index}"},
                "clusterIP": address,
                "clusterIPs": [address],
                "type": "ClusterIP",
                "sessionAffinity": "None",
                "ipFamilies": ["IPv4"],
                "ipFamilyPolicy": "SingleStack",
                "internalTrafficPolicy": "Cluster",
            },
            "status": {"loadBalancer": {}},
        }
    )


def endpoint_slice(index: int, endpoints: int, *, edition: int = 0) -> bytes:
    """The EndpointSlice of a Service; in each edition, its first endpoint is another pod."""
    fields: dict[str, object] = {
        "f:addressType": {},
        "f:endpoints": {},
        "f:metadata": {"f:labels": {".": {}}},
        "f:ports": {},
    }
    meta = _metadata(f"service-{index}-x7k2p", "discovery.k8s.io/v1", fields)
    meta["labels"] = {
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        "kubernetes.io/service-name": f"service-{index}",
    }
    pods = [index * endpoints + n for n in range(endpoints)]
    if edition:
        pods[0] = (1 << 20) + edition
    return _json(
        {
            "metadata": meta,
            "addressType": "IPv4",
            "endpoints": [_endpoint(pod) for pod in pods],
            "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
        }
    )


def node() -> bytes:
    """The node that is proxied for."""
    return _json(
        {
            "metadata": {"name": NODE, "labels": {"topology.kubernetes.io/zone": ZONES[0]}},
            "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.10"}]},
        }
    )


def pages(objects: Iterator[bytes], size: int = 500) -> Iterator[bytes]:
    """Lists as a paging client gets them from the API server."""
    page: list[bytes] = []
    for item in objects:
        page.append(item)
        if len(page) == size:
            yield _list(page)
            page = []
    if page:
        yield _list(page)


def _endpoint(pod: int) -> dict[str, object]:
    return {
        "addresses": [str(PODS + pod)],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "nodeName": f"node-{pod % NODES}" if pod % NODES else NODE,
        "targetRef": {
            "kind": "Pod",
            "namespace": "default",
            "name": f"app-{pod}-5d4f8c7b9-x7k2p",
            "uid": f"00000000-0000-4000-8000-{pod:012x}",
        },
        "zone": ZONES[pod % len(ZONES)],
    }


def _metadata(name: str, api_version: str, fields: object) -> dict[str, object]:
    return {
        "name": name,
        "namespace": "default",
        "uid": "5eb243a4-20bb-4c8c-9607-f0abdd384cbc",
        "resourceVersion": "84",
        "creationTimestamp": CREATED,
        "managedFields": [
            {
                "manager": "kube-controller-manager",
                "operation": "Update",
                "apiVersion": api_version,
                "time": CREATED,
                "fieldsType": "FieldsV1",
                "fieldsV1": fields,
            }
        ],
    }


def _list(items: list[bytes]) -> bytes:
    return b'{"kind":"List","apiVersion":"v1","metadata":{},"items":[' + b",".join(items) + b"]}"


def _json(plain: object) -> bytes:
    return json.dumps(plain, separators=(",", ":")).encode()
