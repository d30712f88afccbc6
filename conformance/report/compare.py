"""What changed from one report to another."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pointsman.core.errors import ConfigError

from .markdown import described
from .model import Outcome, Report, Result

Key = tuple[str, str, str]

# How good an outcome is; what is not there at all is worse than anything but a failure.
_RANKS: Mapping[Outcome | None, int] = {
    Outcome.PASS: 3,
    Outcome.UNSUPPORTED: 2,
    Outcome.NOT_ASKED: 2,
    Outcome.NOT_IMPLEMENTED: 2,
    Outcome.NOT_HERE: 1,
    None: 1,
    Outcome.FAIL: 0,
}


class Change(NamedTuple):
    """A case that came out otherwise; None where it was not played at all."""

    key: Key
    old: Result | None
    new: Result | None

    @property
    def worse(self) -> bool:
        """Whether the second report is the worse one; a new case that fails is."""
        if self.old is None:
            return self.new is not None and self.new.outcome is Outcome.FAIL
        return _RANKS[_outcome(self.new)] < _RANKS[self.old.outcome]

    def __str__(self) -> str:
        """``worse: backend IPv4 case: pass → fail (message)``."""
        backend, family, case = self.key
        message = "" if self.new is None or not self.new.message else f" ({self.new.message})"
        kind = "worse" if self.worse else "new" if self.old is None else "changed"
        ways = f"{_outcome(self.old) or 'absent'} → {_outcome(self.new) or 'absent'}"
        return f"{kind}: {backend} {family} {case}: {ways}{message}"


class Comparison(NamedTuple):
    """Two reports, held against each other."""

    old: Report
    new: Report
    changes: tuple[Change, ...]

    @property
    def worse(self) -> bool:
        """Whether anything got worse."""
        return any(change.worse for change in self.changes)

    def lines(self) -> Iterator[str]:
        """For people: what was compared, and what changed, the worst first."""
        yield f"old: {described(self.old)}"
        yield f"new: {described(self.new)}"
        for change in sorted(self.changes, key=lambda change: (not change.worse, change.key)):
            yield str(change)
        worse = sum(change.worse for change in self.changes)
        yield f"{len(self.changes)} cases came out otherwise, {worse} of them worse"


def compare(old: Report, new: Report) -> Comparison:
    """Hold two reports against each other, case by case.

    Reports about one backend each are compared whatever these are called.

    Raises:
        ConfigError: they are about several backends, and not the same ones.
    """
    names = [{backend.name for backend in report.backends} for report in (old, new)]
    title = None
    if names[0] != names[1]:
        if any(len(one) != 1 for one in names):
            raise ConfigError(f"nothing to compare: {sorted(names[0])} in one report, {sorted(names[1])}")
        title = " → ".join(min(one) for one in names)
    before, after = _by_key(old, title), _by_key(new, title)
    changes = (Change(key, before.get(key), after.get(key)) for key in sorted(before.keys() | after.keys()))
    return Comparison(old, new, tuple(one for one in changes if _outcome(one.old) is not _outcome(one.new)))


def _by_key(report: Report, title: str | None) -> dict[Key, Result]:
    return {(title or one.backend, one.family, one.case): one for one in report.results}


def _outcome(result: Result | None) -> Outcome | None:
    return None if result is None else result.outcome
