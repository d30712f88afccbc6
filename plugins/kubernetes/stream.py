"""What an API server says, as values: pages of a list, and the events of a watch. Pure.

JSON goes straight into typed Structs; the objects themselves stay undecoded bytes until
`pointsman.core.apis.decode` takes out of them what a service proxy uses.
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from msgspec import Raw, Struct

from pointsman.core.model import NamespacedName

# etcd takes objects of 1.5 MiB, and JSON makes them larger; what goes beyond that is no event.
MAX_LINE_BYTES = 32 << 20
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class Garbled(Exception):
    """What the server sent isn't what the protocol allows; nothing that came after can be trusted."""


class _Meta(Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    annotations: dict[str, str] | None = None


class _Object(Struct):
    metadata: _Meta


class _Version(Struct, rename="camel"):
    resource_version: str = ""


class _Versioned(Struct):
    metadata: _Version


class _ListMeta(Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class _List(Struct):
    metadata: _ListMeta
    items: list[Raw] | None = None


class _Cause(Struct):
    reason: str = ""


class _Details(Struct, rename="camel"):
    causes: list[_Cause] | None = None
    retry_after_seconds: float = 0.0


class _Status(Struct):
    code: int = 0
    reason: str = ""
    message: str = ""
    details: _Details | None = None


class Status(NamedTuple):
    """A ``Status`` object: why a request or a watch failed. ``retry_after`` is in seconds, 0 if not said."""

    code: int
    reason: str = ""
    message: str = ""
    retry_after: float = 0.0
    causes: tuple[str, ...] = ()

    @property
    def expired(self) -> bool:
        """Whether the server can't go on from the resource version, or page, that it was asked to."""
        return (
            self.code == 410
            or self.reason in ("Expired", "Gone")
            # A server restored from a backup, or one behind the others, has never been as far as we.
            or "ResourceVersionTooLarge" in self.causes
        )


class Page(NamedTuple):
    """Part of a list. ``next`` is what to ask for the next part with, empty if this is the last."""

    version: str
    next: str
    items: list[Raw]


class Event(Struct):
    """An event of a watch: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR, and the object it is about."""

    type: str
    object: Raw


class Bookmark(NamedTuple):
    """How far a watch has come; ``listed`` with the first one after all that a streaming list holds."""

    version: str
    listed: bool


_events = msgspec.json.Decoder(Event)
_objects = msgspec.json.Decoder(_Object)
_versions = msgspec.json.Decoder(_Versioned)
_lists = msgspec.json.Decoder(_List)
_statuses = msgspec.json.Decoder(_Status)


class Lines:
    """Cuts a stream of bytes into lines; a line that isn't finished is nobody's."""

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self._limit = limit
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that the data completes, without empty ones.

        Raises:
            Garbled: a line exceeds the limit.
        """
        lines: list[bytes] = []
        if b"\n" in data:
            *lines, rest = (bytes(self._rest) + data).split(b"\n")
            self._rest = bytearray(rest)
        else:  # which may be so many times over: nothing that came before is copied
            self._rest += data
        if len(self._rest) > self._limit:
            raise Garbled(f"a line of more than {self._limit} bytes")
        return filter(None, lines)


def event(line: bytes) -> Event:
    """Take apart a line of a watch. Raises `Garbled`."""
    try:
        return _events.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Garbled(f"a line that is no event: {error}") from None


def version(raw: Raw) -> str:
    """The resource version of an object. Raises `Garbled`."""
    try:
        return _versions.decode(raw).metadata.resource_version
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Garbled(f"an object without a version: {error}") from None


def name(raw: Raw) -> NamespacedName:
    """The name of an object, which need not be good for anything else. Raises `Garbled`."""
    meta = _meta(raw)
    if not meta.name:
        raise Garbled("an object without a name")
    return NamespacedName(meta.namespace, meta.name)


def bookmark(raw: Raw) -> Bookmark:
    """Read the object of a BOOKMARK event. Raises `Garbled`."""
    meta = _meta(raw)
    if not meta.resource_version:
        raise Garbled("a bookmark without a version")
    return Bookmark(meta.resource_version, (meta.annotations or {}).get(INITIAL_EVENTS_END) == "true")


def page(body: bytes) -> Page:
    """Take apart the answer to a list request. Raises `Garbled`."""
    try:
        found = _lists.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Garbled(f"an answer that is no list: {error}") from None
    return Page(found.metadata.resource_version, found.metadata.continue_, found.items or [])


def status(body: bytes | Raw, code: int = 0) -> Status:
    """Read a Status, as far as it is one; ``code`` is what the answer itself says."""
    try:
        found = _statuses.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Status(code)
    details = found.details or _Details()
    causes = tuple(cause.reason for cause in details.causes or ())
    return Status(code or found.code, found.reason, found.message, details.retry_after_seconds, causes)


def _meta(raw: Raw) -> _Meta:
    try:
        return _objects.decode(raw).metadata
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Garbled(f"an object without a name or version: {error}") from None
