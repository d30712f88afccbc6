"""Broken parts beside the rules are found out, each by the case that is about what it gets wrong."""

from pathlib import Path

import pytest

from tests.conformance.besidemutants import CAUGHT_BY
from tests.conformance.runs import Case, play_mutants


@pytest.fixture(scope="module")
def played(mutants: Path) -> list[Case]:
    return play_mutants(mutants, CAUGHT_BY, "4", "-p", "tests.conformance.besidemutants")


@pytest.mark.parametrize("mutant", CAUGHT_BY)
def test_a_part_that_is_broken_is_caught(played: list[Case], mutant: str) -> None:
    own = [case for case in played if case.properties.get("backend") == mutant]
    caught = [case for case in own if case.outcome == "failure"]
    assert caught, f"{CAUGHT_BY[mutant]} passed"
    for case in caught:
        assert case.message.startswith(("AssertionError", "assert")), case.message


def test_the_same_cases_have_nothing_against_healthy_parts(played: list[Case]) -> None:
    healthy = [case for case in played if case.properties.get("backend") == "memory"]
    assert healthy
    assert not [case.name for case in healthy if case.outcome not in ("passed", "skipped")]
