"""Rules against backends: what every backend makes of every rule of the service contract, in each family."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from .markdown import described, table
from .model import BOTH, Outcome, Report, Result
from .verdict import WORDS

_FAMILIES = ("IPv4", "IPv6")


class Column(NamedTuple):
    """A backend in a family."""

    backend: str
    family: str

    def __str__(self) -> str:
        """Both, in a table's head."""
        return f"{self.backend} {self.family}"


def rendered(reports: Sequence[Report]) -> str:
    """The table in Markdown, with what was asked above it, and the reasons of what was not played below."""
    return "\n".join(_lines(reports)) + "\n"


def _lines(reports: Sequence[Report]) -> Iterator[str]:
    cells: dict[str, dict[Column, list[Result]]] = defaultdict(lambda: defaultdict(list))
    for report in reports:
        for result in report.results:
            for identifier in result.semantics:
                for column in _columns(result):
                    cells[identifier][column].append(result)
    columns = list(dict.fromkeys(column for row in cells.values() for column in row))
    columns.sort(key=lambda one: _order(reports, one))
    notes = _Notes()
    rows = [
        (identifier, *(_cell(row[column], notes) for column in columns))
        for identifier, row in sorted(cells.items())
    ]
    for report in reports:
        for backend in report.backends:
            because = f" ({backend.because})" if backend.because else ""
            yield f"- `{backend.name}`: **{backend.verdict}**{because}. {described(report)}"
    tried = max((report.suite.mutants for report in reports), default=0)
    yield f"- The suite itself finds out {tried} of {tried} broken proxies."
    yield ""
    yield from table(("rule", *map(str, columns)), rows)
    yield ""
    yield from notes.lines()


def _columns(result: Result) -> Iterator[Column]:
    for family in _FAMILIES if result.family == BOTH else (result.family,):
        yield Column(result.backend, family)


def _order(reports: Iterable[Report], column: Column) -> tuple[int, str]:
    names = list(dict.fromkeys(backend.name for report in reports for backend in report.backends))
    return names.index(column.backend), column.family


def _cell(results: Sequence[Result], notes: "_Notes") -> str:
    """What all cases of a rule come to: one that fails weighs more than any that pass."""
    counts = Counter(result.outcome for result in results)
    if counts[Outcome.FAIL]:
        return f"**fail** {counts[Outcome.FAIL]}/{len(results)}"
    marks = sorted({notes.mark(one) for one in results if one.outcome is not Outcome.PASS})
    excused = "".join(f"[{mark}]" for mark in marks)
    if counts[Outcome.PASS]:
        return f"pass {excused}".rstrip()
    most = max(counts, key=lambda outcome: (counts[outcome], outcome), default=None)
    return "–" if most is None else f"{WORDS[most]} {excused}".rstrip()


class _Notes:
    """Why cases weren't played, numbered as they come."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[Outcome, str], int] = {}

    def mark(self, result: Result) -> int:
        return self._numbers.setdefault((result.outcome, result.message), len(self._numbers) + 1)

    def lines(self) -> Iterator[str]:
        for (outcome, message), number in self._numbers.items():
            yield f"- [{number}] {WORDS[outcome]}: {message}"
