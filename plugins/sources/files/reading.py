"""What reading a file gives, as values."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import NamedTuple

from msgspec import Struct

from pointsman.core.apis import ApiObject, Kind
from pointsman.core.errors import ObjectRejected
from pointsman.core.model import NamespacedName


class Key(NamedTuple):
    """Which object: its kind and its name."""

    kind: Kind
    name: NamespacedName

    def __str__(self) -> str:
        """``namespace/name``, or ``name`` where the kind has no namespaces."""
        return str(self.name).removeprefix("/")


class Place(NamedTuple):
    """Where in a file something is, counted from 1; 0 means the whole, or not known."""

    document: int = 0
    item: int = 0
    line: int = 0

    def __str__(self) -> str:
        """``document 3, item 17, line 412``; empty for the whole file."""
        parts = zip(self._fields, self, strict=True)
        return ", ".join(f"{what} {number}" for what, number in parts if number)


class Located(NamedTuple):
    """An object and where its file has it."""

    object: ApiObject
    place: Place


class Fault(NamedTuple):
    """Something wrong in a file. ``key`` says with which object, None if nobody can tell."""

    place: Place
    error: ObjectRejected
    key: Key | None = None


class Reading(Struct, frozen=True):
    """What a file says.

    Attributes:
        objects: what can be used.
        faults: what can't.
        ignored: how often objects of which other kinds are there.
    """

    objects: Mapping[Key, Located]
    faults: Sequence[Fault]
    ignored: Mapping[str, int]


def key_of(decoded: ApiObject) -> Key:
    """Which object this is."""
    return Key(type(decoded), NamespacedName(decoded.metadata.namespace, decoded.metadata.name))


def one_line(text: str, limit: int = 4096) -> str:
    """A text that may be anything, made fit for one line of a log."""
    text = text if len(text) <= limit else f"{text[:limit]}…"
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def unreadable(path: str, reason: str) -> Reading:
    """What is known of a file that can't be read."""
    name = one_line(PurePath(path).name)
    return Reading({}, [Fault(Place(), ObjectRejected("File", name, "$", one_line(reason)))], {})
