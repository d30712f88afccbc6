"""What etcd is to a real server: objects, one counter of revisions, and a history of changes.

Objects are kept as the bytes that clients get, so that a list is a join and a watch event one write.
"""

import threading
import uuid
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from .encoding import Manifest, encode, ordered
from .resources import RESOURCES, Resource


class Expired(Exception):
    """A revision lies before the history's start; ``oldest`` is the first that can be had."""

    def __init__(self, asked: int, oldest: int) -> None:
        super().__init__(asked, oldest)
        self.asked = asked
        self.oldest = oldest


class Stored(Struct, frozen=True):
    """An object at one revision; ``body`` is what a list holds of it."""

    namespace: str
    name: str
    labels: Mapping[str, str]
    revision: int
    body: bytes

    @property
    def key(self) -> str:
        """Its place in lists, which are sorted by this text."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    def manifest(self) -> Manifest:
        """The object, decoded."""
        decoded: Manifest = msgspec.json.decode(self.body)
        return decoded


@dataclass(slots=True)  # no Struct: a chain of those, let go of at once, would overflow the stack
class Change:
    """A change, with a link to the next: whoever holds one never misses another, whatever is forgotten.

    ``now`` is None for a deletion, and ``gone`` then the object with the revision of the deletion.
    """

    revision: int
    before: Stored | None = None
    now: Stored | None = None
    gone: Stored | None = None
    next: "Change | None" = None


class _Kind:
    """The objects of one resource and their history."""

    def __init__(self, lock: threading.RLock) -> None:
        self.objects: dict[str, Stored] = {}
        self.history: list[Change] = []
        self.compacted = 0
        self.last = Change(0)
        self.changed = threading.Condition(lock)


class Store:
    """Objects of all resources.

    Args:
        history: how many changes of a resource are remembered, at least half of them, two or more.
    """

    def __init__(self, history: int = 100_000) -> None:
        self.lock = threading.RLock()
        self.revision = 0
        self._moved = threading.Condition(self.lock)
        self._limit = history
        self._kinds = {resource: _Kind(self.lock) for resource in RESOURCES}

    def get(self, resource: Resource, namespace: str, name: str) -> Stored | None:
        """One object."""
        return self._kinds[resource].objects.get(f"{namespace}/{name}" if namespace else name)

    def objects(self, resource: Resource) -> tuple[int, list[Stored]]:
        """All objects in their order, and the revision at which they are these."""
        with self.lock:
            objects = list(self._kinds[resource].objects.items())
            revision = self.revision
        return revision, [stored for _, stored in sorted(objects)]

    def list_at(self, resource: Resource, revision: int) -> list[Stored]:
        """All objects as they were at a revision. Raises `Expired`."""
        with self.lock:
            kind = self._kinds[resource]
            if revision < kind.compacted:
                raise Expired(revision, kind.compacted)
            objects = dict(kind.objects)
            later = kind.history[_after(kind.history, revision) :]
        for change in reversed(later):
            touched = change.now or change.gone
            assert touched is not None
            if change.before is None:
                del objects[touched.key]
            else:
                objects[touched.key] = change.before
        return [stored for _, stored in sorted(objects.items())]

    def put(self, resource: Resource, manifest: Mapping[str, Any]) -> Stored:
        """Add or change an object; one that stays the same gets no new revision."""
        with self.lock:
            kind = self._kinds[resource]
            new = ordered(manifest, resource)
            metadata = new["metadata"] = dict(new.get("metadata") or {})
            namespace = metadata.get("namespace", "") if resource.namespaced else ""
            before = self.get(resource, namespace, metadata["name"])
            self._complete(metadata, resource, before)
            if before is not None and self._body(new, resource, before.revision) == before.body:
                return before
            if before is not None and resource.counted:
                metadata["generation"] = metadata.get("generation", 0) + 1
            body = self._body(new, resource, self.revision + 1)
            self.revision += 1
            labels = {str(key): str(value) for key, value in (metadata.get("labels") or {}).items()}
            stored = Stored(namespace, metadata["name"], labels, self.revision, body)
            kind.objects[stored.key] = stored
            self._record(kind, Change(self.revision, before=before, now=stored))
            return stored

    def delete(self, resource: Resource, namespace: str, name: str) -> Stored | None:
        """Remove an object; what was removed, at the revision of its removal."""
        with self.lock:
            before = self.get(resource, namespace, name)
            if before is None:
                return None
            kind = self._kinds[resource]
            self.revision += 1
            del kind.objects[before.key]
            gone = at_revision(before, resource, self.revision)
            self._record(kind, Change(self.revision, before=before, gone=gone))
            return gone

    def load(self, resource: Resource, manifests: list[Manifest], revision: int) -> None:
        """Hold objects as they are, revisions and all, as a server does that finds them in its etcd."""
        with self.lock:
            kind = self._kinds[resource]
            for manifest in manifests:
                metadata = manifest["metadata"]
                own = int(metadata["resourceVersion"])
                body = encode(ordered(manifest, resource))
                labels = metadata.get("labels") or {}
                stored = Stored(metadata.get("namespace", ""), metadata["name"], labels, own, body)
                kind.objects[stored.key] = stored
            self.revision = max(self.revision, revision)
            self.compact()

    def compact(self) -> None:
        """Forget all history: lists and watches from earlier revisions have expired, open watches go on."""
        with self.lock:
            for kind in self._kinds.values():
                kind.compacted = self.revision
                kind.history.clear()

    def since(self, resource: Resource, revision: int) -> Change:
        """A change behind which all those lie that came after a revision. Raises `Expired`."""
        with self.lock:
            kind = self._kinds[resource]
            if revision < kind.compacted:
                raise Expired(revision, kind.compacted)
            position = _after(kind.history, revision)
            if position == len(kind.history):
                return kind.last
            return Change(revision, next=kind.history[position])

    def current(self, resource: Resource) -> tuple[int, list[Stored], Change]:
        """All objects, their revision, and a change behind which all later ones will lie."""
        with self.lock:
            revision, objects = self.objects(resource)
            return revision, objects, self._kinds[resource].last

    def latest(self, resource: Resource) -> int:
        """The revision of a resource's last change."""
        return self._kinds[resource].last.revision

    def reaches(self, revision: int, timeout: float) -> bool:
        """Wait until a revision has come; whether it has."""
        with self._moved:
            return self._moved.wait_for(lambda: self.revision >= revision, timeout)

    def wait(self, resource: Resource, seen: Change, timeout: float) -> None:
        """Wait until something comes after a change, `wake` is called or the time is over."""
        changed = self._kinds[resource].changed
        with changed:
            if seen.next is None:
                changed.wait(timeout)

    def wake(self) -> None:
        """End everybody's waiting."""
        for kind in self._kinds.values():
            with kind.changed:
                kind.changed.notify_all()

    def _complete(self, metadata: Manifest, resource: Resource, before: Stored | None) -> None:
        """Give an object what only the server can: identity, time of birth, and the count of its changes."""
        own: Manifest = {} if before is None else before.manifest()["metadata"]
        metadata["uid"] = own.get("uid") or metadata.get("uid") or str(uuid.uuid4())
        metadata["creationTimestamp"] = (
            own.get("creationTimestamp") or metadata.get("creationTimestamp") or now_text()
        )
        if resource.counted:
            metadata["generation"] = own.get("generation", 1)

    def _body(self, manifest: Manifest, resource: Resource, revision: int) -> bytes:
        metadata = {**manifest["metadata"], "resourceVersion": str(revision)}
        return encode(ordered({**manifest, "metadata": metadata}, resource))

    def _record(self, kind: _Kind, change: Change) -> None:
        kind.history.append(change)
        if len(kind.history) > self._limit:
            half = self._limit // 2
            kind.compacted = kind.history[half - 1].revision
            del kind.history[:half]
        kind.last.next = change
        kind.last = change
        kind.changed.notify_all()
        self._moved.notify_all()


def at_revision(stored: Stored, resource: Resource, revision: int) -> Stored:
    """The same object with another revision."""
    manifest = stored.manifest()
    manifest["metadata"]["resourceVersion"] = str(revision)
    return replace(stored, revision=revision, body=encode(ordered(manifest, resource)))


def following(change: Change) -> Iterator[Change]:
    """All changes behind one that have happened."""
    while change.next is not None:
        change = change.next
        yield change


def now_text() -> str:
    """The time as objects carry it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _after(history: list[Change], revision: int) -> int:
    return bisect_right(history, revision, key=lambda change: change.revision)
