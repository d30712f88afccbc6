"""Change tracking: what is wanted now, and what was when the dataplane last was up to date (TRK-01)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class ChangeTracker(Generic[K, V]):
    """A mapping that remembers, for each key changed since the last `settle`, the value it had then.

    Any number of changes to a key collapse to one transition, and a key that returns to the value it had is
    no change at all (TRK-02).
    """

    def __init__(self) -> None:
        self._current: dict[K, V] = {}
        self._pending: dict[K, V | None] = {}
        self.current: Mapping[K, V] = MappingProxyType(self._current)
        self.pending: Mapping[K, V | None] = MappingProxyType(self._pending)

    def set(self, key: K, value: V | None) -> bool:
        """Give a key a new value, None to remove it; False if it had that value already."""
        old = self._current.get(key)
        if value == old:
            return False
        settled = self._pending.setdefault(key, old)
        if settled == value:
            del self._pending[key]
        if value is None:
            del self._current[key]
        else:
            self._current[key] = value
        return True

    def settle(self) -> None:
        """The dataplane holds the current values: nothing is pending any more."""
        self._pending.clear()
