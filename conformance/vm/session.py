"""One boot of a guest, watched from the host."""

import os
import selectors
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from types import TracebackType
from typing import Self

from .errors import GuestFailed, TimedOut

GRACE = 20.0
"""Seconds that a guest may take to end a command whose time is up, and to power off."""

_LINES = 30  # of the console, kept to be quoted
_CHUNK = 65536


class Phase(Enum):
    """How far a guest is; the value says what is wrong if it is killed for not getting on."""

    BOOTING = "the guest did not boot in time"
    RUNNING = "the guest hung: it did not end a command whose time was up"
    ENDED = "the guest did not power off"


class Session:
    """The processes of a guest and the pipes to them; leaving the block ends them all.

    Args:
        arguments: makes the command that boots the guest, from the descriptors of its three lines.
        environment: of that command.
        sinks: take what comes on the first two lines.
    """

    def __init__(
        self,
        arguments: Callable[[Sequence[int]], Sequence[str]],
        environment: Mapping[str, str],
        sinks: Sequence[Callable[[bytes], object]],
    ) -> None:
        self._phase = Phase.BOOTING
        self._word = ""
        self._release = ""
        self._control = _Lines(self._hear)
        self._console: deque[str] = deque(maxlen=_LINES)
        self._printk = _Lines(self._console.append)
        self._selector = selectors.DefaultSelector()
        pipes = [os.pipe() for _ in range(4)]
        ends = [end for _, end in pipes]
        try:
            takers = (*sinks, self._control, self._printk)
            for (source, _), take in zip(pipes, takers, strict=True):
                self._selector.register(source, selectors.EVENT_READ, take)
            # Out of the terminal's foreground: Ctrl-C is for the caller to hear.
            self._process = subprocess.Popen(
                arguments(ends[:3]),
                stdin=subprocess.DEVNULL,
                stdout=ends[3],
                stderr=ends[3],
                pass_fds=ends[:3],
                cwd="/",
                env=environment,
                start_new_session=True,
            )
        except BaseException:
            self._close()
            raise
        finally:
            for end in ends:
                os.close(end)
        self._start = self._ready = time.monotonic()

    def __enter__(self) -> Self:
        """Attend the guest until the block ends."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill what is left, and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        # Its processes are gone when the last has let go of the pipes.
        for key in list(self._selector.get_map().values()):
            self._selector.modify(key.fd, selectors.EVENT_READ, _ignore)
        while self._read(time.monotonic() + GRACE):
            pass
        self._close()

    def attend(self, boot_timeout: float, timeout: float | None) -> tuple[int, str, float, float]:
        """Pass output on until the guest is gone.

        Returns:
            The command's exit status, the kernel's release, and the seconds that boot and command took.

        Raises:
            TimedOut: the command's time was up.
            GuestFailed: the guest did not get as far as an exit status, or not in time.
        """
        limit: float | None = self._start + boot_timeout
        while self._read(limit):
            if self._phase is Phase.ENDED:
                limit = time.monotonic() + GRACE
            else:
                limit = None if timeout is None else self._ready + timeout + GRACE
        match self._word.split():
            case ["exit", status]:
                return int(status), self._release, self._ready - self._start, time.monotonic() - self._ready
            case ["expired"] if timeout is not None:
                raise TimedOut(timeout)
        raise GuestFailed(self._diagnosis(), [*self._console, *self._printk.rest()])

    def _diagnosis(self) -> str:
        if self._selector.get_map():
            return self._phase.value
        panic = [line.partition("Kernel panic - ")[2] for line in self._console if "Kernel panic - " in line]
        if panic:
            return f"the guest panicked ({panic[0].strip()})"
        return f"the guest ended {'while booting' if self._phase is Phase.BOOTING else 'under the command'}"

    def _read(self, limit: float | None) -> bool:
        """Pass on what comes, until the guest gets to another phase; False if it is gone or time is up."""
        phase = self._phase
        while self._selector.get_map() and self._phase is phase:
            left = None if limit is None else limit - time.monotonic()
            if left is not None and left <= 0:
                return False
            for key, _ in self._selector.select(left):
                if data := os.read(key.fd, _CHUNK):
                    key.data(data)
                else:
                    self._selector.unregister(key.fd)
                    os.close(key.fd)
        return self._phase is not phase

    def _hear(self, line: str) -> None:
        """Take the word of the guest's first process."""
        if self._phase is Phase.BOOTING:
            self._phase, self._ready = Phase.RUNNING, time.monotonic()
            self._release = line.removeprefix("ready ")
        else:
            self._phase, self._word = Phase.ENDED, line

    def _close(self) -> None:
        for key in list(self._selector.get_map().values()):
            os.close(key.fd)
        self._selector.close()


class _Lines:
    """Takes pieces of text and passes on whole lines."""

    def __init__(self, take: Callable[[str], object]) -> None:
        self._take = take
        self._begun = b""

    def __call__(self, data: bytes) -> None:
        *whole, self._begun = (self._begun + data).split(b"\n")
        for line in whole:
            self._take(line.decode(errors="replace").rstrip())

    def rest(self) -> list[str]:
        """The line begun, if there is one."""
        return [self._begun.decode(errors="replace")] if self._begun else []


def _ignore(_data: bytes) -> None:
    """Take what nobody waits for any more."""
