"""Objects as a server writes them: the bytes of Go's encoder, with fields in the order of the API's types."""

from collections.abc import Mapping
from typing import Any

import msgspec

from .resources import METADATA, Resource, Shape

Manifest = dict[str, Any]

_UNSORTED = {"labels", "annotations"}


def encode(value: object) -> bytes:
    """JSON without spaces, and with the characters escaped that Go's encoder escapes for the sake of HTML."""
    return (
        msgspec.json.encode(value)
        .replace(b"<", b"\\u003c")
        .replace(b">", b"\\u003e")
        .replace(b"&", b"\\u0026")
        .replace("\u2028".encode(), b"\\u2028")
        .replace("\u2029".encode(), b"\\u2029")
    )


def ordered(manifest: Mapping[str, Any], resource: Resource) -> Manifest:
    """An object as it is kept: without kind and version, complete, fields in order, unknown ones last."""
    filled = _filled(manifest, resource.empty)
    for field in ("kind", "apiVersion"):
        filled.pop(field, None)
    in_order: Manifest = _in_order(filled, resource.shape)
    return in_order


def bookmark(resource: Resource, revision: int, *, initial_events_end: bool) -> bytes:
    """A bookmark's object."""
    metadata: Manifest = {"resourceVersion": str(revision)}
    if initial_events_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return alone(resource, encode(_in_order({"metadata": metadata, **resource.empty}, resource.shape)))


def alone(resource: Resource, body: bytes) -> bytes:
    """An object that is no item of a list: it says what it is."""
    return resource.prefix + body[1:]


def _filled(given: Mapping[str, Any], least: Mapping[str, Any]) -> Manifest:
    filled = dict(given)
    for name, value in least.items():
        if filled.get(name) is None:
            filled[name] = value
        elif isinstance(value, Mapping) and isinstance(filled[name], Mapping):
            filled[name] = _filled(filled[name], value)
    return filled


def _in_order(value: Any, shape: Shape | None) -> Any:
    if shape is None:
        return value
    if isinstance(value, list):
        return [_in_order(one, shape) for one in value]
    if not isinstance(value, Mapping):
        return value
    result = {name: _in_order(value[name], below) for name, below in shape.items() if name in value}
    result.update((name, one) for name, one in value.items() if name not in shape)
    if shape is METADATA:
        for name in _UNSORTED & result.keys():
            if isinstance(result[name], Mapping):
                result[name] = dict(sorted(result[name].items()))
    return result
