"""Building a kernel for people who have none, from the sources that Debian packages."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from .errors import BuildFailed, VmUnavailable
from .kernels import Kernel, cache, inspect, lacking, locate
from .options import fingerprint, fragment

Report = Callable[[str, str], object]
"""Takes the name of the step at hand and a line that it wrote."""

_PACKAGES = {
    "apt-get": "apt", "apt-cache": "apt", "dpkg-deb": "dpkg", "tar": "tar", "xz": "xz-utils", "make": "make",
    "gcc": "gcc", "strip": "binutils", "flex": "flex", "bison": "bison", "bc": "bc",
}  # fmt: skip
_NAME = re.compile(r"^linux-source-(\d+(?:\.\d+)+) ", re.MULTILINE)
_VERSION = re.compile(r"^Version: (\S+)$", re.MULTILINE)
_QUOTED = 20  # lines of a step that failed


class Source(Struct, frozen=True):
    """A package of kernel sources, such as ``linux-source-6.12`` at ``6.12.117-1~deb12u1``."""

    package: str
    version: str

    @property
    def upstream(self) -> str:
        """The kernel's own version."""
        return self.version.rpartition(":")[2].partition("-")[0]

    @property
    def target(self) -> Path:
        """The file in the cache for a kernel built from it with today's options."""
        return cache() / f"linux-{self.upstream}-{fingerprint(self.upstream)}"


class Step(Struct, frozen=True):
    """A command of a build."""

    name: str
    argv: Sequence[str]


def obtain(wanted: str | os.PathLike[str] | None = None, report: Report | None = None) -> Kernel:
    """Find a kernel, as `find` does, or build one if that version is nowhere.

    Raises:
        VmUnavailable: there is none, and it can't be built here; or it can't serve.
        BuildFailed: a step of the build failed.
    """
    path = locate(wanted)
    if path is not None:
        return inspect(path)
    return build(None if wanted is None else os.fspath(wanted), report)


def build(version: str | None = None, report: Report | None = None) -> Kernel:
    """Build a kernel of a version (``6.12``), the newest that apt offers by default, unless the cache has it.

    It takes 140 MB of download, 2 GB of room for the while, and 10 to 25 minutes on two processors.

    Raises:
        VmUnavailable: apt offers no such source, or a program is missing; names the packages.
        BuildFailed: a step failed; quotes its last lines.
    """
    require(shutil.which)
    source = offered(version)
    if not source.target.exists():
        source.target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="building-", dir=source.target.parent) as folder:
            _make(source, Path(folder), report or (lambda _step, _line: None))
    return inspect(source.target)


def require(which: Callable[[str], str | None]) -> None:
    """See that the programs for a build are installed.

    Raises:
        VmUnavailable: some aren't; the remedy names their Debian packages.
    """
    missing = sorted({package for program, package in _PACKAGES.items() if which(program) is None})
    if {"apt", "dpkg"} & set(missing):
        raise VmUnavailable("a kernel can be built on Debian only", "name one that was built elsewhere")
    if missing:
        reason = "programs to build a kernel with are missing"
        raise VmUnavailable(reason, f"apt-get install {' '.join(missing)}")


def offered(version: str | None) -> Source:
    """The source that apt offers for a version, or the newest one.

    Raises:
        VmUnavailable: there is none.
    """
    packages = newest_first(_ask("apt-cache", "search", "--names-only", r"^linux-source-[0-9.]+$"))
    chosen = [name for name in packages if version in {None, name.removeprefix("linux-source-")}]
    shown = chosen and _VERSION.search(_ask("apt-cache", "show", "--no-all-versions", chosen[0]))
    if not shown:
        reason = f"apt offers no source of Linux {version}" if version else "apt offers no kernel source"
        there = f"ask for one of these: {', '.join(packages)}" if packages else "run apt-get update"
        raise VmUnavailable(reason, there)
    return Source(chosen[0], shown[1])


def newest_first(found: str) -> list[str]:
    """The packages of sources in what ``apt-cache search`` found."""
    versions = sorted(_NAME.findall(found), key=lambda text: [int(part) for part in text.split(".")])
    return [f"linux-source-{version}" for version in reversed(versions)]


def steps(source: Source, folder: Path, processors: int) -> list[Step]:
    """What builds a kernel in a directory that holds the options as ``fragment``; the last one compiles."""
    archive = folder / f"{source.package}_{source.version.replace(':', '%3a')}_all.deb"
    tree, make = folder / source.package, ("make", "ARCH=um", "-C", str(folder / source.package))
    return [
        # Debian's unprivileged downloader may not write here; the file's signature is checked all the same.
        Step("download", ("apt-get", "-o", "APT::Sandbox::User=root", "-q", "download",
                          f"{source.package}={source.version}")),
        Step("open", ("dpkg-deb", "--extract", str(archive), str(folder / "package"))),
        Step("unpack", ("tar", "-xvJf", str(folder / f"package/usr/src/{tree.name}.tar.xz"))),
        Step("configure", (*make, f"KCONFIG_ALLCONFIG={folder}/fragment", "allnoconfig")),
        Step("compile", (*make, f"-j{processors}", "linux")),
    ]  # fmt: skip


def _make(source: Source, folder: Path, report: Report) -> None:
    (folder / "fragment").write_text(fragment())
    *before, compiling = steps(source, folder, len(os.sched_getaffinity(0)))
    for step in before:
        _run(step, folder, report)
    missing = lacking((folder / source.package / ".config").read_text())
    if missing:
        raise BuildFailed("configure", 0, [f"{option} can't be had" for option in missing])
    _run(compiling, folder, report)
    built = folder / source.package / "linux"
    _run(Step("strip", ("strip", str(built))), folder, report)
    built.replace(source.target)  # all at once: nobody finds half a kernel


def _run(step: Step, folder: Path, report: Report) -> None:
    last: deque[str] = deque(maxlen=_QUOTED)
    with subprocess.Popen(
        step.argv,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            _follow(step.name, process.stdout or (), last, report)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # make's children too
            raise
    if process.returncode:
        raise BuildFailed(step.name, process.returncode, last)


def _follow(name: str, lines: Iterable[str], last: deque[str], report: Report) -> None:
    report(name, "")
    for line in lines:
        last.append(line.rstrip())
        report(name, last[-1])


def _ask(*argv: str) -> str:
    answer = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise BuildFailed(argv[0], answer.returncode, answer.stderr.splitlines()[-_QUOTED:])
    return answer.stdout
