"""Broken dataplanes are found out, each by the case that is about what it gets wrong."""

import json
from pathlib import Path

import pytest

from tests.conformance import score
from tests.conformance.mutants import Mutant, mutants
from tests.conformance.runs import CASES, Case, play
from tests.conformance.score import Score, caught, of_dataplanes

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


def test_one_that_does_everything_right_is_not_caught(mutants: Path) -> None:
    """So the tests above would fail for a mutant that no case finds out."""
    run = play(mutants, f"{CASES}.{ALL[0].caught_by}", "--backend", "healthy", "--family", "4")
    assert run.cases
    assert not caught(run.cases, "healthy")


@pytest.mark.parametrize(("survived", "status"), [({}, 0), ({"Two": "test_b::test_c"}, 1)])
def test_below_100_percent_the_score_is_a_failure(
    survived: dict[str, str],
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    result = Score({"One": "test_a::test_b"}, survived)
    monkeypatch.setattr(score, "score", lambda _: result)
    assert score.main() == status
    assert json.loads(capsys.readouterr().out)["percent"] == (50 if survived else 100)
