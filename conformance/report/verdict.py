"""What results come to."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from pointsman.conformance.statistics import RUN_BUDGET

from .model import Outcome, Result, SuiteInfo, Verdict

WORDS = {
    Outcome.PASS: "passed",
    Outcome.FAIL: "failed",
    Outcome.UNSUPPORTED: "unsupported",
    Outcome.NOT_HERE: "not here",
    Outcome.NOT_ASKED: "not asked",
    Outcome.NOT_IMPLEMENTED: "not implemented",
}
"""Outcomes in the order of a summary, and as people say them."""


class Judgement(NamedTuple):
    """A verdict, and what keeps it from being a better one."""

    verdict: Verdict
    because: str = ""

    def __str__(self) -> str:
        """Both."""
        return f"{self.verdict}: {self.because}" if self.because else str(self.verdict)


def judge(suite: SuiteInfo, chosen: int, results: Sequence[Result], false_alarms: float) -> Judgement:
    """What one backend's results come to.

    Args:
        suite: what was asked in this run.
        chosen: how many cases were to be played for the backend.
        results: those that were.
        false_alarms: the probability with which the run fails though nothing is wrong, whoever else is in it.
    """
    counts = Counter(result.outcome for result in results)
    if counts[Outcome.FAIL]:
        return Judgement(Verdict.NOT_CONFORMANT, f"{_cases(counts[Outcome.FAIL])} failed")
    if false_alarms > RUN_BUDGET:
        return Judgement(Verdict.NOT_CONFORMANT, f"left more than {RUN_BUDGET} to chance")
    core = Counter(result.outcome for result in results if result.core)
    if unplayed := core.total() - core[Outcome.PASS] - core[Outcome.NOT_ASKED]:
        return Judgement(Verdict.PARTIAL, f"{_cases(unplayed, 'core ')} could not be played")
    if not counts[Outcome.PASS]:
        return Judgement(Verdict.PARTIAL, "nothing was tested")
    if core[Outcome.NOT_ASKED]:
        asked = f"{_cases(core[Outcome.NOT_ASKED], 'core ')} can't be asked of a program"
        return Judgement(Verdict.PARTIAL, asked)
    if len(results) < chosen:
        return Judgement(Verdict.PARTIAL, f"the run ended before {_cases(chosen - len(results))}")
    if suite.trimmed:
        return Judgement(Verdict.PARTIAL, "cases were left out")
    if len(suite.families) == 1:
        return Judgement(Verdict.PARTIAL, f"only {suite.families[0]} was asked for")
    return Judgement(Verdict.CONFORMANT)


def lacks_here(results: Sequence[Result]) -> bool:
    """Whether a core case could not be played for want of something on this machine, or nothing was.

    What can't be asked of a program is no want of the machine's, but a run of nothing else is no success.
    """
    if any(result.core and result.outcome is Outcome.NOT_HERE for result in results):
        return True
    return bool(results) and all(one.outcome in (Outcome.NOT_HERE, Outcome.NOT_ASKED) for one in results)


def summary(results: Sequence[Result]) -> str:
    """How many had which outcome, as ``412 passed, 3 failed``."""
    counts = Counter(result.outcome for result in results)
    return ", ".join(f"{counts[outcome]} {word}" for outcome, word in WORDS.items() if counts[outcome])


def _cases(number: int, kind: str = "") -> str:
    return f"{number} {kind}case{'' if number == 1 else 's'}"
