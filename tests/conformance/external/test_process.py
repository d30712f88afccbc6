import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pointsman.conformance.external.process import TargetProcess

FAMILY = "sleep 300 & echo $!; echo ready; wait"
TIMEOUT = 20.0


@pytest.fixture
def stubborn() -> Iterator[TargetProcess]:
    """A program with a child, both deaf to polite requests once they run."""
    process = TargetProcess(subprocess.Popen, ["sh", "-c", f"trap '' TERM; {FAMILY}"])
    yield process
    process.stop()


def processes() -> set[str]:
    """All processes there are, those that nobody has buried yet aside."""
    alive = set()
    for entry in Path("/proc").iterdir():
        try:
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, IndexError):
            continue
        if entry.name.isdecimal() and state != "Z":
            alive.add(entry.name)
    return alive


def test_nothing_of_it_remains(stubborn: TargetProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pointsman.conformance.external.process._GRACE", 0.1)
    stubborn.start()
    while "ready" not in stubborn.last_words():
        assert not stubborn.ended(0.01)
    child = stubborn.last_words().split()[0]
    assert child in processes()
    stubborn.stop()
    assert child not in processes()


def test_its_end_and_its_last_words_are_known() -> None:
    process = TargetProcess(subprocess.Popen, ["sh", "-c", "seq 100; echo oops >&2; exit 3"])
    process.start()
    assert process.ended(TIMEOUT) == "sh exited with 3"
    assert process.last_words().splitlines()[-2:] == ["  100", "  oops"]
    assert "  1\n" not in process.last_words()
    process.stop()


def test_it_starts_again_and_goes_on_where_it_was_quoted() -> None:
    process = TargetProcess(subprocess.Popen, ["sh", "-c", "echo once; kill -9 $$"])
    for _ in range(2):
        process.start()
        assert process.ended(TIMEOUT) == "sh was killed by signal 9"
        process.stop()
    assert process.last_words() == "  once\n  once"
    process.stop()


def test_a_program_that_is_not_there() -> None:
    process = TargetProcess(subprocess.Popen, [os.fspath(Path("/nonesuch"))])
    with pytest.raises(FileNotFoundError):
        process.start()
    process.stop()


def test_one_that_writes_without_end_is_heard_and_takes_no_room() -> None:
    process = TargetProcess(subprocess.Popen, ["sh", "-c", "echo first; yes tick"])
    process.start()
    while "first" in process.last_words() or "tick" not in process.last_words():
        assert not process.ended(0.01)
    assert len(process.last_words()) < 1000
    assert len(process._said) <= 2 * 16_000
    process.stop()


def test_a_child_that_lives_on_keeps_nobody_waiting() -> None:
    """It has left the session, and so is no business of the suite's; but it holds the channel."""
    process = TargetProcess(subprocess.Popen, ["sh", "-c", "setsid sleep 20 & echo $!; exit 3"])
    process.start()
    assert process.ended(TIMEOUT) == "sh exited with 3"
    os.kill(int(process.last_words().split()[0]), signal.SIGKILL)
    process.stop()
