"""Network namespaces for tests: one per thread, gone with it."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from pointsman.backends.nftables.netlink.monitor import Monitor
from pointsman.backends.nftables.netlink.netfilter import NetfilterSocket

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS = 0x8914
IFF_UP = 1

P = ParamSpec("P")
T = TypeVar("T")


def _unshare() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET)")


def _set_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))


class Namespace:
    """A network namespace of its own: a thread lives in it, with all that the thread opens or starts."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, initializer=_unshare)
        self._sockets: list[NetfilterSocket | Monitor | socket.socket] = []

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``function`` in the namespace."""
        return self._thread.submit(function, *args, **kwargs).result()

    def socket(self) -> NetfilterSocket:
        """A new socket in the namespace."""
        opened = self.call(NetfilterSocket)
        self._sockets.append(opened)
        return opened

    def monitor(self, own: int = 0) -> Monitor:
        """A new monitor in the namespace."""
        opened = self.call(Monitor, own)
        self._sockets.append(opened)
        return opened

    def run(self, command: list[str], text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program in the namespace."""
        path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
        return self.call(
            subprocess.run,
            command,
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            env={"PATH": path},
            check=False,
        )

    def nft(self, *args: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run ``nft`` in the namespace."""
        return self.run(["nft", *args], text)

    def loopback_up(self) -> None:
        """Bring ``lo`` up, and with it 127.0.0.1 and ::1."""
        self.call(_set_loopback_up)

    def load(self, text: str) -> None:
        """Have ``nft`` load a ruleset."""
        done = self.nft("-f", "-", text=text)
        assert done.returncode == 0, f"nft refused:\n{done.stderr}\n{text}"

    def listing(self) -> str:
        """What ``nft list ruleset`` prints; fails when it aborts."""
        done = self.nft("list", "ruleset")
        assert done.returncode == 0, f"nft list ruleset ended with {done.returncode}: {done.stderr}"
        return done.stdout

    def close(self) -> None:
        for opened in self._sockets:
            opened.close()
        self._thread.shutdown()
