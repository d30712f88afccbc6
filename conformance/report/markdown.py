"""A report for people, in Markdown."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from .model import BackendReport, Outcome, Report, Result
from .verdict import summary

_LONGEST = 400


def rendered(report: Report) -> str:
    """One report as a page: verdicts, what failed, what was not played and why."""
    return "\n".join(_lines(report)) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table; what would end a cell is escaped."""
    for cells in (head, ["---"] * len(head), *rows):
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def described(report: Report) -> str:
    """What was asked, and where, in a line."""
    suite, where = report.suite, report.environment
    return (
        f"Suite {suite.version}, profile {suite.profile}, {' and '.join(suite.families)},"
        f" {len(suite.cases)} cases (digest `{suite.digest[:16]}`{', trimmed' if suite.trimmed else ''});"
        f" Pointsman {where.pointsman}, Linux {where.kernel} ({where.machine}), Python {where.python}."
    )


def _lines(report: Report) -> Iterator[str]:
    yield "# Conformance"
    yield ""
    yield described(report)
    yield f"Started {report.started}, took {report.seconds:.0f} s."
    yield ""
    yield from table(("backend", "verdict", "cases"), (_row(report, one) for one in report.backends))
    for backend in report.backends:
        own = [result for result in report.results if result.backend == backend.name]
        yield from _failures(backend.name, own)
        yield from _excuses(backend, own)


def _row(report: Report, backend: BackendReport) -> tuple[str, str, str]:
    own = [result for result in report.results if result.backend == backend.name]
    because = f": {backend.because}" if backend.because else ""
    return backend.name, f"**{backend.verdict}**{because}", summary(own) or "none"


def _failures(backend: str, results: Iterable[Result]) -> Iterator[str]:
    failed = [result for result in results if result.outcome is Outcome.FAIL]
    if failed:
        yield from ("", f"## {backend}: what failed", "")
        yield from table(
            ("case", "family", "rules", "what was seen"),
            (
                (f"`{one.case}`", one.family, ", ".join(one.semantics), one.message[:_LONGEST])
                for one in failed
            ),
        )


def _excuses(backend: BackendReport, results: Iterable[Result]) -> Iterator[str]:
    excused = Counter(
        (result.outcome, result.message)
        for result in results
        if result.outcome not in (Outcome.PASS, Outcome.FAIL)
    )
    if excused:
        yield from ("", f"## {backend.name}: what was not asked of it", "")
        yield from table(
            ("cases", "outcome", "why"),
            (
                (str(number), str(outcome), why)
                for (outcome, why), number in sorted(excused.items(), key=lambda entry: (-entry[1], entry[0]))
            ),
        )
