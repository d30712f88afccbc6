"""How many connections each service port got, from what dataplanes count."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from .model import Model, ServicePortName
from .runner import Clock

SHARE = 0.02
"""The part of one processor that looking at the kernel's counts may take."""


class Count(NamedTuple):
    """What the kernel has counted for a service port in one of its own places, such as a rule.

    ``place`` tells it from the service port's other places. A place whose count is smaller than it was has
    been made anew in between.
    """

    service: ServicePortName
    place: str
    connections: int


Read = Callable[[Model], Iterable[Count]]


class Traffic:
    """New connections by service port, counted since they were asked for the first time.

    The kernel's counts begin anew whenever what they belong to is written anew; the sums here go on. What was
    counted between the last look and such a change is lost, so a sum never says too much. Looks take at most
    `SHARE` of one processor: asked again too soon, the last sums are the answer.

    Args:
        applied: the model that the dataplane holds; called on the thread that asks.
        read: asks the dataplane.
        clock: monotonic seconds.
    """

    def __init__(self, applied: Callable[[], Model], read: Read, clock: Clock = time.monotonic) -> None:
        self._applied = applied
        self._read = read
        self._clock = clock
        self._seen: dict[tuple[ServicePortName, str], int] | None = None
        self._sums: Mapping[ServicePortName, int] = {}
        self._next = 0.0
        self._looking = threading.Lock()

    def connections(self) -> Mapping[ServicePortName, int]:
        """The sums of all service ports that there are; from any thread. Raises `DataplaneError`."""
        with self._looking:
            began = self._clock()
            if self._seen is None or began >= self._next:
                self._look()
                ended = self._clock()
                self._next = ended + (ended - began) / SHARE
            return self._sums

    def _look(self) -> None:
        model = self._applied()
        if not model.services:  # before the first sync, there may be nothing to read from
            return
        counts = {(c.service, c.place): c.connections for c in self._read(model)}
        sums = {name: self._sums.get(name, 0) for name in model.services}
        if self._seen is not None:
            for (name, place), now in counts.items():
                before = self._seen.get((name, place), 0)
                if name in sums:
                    sums[name] += now - before if now >= before else now
        # A place may escape one look, and must not be taken for a new one at the next.
        escaped = {key: now for key, now in (self._seen or {}).items() if key[0] in sums}
        self._seen, self._sums = escaped | counts, sums
