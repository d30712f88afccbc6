"""The real program, as a process of its own: its output line by line, its end, and plugins made for it."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pointsman.conformance.lab.netns import Namespace
from tests.conftest import SBIN

POINTSMAN = [sys.executable, "-m", "pointsman"]
PATIENCE = 30  # seconds: a safety net, not a measure

Popen = Callable[..., "subprocess.Popen[Any]"]


def pointsman(*arguments: str, path: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end; ``path`` is where else to look for distributions."""
    return subprocess.run(
        [*POINTSMAN, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment(path),
        check=False,
    )


def inside(namespace: Namespace, *command: str, text: str | None = None) -> str:
    """What a program of the system's prints, run in a network namespace; ``text`` is what it reads."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), SBIN])
    done = namespace.run(
        subprocess.run, command, input=text, env={"PATH": path}, capture_output=True, text=True, check=True
    )
    return str(done.stdout)


def environment(path: Path | None = None) -> dict[str, str]:
    """The environment of a process, with a place where else to look for distributions."""
    before = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(folder) for folder in (path, before) if folder)}


def distribution(folder: Path, module: str, source: str, name: str = "example", version: str = "1.2") -> Path:
    """Install a distribution of one module, a plugin, in a folder; returns the folder."""
    folder.mkdir(exist_ok=True)
    (folder / f"{module}.py").write_text(textwrap.dedent(source))
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[pointsman]\n{module} = {module}\n")
    (info / "top_level.txt").write_text(f"{module}\n")
    return folder


class Running:
    """A process whose standard error is read as it comes."""

    def __init__(self, process: "subprocess.Popen[Any]") -> None:
        self._process = process
        self._news = threading.Condition()
        self._ended = False
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_for(self, *words: str, after: int = 0) -> int:
        """Wait for a line in which all the words begin; returns how many lines there are up to it."""
        wanted = [re.compile(rf"(?<!\w){re.escape(word)}") for word in words]
        checked = after
        with self._news:
            while True:
                for number in range(checked, len(self.lines)):
                    if all(word.search(self.lines[number]) for word in wanted):
                        return number + 1
                checked = max(checked, len(self.lines))
                assert not self._ended, f"ended without {words}:\n{self.text()}"
                assert self._news.wait(PATIENCE), f"no line with {words}:\n{self.text()}"

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._ended

    def text(self) -> str:
        """All that was said so far."""
        return "\n".join(self.lines)

    def end(self, signum: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; returns the exit status."""
        self._process.send_signal(signum)
        return self.status()

    def status(self) -> int:
        """Wait for the end; returns the exit status."""
        status: int = self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status

    def close(self) -> None:
        """End it, however it is."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        self._process.stderr.close()  # type: ignore[union-attr]

    def _read(self) -> None:
        for line in self._process.stderr:  # type: ignore[union-attr]
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


@contextmanager
def running(
    *arguments: str,
    path: Path | None = None,
    popen: Popen = subprocess.Popen,
    program: Sequence[str] = POINTSMAN,
    **options: Any,
) -> Iterator[Running]:
    """A process that runs a command until the block ends at the latest; ``popen`` starts it."""
    process = Running(
        popen(
            [*program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(path),
            **options,
        )
    )
    try:
        yield process
    finally:
        process.close()
