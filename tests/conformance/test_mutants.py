"""Broken dataplanes are found out, each by the case that is about what it gets wrong."""

import json
from pathlib import Path

import pytest

from tests.conformance import score
from tests.conformance.mutants import mutants
from tests.conformance.runs import CASES, Case, play
from tests.conformance.score import SUBJECTS, Score, caught, of_dataplanes

pytestmark = pytest.mark.suite

ALL = list(mutants())


@pytest.fixture(scope="module", params=SUBJECTS, ids=lambda subject: subject.rpartition(".")[2])
def played(request: pytest.FixtureRequest, mutants: Path) -> tuple[str, list[Case]]:
    """What becomes of each mutant of a kind in its own case, and of a healthy dataplane in all of them."""
    return request.param, of_dataplanes(mutants, request.param)[1]


def test_all_mutants_of_a_kind_are_caught(played: tuple[str, list[Case]]) -> None:
    subject, cases = played
    kind = [mutant for mutant in ALL if mutant.__module__ == subject]
    assert kind
    survived = {one.__name__: one.caught_by for one in kind if not caught(cases, one.__name__)}
    assert not survived, "these cases passed, or aren't there"


def test_the_same_cases_have_nothing_against_a_healthy_dataplane(played: tuple[str, list[Case]]) -> None:
    subject, cases = played
    healthy = [case for case in cases if case.properties.get("backend") == "memory"]
    assert len(healthy) >= len({mutant.caught_by for mutant in ALL if mutant.__module__ == subject})
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
