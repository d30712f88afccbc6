"""The process of a target: started in the node's namespace, heard out, and always ended."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

_GRACE = 5.0
_SHOWN_LINES = 25
_SHOWN_BYTES = 16_000

Popen = Callable[..., subprocess.Popen[Any]]
"""Starts a program where it is to live; the arguments are those of `Namespace.popen`."""


class TargetProcess:
    """One program, which may be started again and again.

    Args:
        popen: starts it.
        argv: the program and its arguments.
    """

    def __init__(self, popen: Popen, argv: Sequence[str]) -> None:
        self._popen = popen
        self._argv = list(argv)
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  # open for as long as this object is used
        self._process: subprocess.Popen[Any] | None = None

    def start(self) -> None:
        """Start it. Raises `OSError` if there is no such program."""
        self._process = self._popen(
            self._argv, stdout=self._output, stderr=subprocess.STDOUT, start_new_session=True
        )

    def ended(self, within: float = 0.0) -> str:
        """Wait a while for it to end by itself; how it did, empty if it still runs."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            status = self._process.wait(within)
            how = f"was killed by signal {-status}" if status < 0 else f"exited with {status}"
            return f"{self._argv[0]} {how}"
        return ""

    def stop(self) -> None:
        """End it and all that it has started: asked for first, by force after a while."""
        if self._process is None:
            return
        group = self._process.pid  # it leads a session of its own
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE)
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def close(self) -> None:
        """End it, and forget what it said."""
        self.stop()
        self._output.close()

    def last_words(self) -> str:
        """The last lines of what it wrote, on either channel."""
        size = os.fstat(self._output.fileno()).st_size
        start = max(size - _SHOWN_BYTES, 0)
        text = os.pread(self._output.fileno(), _SHOWN_BYTES, start).decode("utf-8", "replace")
        lines = text.splitlines()[-_SHOWN_LINES:]
        return "\n".join(f"  {line}" for line in lines) or "  (it said nothing)"
