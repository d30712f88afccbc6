"""Waiting for files to change, by inotify.

An event says only that something happened; what it was, a look at the files tells. So events that are merged,
lost to a full queue or cleared away by watchfiles between its last look and its return do no harm.
"""

import threading
from collections.abc import Callable

from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

from pointsman.core.errors import ConfigError

from .tree import Directory, Tree

# RustNotify itself and not watchfiles.watch(): that begins to watch only once it is waited for, which would
# lose what changes during the first reading, and cannot wait for different times.
#
# Events are handed over once none at another path came for a step, at the latest after the debounce time.
# In between watchfiles sleeps by steps: 20 short wake-ups a second.
STEP_MS = 50
DEBOUNCE_MS = 400


class Watch:
    """Watches the directories that matter, whichever these are at the time.

    Args:
        scan: gives the tree as it is.
        stopping: ends waiting when set.
    """

    def __init__(self, scan: Callable[[], Tree], stopping: threading.Event) -> None:
        self._scan = scan
        self._stopping = stopping
        self._notify: RustNotify | None = None
        self._watched: frozenset[Directory] = frozenset()

    def look(self) -> Tree:
        """The tree as it is; whatever changes from here on ends the next `wait`.

        Raises:
            ConfigError: the kernel grants no more watches.
        """
        tree = self._scan()
        while self._notify is None or tree.directories != self._watched:
            self._rewatch(tree.directories)
            tree = self._scan()
        return tree

    def wait(self, timeout_ms: int = 0) -> set[str]:
        """The paths at which something happened; empty after the time-out (0: none) or when stopping."""
        if self._notify is None:
            return set()
        try:
            changes = self._notify.watch(DEBOUNCE_MS, STEP_MS, timeout_ms, self._stopping)
        except WatchfilesRustInternalError as error:
            if "Unable to decode path" not in str(error):
                raise
            # A name that isn't UTF-8; the watcher would repeat this for ever.
            self.close()
            return set()
        paths = set() if isinstance(changes, str) else {path for _, path in changes}
        if not paths.isdisjoint(directory.path for directory in self._watched):
            # Another directory in the place of a watched one may have got its inode number.
            self.close()
        return paths

    def close(self) -> None:
        """Stop watching; `look` starts again."""
        if self._notify is not None:
            self._notify.close()
            self._notify = None

    def _rewatch(self, directories: frozenset[Directory]) -> None:
        self.close()
        paths = sorted(directory.path for directory in directories)
        try:
            # debug, force_polling, poll_delay_ms, recursive, ignore_permission_denied
            self._notify = RustNotify(paths, False, False, 0, False, False)
        except FileNotFoundError:  # gone since it was looked at
            return
        except (OSError, WatchfilesRustInternalError) as error:
            raise _refused(error) from error
        self._watched = directories


def _refused(error: Exception) -> ConfigError:
    """What the kernel's refusal means, and what helps."""
    text = str(error)
    if "watch limit" in text:
        return ConfigError(
            "no inotify watch is left for the files; raise the sysctl fs.inotify.max_user_watches"
        )
    if "os error 24" in text:
        return ConfigError(
            "no inotify instance is left for the files; raise the sysctl fs.inotify.max_user_instances, "
            "or the limit of open files (ulimit -n)"
        )
    return ConfigError(f"the files can't be watched: {text}")
