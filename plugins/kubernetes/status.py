"""How fresh what is known of each kind is."""

import threading
import time
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace


class WatchStatus(Struct, frozen=True):
    """How it stands with the watch of one kind.

    Attributes:
        listed: whether all objects have been known once.
        heard: when the server last told anything of this kind, be it a bookmark; in monotonic seconds, None
            if it never did. What is known may be as old as that.
        failures: how often in a row it went wrong since; 0 while all is well.
        error: what went wrong last, empty while all is well.
        lists: how often everything was listed.
        watches: how often a watch was begun, those that began with a list included.
        served: whether the server has this kind, and lets us see it.
    """

    listed: bool = False
    heard: float | None = None
    failures: int = 0
    error: str = ""
    lists: int = 0
    watches: int = 0
    served: bool = True


class Progress:
    """Keeps a status; written on one thread, read on any.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._status = WatchStatus()
        self._heard: float | None = None

    def status(self) -> WatchStatus:
        """What it is now."""
        return replace(self._status, heard=self._heard)

    def heard(self) -> None:
        """The server told something."""
        self._heard = self._clock()
        if self._status.failures:
            self._set(failures=0, error="")

    def listed(self) -> None:
        """Everything is known."""
        self._heard = self._clock()
        self._set(listed=True, served=True, failures=0, error="", lists=self._status.lists + 1)

    def watching(self) -> None:
        """A watch has begun."""
        self._set(watches=self._status.watches + 1)

    def not_served(self, error: str) -> None:
        """There is nothing to know."""
        self._set(listed=True, served=False, failures=0, error=error)

    def failed(self, error: str) -> bool:
        """Something went wrong; whether that is news."""
        news = error != self._status.error
        self._set(failures=self._status.failures + 1, error=error)
        return news

    def wait_for(self, condition: Callable[[WatchStatus], bool], seconds: float) -> bool:
        """Wait until the status, apart from `WatchStatus.heard`, is as wished; whether it came to that."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self._status), seconds)

    def _set(self, **changes: object) -> None:
        with self._changed:
            self._status = replace(self._status, **changes)
            self._changed.notify_all()
