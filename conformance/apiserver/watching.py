"""Watches: what a client is told of a resource, line by line."""

import time
from collections.abc import Callable, Generator, Iterator

from . import answers, lists
from .encoding import alone, bookmark, encode
from .requests import Request
from .resources import Resource
from .store import Change, Expired, Store, Stored, at_revision

_TIMEOUT = 1800.0  # a real server's is between this and twice this
_TRUE = ("1", "true")

Render = Callable[[bytes], bytes]
"""Turns an object into what the client wants to see of it: itself, or a row of a table."""


class Watch:
    """One client's watch. Iterate over it for lines; an empty one tells that there is nothing yet.

    Args:
        store: what is watched.
        request: what the client asked for.
        render: how it wants to see objects.
        bookmark_every: seconds between bookmarks, if the client wants any.
        tick: seconds after which there is an empty line.

    Raises:
        Failure: a parameter makes no sense.
    """

    def __init__(
        self, store: Store, request: Request, render: Render, bookmark_every: float, tick: float = 1.0
    ) -> None:
        assert request.resource is not None
        self._store = store
        self._resource: Resource = request.resource
        self._namespace = request.namespace
        self._render = render
        self._chosen = lists.selector(request)
        self._asked = lists.revision_asked(request)
        self._wants_bookmarks = request.query.get("allowWatchBookmarks", "") in _TRUE
        self._from_objects = _begins_with_objects(request)
        self._every = bookmark_every
        self._tick = tick
        seconds = request.query.get("timeoutSeconds", "")
        self._end = time.monotonic() + (float(seconds if seconds.isdecimal() else 0) or _TIMEOUT)
        self._bookmark_due = time.monotonic() + bookmark_every
        if self._from_objects:
            lists.wait_for(store, self._asked)

    def bookmark(self) -> None:
        """Have a bookmark be the next line."""
        self._bookmark_due = 0.0

    def __iter__(self) -> Iterator[bytes]:
        """All there is to tell, until the time is over."""
        if self._from_objects:
            seen = yield from self._objects()
        else:
            try:
                seen = self._store.since(self._resource, self._asked)
            except Expired as error:
                yield _line("ERROR", encode(answers.too_old(error.asked, error.oldest).status))
                return
        yield from self._changes(seen)

    def _objects(self) -> Generator[bytes, None, Change]:
        """All objects as if each had just been added, and the bookmark that ends them."""
        revision, objects, seen = self._store.current(self._resource)
        self._asked = revision
        for stored in objects:
            if self._concerns(stored):
                yield self._told("ADDED", stored.body)
        if self._wants_bookmarks:
            yield self._bookmark(revision, initial_events_end=True)
        return seen

    def _changes(self, seen: Change) -> Iterator[bytes]:
        told = seen.revision
        while (now := time.monotonic()) < self._end:
            while seen.next is not None:
                seen = seen.next
                told = seen.revision
                line = self._change(seen)
                if line:
                    yield line
            if self._wants_bookmarks and now >= self._bookmark_due:
                self._bookmark_due = now + self._every
                yield self._bookmark(max(told, self._asked), initial_events_end=False)
            yield b""
            bookmark_in = max(self._bookmark_due - now, 0.0) if self._wants_bookmarks else self._tick
            self._store.wait(self._resource, seen, min(self._tick, self._end - now, bookmark_in))

    def _change(self, change: Change) -> bytes:
        """What a client is told of a change: for one whom only what it selects exists."""
        before = change.before is not None and self._concerns(change.before)
        if change.now is not None and self._concerns(change.now):
            return self._told("MODIFIED" if before else "ADDED", change.now.body)
        if not before:
            return b""
        assert change.before is not None
        gone = change.gone or at_revision(change.before, self._resource, change.revision)
        return self._told("DELETED", gone.body)

    def _concerns(self, stored: Stored) -> bool:
        return (not self._namespace or stored.namespace == self._namespace) and self._chosen(stored)

    def _told(self, kind: str, body: bytes) -> bytes:
        return _line(kind, self._render(body))

    def _bookmark(self, revision: int, *, initial_events_end: bool) -> bytes:
        return _line("BOOKMARK", bookmark(self._resource, revision, initial_events_end=initial_events_end))


def plain(resource: Resource) -> Render:
    """Objects as they are."""
    return lambda body: alone(resource, body)


def _begins_with_objects(request: Request) -> bool:
    """Whether all objects come first: where the client says so, and where it names no revision to begin from.

    Raises:
        Failure: it says so in a way that makes no sense.
    """
    wanted = request.query.get("sendInitialEvents", "")
    match = request.query.get("resourceVersionMatch", "")
    if wanted and match != "NotOlderThan":
        raise answers.invalid_list_options(
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        )
    if match and not wanted:
        raise answers.invalid_list_options(
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        )
    if wanted:
        return wanted in _TRUE
    return request.query.get("resourceVersion", "") in ("", "0")


def _line(kind: str, body: bytes) -> bytes:
    return b'{"type":"%s","object":%s}\n' % (kind.encode(), body)
