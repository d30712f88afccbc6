"""Network namespaces without names.

A namespace made here is in no directory and has no mount: only this process's threads, file descriptors and
sockets hold it. However the process ends, SIGKILL included, the kernel then takes the namespace and every
interface in it away. That is why the lab can promise to leave nothing behind.

The thread that lives in a namespace is also what makes it usable: sockets opened there belong to it for good
and may then be used from anywhere, threads and programs started there are born into it, and a write below
``/proc/sys/net`` goes to the writer's namespace.
"""

import ctypes
import errno
import itertools
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from .errors import LabClosed, LabUnavailable

LOOPBACK = 1
"""The index the kernel gives the loopback interface of every namespace."""

_CLONE_NEWNET = 0x40000000  # <linux/sched.h>
_CLIENT_PORTS = range(32768, 61000)  # the kernel's own choice, above the node ports
_SYSCTL = Path("/proc/sys/net")
# The shell is for a parent that died before setpriv could ask for the signal: then $PPID is somebody else.
_TIED_TO_PARENT = ("setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", '[ $PPID = $0 ] && exec "$@"')
_libc = ctypes.CDLL(None, use_errno=True)

P = ParamSpec("P")
R = TypeVar("R")


class Namespace:
    """A network namespace of its own, with its loopback up.

    Attributes:
        name: what people call it; also the name of its thread.
        ports: source ports for clients, the one longest unused first.

    Raises:
        LabUnavailable: the kernel or its configuration refuses a namespace.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.ports = itertools.cycle(_CLIENT_PORTS)
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"netns {name}")
        self._children: list[subprocess.Popen[Any]] = []
        self._closed = False
        try:
            self._thread, self._fd, self._netlink = self._worker.submit(_enter).result()
        except BaseException:
            self._worker.shutdown()
            raise

    def __repr__(self) -> str:
        """The name, and whether it is closed."""
        return f"<Namespace {self.name}{' closed' if self._closed else ''}>"

    def __enter__(self) -> Self:
        """Use the namespace until the block ends."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def fileno(self) -> int:
        """The descriptor that holds the namespace, fit for ``setns`` and for moving interfaces here."""
        return self._fd

    @property
    def inode(self) -> int:
        """The number by which the kernel shows this namespace in ``/proc/PID/ns/net``."""
        return os.fstat(self._fd).st_ino

    def run(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call ``function`` inside, and return what it returns or raise what it raises.

        Calls from several threads run one after the other; a call from inside runs at once.

        Raises:
            LabClosed: the namespace is closed.
        """
        if threading.current_thread() is self._thread:
            return function(*args, **kwargs)
        if self._closed:
            raise LabClosed(f"namespace {self.name} is closed")
        return self._worker.submit(function, *args, **kwargs).result()

    def configure(self, change: Callable[[IPRoute], R]) -> R:
        """Call ``change`` with an rtnetlink socket of this namespace."""
        return self.run(change, self._netlink)

    def sysctl(self, settings: Mapping[str, str | int]) -> None:
        """Write settings below ``/proc/sys/net``, such as ``{"ipv4/ip_forward": 1}``.

        Raises:
            LabUnavailable: this kernel lacks a setting, or ``/proc/sys`` is read-only.
        """
        self.run(_write_sysctls, settings)

    def sockets(
        self, count: int, family: socket.AddressFamily | int, kind: int, protocol: int
    ) -> list[socket.socket]:
        """Open non-blocking sockets that belong to this namespace, wherever they are used.

        IPv6 sockets speak IPv6 only.

        Raises:
            OSError: the kernel lacks the protocol, or descriptors ran out; none is left open.
        """
        return self.run(_open_sockets, count, family, kind, protocol)

    def popen(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a program inside; it is killed when the namespace closes or this process dies.

        ``options`` are `subprocess.Popen`'s; unless told otherwise it reads nothing.

        Raises:
            LabUnavailable: util-linux's ``setpriv``, which ties the program's life to ours, is missing.
            FileNotFoundError: there is no such program.
        """
        if shutil.which(argv[0]) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), argv[0])
        if shutil.which("setpriv") is None:
            raise LabUnavailable("there is no setpriv program", "install util-linux")
        tied = [*_TIED_TO_PARENT, str(os.getpid()), *argv]
        start = partial(subprocess.Popen[Any], tied, **({"stdin": subprocess.DEVNULL} | options))
        child = self.run(start)
        self._children = [running for running in self._children if running.poll() is None] + [child]
        return child

    def close(self) -> None:
        """End its programs and its thread and let go of it; sockets opened here are their users' to close."""
        if self._closed:
            return
        self._closed = True
        for child in self._children:
            child.kill()
            child.wait()
        self._worker.submit(self._netlink.close).result()
        self._worker.shutdown()
        os.close(self._fd)


def _enter() -> tuple[threading.Thread, int, IPRoute]:
    """Move the calling thread to a new namespace; returns the thread, and what to hold it and work it by."""
    if _libc.unshare(_CLONE_NEWNET) != 0:
        raise _refused(ctypes.get_errno())
    fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        netlink = IPRoute()
        netlink.link("set", index=LOOPBACK, state="up")
    except NetlinkError as error:
        os.close(fd)
        raise _refused(error.code) from error
    return threading.current_thread(), fd, netlink


def _refused(code: int) -> LabUnavailable:
    what = f"the kernel refuses a network namespace, or power over it ({os.strerror(code)})"
    if code == errno.EPERM:
        return LabUnavailable(what, "run as root, or with CAP_SYS_ADMIN and CAP_NET_ADMIN")
    if code == errno.ENOSPC:
        return LabUnavailable(what, "raise /proc/sys/user/max_net_namespaces")
    return LabUnavailable(what, "use a kernel with CONFIG_NET_NS")


def _write_sysctls(settings: Mapping[str, str | int]) -> None:
    for name, value in settings.items():
        try:
            (_SYSCTL / name).write_text(f"{value}\n")
        except FileNotFoundError:
            reason = f"this kernel has no setting net/{name}"
            raise LabUnavailable(reason, "use a newer one, with IPv6 on") from None
        except OSError as error:
            reason = f"net/{name} can't be set ({error.strerror})"
            raise LabUnavailable(reason, "mount /proc/sys writable, as in a privileged container") from error


def _open_sockets(count: int, family: int, kind: int, protocol: int) -> list[socket.socket]:
    opened: list[socket.socket] = []
    try:
        for _ in range(count):
            one = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
            opened.append(one)
            if family == socket.AF_INET6 and kind != socket.SOCK_RAW:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    except OSError:
        for one in opened:
            one.close()
        raise
    return opened
