"""The engine's thread: a queue of news, and the timetable in between."""

import logging
import queue
import threading
from collections.abc import Callable, Iterable

from .apis import ApiObject, Kind
from .engine import Engine
from .model import NamespacedName
from .source import Rejection
from .waiting import next_of

log = logging.getLogger(__name__)


class EventLoop:
    """Runs an engine on the calling thread; everything else may be called from any thread.

    It is the `Sink` of the sources.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._news: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._failure: BaseException | None = None

    def replaced(self, kind: Kind, objects: Iterable[ApiObject], kept: Iterable[NamespacedName] = ()) -> None:
        """See `Sink.replaced`."""
        listed, unusable = list(objects), list(kept)
        self.call(lambda: self._engine.replaced(kind, listed, unusable))

    def updated(self, updated: ApiObject) -> None:
        """See `Sink.updated`."""
        self.call(lambda: self._engine.updated(updated))

    def deleted(self, kind: Kind, name: NamespacedName) -> None:
        """See `Sink.deleted`."""
        self.call(lambda: self._engine.deleted(kind, name))

    def rejected(self, origin: str, rejections: Iterable[Rejection]) -> None:
        """See `Sink.rejected`."""
        found = list(rejections)
        self.call(lambda: self._engine.rejected(origin, found))

    def failed(self, error: BaseException) -> None:
        """See `Sink.failed`: `run` raises the error."""
        self._failure = error
        self.stop()

    def call(self, news: Callable[[], None]) -> None:
        """Have something done on the engine's thread, in the order of calls."""
        self._news.put(news)

    def stop(self) -> None:
        """Make `run` return once it has dealt with the news at hand. Safe in signal handlers."""
        self._stopping.set()
        self._news.put(lambda: None)

    def run(self) -> None:
        """Serve until `stop`. Raises what a source reported as its end."""
        while not self._stopping.is_set():
            self._take(self._engine.wait())
            if not self._stopping.is_set() and self._engine.wait() == 0:
                self._engine.run_due()
        if self._failure is not None:
            raise self._failure

    def _take(self, wait: float | None) -> None:
        """Wait for news as long as nothing is due, then deal with all there is."""
        try:
            news = next_of(self._news, wait)
        except queue.Empty:
            return
        # Not with what comes in meanwhile: a stream of news must not keep a sync from its turn.
        at_hand = self._news.qsize()
        news()
        for _ in range(at_hand):
            self._news.get_nowait()()
