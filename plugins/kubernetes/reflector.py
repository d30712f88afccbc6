"""Following one kind: list it, watch it, and do so again whenever that comes to an end.

The rules are those of client-go's reflector (tools/cache/reflector.go). What is known stays known whatever
happens; only a complete list replaces it.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator

from msgspec import Struct

from pointsman.core.model import NamespacedName
from pointsman.core.source import Rejection, Sink

from . import stream
from .backoff import CALM_SECONDS, FIRST_SECONDS, LONGEST_SECONDS, Backoff
from .client import ANSWER_SECONDS, Answer, ApiClient
from .errors import ApiError, Refused, Unreachable
from .gathering import Gathering, read
from .resources import Resource
from .status import Progress
from .stream import Event, Garbled

# A page of 500 Services is some 0.5 MB; client-go asks for as many.
PAGE = 500

log = logging.getLogger(__name__)


class Timing(Struct, frozen=True):
    """Times, in seconds.

    Attributes:
        first_wait: the base of the first wait after a failure; see `Backoff`.
        longest_wait: the base of the longest.
        calm: without a failure for so long, the next one counts as the first.
        watch: the server ends a watch after this time, at the latest after twice as much.
        silence: a watch that tells nothing for so long is begun anew. Servers send a bookmark every minute.
        initial_silence: a streaming list that pauses for so long won't come to its end.
        short: a watch that ends sooner than this has failed.
        unserved: how often to look whether an optional kind is served by now.
    """

    first_wait: float = FIRST_SECONDS
    longest_wait: float = LONGEST_SECONDS
    calm: float = CALM_SECONDS
    watch: float = 300.0
    silence: float = 180.0
    initial_silence: float = 10.0
    short: float = 1.0
    unserved: float = 300.0


class Expired(ApiError):
    """The server can't go on from where we are: everything must be listed again."""


class NoStreamingLists(Exception):
    """The server doesn't know of lists as streams."""


class Reflector:
    """Tells a sink all that happens to the objects of one kind.

    Args:
        resource: the kind.
        client: the way to the server.
        sink: who is told.
        stopping: set when it is to end.
        timing: how long what takes.
        clock: monotonic seconds.
        chance: random numbers from 0 to 1.
    """

    def __init__(
        self,
        resource: Resource,
        client: ApiClient,
        sink: Sink,
        stopping: threading.Event,
        timing: Timing = Timing(),
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._resource = resource
        self._client = client
        self._sink = sink
        self._stopping = stopping
        self._timing = timing
        self._clock = clock
        self._chance = chance
        self._backoff = Backoff(
            timing.first_wait, timing.longest_wait, timing.calm, clock=clock, chance=chance
        )
        self.progress = Progress(clock)
        # How far we are; empty if everything must be listed.
        self._version = ""
        self._streaming_lists = True
        self._rejected: set[NamespacedName] = set()
        # How often in a row the server wouldn't go on, and whether the last watch broke having told nothing.
        self._refusals, self._broke = 0, False
        self._answer: Answer | None = None

    def run(self) -> None:
        """Follow the kind until told to stop; what should not happen ends in `Sink.failed`."""
        try:
            while not self._stopping.is_set():
                self._stopping.wait(self._step())
        except Exception as error:
            self._sink.failed(error)

    def stop(self) -> None:
        """Have `run` notice at once that it is to stop."""
        if (answer := self._answer) is not None:
            answer.interrupt()

    def _step(self) -> float:
        """List or watch until that ends; seconds to wait before the next step."""
        try:
            if self._version:
                self._watch()
            else:
                self._list()
        except (Expired, Garbled) as error:
            self._version = ""
            return self._failed(error)
        except Refused as error:
            never = not self.progress.status().lists
            if self._resource.optional and never and error.status.code in (403, 404):
                return self._not_served(error)
            self._doubt(error)
            return self._failed(error, error.status.retry_after)
        except Unreachable as error:
            return self._failed(error)
        return 0.0

    # Listing

    def _list(self) -> None:
        """Get to know everything; a streaming list goes on as a watch."""
        if self._streaming_lists:
            try:
                self._watch()
            except NoStreamingLists as reason:
                self._streaming_lists = False
                log.info("lists_in_pages", extra={"kind": self._kind, "reason": str(reason)})
        if not self._streaming_lists:
            self._page_through()

    def _page_through(self) -> None:
        gathering = Gathering(self._resource)
        # The first time as good as the server has it at hand, as upstream does: nodes start in crowds. Later
        # nothing may come that is older than what was.
        first = not self.progress.status().lists
        query = {**self._resource.selection, "limit": str(PAGE)}
        query |= {"resourceVersion": "0"} if first else {}
        while True:
            try:
                with self._client.get(self._resource.path, query) as answer:
                    page = stream.page(answer.body())
            except Refused as error:
                raise self._expired(error) from error
            for raw in page.items:
                gathering.add(raw)
            if not page.next or self._stopping.is_set():
                break
            query = {**self._resource.selection, "limit": str(PAGE), "continue": page.next}
        if not page.version:
            raise Garbled(f"{self._resource.path}: a list without a version")
        self._replace(gathering, page.version)
        self._well()

    def _replace(self, gathering: Gathering, version: str) -> None:
        """Everything is known: tell it, and go on from here."""
        if self._stopping.is_set():
            return
        self._sink.replaced(self._resource.kind, gathering.objects(), gathering.rejected)
        for name in self._rejected - gathering.rejected.keys():
            self._sink.rejected(self._resource.origin(name), ())
        for name, rejection in gathering.rejected.items():
            self._sink.rejected(self._resource.origin(name), [rejection])
        self._rejected = set(gathering.rejected)
        self._version = version
        again = self.progress.status().listed
        self.progress.listed()
        fields = {"kind": self._kind, "objects": len(gathering.objects()), "version": version}
        log.info("listed_again" if again else "listed", extra=fields)

    # Watching

    def _watch(self) -> None:
        """Follow a watch to its end: from where we are, or with a list at its beginning."""
        streamed = not self._version
        with self._open(streamed=streamed) as answer:
            began = self._clock()
            self._answer = answer
            if self._stopping.is_set():  # after that, or `stop` may have come too early to interrupt
                return
            self.progress.watching()
            if not streamed and not self._broke:
                self.progress.heard()
            self._broke = True  # until it has told anything, or held for a while
            try:
                self._follow(answer, streamed=streamed)
            except Unreachable as error:
                # Whatever cut it, a watch that held for a while is simply begun anew.
                if not self._version or self._clock() - began < self._timing.short:
                    raise
                log.debug("watch_cut", extra={"kind": self._kind, "error": str(error)})
            finally:
                self._answer = None
        if self._stopping.is_set():
            return
        if not self._version or self._clock() - began < self._timing.short:
            raise Unreachable(f"{self._resource.path}: the server ends watches as soon as they begin")
        self._broke = False

    def _open(self, *, streamed: bool) -> Answer:
        seconds = self._timing.watch * (1.0 + self._chance())
        query = {
            **self._resource.selection,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(max(1, round(seconds))),
        }
        if streamed:
            query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        else:
            query["resourceVersion"] = self._version
        try:
            return self._client.get(
                self._resource.path, query, silence=min(ANSWER_SECONDS, self._timing.silence)
            )
        except Refused as error:
            # 422 where the feature is off; 400 from servers that read the parameters in their own way.
            if streamed and error.status.code in (400, 422):
                raise NoStreamingLists(str(error)) from error
            raise self._expired(error) from error

    def _follow(self, answer: Answer, *, streamed: bool) -> None:
        gathering = Gathering(self._resource) if streamed else None
        answer.allow_silence(self._timing.initial_silence if streamed else self._timing.silence)
        try:
            for event in self._events(answer):
                if self._stopping.is_set():
                    return
                if gathering is None:
                    self._take(event)
                elif (version := _gather(gathering, event)) is not None:
                    self._replace(gathering, version)
                    gathering = None
                    answer.allow_silence(self._timing.silence)
                self._well()
        except Unreachable as error:
            if gathering is not None and error.silent:
                raise NoStreamingLists("it pauses before the list is complete") from error
            raise

    def _events(self, answer: Answer) -> Iterator[Event]:
        lines = stream.Lines()
        for block in answer.blocks():
            for line in lines.feed(block):
                event = stream.event(line)
                if event.type == "ERROR":
                    raise self._expired(Refused(self._resource.path, stream.status(event.object)))
                yield event

    def _take(self, event: Event) -> None:
        """Tell what an event says."""
        marks = event.type == "BOOKMARK"
        version = stream.bookmark(event.object).version if marks else stream.version(event.object)
        if not self._is_next(version):
            return
        if event.type == "DELETED":
            name = stream.name(event.object)
            self._sink.deleted(self._resource.kind, name)
            self._accept(name)
        elif event.type in ("ADDED", "MODIFIED"):
            name, found = read(self._resource, event.object)
            if isinstance(found, Rejection):
                self._rejected.add(name)
                self._sink.rejected(found.origin, [found])
            else:
                self._sink.updated(found)
                self._accept(name)
        elif not marks:
            raise Garbled(f"{self._resource.path}: an event of type {event.type[:40]!r}")
        self._version = version

    def _is_next(self, version: str) -> bool:
        """Whether an event is news; False for one that came before.

        Events come in the order of their versions, which may be compared since they are whole numbers
        (KEP-5504). One that is older was held up, and may be about an object that we know a later state of;
        or it is a repetition. Nobody can tell without keeping a version for each object, but a list can.
        """
        if not (version.isdecimal() and self._version.isdecimal()):
            return True
        if int(version) < int(self._version):
            raise Expired(f"{self._resource.path}: events come out of order")
        return version != self._version

    def _accept(self, name: NamespacedName) -> None:
        """Nothing is wrong with an object, or not any more."""
        if name in self._rejected:
            self._rejected.remove(name)
            self._sink.rejected(self._resource.origin(name), ())

    # Failing

    def _well(self) -> None:
        self._refusals, self._broke = 0, False
        self.progress.heard()

    def _doubt(self, error: Refused) -> None:
        """After some refusals don't insist on going on from where we are."""
        self._refusals += 1
        if self._refusals >= 3 and error.status.code not in (401, 403, 429, 503):
            self._version = ""

    def _expired(self, error: Refused) -> ApiError:
        return Expired(str(error)) if error.status.expired else error

    def _failed(self, error: Exception, at_least: float = 0.0) -> float:
        """Note a failure, and say it once; seconds to wait."""
        wait = self._backoff.next(at_least)
        if self.progress.failed(str(error)) and not self._stopping.is_set():
            kept = "what is known of this kind; its rules go on serving"
            log.warning("watch_failed", extra={"kind": self._kind, "error": str(error), "kept": kept})
        return wait

    def _not_served(self, error: Refused) -> float:
        if not self.progress.status().listed:
            self._sink.replaced(self._resource.kind, ())
            said = log.info if error.status.code == 404 else log.warning
            fields = {"kind": self._kind, "error": str(error), "effect": "as if there were none"}
            said("not_served", extra=fields)
        self.progress.not_served(str(error))
        return self._timing.unserved * (1.0 + self._chance())

    @property
    def _kind(self) -> str:
        return self._resource.kind.__name__


def _gather(gathering: Gathering, event: Event) -> str | None:
    """Add an event of a streaming list; the version that it is complete at, with the last."""
    if event.type == "BOOKMARK":
        mark = stream.bookmark(event.object)
        if not mark.listed:
            raise NoStreamingLists("it sends bookmarks before the list is complete")
        return mark.version
    gathering.hear(event)
    return None
