"""Which kernel is taken, and what is said if none can be."""

from pathlib import Path

import pytest

from pointsman.conformance.vm import VmUnavailable, find, inspect, kernels
from pointsman.conformance.vm.options import fingerprint, options


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that POINTSMAN_UML_KERNELS names; no kernel is anywhere else."""
    monkeypatch.setenv(kernels.DIRECTORIES, f"{tmp_path / 'missing'}:{tmp_path / 'named'}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(kernels, "_BESIDE", tmp_path / "beside")
    (tmp_path / "named").mkdir()
    return tmp_path / "named"


def fake(path: Path, *, lacks: str = "", seccomp: bool = False) -> Path:
    """A program that answers as a kernel does."""
    config = "".join(f"echo CONFIG_{name}=y\n" for name in options("runner") if name != lacks)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"#!/bin/sh\ncase $1 in --version) echo {path.name}-test ;; --showconfig) {config};;\n"
        f"--help) echo '{'seccomp=<on/auto/off>' if seccomp else 'mem=<Amount>'}' ;; esac\n"
    )
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("wanted", "found"),
    [(None, "linux-7.2.1"), ("6.12", "linux-6.12.9"), ("6", "linux-6.12.9"), ("6.1", "linux-6.1")],
)
def test_the_newest_that_fits(place: Path, wanted: str | None, found: str) -> None:
    for name in ("linux-6.1", "linux-6.12.9", "linux-6.9", "linux-7.2.1", "linux-firmware", "linux-8.0.bak"):
        fake(place / name)
    assert find(wanted).path == place / found


def test_the_first_directory_wins_among_equals(place: Path, tmp_path: Path) -> None:
    fake(tmp_path / "beside/linux-6.1")
    assert find().path == tmp_path / "beside/linux-6.1"
    fake(place / "linux-6.1")
    assert find().path == place / "linux-6.1"


def test_a_kernel_built_with_other_options_does_not_count(place: Path) -> None:
    fake(kernels.cache() / "linux-6.12.9-0123456789ab")
    assert kernels.locate() is None
    current = fake(kernels.cache() / f"linux-6.12.9-{fingerprint('6.12.9')}")
    assert find("6.12").path == current


def test_any_kernel_by_path(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = fake(tmp_path / "my kernel", seccomp=True)
    monkeypatch.chdir(tmp_path)
    for wanted in (mine, str(mine), "my kernel", "./my kernel"):
        assert find(wanted).path == mine
    assert find(mine).seccomp
    assert not find(fake(tmp_path / "old")).seccomp


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (None, "there is no User-Mode-Linux kernel in .*named, .*beside"),
        ("6.12", "there is no User-Mode-Linux kernel 6.12 in"),
        ("latest", "'latest' is neither a file nor a version"),
        ("/no/such/kernel", r"/no/such/kernel can't be run \(No such file or directory\)"),
        ("/etc/passwd", r"/etc/passwd can't be run \(Permission denied\)"),
        ("/bin/true", "is no User-Mode-Linux kernel"),
    ],
)
def test_what_is_said_if_there_is_none(place: Path, wanted: str | None, reason: str) -> None:
    with pytest.raises(VmUnavailable, match=reason) as caught:
        find(wanted)
    assert caught.value.remedy in str(caught.value)


def test_a_kernel_that_could_not_boot_is_refused_beforehand(place: Path, tmp_path: Path) -> None:
    with pytest.raises(VmUnavailable, match="lacks CONFIG_OVERLAY_FS; use another"):
        inspect(fake(tmp_path / "linux", lacks="OVERLAY_FS"))
