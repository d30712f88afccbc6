"""How long to wait before the next try: growing, jittered, and short again after a calm time."""

import random
import time
from collections.abc import Callable

# client-go's reflector (tools/cache/reflector.go): 0.8 s, doubled up to 30 s, each up to twice as long by
# chance; from the start again after two minutes without a failure.
FIRST_SECONDS = 0.8
LONGEST_SECONDS = 30.0
CALM_SECONDS = 120.0


class Backoff:
    """The waits of one thing that is tried again and again.

    Args:
        first: the base of the first wait, in seconds.
        longest: the base that is never exceeded.
        calm: seconds without a failure after which the next one counts as the first.
        clock: monotonic seconds.
        chance: a random number from 0 to 1; it lengthens each wait, up to twofold.
    """

    def __init__(
        self,
        first: float = FIRST_SECONDS,
        longest: float = LONGEST_SECONDS,
        calm: float = CALM_SECONDS,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._first = first
        self._longest = longest
        self._calm = calm
        self._clock = clock
        self._chance = chance
        self._base = first
        self._last: float | None = None

    def next(self, at_least: float = 0.0) -> float:
        """Seconds to wait after a failure that has just happened, ``at_least`` as many as the server says."""
        now = self._clock()
        if self._last is None or now - self._last > self._calm:
            self._base = self._first
        wait = max(self._base * (1.0 + self._chance()), at_least)
        self._base = min(self._base * 2.0, self._longest)
        # What is calm begins when the wait is over, else the longest waits would pass for calm.
        self._last = now + wait
        return wait
