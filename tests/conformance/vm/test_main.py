"""The command line: statuses, streams, and what Ctrl-C and SIGTERM leave."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pointsman.conformance.vm import Guest
from tests.conformance.vm.watching import processes

PROGRAM = (sys.executable, "-m", "pointsman.conformance.vm")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.vm
def test_a_command_with_its_streams_status_and_directory(guest: Guest, tmp_path: Path) -> None:
    script = f"echo out; echo err >&2; grep -c MemTotal /proc/meminfo >{tmp_path}/file; exit 3"
    options = ("-k", str(guest.kernel.path), "-m", "300M", "-t", "30", "-w", str(tmp_path))
    done = run(*options, "--", "sh", "-c", script)
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")
    assert (tmp_path / "file").read_text() == "1\n"


@pytest.mark.vm
@pytest.mark.parametrize(
    ("script", "status"), [("kill -9 $$", 137), ("sleep 300", 124), ("echo c >/proc/sysrq-trigger", 125)]
)
def test_statuses(guest: Guest, script: str, status: int) -> None:
    done = run("-k", str(guest.kernel.path), "-m", "300M", "-t", "1", "--", "sh", "-c", script)
    assert done.returncode == status
    assert bool(done.stderr) == (status != 137)


@pytest.mark.vm
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signals_end_everything(guest: Guest, tmp_path: Path, number: signal.Signals) -> None:
    """Every process of the guest holds the writing end of the pipe: at its end, none is left."""
    before = processes()
    arguments = ("-k", str(guest.kernel.path), "-m", "300M", "--", "sh", "-c", "echo on; exec sleep 300")
    with subprocess.Popen(
        [*PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"on\n"
        assert list(tmp_path.iterdir())
        child.send_signal(number)
        assert child.stdout.read() == b""
        assert child.wait(20) == (-number if number == signal.SIGKILL else 128 + number)
    assert processes() == before
    # After SIGKILL nobody is there to tidy up.
    assert bool(list(tmp_path.iterdir())) == (number == signal.SIGKILL)


def test_no_kernel(tmp_path: Path) -> None:
    done = run("-k", str(tmp_path / "missing"), "--", "true")
    assert (done.returncode, done.stdout) == (125, "")
    assert "missing can't be run (No such file or directory); name a User-Mode-Linux kernel" in done.stderr


def test_where_this_machine_will_do_there_is_no_guest(tmp_path: Path) -> None:
    tmp_path.joinpath("file").touch()
    done = run("--unless", str(tmp_path), "-k", "0.99", "--", "sh", "-c", f"ls {tmp_path}; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, "file\n", "")


def test_where_no_kernel_is_at_hand_nothing_is_run_and_that_is_said() -> None:
    done = run("--ready", "-k", "0.99", "--", "false")
    assert (done.returncode, done.stdout) == (0, "")
    assert "nothing was run" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "there is no command to run"),
        (("-m", "2", "--", "true"), "'2' is not like 2G or 512M"),
        (("-t", "0", "--", "true"), "'0' is not a number of seconds"),
        (("-t", "nan", "--", "true"), "'nan' is not a number of seconds"),
    ],
)
def test_a_command_line_that_is_wrong(arguments: tuple[str, ...], complaint: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
