"""Kernels: where they are, and what they can do."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from msgspec import Struct

from .errors import VmUnavailable
from .options import fingerprint, options

DIRECTORIES = "POINTSMAN_UML_KERNELS"
"""The environment variable that lists directories of kernels, as ``PATH`` lists those of programs."""

_BESIDE = Path(__file__).resolve().parents[3] / "shared/tools/uml"
"""Beside the checkout, where CI puts kernels."""

_NAME = re.compile(r"linux-(?P<version>\d+(\.\d+)+)(-(?P<fingerprint>[0-9a-f]{12}))?")
_BUILD = "python -m pointsman.conformance.vm --build builds one"
_PATIENCE = 30.0  # seconds that a kernel may take to say what it is


class Kernel(Struct, frozen=True):
    """A User-Mode-Linux kernel that can serve as a guest.

    Attributes:
        path: the program.
        release: what ``uname -r`` says in it.
        seccomp: whether guest programs can be run by seccomp (6.16 and later), much faster than by ptrace.
    """

    path: Path
    release: str
    seccomp: bool


def cache() -> Path:
    """The directory for kernels that were built here."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pointsman/uml"


def find(wanted: str | os.PathLike[str] | None = None) -> Kernel:
    """Find a kernel by its path, or by the beginning of its version (``6.12``); the newest one by default.

    See `locate` for where versions are looked for.

    Raises:
        VmUnavailable: there is none, or it can't serve.
    """
    path = locate(wanted)
    if path is None:
        which = f"User-Mode-Linux kernel {wanted}" if wanted else "User-Mode-Linux kernel"
        places = ", ".join(str(place) for place in _places())
        raise VmUnavailable(
            f"there is no {which} in {places}", f"name a file, set {DIRECTORIES}, or {_BUILD}"
        )
    return inspect(path)


def locate(wanted: str | os.PathLike[str] | None = None) -> Path | None:
    """Where a kernel is, given its path or the beginning of its version; None if that version is nowhere.

    Versions are looked for in the directories of `DIRECTORIES`, in the cache and beside the checkout, as
    files ``linux-VERSION``; of equally new ones that fit, the first wins. A kernel in the cache that was
    built with other options than today's does not count.

    Raises:
        VmUnavailable: it is neither a file nor a version.
    """
    if wanted is not None and (os.sep in os.fspath(wanted) or Path(wanted).is_file()):
        return Path(wanted)
    version = _numbers(os.fspath(wanted)) if wanted is not None else ()
    fitting = [each for each in _candidates() if each[0][: len(version)] == version]
    return max(fitting, key=lambda each: each[0])[1] if fitting else None


def inspect(path: Path) -> Kernel:
    """Ask a kernel what it is.

    Raises:
        VmUnavailable: it is no such kernel, or lacks what a guest needs.
    """
    return _inspect(path.resolve())


@lru_cache(maxsize=32)
def _inspect(path: Path) -> Kernel:
    release = _ask(path, "--version").strip()
    missing = lacking(_ask(path, "--showconfig"))
    if missing:
        raise VmUnavailable(f"kernel {path} lacks {', '.join(missing)}", f"use another; {_BUILD}")
    return Kernel(path, release, "seccomp=<on" in _ask(path, "--help"))


def lacking(config: str) -> list[str]:
    """The options without which no guest boots that a kernel's configuration hasn't built in."""
    there = {line.removesuffix("=y") for line in config.splitlines() if line.endswith("=y")}
    return [option for option in (f"CONFIG_{name}" for name in options("runner")) if option not in there]


def _ask(path: Path, flag: str) -> str:
    remedy = f"name a User-Mode-Linux kernel; {_BUILD}"
    try:
        answer = subprocess.run(
            [path, flag], stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE, check=False
        )
    except OSError as error:
        raise VmUnavailable(f"{path} can't be run ({error.strerror})", remedy) from error
    except subprocess.TimeoutExpired as error:
        raise VmUnavailable(f"{path} says nothing to {flag}", remedy) from error
    text = answer.stdout.decode(errors="replace")
    if answer.returncode or not text.strip():
        raise VmUnavailable(f"{path} is no User-Mode-Linux kernel", remedy)
    return text


def _places() -> list[Path]:
    named = os.environ.get(DIRECTORIES, "").split(os.pathsep)
    return [*(Path(name) for name in named if name), cache(), _BESIDE]


def _candidates() -> Iterator[tuple[tuple[int, ...], Path]]:
    for place in _places():
        for path in sorted(place.glob("linux-*")):
            name = _NAME.fullmatch(path.name)
            if name and path.is_file() and _is_current(name.groupdict()):
                yield _numbers(name["version"]), path


def _is_current(name: Mapping[str, str | None]) -> bool:
    return name["fingerprint"] in {None, fingerprint(str(name["version"]))}


def _numbers(version: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in version.split("."))
    except ValueError:
        reason = f"{version!r} is neither a file nor a version"
        raise VmUnavailable(reason, "name a kernel's path, or a version such as 6.12") from None
