"""Runs pointsman with clocks that a test can move.

It is started as ``python -P clocked.py FILE ARGUMENTS...``. The file holds two numbers, as `struct` packs
them: seconds that the monotonic clock is ahead of the kernel's, and seconds that the wall clock is. Python's
own waiting is not touched: a minute that has passed by the clock has not been slept through. Waits between
tries are made short as well.
"""

import mmap
import queue  # noqa: F401  # it, and `threading`, wait by the clock as they find it, which must be the real one
import struct
import sys
import threading  # noqa: F401
import time
from pathlib import Path

OFFSETS = struct.Struct("=dd")
FIRST_WAIT, LONGEST_WAIT = 0.1, 0.4


class Clocks:
    """The file, as a test sees it: what it sets is so at once in the process that runs by it.

    ``program`` is what starts that process, in pointsman's place.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offsets = (0.0, 0.0)
        self._write()
        # -P, or the modules beside this one would be found in place of plugins.
        self.program = [sys.executable, "-P", __file__, str(path)]

    def advance(self, seconds: float) -> None:
        """Let time pass, by both clocks."""
        monotonic, wall = self._offsets
        self._offsets = (monotonic + seconds, wall + seconds)
        self._write()

    def step(self, seconds: float) -> None:
        """Set the wall clock, forward or backward."""
        monotonic, wall = self._offsets
        self._offsets = (monotonic, wall + seconds)
        self._write()

    def now(self) -> float:
        """The wall clock of the process."""
        return time.time() + self._offsets[1]

    def _write(self) -> None:
        # In place: a file that is cut to nothing first is one that nobody may look at meanwhile.
        with self._path.open("r+b" if self._path.exists() else "wb") as file:
            file.write(OFFSETS.pack(*self._offsets))


def main(path: str, *arguments: str) -> int:
    """Run the command; its exit status."""
    with Path(path).open("rb") as file:
        offsets = mmap.mmap(file.fileno(), OFFSETS.size, access=mmap.ACCESS_READ)
    monotonic, wall = time.monotonic, time.time
    time.monotonic = lambda: monotonic() + OFFSETS.unpack_from(offsets)[0]
    time.time = lambda: wall() + OFFSETS.unpack_from(offsets)[1]

    from pointsman.plugins.kubernetes import backoff

    assert "pointsman.plugins.kubernetes.reflector" not in sys.modules, "it has read the waits by now"
    backoff.FIRST_SECONDS, backoff.LONGEST_SECONDS = FIRST_WAIT, LONGEST_WAIT

    from pointsman.cli.app import main as pointsman

    return pointsman(list(arguments))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
