"""Where objects come from: what a source is, and what it tells the engine.

A source runs on its own thread and reports to a `Sink`; the engine reads the other end on its thread. A
source never raises for bad input: it reports a rejection and goes on.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol as Interface

from msgspec import Struct

from .apis import ApiObject, Kind
from .config import ProxyConfig
from .errors import ObjectRejected, PluginError
from .model import NamespacedName


class Rejection(Struct, frozen=True):
    """A bad object, or a bad part of one that is otherwise used.

    ``origin`` says where it was found: a file and document number, or an API path.
    """

    kind: str
    name: str
    field: str
    reason: str
    origin: str = ""

    @classmethod
    def of(cls, error: ObjectRejected, origin: str) -> "Rejection":
        """The rejection that an `ObjectRejected` stands for."""
        return cls(error.kind, error.name, error.field, error.reason, origin)


class Sink(Interface):
    """What a source reports to; every method may be called from any thread."""

    def replaced(self, kind: Kind, objects: Iterable[ApiObject], kept: Iterable[NamespacedName] = ()) -> None:
        """These are all the objects of a kind; any other is gone. The kind counts as listed from here on.

        ``kept`` names objects that exist but can't be used: what is known of them stays.
        """

    def updated(self, updated: ApiObject) -> None:
        """An object was added or changed."""

    def deleted(self, kind: Kind, name: NamespacedName) -> None:
        """An object is gone."""

    def rejected(self, origin: str, rejections: Iterable[Rejection]) -> None:
        """All that is wrong at an origin now; an empty list says that it is well again."""

    def failed(self, error: BaseException) -> None:
        """The source has ended by itself and won't report again: the process must not go on as if it did."""


class Source(Interface):
    """A running or runnable source of objects."""

    def start(self, sink: Sink) -> None:
        """Start reporting, on a thread of the source's own; first of all what exists now."""

    def stop(self) -> None:
        """Stop reporting and join the thread. Idempotent."""


class SourceSpec(Struct, frozen=True):
    """A kind of source, chosen with ``--source NAME:ARGUMENT``."""

    name: str
    summary: str
    make: Callable[[str, ProxyConfig], Source]


class SourceRegistry:
    """The kinds of source that are installed, by name."""

    def __init__(self) -> None:
        self._specs: dict[str, SourceSpec] = {}

    def add(self, spec: SourceSpec) -> None:
        """Register a kind of source.

        Raises:
            PluginError: the name is taken.
        """
        if spec.name in self._specs:
            raise PluginError(f"source {spec.name!r} is registered twice; uninstall one of its distributions")
        self._specs[spec.name] = spec

    def __getitem__(self, name: str) -> SourceSpec:
        """The kind of source of that name; KeyError if there is none."""
        return self._specs[name]

    def __contains__(self, name: object) -> bool:
        """Whether there is a kind of source of that name."""
        return name in self._specs

    def __iter__(self) -> Iterator[SourceSpec]:
        """All kinds of source, by name."""
        return iter(sorted(self._specs.values(), key=lambda spec: spec.name))
