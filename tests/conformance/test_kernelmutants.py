"""Broken dataplanes of a kernel are found out, each by the case that is about what it gets wrong."""

from pathlib import Path

import pytest

from tests.conformance.kernelmutants import CAUGHT_BY
from tests.conformance.runs import Case, play_mutants

pytestmark = pytest.mark.netns


@pytest.fixture(scope="module")
def played(mutants: Path) -> list[Case]:
    return play_mutants(mutants, CAUGHT_BY, "4", "-p", "tests.conformance.kernelmutants", healthy="nftables")


@pytest.mark.parametrize("mutant", CAUGHT_BY)
def test_a_broken_dataplane_of_a_kernel_is_caught(played: list[Case], mutant: str) -> None:
    own = [case for case in played if case.properties.get("backend") == mutant]
    caught = [case for case in own if case.outcome == "failure"]
    assert caught, f"{CAUGHT_BY[mutant]} passed"
    for case in caught:
        assert case.message.startswith(("AssertionError", "assert")), case.message


def test_the_same_cases_have_nothing_against_a_healthy_dataplane_of_a_kernel(played: list[Case]) -> None:
    healthy = [case for case in played if case.properties.get("backend") == "nftables"]
    assert len(healthy) >= len(set(CAUGHT_BY.values()))
    assert not [case.name for case in healthy if case.outcome != "passed"]
