"""How a kernel is built: which source, which commands, what stays. Nothing is downloaded or compiled here."""

from pathlib import Path

import pytest

from pointsman.conformance.vm import BuildFailed, VmUnavailable, build, kernels, obtain
from pointsman.conformance.vm.building import Source, newest_first, offered, require, steps
from pointsman.conformance.vm.options import fingerprint, fragment, options
from tests.conformance.vm.watching import processes

SOURCE = Source("linux-source-6.12", "6.12.117-1~deb12u1")

# Stand for apt, tar and make: each does to the directory what the real one would, and says so in calls.
PROGRAMS = {
    "apt-cache": """
        case $1 in
            search) printf 'linux-source-6.1 - x\\nlinux-source-6.12 - y\\nlinux-source-doc - z\\n' ;;
            show) printf 'Package: %s\\nVersion: 6.12.117-1~deb12u1\\n' "$3" ;;
        esac""",
    "apt-get": 'eval last=\\${$#}; echo fetched; touch "${last%=*}_${last#*=}_all.deb"',
    "dpkg-deb": 'test -f "$2" && mkdir -p "$3/usr/src"',
    "tar": "mkdir linux-source-6.12; echo one; echo two",
    "make": """
        eval last=\\${$#}
        case $last in
            allnoconfig) grep -v "$LOSES" "${4#*=}" >"$3/.config" ;;
            linux)
                echo "  CC      init/main.o"
                [ -z "$HANGS" ] || sleep 300
                [ -z "$FAILS" ] || { echo "main.c:1: error: no such thing"; exit 2; }
                case='--version) echo 6.12.117-umlnet ;; --help) echo help ;; --showconfig) cat <<END'
                exec >"$3/linux"
                echo '#!/bin/sh'; echo "case \\$1 in $case ;; esac"; cat "$3/.config"; echo END
                chmod +x "$3/linux" ;;
        esac""",
    "strip": 'echo "# stripped" >>"$1"',
}  # fmt: skip
OTHERS = ("gcc", "flex", "bison", "bc", "xz")


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that lists the programs called; an empty cache, and no kernel anywhere."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in (*PROGRAMS, *OTHERS):
        file = programs / name
        file.write_text(f'#!/bin/sh -e\necho {name} >>"{tmp_path}/calls"\n{PROGRAMS.get(name, "")}\n')
        file.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOSES", "^nothing$")
    monkeypatch.delenv(kernels.DIRECTORIES, raising=False)
    monkeypatch.setattr(kernels, "_BESIDE", tmp_path / "beside")
    return tmp_path / "calls"


def test_a_kernel_is_built_once(calls: Path) -> None:
    said: list[tuple[str, str]] = []
    kernel = obtain(report=lambda step, line: said.append((step, line)))
    assert kernel.release == "6.12.117-umlnet"
    assert kernel.path == SOURCE.target
    assert kernel.path.read_text().endswith("# stripped\n")
    assert list(kernels.cache().iterdir()) == [kernel.path]
    assert [step for step, line in said if not line] == [
        "download", "open", "unpack", "configure", "compile", "strip",
    ]  # fmt: skip
    assert ("unpack", "two") in said
    assert ("compile", "  CC      init/main.o") in said
    assert calls.read_text().split() == [
        "apt-cache", "apt-cache", "apt-get", "dpkg-deb", "tar", "make", "make", "strip",
    ]  # fmt: skip
    calls.unlink()
    assert obtain("6.12") == kernel
    assert not calls.exists()
    assert build() == kernel
    assert calls.read_text().split() == ["apt-cache", "apt-cache"]


def test_a_step_that_fails_is_named_with_its_last_lines(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAILS", "1")
    with pytest.raises(BuildFailed, match="compile failed with status 2") as caught:
        build()
    assert caught.value.lines == ("  CC      init/main.o", "main.c:1: error: no such thing")
    assert "error: no such thing" in str(caught.value)
    assert not list(kernels.cache().iterdir())


def test_options_that_cannot_be_had_stop_it_before_it_compiles(
    calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOSES", "OVERLAY_FS")
    with pytest.raises(BuildFailed, match="CONFIG_OVERLAY_FS can't be had"):
        build()
    assert calls.read_text().split().count("make") == 1


class Enough(Exception):
    """Stands for the user's Ctrl-C."""


def test_an_interrupted_build_leaves_nothing(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = processes()

    def interrupt(step: str, line: str) -> None:
        if step == "compile" and line:
            raise Enough

    monkeypatch.setenv("HANGS", "1")
    with pytest.raises(Enough):
        build(report=interrupt)
    assert processes() == before
    assert not list(kernels.cache().iterdir())


def test_what_is_missing_is_named_by_its_packages() -> None:
    with pytest.raises(VmUnavailable, match=r"apt-get install bison flex xz-utils$"):
        require(lambda program: None if program in {"bison", "flex", "xz"} else f"/usr/bin/{program}")
    with pytest.raises(VmUnavailable, match="on Debian only"):
        require(lambda program: None if program.startswith(("apt", "dpkg")) else f"/usr/bin/{program}")


@pytest.mark.parametrize(("version", "package"), [(None, "linux-source-6.12"), ("6.1", "linux-source-6.1")])
def test_the_source_of_a_version(calls: Path, version: str | None, package: str) -> None:
    assert offered(version).package == package


def test_a_version_that_apt_has_not(calls: Path) -> None:
    with pytest.raises(
        VmUnavailable, match=r"no source of Linux 7\.2; ask for .*linux-source-6\.12, linux-source-6\.1"
    ):
        build("7.2")


def test_versions_are_compared_by_number() -> None:
    found = "linux-source-6.1 - a\nlinux-source-6.12 - b\nlinux-source - c\nlinux-source-6.9 - d\n"
    assert newest_first(found) == ["linux-source-6.12", "linux-source-6.9", "linux-source-6.1"]


def test_the_commands_of_a_build() -> None:
    download, _, unpack, configure, compile_ = steps(SOURCE, Path("/b"), 2)
    assert download.argv[-1] == "linux-source-6.12=6.12.117-1~deb12u1"
    assert unpack.argv[-1] == "/b/package/usr/src/linux-source-6.12.tar.xz"
    make = ("make", "ARCH=um", "-C", "/b/linux-source-6.12")
    assert configure.argv == (*make, "KCONFIG_ALLCONFIG=/b/fragment", "allnoconfig")
    assert compile_.argv == (*make, "-j2", "linux")


def test_another_version_is_another_kernel() -> None:
    assert SOURCE.target.name == f"linux-6.12.117-{fingerprint('6.12.117')}"
    assert Source("linux-source-6.1", "1:6.1.192-2").upstream == "6.1.192"
    assert fingerprint("6.1.192") != fingerprint("6.12.117")


def test_the_options() -> None:
    """Each once; what guests and the three dataplanes can't do without is among them; no modules, no SMP."""
    lines = fragment().splitlines()
    assert len(lines) == len(set(lines))
    assert {"IP_VS", "IP_VS_NFCT", "NF_TABLES_IPV6", "IP6_NF_NAT", "IP_SCTP", "VETH"} <= set(options())
    assert not {"MODULES", "SMP"} & set(options())
