"""Looks from time to time whether somebody has flushed our tables: nobody tells us (SYNC-08)."""

import logging
import threading
from collections.abc import Callable

from .kernel import Refused

# Seconds to the next look after something was found: whoever flushes one table is seldom done with that.
SOON = 1.0

log = logging.getLogger(__name__)


class Watch:
    """A thread that looks every so often, in the network namespace of the one that starts it.

    Args:
        intact: whether all is as it should be, as far as a quick look shows. May raise `Refused`.
        changed: told if it isn't.
        period: seconds from look to look.
    """

    def __init__(self, intact: Callable[[], bool], changed: Callable[[], None], period: float) -> None:
        self._intact = intact
        self._changed = changed
        self._period = period
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="iptables watch", daemon=True)

    def start(self) -> None:
        """Look for the first time one period from now."""
        self._thread.start()

    def stop(self) -> None:
        """End, once the look under way is done."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        pause = self._period
        while not self._stopping.wait(pause):
            pause = self._period if self._look() else min(self._period, SOON)

    def _look(self) -> bool:
        try:
            intact = self._intact()
        except Refused as refusal:
            log.warning("watch_failed", extra={"error": str(refusal), "kept": "the rules, unseen"})
            return True
        if not intact:
            self._changed()
        return intact
