"""What each file holds, who wins where two hold the same object, and what a change of files changes. Pure.

A file keeps what it held well as long as nobody can tell that it is gone: an object that is still there but
can't be used stays as it was, and while part of the file can't be read at all, so does every object that is
not in the rest. Of files that hold the same object the first by path counts.
"""

from bisect import insort
from collections.abc import Iterable, Mapping
from pathlib import PurePath

from msgspec import Struct

from pointsman.core.apis import ApiObject, Kind
from pointsman.core.source import Rejection

from .reading import Fault, Key, Located, Place, Reading, one_line


class Changes(Struct, frozen=True):
    """What a change of files comes to.

    ``rejected`` has all that is wrong with a file, by path, of the files where that is new.
    """

    updated: list[ApiObject]
    deleted: list[Key]
    rejected: dict[str, tuple[Rejection, ...]]


class _File:
    """A file as it was last read."""

    def __init__(self) -> None:
        self.held: dict[Key, Located] = {}
        self.losing: set[Key] = set()
        self.faults: tuple[Rejection, ...] = ()
        self.reported: tuple[Rejection, ...] = ()


class Holdings:
    """The objects of all files. An update takes time in proportion to the files that it names."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        # The paths of the files that hold an object, the one that counts first.
        self._holders: dict[Key, list[str]] = {}

    def paths(self) -> Iterable[str]:
        """The files there are."""
        return self._files.keys()

    def objects(self, kind: Kind) -> list[ApiObject]:
        """All objects of a kind."""
        return [
            self._files[paths[0]].held[key].object for key, paths in self._holders.items() if key.kind is kind
        ]

    def update(self, readings: Mapping[str, Reading | None]) -> Changes:
        """Take in files as they are now; None for one that is gone."""
        before: dict[Key, ApiObject | None] = {}
        for path, reading in readings.items():
            file = self._files.setdefault(path, _File())
            held: dict[Key, Located] = {}
            file.faults = ()
            if reading is not None:
                held, file.faults = _merge(path, file.held, reading)
            for key in _differences(file.held, held):
                if key not in before:
                    before[key] = self._winner(key)
            self._set_held(path, file, held)
        winners = {key: self._winner(key) for key in before}
        changes = Changes(
            updated=[new for key, new in winners.items() if new is not None and new != before[key]],
            deleted=[key for key, new in winners.items() if new is None],
            rejected=self._judge(readings.keys(), before.keys()),
        )
        for path, reading in readings.items():
            if reading is None:
                del self._files[path]
        return changes

    def _winner(self, key: Key) -> ApiObject | None:
        paths = self._holders.get(key)
        return self._files[paths[0]].held[key].object if paths else None

    def _set_held(self, path: str, file: _File, held: dict[Key, Located]) -> None:
        for key in file.held.keys() - held.keys():
            file.losing.discard(key)
            self._holders[key].remove(path)
            if not self._holders[key]:
                del self._holders[key]
        for key in held.keys() - file.held.keys():
            insort(self._holders.setdefault(key, []), path)
        file.held = held

    def _judge(self, paths: Iterable[str], keys: Iterable[Key]) -> dict[str, tuple[Rejection, ...]]:
        """What is wrong with the files that changed, or that hold an object that did, where that is new."""
        concerned = set(paths)
        for key in keys:
            holders = self._holders.get(key, [])
            concerned.update(holders)
            for path in holders:
                losing = self._files[path].losing
                if path == holders[0]:
                    losing.discard(key)
                else:
                    losing.add(key)
        rejected = {}
        for path in sorted(concerned):
            file = self._files[path]
            losing_keys = sorted(file.losing, key=lambda key: file.held[key].place)
            now = (*file.faults, *(self._lost(path, key) for key in losing_keys))
            if now != file.reported:
                rejected[path] = file.reported = now
        return rejected

    def _lost(self, path: str, key: Key) -> Rejection:
        reason = f"{_name(self._holders[key][0])} has it already; this one is skipped"
        return Rejection(
            key.kind.__name__, str(key), "$", reason, _origin(path, self._files[path].held[key].place)
        )


def _differences(before: Mapping[Key, Located], now: Mapping[Key, Located]) -> Iterable[Key]:
    """The objects that only one side has, or that differ."""
    for key in before.keys() | now.keys():
        if key not in before or key not in now or before[key].object != now[key].object:
            yield key


def _merge(
    path: str, before: Mapping[Key, Located], reading: Reading
) -> tuple[dict[Key, Located], tuple[Rejection, ...]]:
    """What a file holds after a reading, given what it held, and what to say about its faults."""
    spoiled = {fault.key for fault in reading.faults}
    kept = {
        key: located
        for key, located in before.items()
        if key not in reading.objects and (key in spoiled or None in spoiled)
    }
    faults = tuple(_fault(path, fault, reading, kept) for fault in reading.faults)
    return {**reading.objects, **kept}, faults


def _fault(path: str, fault: Fault, reading: Reading, kept: Mapping[Key, Located]) -> Rejection:
    error, fate = fault.error, "it is skipped"
    if fault.key is None and kept:
        fate = f"what else the file held stays, {len(kept)} in number"
    elif fault.key in kept:
        fate = "its last good version stays"
    elif fault.key in reading.objects:
        fate = "this one is skipped"
    reason = f"{error.reason}; {fate}"
    return Rejection(error.kind, error.name, error.field, reason, _origin(path, fault.place))


def _origin(path: str, place: Place) -> str:
    return f"{_name(path)}, {place}" if any(place) else _name(path)


def _name(path: str) -> str:
    return one_line(PurePath(path).name)
