"""The guest's first process: makes a root to write on, runs one command, reports its status, powers off.

It is a program for the host's interpreter without site-packages, so it imports the standard library only.
Whatever goes wrong before the command runs goes wrong loudly: the process ends with a traceback on the
console, the kernel panics for want of it, and the host quotes the console.
"""

import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import tty
from contextlib import suppress
from pathlib import Path
from typing import Any

OUT, ERR, CONTROL = "/dev/ttyS0", "/dev/ttyS1", "/dev/ttyS2"
NOT_FOUND, NOT_RUNNABLE = 127, 126  # as in shells

_DETACH = 2  # MNT_DETACH of <sys/mount.h>
_POWER_OFF = 0x4321FEDC  # <linux/reboot.h>
_IFF_UP = 1
_CHUNK = 65536
_GRACE = 5.0  # seconds between asking the command to end and ending it
_libc = ctypes.CDLL(None, use_errno=True)


def main(file: str) -> None:
    """Do the job that a file describes, and end the guest."""
    job = json.loads(Path(file).read_text())
    make_root(Path(file).parent / "root")
    furnish(job["writable"])
    seed(bytes.fromhex(job["seed"]))
    lines = [open_line(path) for path in (OUT, ERR, CONTROL)]
    say(lines[2], f"ready {os.uname().release}")
    say(lines[2], Command(job, *lines[:2]).run())
    call("reboot", _POWER_OFF)


def make_root(folder: Path) -> None:
    """Make the host's tree, read-only so far, the lower half of an overlay whose upper half is in memory."""
    mount("tmpfs", folder, "tmpfs", "size=80%,mode=755")
    for name in ("upper", "work", "new"):
        (folder / name).mkdir(mode=0o755)
    layers = f"lowerdir=/,upperdir={folder}/upper,workdir={folder}/work"
    mount("overlay", folder / "new", "overlay", layers)
    os.chdir(folder / "new")
    # The old root is stacked on the new one, then taken off: it needs no place in the tree (pivot_root(2)).
    call("pivot_root", b".", b".")
    call("umount2", b".", _DETACH)
    os.chdir("/")


def furnish(writable: list[str]) -> None:
    """Mount what the kernel has to show and what is to be written through, and raise the loopback."""
    mount("proc", Path("/proc"), "proc")
    mount("sysfs", Path("/sys"), "sysfs")
    mount("cgroup2", Path("/sys/fs/cgroup"), "cgroup2")
    mount("devtmpfs", Path("/dev"), "devtmpfs")
    for name in ("pts", "shm"):
        Path("/dev", name).mkdir(exist_ok=True)
    mount("devpts", Path("/dev/pts"), "devpts", "ptmxmode=666,mode=620,gid=5")
    mount("tmpfs", Path("/dev/shm"), "tmpfs", "mode=1777")
    mount("tmpfs", Path("/run"), "tmpfs", "mode=755")
    Path("/run/lock").mkdir(mode=0o1777)
    for name, target in {"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"}.items():
        Path("/dev", name).symlink_to(f"/proc/self/fd{target}")
    for folder in writable:
        Path(folder).mkdir(parents=True, exist_ok=True)  # below /run and the like it is hidden by now
        mount("hostfs", Path(folder), "hostfs", folder)
    socket.sethostname("guest")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, 0x8914, struct.pack("16sh22x", b"lo", _IFF_UP))  # SIOCSIFFLAGS


def seed(data: bytes) -> None:
    """Give the kernel randomness: without devices it finds none for minutes, and getrandom waits for it."""
    with Path("/dev/urandom").open("wb") as pool:
        entropy = struct.pack("ii", 8 * len(data), len(data)) + data
        fcntl.ioctl(pool, 0x40085203, entropy)  # RNDADDENTROPY


class Command:
    """The command, with its two output streams brought to two serial lines."""

    def __init__(self, job: dict[str, Any], out: int, err: int) -> None:
        self.job = job
        self.lines = (out, err)
        self.expired = False

    def run(self) -> str:
        """Run it and everything it started to the end; returns what to tell the host."""
        try:
            # Pipes rather than the lines themselves: a program takes those for a terminal.
            child = subprocess.Popen(
                self.job["command"],
                cwd=self.job["cwd"],
                env=self.job["env"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            return self.refuse(error)
        assert child.stdout is not None
        assert child.stderr is not None
        sources = (child.stdout.fileno(), child.stderr.fileno())
        pumps = [threading.Thread(target=pump, args=each) for each in zip(sources, self.lines, strict=True)]
        for thread in pumps:
            thread.start()
        self.arm(child.pid)
        status = reap(child.pid)
        signal.setitimer(signal.ITIMER_REAL, 0)
        kill_all()  # what it left running would hold the pipes
        for thread in pumps:
            thread.join()
        self.flush()
        return "expired" if self.expired else f"exit {os.waitstatus_to_exitcode(status)}"

    def refuse(self, error: OSError) -> str:
        """Tell why there is no command to run."""
        name = error.filename or self.job["command"][0]
        write_all(self.lines[1], f"{name}: {error.strerror}\n".encode())
        self.flush()
        return f"exit {NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_RUNNABLE}"

    def arm(self, pid: int) -> None:
        """End the command, first politely, when its time is up."""

        def expire(_number: int, _frame: object) -> None:
            if self.expired:
                kill_all()
                return
            self.expired = True
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGTERM)

        if self.job["timeout"] is not None:
            signal.signal(signal.SIGALRM, expire)
            # Never 0, which would mean no limit.
            signal.setitimer(signal.ITIMER_REAL, max(self.job["timeout"], 0.001), _GRACE)

    def flush(self) -> None:
        """Bring all output and all files to the host: what the host sees next comes after them."""
        for line in self.lines:
            termios.tcdrain(line)
        os.sync()


def reap(pid: int) -> int:
    """Wait for a process, and meanwhile for every orphan, as a first process has to; returns its status."""
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == pid:
            return status


def kill_all() -> None:
    """Kill every process but this one."""
    with suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)


def pump(source: int, line: int) -> None:
    """Copy a pipe to a serial line until the last writer is gone."""
    while data := os.read(source, _CHUNK):
        write_all(line, data)


def write_all(fd: int, data: bytes) -> None:
    """Write all of it."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def open_line(path: str) -> int:
    """Open a serial line that changes nothing it carries."""
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    tty.setraw(fd)
    return fd


def say(line: int, text: str) -> None:
    """Tell the host something, and see it off."""
    write_all(line, f"{text}\n".encode())
    termios.tcdrain(line)


def mount(source: str, target: Path, kind: str, options: str = "") -> None:
    """Put a file system in its place."""
    call("mount", source.encode(), os.fsencode(target), kind.encode(), 0, os.fsencode(options))


def call(name: str, *arguments: bytes | int) -> None:
    """Call the C library; a failure is an OSError that names the call."""
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}{arguments}: {os.strerror(number)}")


if __name__ == "__main__":
    main(sys.argv[1])
