"""Tables, as ``kubectl get`` shows them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from .encoding import Manifest, encode
from .lists import Page
from .resources import ENDPOINT_SLICES, NODES, SERVICE_CIDRS, SERVICES, Resource

_NONE = "<none>"
_SHOWN = 3

Cell = Callable[[Manifest], Any]


class Column(NamedTuple):
    """A column; those of ``priority`` above 0 are for wide output."""

    name: str
    cell: Cell
    priority: int = 0
    format: str = ""

    def definition(self) -> Manifest:
        """What a client is told of it."""
        return {
            "name": self.name,
            "type": "string",
            "format": self.format,
            "description": "",
            "priority": self.priority,
        }


class Rows:
    """Turns objects into tables of one row; only the first says what the columns are."""

    def __init__(self, resource: Resource) -> None:
        self._columns = columns(resource)
        self._first = True

    def __call__(self, body: bytes) -> bytes:
        """The table of one object."""
        manifest = msgspec.json.decode(body)
        metadata = {"resourceVersion": manifest["metadata"]["resourceVersion"]}
        definitions = [column.definition() for column in self._columns] if self._first else None
        self._first = False
        return encode(_table(metadata, definitions, [_row(self._columns, manifest)]))


def table(resource: Resource, page: Page) -> bytes:
    """A list as a table."""
    chosen = columns(resource)
    rows = [_row(chosen, stored.manifest()) for stored in page.objects]
    return encode(_table(page.metadata(), [column.definition() for column in chosen], rows)) + b"\n"


def columns(resource: Resource) -> tuple[Column, ...]:
    """The columns of a resource."""
    name = Column("Name", lambda manifest: manifest["metadata"]["name"], format="name")
    main, wide = _OWN.get(resource, ((), ()))
    return (name, *main, Column("Age", _age), *wide)


def _table(metadata: Any, definitions: list[Manifest] | None, rows: list[Manifest]) -> Manifest:
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": definitions,
        "rows": rows,
    }


def _row(chosen: tuple[Column, ...], manifest: Manifest) -> Manifest:
    partial = {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": manifest["metadata"],
    }
    return {"cells": [column.cell(manifest) for column in chosen], "object": partial}


def _age(manifest: Manifest) -> str:
    born = datetime.fromisoformat(manifest["metadata"]["creationTimestamp"])
    seconds = max(int((datetime.now(UTC) - born).total_seconds()), 0)
    if seconds < 120:
        return f"{seconds}s"
    if seconds < 600:
        return f"{seconds // 60}m{seconds % 60}s" if seconds % 60 else f"{seconds // 60}m"
    if seconds < 3 * 3600:
        return f"{seconds // 60}m"
    if seconds < 48 * 3600:
        return f"{seconds // 3600}h"
    return f"{seconds // 86400}d"


def _external(manifest: Manifest) -> str:
    spec = manifest["spec"]
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName", _NONE))
    ingress = manifest["status"].get("loadBalancer", {}).get("ingress") or []
    addresses = [one.get("ip") or one.get("hostname", "") for one in ingress]
    known = [*addresses, *(spec.get("externalIPs") or ())]
    return ",".join(known) or ("<pending>" if spec.get("type") == "LoadBalancer" else _NONE)


def _service_ports(manifest: Manifest) -> str:
    ports = manifest["spec"].get("ports") or ()
    shown = (
        f"{one['port']}:{one['nodePort']}/{one.get('protocol', 'TCP')}"
        if one.get("nodePort")
        else f"{one['port']}/{one.get('protocol', 'TCP')}"
        for one in ports
    )
    return ",".join(shown) or _NONE


def _selector(manifest: Manifest) -> str:
    return (
        ",".join(f"{key}={value}" for key, value in sorted((manifest["spec"].get("selector") or {}).items()))
        or _NONE
    )


def _some(values: list[str]) -> str:
    if not values:
        return _NONE
    more = len(values) - _SHOWN
    return ",".join(values[:_SHOWN]) + (f" + {more} more..." if more > 0 else "")


def _slice_ports(manifest: Manifest) -> str:
    return _some([str(one.get("port", "*")) for one in manifest.get("ports") or ()])


def _slice_addresses(manifest: Manifest) -> str:
    return _some([address for one in manifest.get("endpoints") or () for address in one["addresses"]])


def _node_address(kind: str) -> Cell:
    def cell(manifest: Manifest) -> str:
        addresses = manifest["status"].get("addresses") or ()
        return next((one["address"] for one in addresses if one["type"] == kind), _NONE)

    return cell


_OWN: dict[Resource, tuple[tuple[Column, ...], tuple[Column, ...]]] = {
    SERVICES: (
        (
            Column("Type", lambda manifest: manifest["spec"].get("type", "")),
            Column("Cluster-IP", lambda manifest: manifest["spec"].get("clusterIP") or _NONE),
            Column("External-IP", _external),
            Column("Port(s)", _service_ports),
        ),
        (Column("Selector", _selector, 1),),
    ),
    ENDPOINT_SLICES: (
        (
            Column("AddressType", lambda manifest: manifest["addressType"]),
            Column("Ports", _slice_ports),
            Column("Endpoints", _slice_addresses),
        ),
        (),
    ),
    NODES: ((), (Column("Internal-IP", _node_address("InternalIP"), 1),)),
    SERVICE_CIDRS: ((Column("CIDRs", lambda manifest: ",".join(manifest["spec"].get("cidrs") or ())),), ()),
}
