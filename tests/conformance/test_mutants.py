"""Broken dataplanes are found out, each by the case that is about what it gets wrong."""

from pathlib import Path

import pytest

from tests.conformance.mutants import Mutant, mutants
from tests.conformance.runs import Case, play_mutants

DUAL_STACK = "test_dual_stack::"
ALL = list(mutants())


@pytest.fixture(scope="module")
def played(mutants: Path) -> list[Case]:
    """What becomes of each mutant in its own case, and of a healthy dataplane in all of them."""
    caught_by = {mutant.__name__: mutant.caught_by for mutant in ALL}
    both = {mutant: case for mutant, case in caught_by.items() if case.startswith(DUAL_STACK)}
    one = {mutant: case for mutant, case in caught_by.items() if mutant not in both}
    return [*play_mutants(mutants, one, "4"), *play_mutants(mutants, both, "both")]


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.__name__)
def test_a_mutant_is_caught(played: list[Case], mutant: type[Mutant]) -> None:
    own = [case for case in played if case.properties.get("backend") == mutant.__name__]
    assert own, f"there is no case {mutant.caught_by}"
    caught = [case for case in own if case.outcome == "failure"]
    assert caught, f"{mutant.caught_by} passed"
    # By what a case or the oracle says of packets, not by a fault of the mutant's own.
    for case in caught:
        assert case.message.startswith(("AssertionError", "assert", "pointsman.conformance.")), case.message


def test_the_same_cases_have_nothing_against_a_healthy_dataplane(played: list[Case]) -> None:
    healthy = [case for case in played if case.properties.get("backend") == "memory"]
    assert len(healthy) >= len({mutant.caught_by for mutant in ALL})
    assert not [case.name for case in healthy if case.outcome != "passed"]
