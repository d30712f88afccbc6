"""When to sync: a bounded frequency, decided by a clock that is handed in."""

from collections.abc import Callable

Clock = Callable[[], float]


class BoundedFrequencyRunner:
    """Decides when the next sync is due; the caller runs it and says how it ended.

    Requests coalesce (SYNC-02): the first one runs at once, the next no sooner than ``min_interval`` after
    the previous run finished. An idle runner forces a run ``max_interval`` after the last (SYNC-03), and a
    failed run is tried again after ``retry_interval``, or sooner on a new request. All times are in seconds
    of ``clock``, which must be monotonic.
    """

    def __init__(
        self, clock: Clock, *, min_interval: float, max_interval: float, retry_interval: float
    ) -> None:
        self._clock = clock
        self._min_interval = min_interval
        self._max_interval = max_interval
        self._retry_interval = retry_interval
        self._finished: float | None = None
        self._requested = False
        self._failed = False

    def request(self) -> None:
        """Ask for a run."""
        self._requested = True

    def forced(self) -> bool:
        """Whether the run that is due is due to idleness alone."""
        return self._finished is not None and not self._requested and not self._failed

    def wait(self) -> float | None:
        """Seconds until a run is due, 0 if it is; None before the first request."""
        if self._finished is None:
            return 0.0 if self._requested else None
        if self._requested:
            due = self._min_interval
        elif self._failed:
            due = max(self._retry_interval, self._min_interval)
        else:
            due = self._max_interval
        return max(0.0, self._finished + due - self._clock())

    def ran(self, *, ok: bool) -> None:
        """A run has just finished."""
        self._finished = self._clock()
        self._requested = False
        self._failed = not ok
