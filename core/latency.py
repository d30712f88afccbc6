"""How long after their causes changes reach the kernel (MET-04)."""

import time
from collections.abc import Callable

from .addresses import IPFamily
from .backlog import Backlog
from .plan import Trigger


class Latencies:
    """Told of backlogs as they come, knows how late a change is that a dataplane has just taken.

    Causes are told in seconds since the epoch. What passes from hearing of a change until it is in the kernel
    goes by the monotonic clock: no step of the other one in between shows.

    Args:
        now: seconds since the epoch.
        clock: monotonic seconds.
    """

    def __init__(
        self, now: Callable[[], float] = time.time, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._now = now
        self._clock = clock
        # By family that something waits in: what the wall clock was ahead of the other when that began.
        self._ahead: dict[IPFamily, float] = {}

    def heard(self, backlog: Backlog) -> None:
        """Take in what waits."""
        if backlog.since is None:
            self._ahead.pop(backlog.family, None)
        elif backlog.family not in self._ahead:
            self._ahead[backlog.family] = self._now() - self._clock()

    def of(self, family: IPFamily, trigger: Trigger) -> float:
        """How many seconds ago a change was caused; 0 where clocks of different machines say less."""
        ahead = self._ahead.get(family)
        now = self._now() if ahead is None else self._clock() + ahead
        return max(0.0, now - trigger.time)
