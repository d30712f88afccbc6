"""What a run comes to: counted from pytest's reports, so that it holds for runs on several processes too."""

from collections import Counter
from collections.abc import Sequence

import pytest

from .statistics import RUN_BUDGET

NOT_HERE = 6
"""The exit status of a run in which nothing failed, but a core case could not be played on this machine."""


class Tally:
    """Per backend: what passed, what failed, what wasn't played and why."""

    def __init__(self, backends: Sequence[str]) -> None:
        self._outcomes: dict[str, Counter[str]] = {backend: Counter() for backend in backends}
        self._reasons: dict[str, Counter[str]] = {backend: Counter() for backend in backends}
        self._partial: set[str] = set()
        self._false_alarms = dict.fromkeys(backends, 0.0)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count one case."""
        properties = dict(report.user_properties)
        backend = properties.get("backend")
        if not isinstance(backend, str) or backend not in self._outcomes:
            return
        if report.when == "teardown":
            self._false_alarms[backend] += float(str(properties.get("false alarms", 0.0)))
        if report.when == "call" or not report.passed:
            self._outcomes[backend]["xfailed" if hasattr(report, "wasxfail") else report.outcome] += 1
        if report.skipped and not hasattr(report, "wasxfail"):
            self._reasons[backend][_reason(report)] += 1
            if properties.get("core"):
                self._partial.add(backend)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Never end well where a core case wasn't played, or too much was left to chance."""
        if session.exitstatus == pytest.ExitCode.OK:
            if self._over_budget():
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
            elif self._partial:
                session.exitstatus = NOT_HERE

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what it comes to."""
        terminalreporter.section("conformance")
        for backend, outcomes in self._outcomes.items():
            numbers = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()))
            terminalreporter.line(f"{backend}: {self._verdict(backend)} ({numbers or 'no cases'})")
            for reason, number in self._reasons[backend].items():
                terminalreporter.line(f"  {number} not played: {reason}")
            chance = self._false_alarms[backend]
            terminalreporter.line(f"  by chance alone, a run like this fails with probability {chance:.1g}")

    def _verdict(self, backend: str) -> str:
        outcomes = self._outcomes[backend]
        if outcomes["failed"]:
            return "failed"
        if backend in self._over_budget():
            return f"failed: left more than {RUN_BUDGET} to chance"
        if backend in self._partial:
            return "partial, core cases were not played"
        return "passed" if outcomes["passed"] else "nothing was tested"

    def _over_budget(self) -> list[str]:
        return [backend for backend, spent in self._false_alarms.items() if spent > RUN_BUDGET]


def _reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return str(report.longrepr)
