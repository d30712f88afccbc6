"""Many flows at once, in one thread."""

import itertools
import selectors
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Self

from .flows import Flow
from .outcomes import Outcome


class Race:
    """Flows under way at the same time. They all have the same wait, so the oldest is the first to expire."""

    def __init__(self, wait: float, limit: int, progress: Callable[[int, Outcome], None] | None) -> None:
        self._wait = wait
        self._limit = limit
        self._progress = progress
        self._selector = selectors.DefaultSelector()
        self._waiting: deque[Flow] = deque()
        self._under_way: dict[Flow, tuple[int, float]] = {}
        self._outcomes: dict[int, Outcome] = {}
        self._begun = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for flow in (*self._waiting, *self._under_way):
            flow.close()
        self._selector.close()

    def admit(self, flows: Sequence[Flow]) -> None:
        """Start flows, each once fewer than the limit are under way."""
        self._waiting.extend(flows)
        while self._waiting:
            if len(self._under_way) < self._limit:
                self._start(self._waiting.popleft())
            else:
                self._step()

    def finish(self) -> list[Outcome]:
        """Wait for all; the outcomes in order of admission."""
        while self._under_way:
            self._step()
        return [self._outcomes[index] for index in range(self._begun)]

    def _start(self, flow: Flow) -> None:
        index, self._begun = self._begun, self._begun + 1
        self._under_way[flow] = index, time.monotonic() + self._wait
        self._selector.register(flow, selectors.EVENT_READ)
        self._settle(flow, flow.start())

    def _step(self) -> None:
        _, deadline = next(iter(self._under_way.values()))
        for key, _ in self._selector.select(max(0.0, deadline - time.monotonic())):
            assert isinstance(key.fileobj, Flow)
            self._settle(key.fileobj, key.fileobj.advance())
        now = time.monotonic()
        overdue = itertools.takewhile(lambda entry: entry[1][1] <= now, self._under_way.items())
        for flow, _ in tuple(overdue):
            self._settle(flow, flow.expire(self._wait))

    def _settle(self, flow: Flow, outcome: Outcome | None) -> None:
        if outcome is None:
            return
        index, _ = self._under_way.pop(flow)
        self._selector.unregister(flow)
        flow.close()
        self._outcomes[index] = outcome
        if self._progress is not None:
            self._progress(len(self._outcomes), outcome)
