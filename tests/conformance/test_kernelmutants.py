"""Broken dataplanes of a kernel are found out, each by the case that is about what it gets wrong."""

from pathlib import Path

import pytest

from tests.conformance.kernelmutants import CAUGHT_BY
from tests.conformance.runs import Case
from tests.conformance.score import caught, of_kernels

pytestmark = pytest.mark.netns


@pytest.fixture(scope="module")
def played(mutants: Path) -> list[Case]:
    return of_kernels(mutants)[1]


@pytest.mark.parametrize("mutant", CAUGHT_BY)
def test_a_broken_dataplane_of_a_kernel_is_caught(played: list[Case], mutant: str) -> None:
    assert caught(played, mutant), f"{CAUGHT_BY[mutant]} passed, or isn't there"


def test_the_same_cases_have_nothing_against_a_healthy_dataplane_of_a_kernel(played: list[Case]) -> None:
    healthy = [case for case in played if case.properties.get("backend") == "nftables"]
    assert len(healthy) >= len(set(CAUGHT_BY.values()))
    assert not [case.name for case in healthy if case.outcome != "passed"]
