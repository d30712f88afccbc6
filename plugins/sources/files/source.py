"""The files source: reads YAML and JSON files, then follows their changes on a thread of its own."""

import logging
import stat
import threading
import time
from collections.abc import Collection
from pathlib import Path

from pointsman.core.apis import KINDS
from pointsman.core.errors import ConfigError
from pointsman.core.source import Rejection, Sink

from .documents import read
from .holdings import Changes, Holdings
from .reading import Reading, one_line, unreadable
from .tree import Stamp, Tree, scan
from .tree import read as read_bytes
from .watch import Watch

# A file counts as written when its last change is this old, and is read anyway when it never comes to rest.
QUIET_MS = 50
PATIENCE_SECONDS = 2.0

log = logging.getLogger(__name__)


class FilesSource:
    """Objects from a file, or from the ``*.yaml``, ``*.yml`` and ``*.json`` files of a directory.

    A directory's hidden files and its subdirectories are not read. Changes are followed by inotify, through
    symbolic links as well; file systems that others write to behind the kernel's back (NFS) have none.
    """

    def __init__(self, path: str) -> None:
        """Name the file or directory.

        Raises:
            ConfigError: the name is empty.
        """
        if not path:
            raise ConfigError("--source files: names nothing; write files:PATH, a directory or a file")
        self._path = Path(path).absolute()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, sink: Sink) -> None:
        """Start to watch, read everything, report it, and follow.

        Raises:
            ConfigError: the path doesn't exist, is no file or directory, or can't be watched.
        """
        try:
            mode = self._path.stat().st_mode
        except OSError as error:
            raise self._wrong(error.strerror or str(error)) from error
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            raise self._wrong("it is neither a directory nor a regular file")
        single = stat.S_ISREG(mode)
        watch = Watch(lambda: scan(self._path, single=single), self._stopping)
        if fault := watch.look().fault:
            watch.close()
            raise self._wrong(fault)
        container = self._path.parent if single else self._path
        follower = _Follower(str(container), sink, watch, self._stopping)
        self._thread = threading.Thread(target=follower.run, name="files-source", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop following and join the thread. Idempotent."""
        self._stopping.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _wrong(self, reason: str) -> ConfigError:
        return ConfigError(
            f"--source files:{one_line(str(self._path))}: {reason}; name a directory or a file"
        )


class _Follower:
    """What the thread does, and what it knows of the files."""

    def __init__(self, container: str, sink: Sink, watch: Watch, stopping: threading.Event) -> None:
        self._container = one_line(container)
        self._sink = sink
        self._watch = watch
        self._stopping = stopping
        self._holdings = Holdings()
        self._stamps: dict[str, Stamp | None] = {}
        self._restless_since: dict[str, float] = {}
        self._listed = False
        self._fault = ""

    def run(self) -> None:
        """Report what there is and every change until told to stop; a failure ends in `Sink.failed`."""
        try:
            self._follow()
        except Exception as error:
            self._sink.failed(error)
        finally:
            self._watch.close()

    def _follow(self) -> None:
        touched: set[str] = set()
        while not self._stopping.is_set():
            tree = self._watch.look()
            settled = self._settled(tree)
            # All at once, so that an object that moves to another file isn't gone in between.
            if settled and not tree.fault:
                changes = self._holdings.update(self._readings(tree, touched))
                touched = set()
                if self._stopping.is_set():
                    return
                self._report(changes)
            self._report_fault(tree.fault)
            touched |= self._watch.wait(0 if settled else QUIET_MS)

    def _settled(self, tree: Tree) -> bool:
        """Whether no file is just being written, but for those with which that lasts too long."""
        now, clock = time.time_ns(), time.monotonic()
        restless = [
            path
            for path, entry in tree.entries.items()
            if entry.stamp is not None
            and entry.stamp != self._stamps.get(path)
            and 0 <= now - entry.stamp.modified < QUIET_MS * 1_000_000
        ]
        self._restless_since = {path: self._restless_since.get(path, clock) for path in restless}
        return all(clock - since >= PATIENCE_SECONDS for since in self._restless_since.values())

    def _readings(self, tree: Tree, touched: Collection[str]) -> dict[str, Reading | None]:
        """Read the files that changed; None for those that are gone."""
        readings: dict[str, Reading | None] = dict.fromkeys(self._stamps.keys() - tree.entries.keys())
        for path in readings:
            del self._stamps[path]
        for path, entry in tree.entries.items():
            # Before Linux 6.13 two writes within a clock tick look alike; the event tells of the second.
            same = path in self._stamps and self._stamps[path] == entry.stamp and entry.real not in touched
            if not same and not self._stopping.is_set():
                self._stamps[path] = entry.stamp
                readings[path] = _reading(path)
        return readings

    def _report(self, changes: Changes) -> None:
        if self._listed:
            for updated in changes.updated:
                self._sink.updated(updated)
            for key in changes.deleted:
                self._sink.deleted(key.kind, key.name)
        else:
            self._list()
        for path, rejections in changes.rejected.items():
            self._sink.rejected(one_line(path), rejections)

    def _list(self) -> None:
        self._listed = True
        fields: dict[str, object] = {"path": self._container, "files": len(self._stamps)}
        for name, kind in KINDS.items():
            objects = self._holdings.objects(kind)
            fields[name] = len(objects)
            self._sink.replaced(kind, objects)
        log.info("files_listed", extra=fields)

    def _report_fault(self, fault: str) -> None:
        """Say once that the files can't be got at, and once that they can again."""
        if fault == self._fault:
            return
        self._fault = fault
        reason = f"{fault}; what was read from it stays, and it is read again when it is back"
        rejection = Rejection("Directory", self._container, "$", reason, self._container)
        self._sink.rejected(self._container, [rejection] if fault else [])


def _reading(path: str) -> Reading:
    """Read a file, whatever comes of it."""
    try:
        data = read_bytes(path)
    except OSError as error:
        return unreadable(path, error.strerror or str(error))
    reading = read(data, path)
    if reading.ignored:
        kinds = ", ".join(f"{kind} ({count})" for kind, count in sorted(reading.ignored.items()))
        log.debug("other_kinds_ignored", extra={"path": one_line(path), "kinds": one_line(kinds)})
    return reading
