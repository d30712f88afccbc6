"""What is reported of the example, held to all of the core by two processes; run by ``tox -e thirdparty``."""

from pathlib import Path

import pytest

from pointsman.conformance import report as reports
from pointsman.conformance.report import Outcome, Report, Verdict


@pytest.fixture
def report() -> Report:
    return reports.read(Path("sqlite.json"))


def test_processes_make_one_report(report: Report) -> None:
    [backend] = report.backends
    assert (backend.verdict, backend.because) == (Verdict.CONFORMANT, "")
    assert backend.chosen == len(report.results) > 500
    assert backend.false_alarms > 0
    assert {result.core for result in report.results} == {True}
    assert {result.outcome for result in report.results} <= {Outcome.PASS, Outcome.UNSUPPORTED}
    assert {result.case for result in report.results} == set(report.suite.cases)
    assert not report.suite.trimmed


def test_what_the_example_can_do_is_told_for_both_families(report: Report) -> None:
    [backend] = report.backends
    for family in ("IPv4", "IPv6"):
        assert backend.capabilities[family]["sctp"].level == "supported"
