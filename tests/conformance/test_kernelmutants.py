"""Broken dataplanes of a kernel are found out, each by the case that is about what it gets wrong."""

from pathlib import Path

import pytest

from tests.conformance.runs import Case
from tests.conformance.score import ON_KERNELS, caught, of_kernels

pytestmark = [pytest.mark.netns, pytest.mark.program("iptables")]

MUTANTS = [(backend, mutant) for backend, mutants in ON_KERNELS.items() for mutant in mutants]


@pytest.fixture(scope="module")
def played(mutants: Path) -> dict[str, list[Case]]:
    return {backend: of_kernels(mutants, backend)[1] for backend in ON_KERNELS}


@pytest.mark.parametrize(("backend", "mutant"), MUTANTS)
def test_a_broken_dataplane_of_a_kernel_is_caught(
    played: dict[str, list[Case]], backend: str, mutant: str
) -> None:
    assert caught(played[backend], mutant), f"{ON_KERNELS[backend][mutant]} passed, or isn't there"


@pytest.mark.parametrize("backend", ON_KERNELS)
def test_the_same_cases_have_nothing_against_a_healthy_dataplane_of_a_kernel(
    played: dict[str, list[Case]], backend: str
) -> None:
    healthy = [case for case in played[backend] if case.properties.get("backend") == backend]
    assert len(healthy) >= len(set(ON_KERNELS[backend].values()))
    assert not [case.name for case in healthy if case.outcome != "passed"]
