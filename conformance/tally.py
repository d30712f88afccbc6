"""What a run comes to: taken from pytest's reports, so that it holds for runs on several processes too."""

import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pointsman import __version__
from pointsman.conformance import report
from pointsman.conformance.report.model import BackendReport, Environment, Outcome, Report, SuiteInfo, Verdict
from pointsman.conformance.report.verdict import WORDS, Judgement, judge, lacks_here, summary

from .account import Account, Known, merged
from .results import Results
from .version import MUTANTS, SUITE_VERSION, digest

NOT_HERE = 6
"""The exit status of a run in which nothing failed, but a core case could not be played on this machine."""

_ACCOUNT = "pointsman"


class Tally:
    """Per backend: what passed, what failed, what wasn't played and why.

    Args:
        config: of the run.
        backends: those that are held to the suite.
        families: those that were asked for.
        account: what this process knows of the run so far.
    """

    def __init__(
        self,
        config: pytest.Config,
        backends: Sequence[str],
        families: Sequence[str],
        account: Callable[[], Account],
    ) -> None:
        self._config = config
        self._backends = backends
        self._families = tuple(families)
        self._own_account = account
        self._accounts: list[Account] = []
        self._results = Results()
        self._began = time.time()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count one phase of a case."""
        self._results.add(report)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take the account of another process of this run, if it lived to give one."""
        told = getattr(node, "workeroutput", {}).get(_ACCOUNT)
        if told is not None:
            self._accounts.append(msgspec.json.decode(told, type=Account))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the reports; never end well where a core case wasn't played, or much was left to chance."""
        account = self._own_account()
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput[_ACCOUNT] = msgspec.json.encode(account).decode()
            return
        self._accounts.append(account)
        if session.exitstatus == pytest.ExitCode.OK:
            if any(self._judgement(one).verdict is Verdict.NOT_CONFORMANT for one in self._backends):
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
            elif lacks_here(self._results.all()):
                session.exitstatus = NOT_HERE
        for name in self._config.getoption("conformance_report"):
            report.write(self._report(), Path(name))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what it comes to."""
        terminalreporter.section("conformance")
        for backend in self._backends:
            own = self._results.of(backend)
            terminalreporter.line(f"{backend}: {self._judgement(backend)} ({summary(own) or 'no cases'})")
            played = (Outcome.PASS, Outcome.FAIL, Outcome.NOT_IMPLEMENTED)
            reasons = Counter((one.outcome, one.message) for one in own if one.outcome not in played)
            for (outcome, reason), number in reasons.items():
                terminalreporter.line(f"  {number} not played: {WORDS[outcome]}: {reason}")
            chance = self._results.false_alarms(backend)
            terminalreporter.line(f"  by chance alone, a run like this fails with probability {chance:.1g}")
        for name in self._config.getoption("conformance_report"):
            terminalreporter.line(f"report: {name}")

    def _judgement(self, backend: str) -> Judgement:
        chosen = self._account().chosen.by_backend.get(backend, 0)
        chance = sum(map(self._results.false_alarms, self._backends))
        return judge(self._suite(), chosen, self._results.of(backend), chance)

    def _account(self) -> Account:
        return merged(sorted(self._accounts, key=lambda one: len(one.chosen.cases)))

    def _suite(self) -> SuiteInfo:
        chosen = self._account().chosen
        return SuiteInfo(
            version=SUITE_VERSION,
            profile=self._config.getoption("conformance_profile"),
            families=self._families,
            cases=chosen.cases,
            digest=digest(chosen.cases),
            trimmed=chosen.trimmed,
            scenarios=self._config.getoption("conformance_scenarios"),
            seed=self._config.getoption("conformance_seed"),
            mutants=MUTANTS,
        )

    def _report(self) -> Report:
        kernel = os.uname()
        started = datetime.fromtimestamp(self._began, UTC)
        return Report(
            started=started.isoformat(timespec="seconds"),
            seconds=round(time.time() - self._began, 3),
            suite=self._suite(),
            environment=Environment(__version__, platform.python_version(), kernel.release, kernel.machine),
            backends=tuple(map(self._backend, self._backends)),
            results=self._results.all(),
        )

    def _backend(self, name: str) -> BackendReport:
        account, judgement = self._account(), self._judgement(name)
        known = account.backends.get(name, Known())
        return BackendReport(
            name=name,
            verdict=judgement.verdict,
            because=judgement.because,
            chosen=account.chosen.by_backend.get(name, 0),
            capabilities=known.capabilities,
            unavailable=known.unavailable,
            false_alarms=self._results.false_alarms(name),
        )
