"""Patches as kubectl writes them; JSON patches and server-side apply are not among them."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from .resources import NODES, SERVICES, Resource

_DIRECTIVE = "$patch"
_ORDER = "$setElementOrder/"
_REMOVED = "$deleteFromPrimitiveList/"
_RETAINED = "$retainKeys"

_MERGED_BY = {"ownerReferences": "uid"}
_MERGED_BY_OF = {
    SERVICES: {**_MERGED_BY, "ports": "port", "conditions": "type"},
    NODES: {**_MERGED_BY, "addresses": "type", "conditions": "type"},
}

Patch = Callable[[Any, Any], Any]


def patches(resource: Resource) -> Mapping[str, Patch]:
    """How to apply patches to objects of a resource, by media type."""
    keys = _MERGED_BY_OF.get(resource, _MERGED_BY)
    return {
        "application/merge-patch+json": merge,
        "application/strategic-merge-patch+json": partial(strategic_merge, keys=keys),
    }


def merge(target: Any, patch: Any) -> Any:
    """A JSON merge patch, applied (RFC 7386)."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result


def strategic_merge(target: Any, patch: Any, *, keys: Mapping[str, str]) -> Any:
    """A strategic merge patch, applied.

    Args:
        target: what is patched.
        patch: says what is to be otherwise.
        keys: for lists whose items are merged one by one, the field by which an item is known.
    """
    if not isinstance(patch, Mapping):
        return patch
    plain = {name: value for name, value in patch.items() if not name.startswith("$")}
    if patch.get(_DIRECTIVE) == "replace":
        return plain
    result = dict(target) if isinstance(target, Mapping) else {}
    if _RETAINED in patch:
        result = {name: value for name, value in result.items() if name in patch[_RETAINED]}
    for name, removed in patch.items():
        field = name.removeprefix(_REMOVED)
        if field != name:
            result[field] = [one for one in result.get(field) or [] if one not in removed]
    for name, value in plain.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, list) and name in keys:
            merged = _merged(result.get(name) or [], value, keys[name], keys)
            result[name] = _arranged(merged, patch.get(_ORDER + name, ()), keys[name])
        else:
            result[name] = strategic_merge(result.get(name), value, keys=keys)
    return result


def _merged(target: list[Any], patch: list[Any], key: str, keys: Mapping[str, str]) -> list[Any]:
    """Raises `KeyError`: an item does not say which one it is."""
    if any(one.get(_DIRECTIVE) == "replace" for one in patch):
        return [one for one in patch if _DIRECTIVE not in one]
    items = {one[key]: one for one in target}
    for one in patch:
        if one.get(_DIRECTIVE) == "delete":
            items.pop(one[key], None)
        else:
            items[one[key]] = strategic_merge(items.get(one[key]), one, keys=keys)
    return list(items.values())


def _arranged(items: list[Any], order: list[Any] | tuple[()], key: str) -> list[Any]:
    places = {one[key]: place for place, one in enumerate(order)}
    return sorted(items, key=lambda one: places.get(one[key], len(places)))
