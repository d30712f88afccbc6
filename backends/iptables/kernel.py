"""The only door to the kernel's tables: the tools of one variant of iptables, for one family.

Every call is a process of its own, in the network namespace of the calling thread.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import IO

from msgspec import Struct

from pointsman.core.addresses import IPFamily
from pointsman.core.errors import BackendUnavailable

from .changes import Step
from .tables import ChainName

# Seconds to wait for whoever holds the xtables lock, and for a tool to come to an end: less than a hook may
# take, so that whoever waits for that hears what happened.
LOCK_WAIT = 5
PATIENCE = 90.0
# What a tool for single rules ends with if there is no such chain.
_ABSENT = 1

_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
_LINE = re.compile(r"(?:line:? )(\d+)")
_HINTS = ("KUBE-IPTABLES-HINT", "KUBE-KUBELET-CANARY")


class Variant(StrEnum):
    """The two implementations of iptables; both may hold rules at once."""

    LEGACY = "legacy"
    NFT = "nft"


class Refused(Exception):
    """A tool failed: what it was to do has not been done at all, unless it may have been.

    Attributes:
        line: the line of the input at fault, 0 if the tool doesn't say.
        status: what it ended with.
        locked: whether somebody else held the xtables lock all the while.
        perhaps_done: whether it was ended before it could say how it went.
    """

    def __init__(self, command: str, status: int, message: str, *, perhaps_done: bool = False) -> None:
        super().__init__(f"{command} failed with status {status}: {message}")
        found = _LINE.search(message)
        self.line = int(found[1]) if found else 0
        self.status = status
        self.locked = "xtables lock" in message
        self.perhaps_done = perhaps_done


class Tools(Struct, frozen=True):
    """Where one family's programs are: ``-save``, ``-restore``, and the one for single rules."""

    variant: Variant
    save: str
    restore: str
    single: str

    def read(self, table: str = "") -> str:
        """What a table holds, or all of them. Raises `Refused`."""
        return _run([self.save, *(("-t", table) if table else ())])

    def read_ours(self) -> Iterator[str]:
        """What the tables hold that we have chains in, line by line. Raises `Refused` before the first."""
        # Tables of the legacy variant, if named, would be brought into being; those that exist are listed.
        tables = [[]] if self.variant is Variant.LEGACY else [["-t", "nat"], ["-t", "filter"]]
        with _memory() as text:
            for table in tables:
                _run([self.save, *table], output=text)
            text.seek(0)
            for line in text:
                yield line.rstrip("\n")

    def read_counts(self) -> str:
        """What the nat table holds, with what its rules have counted. Raises `Refused`."""
        # As above: the legacy variant is asked for no table by name.
        return _run([self.save, "-c", *(() if self.variant is Variant.LEGACY else ("-t", "nat"))])

    def has_rules(self, chain: ChainName) -> bool:
        """Whether a chain is there and holds anything. Raises `Refused` if that can't be found out."""
        command = [self.single, "-w", str(LOCK_WAIT), "-t", chain.table, "-S", chain.name]
        try:
            return "-A " in _run(command)
        except Refused as refusal:
            if refusal.status != _ABSENT:
                raise
            return False

    def write(self, step: Step) -> None:
        """Carry out one transaction. Raises `Refused`."""
        with _memory() as text:
            text.writelines(f"{line}\n" for line in chain(step.lines(), ("COMMIT",)))
            text.flush()
            text.seek(0)
            _run([self.restore, "--noflush", "--counters", "-w", str(LOCK_WAIT)], text)


def _memory() -> IO[str]:
    """A file in memory: by way of a pipe, a program's whole input or output would be in ours at once."""
    return os.fdopen(os.memfd_create("iptables"), "w+", encoding="utf-8")


def find(family: IPFamily, variant: Variant) -> Tools | None:
    """The tools of a variant, None if they aren't installed."""
    prefix = "iptables" if family is IPFamily.IPV4 else "ip6tables"
    found = [_which(f"{prefix}-{variant}{tool}") for tool in ("-save", "-restore", "")]
    save, restore, single = found
    return Tools(variant, save, restore, single) if save and restore and single else None


def choose(backend: str, family: IPFamily, variant: Variant | None) -> Tools:
    """The tools of a variant, or without one, of that which this node uses.

    That is decided as the distributions' wrapper does: by the kubelet's hint in the mangle table, else by
    which variant holds more rules, nft if neither does.

    Raises:
        BackendUnavailable: they aren't installed.
    """
    installed = {v: tools for v in Variant if variant in (None, v) and (tools := find(family, v))}
    if not installed:
        what = f"iptables-{variant}" if variant else "iptables"
        raise BackendUnavailable(backend, f"{what} is not installed", "install the iptables package")
    if len(installed) == 1:
        return next(iter(installed.values()))
    held = {v: _held(tools) for v, tools in installed.items()}
    for v in (Variant.NFT, Variant.LEGACY):
        if any(hint in held[v] for hint in _HINTS):
            return installed[v]
    counts = {v: sum(line.startswith("-") for line in text.splitlines()) for v, text in held.items()}
    return installed[Variant.LEGACY if counts[Variant.LEGACY] > counts[Variant.NFT] else Variant.NFT]


def _held(tools: Tools) -> str:
    try:
        return tools.read()
    except Refused:
        return ""


def _which(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=_PATH)


def allow_localnet() -> None:
    """Let packets with loopback addresses be routed, for node ports there (SVC-NP-08). Raises OSError."""
    switch = Path("/proc/sys/net/ipv4/conf/all/route_localnet")
    if switch.read_text(encoding="ascii").strip() != "1":
        switch.write_text("1\n", encoding="ascii")


def lock_file() -> str:
    """The file that whoever writes to tables of the legacy variant locks."""
    return os.environ.get("XTABLES_LOCKFILE", "/run/xtables.lock")


def _run(command: list[str], text: IO[str] | None = None, output: IO[str] | None = None) -> str:
    """What a program prints, unless its output goes elsewhere. Raises `Refused`."""
    try:
        # In a session of its own, so that what it starts is ended with it.
        process = subprocess.Popen(
            command,
            stdin=text or subprocess.DEVNULL,
            stdout=output or subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    except OSError as error:
        raise Refused(command[0], -1, str(error)) from error
    with process:
        try:
            printed, said = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired as error:
            os.killpg(process.pid, signal.SIGKILL)
            what = f"it took more than {PATIENCE:g} seconds and was ended"
            raise Refused(command[0], -signal.SIGKILL, what, perhaps_done=True) from error
    if process.returncode:
        message = " ".join(said.split()) or "it doesn't say why"
        raise Refused(command[0], process.returncode, message, perhaps_done=process.returncode < 0)
    return printed or ""
