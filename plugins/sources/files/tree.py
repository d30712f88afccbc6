"""Which files there are, whether they changed, what they contain, and which directories tell.

A path is followed wherever its symbolic links lead: a volume that Kubernetes makes of a ConfigMap is a
directory of links through ``..data``, itself a link that is swapped (kubelet, AtomicWriter).
"""

import errno
import os
import stat
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

SUFFIXES = (".yaml", ".yml", ".json")
# JSON decodes at some 500 MB/s, YAML at 5 MB/s and into far more memory.
MAX_JSON_BYTES = 256 << 20
MAX_YAML_BYTES = 64 << 20
# As many links as the kernel follows in one path.
MAX_LINKS = 40


class Stamp(NamedTuple):
    """What differs between two states of a file; the kernel bumps ``changed`` whatever is done to it."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Stamp":
        """The stamp of a file; times are in nanoseconds."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class Entry(Struct, frozen=True):
    """A file to be read; ``real`` is its path without links, ``stamp`` None if its state can't be had."""

    real: str
    stamp: Stamp | None


class Directory(NamedTuple):
    """A directory with an entry that matters; by its inode it differs from another in its place."""

    path: str
    device: int
    inode: int


class Tree(Struct, frozen=True):
    """What a path leads to at one moment.

    Attributes:
        entries: the files, by path.
        directories: those in which a change may change the entries.
        fault: why the entries can't be known; empty if they are.
    """

    entries: dict[str, Entry]
    directories: frozenset[Directory]
    fault: str = ""


def scan(path: Path, *, single: bool) -> Tree:
    """Look at a file (``single``), or at a directory and the files in it. ``path`` is absolute."""
    container = path.parent if single else path
    real, deciding = _follow(container)
    deciding.add(real)
    entries: dict[str, Entry] = {}
    fault = ""
    try:
        for name in _names(path, single=single):
            entry, more = _look(real / name)
            deciding |= more
            if entry is not None:
                entries[str(container / name)] = entry
    except OSError as error:
        fault = error.strerror or str(error)
    directories = frozenset(filter(None, map(_directory, deciding)))
    if not fault and str(real) not in {directory.path for directory in directories}:
        fault = "it can't be watched, which takes the permission to read it and a name in UTF-8"
    return Tree(entries, directories, fault)


def read(path: str) -> bytes:
    """The content of a regular file.

    Raises:
        OSError: it can't be read, or is too large; the message says why.
    """
    limit = MAX_JSON_BYTES if path.endswith(".json") else MAX_YAML_BYTES
    # Without O_NONBLOCK, opening a FIFO waits for somebody to write to it.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit >> 20} MiB; split it")
    return data


def _names(path: Path, *, single: bool) -> list[str]:
    """The files to read, by name. Raises OSError if nobody can tell."""
    if single:
        path.parent.stat()
        return [path.name]
    names = [entry.name for entry in path.iterdir()]
    return sorted(name for name in names if name.endswith(SUFFIXES) and not name.startswith("."))


def _look(path: Path) -> tuple[Entry | None, set[Path]]:
    """A file, if there is one and it is no directory, and the directories that decide what it is."""
    real, deciding = path, set[Path]()
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            real, deciding = _follow(path)
            status = path.stat()
    except OSError as error:
        # A name without a file is no file; a link to nowhere is one that can't be read.
        gone = isinstance(error, FileNotFoundError) and not deciding
        return None if gone else Entry(str(real), None), deciding
    return None if stat.S_ISDIR(status.st_mode) else Entry(str(real), Stamp.of(status)), deciding


def _follow(path: Path) -> tuple[Path, set[Path]]:
    """Where an absolute path leads, and the directories in which an entry decides that.

    Where it leads nowhere, these include the one in which the missing entry may appear.
    """
    pending = [*reversed(path.parts[1:])]
    at, deciding, links = Path("/"), set[Path](), 0
    while pending:
        part = pending.pop()
        if part == "..":
            at = at.parent
            continue
        try:
            target = (at / part).readlink()
        except OSError as error:
            if error.errno == errno.EINVAL:  # not a link
                at /= part
                continue
            return at.joinpath(part, *reversed(pending)), deciding | {at, at.parent}
        deciding.add(at)
        links += 1
        if links > MAX_LINKS:
            return at / part, deciding
        if target.is_absolute():
            at = Path("/")
        pending += reversed(target.parts[1:] if target.is_absolute() else target.parts)
    return at, deciding | {at.parent}


def _directory(path: Path) -> Directory | None:
    """A directory as it is now, None if it can't be watched."""
    try:
        str(path).encode()
        status = path.stat()
    except (OSError, UnicodeEncodeError):
        return None
    if not stat.S_ISDIR(status.st_mode) or not os.access(path, os.R_OK):
        return None
    return Directory(str(path), status.st_dev, status.st_ino)
