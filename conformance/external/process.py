"""The process of a target: started in the node's namespace, heard out, and always ended."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

_GRACE = 5.0
_SHOWN_LINES = 25
_SHOWN_BYTES = 16_000
_DRAINED = 0.5  # seconds; a child that outlives the program may hold its channel open for ever

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
        self._said = bytearray()
        self._listener: threading.Thread | None = None
        self._process: subprocess.Popen[Any] | None = None

    def start(self) -> None:
        """Start it. Raises `OSError` if there is no such program."""
        heard, told = os.pipe()
        self._listener = threading.Thread(target=self._listen, args=(heard,), name="last words", daemon=True)
        self._listener.start()
        try:
            self._process = self._popen(
                self._argv, stdout=told, stderr=subprocess.STDOUT, start_new_session=True
            )
        finally:
            os.close(told)

    def ended(self, within: float = 0.0) -> str:
        """Wait a while for it to end by itself; how it did, empty if it still runs."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            status = self._process.wait(within)
            self._hear_out()
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
        self._hear_out()

    def last_words(self) -> str:
        """The last lines of what it wrote, on either channel."""
        text = bytes(self._said).decode("utf-8", "replace")
        lines = text.splitlines()[-_SHOWN_LINES:]
        return "\n".join(f"  {line}" for line in lines) or "  (it said nothing)"

    def _listen(self, heard: int) -> None:
        """Keep the last of what it writes: one that writes without end fills neither memory nor disk."""
        with open(heard, "rb", buffering=0) as channel:
            while said := channel.read(_SHOWN_BYTES):
                self._said += said
                del self._said[:-_SHOWN_BYTES]

    def _hear_out(self) -> None:
        """Wait for the rest of what was written by a program that has ended."""
        if self._listener is not None:
            self._listener.join(_DRAINED)
