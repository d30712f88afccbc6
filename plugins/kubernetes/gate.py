"""Between a source's threads and its sink: a gate that shuts for good."""

import threading
from collections.abc import Iterable

from pointsman.core.apis import ApiObject, Kind
from pointsman.core.model import NamespacedName
from pointsman.core.source import Rejection, Sink


class Gate:
    """A `Sink` that hands on to another from `open` to `shut`, and to nobody before and after."""

    def __init__(self) -> None:
        self._sink: Sink | None = None
        # A sink may stop its source from within.
        self._lock = threading.RLock()

    def open(self, sink: Sink) -> None:
        """Hand on what comes from now on."""
        with self._lock:
            self._sink = sink

    def shut(self) -> None:
        """Hand on nothing more; what is being handed on has been when this returns."""
        with self._lock:
            self._sink = None

    def replaced(self, kind: Kind, objects: Iterable[ApiObject], kept: Iterable[NamespacedName] = ()) -> None:
        """See `Sink.replaced`."""
        with self._lock:
            if self._sink is not None:
                self._sink.replaced(kind, objects, kept)

    def updated(self, updated: ApiObject) -> None:
        """See `Sink.updated`."""
        with self._lock:
            if self._sink is not None:
                self._sink.updated(updated)

    def deleted(self, kind: Kind, name: NamespacedName) -> None:
        """See `Sink.deleted`."""
        with self._lock:
            if self._sink is not None:
                self._sink.deleted(kind, name)

    def rejected(self, origin: str, rejections: Iterable[Rejection]) -> None:
        """See `Sink.rejected`."""
        with self._lock:
            if self._sink is not None:
                self._sink.rejected(origin, rejections)

    def failed(self, error: BaseException) -> None:
        """See `Sink.failed`."""
        with self._lock:
            if self._sink is not None:
                self._sink.failed(error)
