"""Broken dataplanes are found out, each by the case that is about what it gets wrong."""

from pathlib import Path

import pytest

from tests.conformance.mutants import Mutant, mutants
from tests.conformance.runs import Case
from tests.conformance.score import caught, of_dataplanes

ALL = list(mutants())


@pytest.fixture(scope="module")
def played(mutants: Path) -> list[Case]:
    """What becomes of each mutant in its own case, and of a healthy dataplane in all of them."""
    return of_dataplanes(mutants)[1]


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.__name__)
def test_a_mutant_is_caught(played: list[Case], mutant: type[Mutant]) -> None:
    assert caught(played, mutant.__name__), f"{mutant.caught_by} passed, or isn't there"


def test_the_same_cases_have_nothing_against_a_healthy_dataplane(played: list[Case]) -> None:
    healthy = [case for case in played if case.properties.get("backend") == "memory"]
    assert len(healthy) >= len({mutant.caught_by for mutant in ALL})
    assert not [case.name for case in healthy if case.outcome not in ("passed", "skipped")]
