"""What cases expect doesn't come from the engine: a broken one is found out although its oracle agrees."""

from pathlib import Path

import pytest

from tests.conformance.enginemutants import CAUGHT_BY, VARIABLE
from tests.conformance.runs import Run, play

pytestmark = pytest.mark.suite

CASES = "pointsman.conformance.cases"
BROKEN = ("--backend", "memory", "--family", "4", "-p", "tests.conformance.enginemutants")


@pytest.fixture(scope="module")
def healthy(mutants: Path) -> Run:
    return play(mutants, *(f"{CASES}.{case}" for case in CAUGHT_BY.values()), *BROKEN)


@pytest.mark.parametrize("mutant", CAUGHT_BY)
def test_a_broken_engine_is_caught(mutants: Path, healthy: Run, mutant: str) -> None:
    assert healthy.status == 0, healthy.output
    broken = play(mutants, f"{CASES}.{CAUGHT_BY[mutant]}", *BROKEN, variables={VARIABLE: mutant})
    assert broken.status == pytest.ExitCode.TESTS_FAILED, broken.output
    messages = [case.message for case in broken.cases if case.outcome == "failure"]
    assert messages
    for message in messages:
        assert message.startswith(("AssertionError", "assert")), message
        assert "was due, but the outcome is" not in message, "the oracle found it out, which can't be"
