"""What is found while a kind is listed, until the list is complete."""

from collections.abc import Collection

from msgspec import Raw

from pointsman.core.apis import ApiObject, decode
from pointsman.core.errors import ObjectRejected
from pointsman.core.model import NamespacedName
from pointsman.core.source import Rejection

from . import stream
from .resources import Resource
from .stream import Event, Garbled

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
        except Garbled:
            name = NAMELESS
        reason = f"{error.reason}; its last good version stays, if there was one"
        return name, Rejection(error.kind, error.name, error.field, reason, resource.origin(name))
    return name_of(decoded), decoded


class Gathering:
    """The objects of a kind, as far as they are known; ``rejected`` are those that can't be used."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._objects: dict[NamespacedName, ApiObject] = {}
        self._versions: dict[NamespacedName, int] = {}
        self.rejected: dict[NamespacedName, Rejection] = {}

    def objects(self) -> Collection[ApiObject]:
        """All that can be used."""
        return self._objects.values()

    def add(self, raw: Raw) -> None:
        """Take in an object that there is, in the state it is in now."""
        self._put(*read(self._resource, raw))

    def hear(self, event: Event) -> None:
        """Take in an event of a streamed list, unless a later state of its object is known.

        Raises:
            Garbled: it isn't said what became of which object; or one changes that wasn't told of, which may
                be long gone, and nobody would say so.
        """
        if event.type == "DELETED":
            name = stream.name(event.object)
            if self._is_news(name, event.object):
                self.discard(name)
        elif event.type in ("ADDED", "MODIFIED"):
            name, found = read(self._resource, event.object)
            if event.type == "MODIFIED" and name not in self._versions:
                raise Garbled(f"{self._resource.path}: {name} changes before it is told of")
            if self._is_news(name, event.object):
                self._put(name, found)
        else:
            raise Garbled(f"an event of type {event.type[:40]!r}")

    def discard(self, name: NamespacedName) -> None:
        """Take in that an object is gone."""
        self._objects.pop(name, None)
        self.rejected.pop(name, None)

    def _put(self, name: NamespacedName, found: ApiObject | Rejection) -> None:
        self.discard(name)
        if isinstance(found, Rejection):
            self.rejected[name] = found
        else:
            self._objects[name] = found

    def _is_news(self, name: NamespacedName, raw: Raw) -> bool:
        """Whether an event is younger than all that was heard of its object; versions are as in a watch."""
        try:
            version = stream.version(raw)
        except Garbled:
            return True  # it is rejected anyway
        known = self._versions.get(name, 0)
        number = int(version) if version.isdecimal() else known
        self._versions[name] = max(known, number)
        return number >= known
