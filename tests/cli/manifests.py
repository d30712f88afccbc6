"""API objects as plain values, for files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Plain = dict[str, Any]


def service(name: str = "web", ip: str = "10.96.0.10", port: int = 80, **spec: Any) -> Plain:
    """A Service in the namespace shop with one TCP port, http."""
    ports = [{"name": "http", "port": port, **spec.pop("port_fields", {})}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"clusterIP": ip, "ports": ports, **spec},
    }


def endpoint_slice(*addresses: str, service: str = "web") -> Plain:
    """The slice of a Service's endpoints, all of them ready, at port 8080."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{service}-1",
            "namespace": "shop",
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address]} for address in addresses],
    }


def save(file: Path, *objects: Plain) -> None:
    """Write objects to a file, all at once."""
    draft = file.with_name(f".{file.name}")
    draft.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    draft.replace(file)


def folder(path: Path, addresses: Sequence[str] = ("10.0.0.1", "10.0.0.2"), **spec: Any) -> Path:
    """A folder with the Service shop/web and its endpoints in a file each."""
    path.mkdir()
    save(path / "service.json", service(**spec))
    save(path / "slice.json", endpoint_slice(*addresses))
    return path
