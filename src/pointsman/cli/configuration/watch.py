"""Hearing of changes to the configuration file (CFG-03), from the kernel's inotify(7)."""

import ctypes
import os
import select
import struct
import threading
from collections.abc import Callable
from pathlib import Path

from pointsman.core.errors import ConfigError, PointsmanError

_MODIFY, _MOVE_SELF = 0x2, 0x800
_CLOEXEC, _NONBLOCK = os.O_CLOEXEC, os.O_NONBLOCK
_EVENT = struct.Struct("=iIII")
_EVENTS_BYTES = 256 * _EVENT.size


class ConfigurationChanged(PointsmanError):
    """The file has changed: the process has to start anew to go by it."""


class FileWatch:
    """Says when a file has been written to or renamed.

    What else happens to it is no reason to end: Kubernetes' own way to change a mounted ConfigMap, which puts
    another file in the place of this one, is not heard, as kube-proxy doesn't hear it.

    Args:
        path: the file.
        changed: called, on a thread, with a `ConfigurationChanged`.
    """

    def __init__(self, path: str, changed: Callable[[PointsmanError], None]) -> None:
        self._path = path
        self._changed = changed
        self._stop_read, self._stop_write = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="configuration", daemon=True)
        self._inotify = -1

    def start(self) -> None:
        """Listen from now on.

        Raises:
            ConfigError: the kernel doesn't let us, or the file is gone.
        """
        libc = ctypes.CDLL(None, use_errno=True)
        self._inotify = libc.inotify_init1(_CLOEXEC | _NONBLOCK)
        path = os.fsencode(Path(self._path))
        if self._inotify < 0 or libc.inotify_add_watch(self._inotify, path, _MODIFY | _MOVE_SELF) < 0:
            reason = os.strerror(ctypes.get_errno())
            raise ConfigError(f"--config: {self._path} can't be watched: {reason}")
        self._thread.start()

    def stop(self) -> None:
        """Listen no more. Idempotent."""
        if self._stop_write < 0:
            return
        os.close(self._stop_write)
        self._stop_write = -1
        if self._thread.is_alive():
            self._thread.join()
        for descriptor in (self._stop_read, self._inotify):
            if descriptor >= 0:
                os.close(descriptor)

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([self._inotify, self._stop_read], [], [])
            if self._stop_read in ready:
                return
            # A watch of one file has events without names; besides ours, the kernel tells of the file's end.
            events = list(_EVENT.iter_unpack(os.read(self._inotify, _EVENTS_BYTES)))
            if any(mask & (_MODIFY | _MOVE_SELF) for _, mask, _, _ in events):
                self._changed(ConfigurationChanged(f"{self._path} has changed; start again to go by it"))
                return
