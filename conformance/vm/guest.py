"""Guests: what to boot, and the running of commands in it."""

import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from . import init
from .errors import VmUnavailable
from .kernels import Kernel
from .session import Session

MEBIBYTE: Final = 1 << 20
MARK: Final = "POINTSMAN_VM"
"""The environment variable that tells a command that it runs in a guest, and the release of its kernel."""

Sink = Callable[[bytes], object]
"""Takes a piece of output as soon as it is there."""

# PID 1 of the guest's own PID namespace: with it, everything ends. The kernel isn't, for it couldn't abort.
_FIRST = '"$@" & wait $!'
# Tied to this process, whose end it must not outlive; the shell is for a parent that is gone already.
_TIED = ("setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", '[ $PPID = $0 ] && exec "$@"')
_ISOLATED = ("unshare", "--pid", "--fork", "--kill-child")
_MEMORY_FOLDERS = ("/dev/shm", "/tmp", "/var/tmp")


class Result(Struct, frozen=True):
    """What became of a command.

    Attributes:
        returncode: its exit status, or minus the signal that ended it, as in `subprocess`.
        release: the guest's kernel.
        boot_seconds: how long the guest took to be ready for the command.
        seconds: how long the command took, until the guest was gone.
    """

    returncode: int
    release: str
    boot_seconds: float
    seconds: float


class Job(Struct, frozen=True):
    """What the guest's first process needs to know."""

    command: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    writable: Sequence[str]
    timeout: float | None
    seed: str


class Guest(Struct, frozen=True):
    """A machine to boot anew for each command, with the host's file tree for its own.

    What a command writes stays in the guest's memory, except below the ``writable`` directories, which are
    the host's own. Several guests may run at once, from several threads.

    Attributes:
        kernel: what to boot.
        memory: in MiB; room for the command and for what it writes.
        writable: directories to write through.
        boot_timeout: seconds after which a guest that isn't ready is given up.
    """

    kernel: Kernel
    memory: int = 2048
    writable: Sequence[str | os.PathLike[str]] = ()
    boot_timeout: float = 60.0

    def run(
        self,
        command: Sequence[str],
        *,
        timeout: float | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        stdout: Sink | None = None,
        stderr: Sink | None = None,
    ) -> Result:
        """Boot, run a command as root, power off.

        Environment and working directory are the caller's unless given; standard input is empty. Output goes
        to this process's by default. The command's time counts from its start; when it is up, the command
        gets SIGTERM, and everything in the guest SIGKILL 5 seconds later. Whatever leaves this method,
        `KeyboardInterrupt` and errors of a sink included, no process of the guest is left.

        Raises:
            TimedOut: the command's time was up; what it wrote is written.
            GuestFailed: the guest did not boot, panicked or hung.
            VmUnavailable: a program that guests need is missing, or memory.
            NotADirectoryError: what should be written through is no directory.
        """
        job = Job(
            command=list(command),
            cwd=str(Path(cwd or ".").absolute()),
            env={**(os.environ if env is None else env), MARK: self.kernel.release},
            writable=[str(Path(folder).resolve()) for folder in self.writable],
            timeout=timeout,
            seed=os.urandom(64).hex(),
        )
        for folder in job.writable:
            if not Path(folder).is_dir():
                raise NotADirectoryError(f"{folder} can't be written through: it is no directory")
        with tempfile.TemporaryDirectory(prefix="pointsman-vm-") as name:
            folder_of_run = Path(name)
            prepare(folder_of_run, job)
            with Session(
                lambda lines: self.arguments(folder_of_run, lines),
                environment={"PATH": os.environ.get("PATH", os.defpath), "TMPDIR": place(self.memory)},
                sinks=(stdout or _to(sys.stdout.fileno()), stderr or _to(sys.stderr.fileno())),
            ) as session:
                return Result(*session.attend(self.boot_timeout, timeout))

    def arguments(self, folder: Path, lines: Sequence[int]) -> list[str]:
        """The command that boots the guest.

        Args:
            folder: what `prepare` filled.
            lines: the file descriptors for output, errors, and the word of the first process.
        """
        for program in ("setpriv", "unshare"):
            if shutil.which(program) is None:
                raise VmUnavailable(f"there is no {program} program", "install util-linux")
        user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
        return [
            *_TIED, str(os.getpid()), *_ISOLATED, *user, "sh", "-c", _FIRST, "sh",
            str(self.kernel.path), f"mem={self.memory}M", f"uml_dir={folder}/", "umid=guest",
            "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", f"init={folder}/init",
            "con=null", "con0=null,fd:1", "ssl=null", *(f"ssl{n}=null,fd:{fd}" for n, fd in enumerate(lines)),
            "panic=-1", "noreboot", *(("seccomp=on",) if self.kernel.seccomp else ()),
        ]  # fmt: skip


def prepare(folder: Path, job: Job) -> None:
    """Fill a directory with what the guest's first process is and does."""
    description, start = folder / "job.json", folder / "init"
    description.write_bytes(msgspec.json.encode(job))
    first = [sys.executable, "-I", "-S", "-B", str(Path(init.__file__).resolve()), str(description)]
    start.write_text(f"#!/bin/sh\nexec {shlex.join(first)}\n")
    start.chmod(0o700)
    (folder / "root").mkdir()


def place(memory: int) -> str:
    """The directory to keep a guest's memory in: one in memory if it has room.

    Raises:
        VmUnavailable: none has room. A guest that ran out of it would die without a word.
    """
    for folder in _MEMORY_FOLDERS:
        if os.access(folder, os.W_OK) and shutil.disk_usage(folder).free >= memory * MEBIBYTE:
            return folder
    reason = f"none of {', '.join(_MEMORY_FOLDERS)} has room for {memory} MiB"
    raise VmUnavailable(reason, "give the guest less memory, or make room (containers: --shm-size)")


def _to(fd: int) -> Sink:
    def write(data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]

    return write
