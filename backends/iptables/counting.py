"""How many rules there are, and how many a sync wrote, by table (MET-11)."""

from collections import Counter

from pointsman.core.plan import TableRules

from .changes import Changes
from .tables import Tables

TABLES = ("filter", "nat")


class RuleCounts:
    """Counts at the cost of what changes; what a full sync finds is counted anew."""

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()

    def filled(self, tables: Tables, changes: Changes) -> tuple[TableRules, ...]:
        """A full sync: the tables are these now, by way of these changes."""
        self._held = Counter()
        for part in (tables.chains, tables.jumps, tables.shared):
            for chain, rules in part.items():
                self._held[chain.table] += len(rules)
        return self._report(changes)

    def moved(self, changes: Changes) -> tuple[TableRules, ...]:
        """A partial sync, of these changes."""
        for part in (changes.chains, changes.jumps):
            for chain, change in part.items():
                self._held[chain.table] += len(change.new or ()) - len(change.old or ())
        return self._report(changes)

    def _report(self, changes: Changes) -> tuple[TableRules, ...]:
        written: Counter[str] = Counter()
        for part in (changes.chains, changes.jumps):
            for chain, change in part.items():
                written[chain.table] += len(change.new or ())
        for chain, rules in changes.shared.items():
            written[chain.table] += len(rules)
        return tuple(TableRules(table, self._held[table], written[table]) for table in TABLES)
