"""A command in a guest: what it sees, what it says, what stays."""

import hashlib
import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from pointsman.conformance.vm import Guest, GuestFailed, Kernel, TimedOut, VmUnavailable, find
from tests.conformance.vm.watching import processes

pytestmark = pytest.mark.vm


@pytest.fixture(autouse=True)
def _leaves_nothing(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    before, papers = processes(), tmp_path_factory.mktemp("papers")
    monkeypatch.setattr(tempfile, "tempdir", str(papers))
    yield
    assert processes() == before
    assert not list(papers.iterdir())


def test_status_streams_environment_and_folder_are_the_commands_own(guest: Guest, tmp_path: Path) -> None:
    out, err = bytearray(), bytearray()
    script = 'echo "$WORD in $(pwd)"; echo "$POINTSMAN_VM" >&2; test -t 1 || test -t 0 || exit 7'
    result = guest.run(
        ["sh", "-c", script],
        env={"WORD": "écu", "PATH": os.environ["PATH"]},
        cwd=tmp_path,
        stdout=out.extend,
        stderr=err.extend,
    )
    assert result.returncode == 7
    assert out.decode() == f"écu in {tmp_path}\n"
    assert err.decode() == f"{guest.kernel.release}\n" == f"{result.release}\n"


def test_the_callers_interpreter_and_packages_are_there(guest: Guest) -> None:
    out = bytearray()
    program = "import os, pointsman.core.model as m; print(m.__file__, os.uname().release)"
    assert guest.run([sys.executable, "-c", program], stdout=out.extend).returncode == 0
    path, release = out.decode().split()
    assert Path(path).is_file()
    assert release == guest.kernel.release != os.uname().release


def test_only_named_directories_are_written_through(guest: Guest, tmp_path: Path) -> None:
    kept, lost = tmp_path / "kept", tmp_path / "lost"
    for folder in (kept, lost):
        folder.mkdir()
        (folder / "old").write_text("host")
    (tmp_path / "link").symlink_to(kept)
    script = f'for d in "{kept}" "{lost}"; do echo guest >"$d/old"; echo guest >"$d/new"; cat "$d/old"; done'
    out = bytearray()
    result = msgspec.structs.replace(guest, writable=[tmp_path / "link"]).run(
        ["sh", "-c", script], stdout=out.extend
    )
    assert (result.returncode, bytes(out)) == (0, b"guest\nguest\n")
    assert {file.name: file.read_text() for file in kept.iterdir()} == {"old": "guest\n", "new": "guest\n"}
    assert {file.name: file.read_text() for file in lost.iterdir()} == {"old": "host"}


def test_much_output_arrives_whole_and_apart(guest: Guest) -> None:
    program = "import sys; [print(n, file=(sys.stdout, sys.stderr)[n % 2]) for n in range(20_000)]"
    out, err = bytearray(), bytearray()
    guest.run([sys.executable, "-S", "-c", program], stdout=out.extend, stderr=err.extend)
    expected = ["".join(f"{n}\n" for n in range(start, 20_000, 2)).encode() for start in (0, 1)]
    assert [hashlib.sha256(each).digest() for each in (out, err)] == [
        hashlib.sha256(each).digest() for each in expected
    ]


def test_output_comes_while_the_command_runs(guest: Guest, tmp_path: Path) -> None:
    """The command ends only when the host has seen its word, and answered in a file."""
    answer = tmp_path / "answer"
    script = f'echo ready; until [ -e "{answer}" ]; do sleep 0.05; done; cat "{answer}"'
    out = bytearray()

    def hear(data: bytes) -> None:
        out.extend(data)
        answer.write_text("heard\n")

    reading = msgspec.structs.replace(guest, writable=[tmp_path])
    assert reading.run(["sh", "-c", script], timeout=30, stdout=hear).returncode == 0
    assert out == b"ready\nheard\n"


@pytest.mark.parametrize(
    ("command", "status", "complaint"),
    [
        (["/no/such/program"], 127, b"/no/such/program: No such file or directory\n"),
        (["/etc/passwd"], 126, b"/etc/passwd: Permission denied\n"),
        (["sh", "-c", "kill -9 $$"], -9, b""),
        # What a command leaves running ends with it, and its orphans don't stay as zombies.
        (
            ["sh", "-c", "(true &); while ps -o stat= ax | grep -q Z; do :; done; sleep 300 &"],
            0,
            b"",
        ),
    ],
    ids=["missing", "not executable", "killed", "left running"],
)
def test_how_commands_end(guest: Guest, command: list[str], status: int, complaint: bytes) -> None:
    err = bytearray()
    result = guest.run(command, timeout=20, stderr=err.extend)
    assert (result.returncode, bytes(err)) == (status, complaint)


def test_a_command_whose_time_is_up_may_still_write(guest: Guest, tmp_path: Path) -> None:
    script = f'trap "echo bye; echo saved >{tmp_path}/file; exit 0" TERM; echo hi; sleep 300 & wait'
    out = bytearray()
    with pytest.raises(TimedOut, match="after 1 s"):
        msgspec.structs.replace(guest, writable=[tmp_path]).run(
            ["sh", "-c", script], timeout=1, stdout=out.extend
        )
    assert out == b"hi\nbye\n"
    assert (tmp_path / "file").read_text() == "saved\n"


def test_a_command_that_will_not_end_is_ended(guest: Guest) -> None:
    with pytest.raises(TimedOut):
        guest.run(["sh", "-c", "trap '' TERM; while :; do sleep 300; done"], timeout=0.2)


def test_a_panic_is_told_with_the_end_of_the_console(guest: Guest) -> None:
    with pytest.raises(GuestFailed, match="the guest panicked") as caught:
        guest.run(["sh", "-c", "echo c >/proc/sysrq-trigger"])
    assert any("sysrq: Trigger a crash" in line for line in caught.value.console)
    assert "sysrq: Trigger a crash" in str(caught.value)


def test_a_guest_that_cannot_boot_says_why(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(GuestFailed, match="panicked") as caught:
        guest.run(["true"])
    assert any("/no/such/python" in line for line in caught.value.console)


def test_a_guest_that_does_not_boot_in_time_is_given_up(guest: Guest) -> None:
    with pytest.raises(GuestFailed, match="did not boot in time"):
        msgspec.structs.replace(guest, boot_timeout=0.05).run(["true"])


class Enough(Exception):
    """Stands for the user's Ctrl-C."""


def test_whatever_interrupts_the_caller_ends_the_guest(guest: Guest) -> None:
    def interrupt(_data: bytes) -> None:
        assert len(processes()) > 2
        raise Enough

    with pytest.raises(Enough):
        guest.run(["sh", "-c", "echo hi; exec sleep 300"], stdout=interrupt)


def test_guests_at_once_do_not_meet(guest: Guest, tmp_path: Path) -> None:
    """Both are there before either goes on; each sees its own files, namespaces and processes only."""
    together = threading.Barrier(2)
    script = """
        echo here; until [ -e "$GO" ]; do sleep 0.05; done
        echo $NAME >/tmp/pointsman-name; ip link add name of-$NAME type dummy
        cat /tmp/pointsman-name; ip -o link | grep -o 'of-[a-z]*'; pgrep -cx sleep; sleep 300 &
    """

    def one(name: str) -> bytes:
        out, go = bytearray(), tmp_path / f"go-{name}"

        def hear(data: bytes) -> None:
            out.extend(data)
            if not go.exists():
                together.wait(30)
                go.touch()

        env = {**os.environ, "NAME": name, "GO": str(go)}
        reading = msgspec.structs.replace(guest, writable=[tmp_path])
        assert reading.run(["sh", "-c", script], timeout=60, env=env, stdout=hear).returncode == 0
        return bytes(out)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(one, ["anna", "bert"])) == [
            f"here\n{name}\nof-{name}\n0\n".encode() for name in ("anna", "bert")
        ]
    assert not Path("/tmp/pointsman-name").exists()


@pytest.mark.parametrize("version", ["6.1", "6.12", "7.2"])
def test_what_kernels_have(version: str) -> None:
    """IPVS for both families with its schedulers, nf_tables by its own family, SCTP, bridges and veth."""
    try:
        kernel = find(version)
    except VmUnavailable as error:
        pytest.skip(error.reason)
    out = bytearray()
    program = """
        head -1 /proc/net/ip_vs | cut -d' ' -f1-4; ls -d /proc/sys/net/ipv4/vs/conntrack
        cut -d' ' -f1 /proc/net/protocols | grep SCTP | sort
        unshare -n sh -c 'ip link add name one type veth peer name two; ip link add name three type bridge
            ip -br link' | grep -o '^one\\|^two\\|^three' | sort
    """
    assert Guest(kernel, memory=512).run(["sh", "-c", program], stdout=out.extend).returncode == 0
    assert out.decode().splitlines() == [
        "IP Virtual Server version", "/proc/sys/net/ipv4/vs/conntrack",
        "SCTP", "SCTPv6", "one", "three", "two",
    ]  # fmt: skip


@pytest.mark.parametrize("version", ["6.1", "6.12", "7.2"])
def test_randomness_is_there_at_once(version: str) -> None:
    """Left alone, a guest's kernel gathers too little of it, and programs stand still in getrandom(2)."""
    try:
        kernel = find(version)
    except VmUnavailable as error:
        pytest.skip(error.reason)
    program = "import os; os.getrandom(32, os.GRND_NONBLOCK)"
    assert Guest(kernel, memory=512).run([sys.executable, "-S", "-c", program]).returncode == 0


def test_packets_pass_through_nftables_in_a_guest(guest: Guest) -> None:
    out = bytearray()
    command = [sys.executable, "-m", "pointsman", "demo", "--json", "--connections", "40"]
    assert guest.run(command, stdout=out.extend).returncode == 0
    report = json.loads(out)
    assert (report["kernel"], report["answered"]) == (guest.kernel.release, 40)


def test_memory_that_is_not_there_is_refused(kernel: Kernel) -> None:
    with pytest.raises(VmUnavailable, match="has room for 1000000000 MiB"):
        Guest(kernel, memory=1_000_000_000).run(["true"])


def test_what_is_no_directory_cannot_be_written_through(guest: Guest, tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError, match="missing"):
        msgspec.structs.replace(guest, writable=[tmp_path / "missing"]).run(["true"])
