"""What a machine or a user lacks is told apart from failure, named with its remedy, and never passes."""

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from pointsman.conformance import report as reports
from pointsman.conformance.report import Outcome, Report, Verdict

pytestmark = pytest.mark.netns

CASE = "test_a_pod_that_is_the_only_endpoint_reaches_itself"
BY_PROTOCOL = "test_every_client_reaches_every_endpoint"
NOT_HERE = 6


def hold(folder: Path, *arguments: str, before: Sequence[str] = ()) -> tuple[int, str, Report]:
    """Run the command, started by another one: its status, its output, and its report."""
    file = folder / "report.json"
    done = subprocess.run(
        [*before, sys.executable, "-m", "pointsman", "conformance", "--report", str(file), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    return done.returncode, done.stdout + done.stderr, reports.read(file)


def outcomes(report: Report) -> set[Outcome]:
    return {result.outcome for result in report.results}


def assert_not_here(status: int, output: str, report: Report, words: Iterable[str]) -> None:
    """Nothing passed, nothing failed, and everybody is told why."""
    assert status == NOT_HERE, output
    assert outcomes(report) == {Outcome.NOT_HERE}
    [backend] = report.backends
    assert backend.verdict is Verdict.PARTIAL
    assert "could not be played" in backend.because
    for word in words:
        assert word in output
        assert all(word in result.message for result in report.results)
        assert all(word in f"{one.reason}; {one.remedy}" for one in backend.unavailable.values())
    assert set(backend.unavailable) == {"IPv4", "IPv6"}


@pytest.mark.program("setpriv")
@pytest.mark.parametrize("lost", ["all", "sys_admin"])
def test_without_privileges(tmp_path: Path, lost: str) -> None:
    powerless = ("setpriv", f"--bounding-set=-{lost}", f"--inh-caps=-{lost}")
    told = hold(tmp_path, "--backend", "nftables", "-k", CASE, before=powerless)
    assert_not_here(*told, ["run as root, or with CAP_SYS_ADMIN and CAP_NET_ADMIN"])


@pytest.mark.program("setpriv")
def test_what_needs_no_privileges_is_played_without_them(tmp_path: Path) -> None:
    powerless = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    backends = ("--backend", "memory", "--backend", "nftables")
    status, output, report = hold(tmp_path, *backends, "-k", CASE, before=powerless)
    assert status == NOT_HERE, output
    by_backend = {result.backend: result.outcome for result in report.results}
    assert by_backend == {"memory": Outcome.PASS, "nftables": Outcome.NOT_HERE}


def test_without_room_for_another_namespace(tmp_path: Path) -> None:
    full = ("unshare", "--user", "--map-root-user", "sh", "-c")
    script = 'echo 0 >/proc/sys/user/max_net_namespaces && exec "$@"'
    told = hold(tmp_path, "--backend", "nftables", "-k", CASE, before=(*full, script, "sh"))
    assert_not_here(*told, ["No space left on device", "raise /proc/sys/user/max_net_namespaces"])


def test_where_settings_can_not_be_made(tmp_path: Path) -> None:
    """As in a container that isn't privileged."""
    script = 'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec "$@"'
    sealed = ("unshare", "--mount", "sh", "-c", script, "sh")
    told = hold(tmp_path, "--backend", "nftables", "-k", CASE, before=sealed)
    assert_not_here(*told, ["can't be set (Read-only file system)", "mount /proc/sys writable"])


@pytest.mark.program("setpriv", "prlimit")
def test_without_room_for_open_files(tmp_path: Path) -> None:
    """Unless the limit is one that may be raised."""
    bound = ("setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource")
    told = hold(tmp_path, "--backend", "nftables", "-k", CASE, before=("prlimit", "--nofile=100:100", *bound))
    assert_not_here(*told, ["may open no more than 100 files", "raise the limit, as by 'ulimit -n 1024'"])
    options = ("--backend", "nftables", "--family", "4", "-k", CASE)
    status, output, report = hold(tmp_path, *options, before=("prlimit", "--nofile=100:2000", *bound))
    assert status == 0, output
    assert outcomes(report) == {Outcome.PASS}


def test_where_new_namespaces_have_ipv6_off_it_is_turned_on(tmp_path: Path) -> None:
    """As with net.core.devconf_inherit_init_net, on a machine whose administrator turned IPv6 off."""
    (tmp_path / "noipv6.py").write_text(
        "from pathlib import Path\nfrom pointsman.conformance.lab import netns\nenter = netns._enter\n"
        "def off():\n    entered = enter()\n    for name in ('all', 'default'):\n"
        "        Path(f'/proc/sys/net/ipv6/conf/{name}/disable_ipv6').write_text('1')\n    return entered\n"
        "netns._enter = off\n"
    )
    before = ("env", f"PYTHONPATH={tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    arguments = ("--backend", "nftables", "-k", CASE, "--", "-p", "noipv6")
    status, output, report = hold(tmp_path, *arguments, before=before)
    assert status == 0, output
    assert outcomes(report) == {Outcome.PASS}


def test_without_sctp_what_needs_it_is_not_played_and_the_rest_is(tmp_path: Path) -> None:
    (tmp_path / "nosctp.py").write_text(
        "from pointsman.conformance.lab import lab\n"
        "lab._probe_sctp = lambda _: lab.Capability(False, 'the kernel has no SCTP (by order)')\n"
    )
    arguments = ("--backend", "nftables", "--family", "4", "-k", BY_PROTOCOL)
    before = ("env", f"PYTHONPATH={tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    status, output, report = hold(tmp_path, *arguments, "--", "-p", "nosctp", before=before)
    assert status == 0, output
    found = {result.case.rpartition("[")[2]: (result.outcome, result.message) for result in report.results}
    assert found.pop("sctp]") == (
        Outcome.NOT_HERE,
        "sctp: the kernel has no SCTP (by order); load its module sctp",
    )
    assert found
    assert {outcome for outcome, _ in found.values()} == {Outcome.PASS}
    sctp = report.backends[0].capabilities["IPv4"]["sctp"]
    assert (sctp.level, sctp.reason) == (
        "not-here",
        "the kernel has no SCTP (by order); load its module sctp",
    )


def test_without_a_folder_for_temporary_files(tmp_path: Path) -> None:
    """Nothing can be played then, and no report be written."""
    folders = " ".join(path for path in ("/tmp", "/var/tmp", "/usr/tmp") if Path(path).is_dir())
    # Not hidden, for this interpreter may well be below one of them.
    read_only = "mount --bind $one $one && mount -o remount,bind,ro $one"
    script = f'for one in {folders} /mnt; do {read_only}; done; cd /mnt && exec "$@"'
    words = (sys.executable, "-m", "pointsman", "conformance", "--backend", "memory", "-k", CASE)
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", *words],
        env={name: value for name, value in os.environ.items() if name != "TMPDIR"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("pointsman: No usable temporary directory found in ['/tmp',")
    assert "make one of them writable, or name another in TMPDIR" in done.stderr
    assert "Traceback" not in done.stderr
