"""Broken parts beside the rules are found out, each by the case that is about what it gets wrong."""

from pathlib import Path

import pytest

from tests.conformance.besidemutants import CAUGHT_BY
from tests.conformance.runs import Case
from tests.conformance.score import caught, of_parts

pytestmark = pytest.mark.suite


@pytest.fixture(scope="module")
def played(mutants: Path) -> list[Case]:
    return of_parts(mutants)[1]


@pytest.mark.parametrize("mutant", CAUGHT_BY)
def test_a_part_that_is_broken_is_caught(played: list[Case], mutant: str) -> None:
    assert caught(played, mutant), f"{CAUGHT_BY[mutant]} passed, or isn't there"


def test_the_same_cases_have_nothing_against_healthy_parts(played: list[Case]) -> None:
    healthy = [case for case in played if case.properties.get("backend") == "memory"]
    assert len(healthy) >= len(set(CAUGHT_BY.values()))
    assert not [case.name for case in healthy if case.outcome not in ("passed", "skipped")]
