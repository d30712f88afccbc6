"""Results out of pytest's reports: one of each phase of a case, from this process or another."""

import pytest
from msgspec.structs import replace

from pointsman.conformance.report.model import Outcome, Result
from pointsman.conformance.report.verdict import WORDS

EXCUSE = "excuse"
"""The property that says which outcome a case has that was not played."""

FALSE_ALARMS = "false alarms"
"""The property that says with what probability a case fails by chance."""

_LONGEST = 4000


class Results:
    """The results of a run so far."""

    def __init__(self) -> None:
        self._found: dict[str, Result] = {}
        self._false_alarms: dict[str, float] = {}

    def add(self, report: pytest.TestReport) -> None:
        """Take in what became of a phase; reports that aren't about a case are passed over."""
        told = dict(report.user_properties)
        if "case" not in told:
            return
        before = self._found.get(report.nodeid)
        seconds = report.duration + (before.seconds if before else 0.0)
        if before is None or _outcome(report) is not Outcome.PASS:
            before = _result(report, told)
        self._found[report.nodeid] = replace(before, seconds=round(seconds, 4))
        if report.when == "teardown":
            backend = before.backend
            spent = float(str(told.get(FALSE_ALARMS, 0.0)))
            self._false_alarms[backend] = self._false_alarms.get(backend, 0.0) + spent

    def all(self) -> tuple[Result, ...]:
        """The results, by case, backend and family."""
        return tuple(sorted(self._found.values(), key=lambda one: (one.case, one.backend, one.family)))

    def of(self, backend: str) -> list[Result]:
        """The results of one backend."""
        return [result for result in self.all() if result.backend == backend]

    def false_alarms(self, backend: str) -> float:
        """The probability that its cases fail though nothing is wrong (Boole's inequality)."""
        return self._false_alarms.get(backend, 0.0)


def _result(report: pytest.TestReport, told: dict[str, object]) -> Result:
    return Result(
        case=str(told["case"]),
        semantics=tuple(str(told["semantics"]).split()),
        core=bool(told["core"]),
        backend=str(told["backend"]),
        family=str(told["family"]),
        outcome=_outcome(report),
        seconds=0.0,
        message=_message(report)[:_LONGEST],
    )


def _outcome(report: pytest.TestReport) -> Outcome:
    if hasattr(report, "wasxfail"):
        return Outcome.NOT_IMPLEMENTED if report.skipped else Outcome.FAIL
    if report.failed:
        return Outcome.FAIL
    if report.skipped:
        # A case that was skipped by anybody else was not played here either.
        return Outcome(str(dict(report.user_properties).get(EXCUSE, Outcome.NOT_HERE)))
    return Outcome.PASS


def _message(report: pytest.TestReport) -> str:
    if report.passed:
        return ""
    if hasattr(report, "wasxfail"):
        return str(report.wasxfail)
    if isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        return reason.removeprefix(f"{WORDS[_outcome(report)]}: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(report.longrepr if crash is None else crash.message)
