"""What is found while a kind is listed, until the list is complete."""

from collections.abc import Collection

from msgspec import Raw

from pointsman.core.apis import ApiObject, decode
from pointsman.core.errors import ObjectRejected
from pointsman.core.model import NamespacedName
from pointsman.core.source import Rejection

from . import stream
from .resources import Resource

NAMELESS = NamespacedName("", "?")


def name_of(decoded: ApiObject) -> NamespacedName:
    """The name of an object."""
    return NamespacedName(decoded.metadata.namespace, decoded.metadata.name)


def read(resource: Resource, raw: Raw) -> tuple[NamespacedName, ApiObject | Rejection]:
    """Decode an object, or say why it can't be used."""
    try:
        decoded = decode(resource.kind, raw)
    except ObjectRejected as error:
        try:
            name = stream.name(raw)
        except stream.Garbled:
            name = NAMELESS
        reason = f"{error.reason}; its last good version stays, if there was one"
        return name, Rejection(error.kind, error.name, error.field, reason, resource.origin(name))
    return name_of(decoded), decoded


class Gathering:
    """The objects of a kind, as far as they are known; ``rejected`` are those that can't be used."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._objects: dict[NamespacedName, ApiObject] = {}
        self.rejected: dict[NamespacedName, Rejection] = {}

    def objects(self) -> Collection[ApiObject]:
        """All that can be used."""
        return self._objects.values()

    def add(self, raw: Raw) -> None:
        """Take in an object that there is, in the state it is in now."""
        name, found = read(self._resource, raw)
        self.discard(name)
        if isinstance(found, Rejection):
            self.rejected[name] = found
        else:
            self._objects[name] = found

    def discard(self, name: NamespacedName) -> None:
        """Take in that an object is gone."""
        self._objects.pop(name, None)
        self.rejected.pop(name, None)
