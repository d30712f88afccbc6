"""What to write, and in which order: a difference between two states, as inputs for ``iptables-restore``.

Each step is one transaction, for one table. Refusals that come are written first and those that go last, for
whatever is on its way to an endpoint passes them by: no packet is let through that was to be refused, and
none is refused in between that was or will be served. To that end, what refuses the other ports of a new
ClusterIP is last too. Within a table, chains come before those that lead to
them, and the rules of built-in chains last, so that a step that is too much for one transaction can be cut
anywhere.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice

from msgspec import Struct, field

from . import names
from .tables import ChainName, Change, Rules
from .together import together

# Lines of a transaction of the nft variant: it takes quadratic time.
CHUNK = 2000

_RANKS = {
    prefix: rank
    for rank, prefix in enumerate(
        (
            names.MARK_MASQ,
            names.POSTROUTING,
            names.REFUSED_NODE_PORTS,
            names.ENDPOINT,
            names.SERVICE,
            names.LOCAL,
            names.EXTERNAL,
            names.SOURCES,
            names.BRANCH,
            names.UNCLAIMED,
        )
    )
}


class Changes(Struct):
    """A difference: chains of ours, our rules in built-in chains, and rules to add to shared chains.

    ``created`` are those of the shared chains that aren't there yet; ``held`` are chains of ours that were
    there before, all that lead to those that change among them.
    """

    chains: dict[ChainName, Change] = field(default_factory=dict)
    jumps: dict[ChainName, Change] = field(default_factory=dict)
    shared: dict[ChainName, Rules] = field(default_factory=dict)
    created: set[ChainName] = field(default_factory=set)
    held: Mapping[ChainName, Rules] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return bool(self.chains or self.jumps or self.shared)

    @property
    def only_jumps(self) -> bool:
        """Whether nothing differs but how built-in chains lead to ours."""
        return bool(self.jumps) and not self.chains and not self.shared

    def writes(self) -> int:
        """How many rules and chains are written or removed."""
        count = sum(1 + len(change.new or ()) for change in self.chains.values())
        count += sum(len(change.new or ()) + len(change.old or ()) for change in self.jumps.values())
        return count + sum(map(len, self.shared.values()))


class Filling(Struct, frozen=True):
    """The lines that give a chain its rules, put together as they are asked for."""

    name: str
    rules: Rules

    def __len__(self) -> int:
        return 1 + len(self.rules)

    def __iter__(self) -> Iterator[str]:
        yield f":{self.name} - [0:0]"
        yield from (f"-A {self.name} {text}" for text in self.rules)


# Lines that have to be written at once, in parts.
Group = Sequence[Filling | list[str]]


class Step(Struct, frozen=True):
    """One transaction, for a table: parts of the lines between its name and the ``COMMIT``."""

    table: str
    parts: tuple[Filling | list[str], ...]

    def lines(self) -> Iterator[str]:
        """The input of ``iptables-restore --noflush``, but for the ``COMMIT``."""
        yield f"*{self.table}"
        yield from chain.from_iterable(self.parts)


def culprit(step: Step, line: int, changes: Changes) -> str:
    """What a line of a step is for, by its comment or those of rules that lead to its chain."""
    text = next(islice(step.lines(), line - 1, None), "") if line > 0 else ""
    if not text:
        return f"the {step.table} table"
    name = text.lstrip(":").removeprefix("-A ").removeprefix("-X ").split(" ", 1)[0]
    own = (other for other in step.lines() if f"{name} " in f"{other} ")
    every = chain((change.new or () for change in changes.chains.values()), changes.held.values())
    leading = (other for rules in every for other in rules if f" {other}".endswith(f" -j {name}"))
    for candidate in chain((text,), own, leading):
        _, found, rest = candidate.partition('--comment "')
        if found and "/" in rest:
            return f"{text!r} of {rest.split(' ', 1)[0]}"
    return repr(text)


def steps(changes: Changes, chunk: int | None = None) -> Iterator[Step]:
    """The transactions that carry out a difference, in order; ``chunk`` is the most lines one may have."""
    of = {
        table: {name.name: change for name, change in changes.chains.items() if name.table == table}
        for table in ("nat", "filter")
    }
    early = {
        name: Change(change.old, _both(change))
        for name, change in of["filter"].items()
        if change.new is not None
        and (change.old is None or set(change.new) - set(change.old))
        and not name.startswith((names.CLUSTER_IPS, names.UNCLAIMED))
    }
    yield from _cut("filter", _lines("filter", early, changes, chunk), chunk)
    yield from _table("nat", of["nat"], changes, chunk)
    late = {
        name: change
        for name, change in of["filter"].items()
        if name not in early or early[name].new != change.new
    }
    yield from _table("filter", late, changes, chunk)


def _both(change: Change) -> Rules:
    """The new rules, and after them those that go."""
    new = change.new or ()
    return (*new, *(text for text in change.old or () if text not in new))


def _table(table: str, chains: dict[str, Change], changes: Changes, chunk: int | None) -> Iterator[Step]:
    jumps = [
        line
        for name, change in changes.jumps.items()
        if name.table == table
        for line in _jumps(name.name, change)
    ]
    shared = {name: rules for name, rules in changes.shared.items() if name.table == table}
    declared = [f":{name.name} - [0:0]" for name in changes.created if name.table == table]
    added = [f"-{_how(name)} {name.name} {text}" for name, rules in shared.items() for text in rules]
    # A chain can only go once nothing leads to it: the jumps that go come before the chains that go.
    removed = ([lines] for lines in _removed(chains))
    groups = [*_lines(table, chains, changes, chunk), [declared], [[*added, *jumps]], *removed]
    yield from _cut(table, groups, chunk)


def _how(name: ChainName) -> str:
    return "A" if name.name == names.FIREWALL else "I"


def _jumps(base: str, change: Change) -> Iterator[str]:
    yield from (f"-D {base} {text}" for text in change.old or ())
    yield from (f"-I {base} {at} {text}" for at, text in enumerate(change.new or (), 1))


def _lines(table: str, chains: dict[str, Change], changes: Changes, chunk: int | None) -> list[Group]:
    """The lines for chains, those that belong together in one group."""
    ordered = list(_inside_out(chains))
    whole = chunk is None or sum(1 + len(chains[name].new or ()) for name in ordered) <= chunk
    groups = [ordered] if whole else together(chains, ordered, partial(_staying, changes.held, table))
    return [[Filling(name, chains[name].new or ()) for name in group] for group in groups]


def _staying(held: Mapping[ChainName, Rules], table: str, name: str) -> Rules:
    return held.get(ChainName(table, name), ())


def _inside_out(chains: dict[str, Change]) -> Iterable[str]:
    """The chains to write, each behind those it leads to: by rank, but branches lead to each other."""
    written = sorted(name for name, change in chains.items() if change.new is not None)
    written.sort(key=lambda name: _rank(name, chains[name]))
    branches = {name for name in written if name.startswith(names.BRANCHES)}
    ordered: dict[str, None] = {}

    def add(name: str) -> None:
        if name in ordered:
            return
        for text in chains[name].new or ():
            if (branch := text.rpartition(" -j ")[2]) in branches:
                add(branch)
        ordered[name] = None

    for name in written:
        add(name)
    return ordered


def _removed(chains: dict[str, Change]) -> list[list[str]]:
    gone = sorted((name for name, change in chains.items() if change.new is None), reverse=True)
    gone.sort(key=lambda name: _rank(name, chains[name]), reverse=True)
    groups = [[f":{name} - [0:0]" for name in gone]] if gone else []
    return groups + ([[f"-X {name}" for name in gone]] if gone else [])


def _rank(name: str, change: Change) -> int:
    if name == names.POSTROUTING and len(change.new or ()) < len(change.old or ()):
        return len(_RANKS)  # it marks for pools' chains of the lean form, until none is left
    return next((rank for prefix, rank in _RANKS.items() if name.startswith(prefix)), len(_RANKS))


def _cut(table: str, groups: Iterable[Group], chunk: int | None) -> Iterator[Step]:
    parts: list[Filling | list[str]] = []
    length = 0
    for group in groups:
        more = sum(map(len, group))
        if length and chunk is not None and length + more > chunk:
            yield Step(table, tuple(parts))
            parts, length = [], 0
        parts += group
        length += more
    if length:
        yield Step(table, tuple(parts))
