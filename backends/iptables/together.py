"""Which chains have to be written in one transaction, when a change is cut into several.

A packet's way leads through several chains. Where one that is there leads to another that changes, and leads
to it no longer or only now, packets would meet one as it was and the other as it will be: the masquerading
that was meant for other endpoints, or none. New chains are met by nobody yet, and those that go by nobody any
more: the first can be written before and the others removed after all that is in use.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from . import names
from .tables import Change

_DISPATCHING = (
    names.SERVICES,
    names.NODE_PORTS,
    names.PROXY_FIREWALL,
    names.EXTERNAL_SERVICES,
    names.REFUSED_NODE_PORTS,
    *names.BRANCHES,
)


def together(
    chains: Mapping[str, Change], ordered: Iterable[str], staying: Callable[[str], Iterable[str]]
) -> list[list[str]]:
    """The chains to write, in order, those of one list to be written at once.

    ``staying`` tells the rules of chains that don't change.
    """
    written = list(ordered)
    parts = _Parts(name for name in written if chains[name].old is not None)
    for name in written:
        if name in parts.of:
            for other in _bound(name, chains, staying):
                if other in parts.of:
                    parts.join(name, other)
    # Whom an address's own rules let pass goes on to the node ports, where it may be one of the node's.
    dispatching = [name for name in parts.of if name.startswith(_DISPATCHING)]
    if any(_is_for_ports(text) for name in dispatching for text in _differing(chains[name])):
        for name in dispatching:
            parts.join(name, dispatching[0])
    last = {parts.find(name): at for at, name in enumerate(written) if name in parts.of}
    groups: dict[str, list[str]] = {}
    found: list[list[str]] = []
    for at, name in enumerate(written):
        if name not in parts.of:
            found.append([name])
            continue
        part = parts.find(name)
        groups.setdefault(part, []).append(name)
        if last[part] == at:
            found.append(groups[part])
    return found


def _bound(name: str, chains: Mapping[str, Change], staying: Callable[[str], Iterable[str]]) -> Iterator[str]:
    """The chains that one which is there leads to, before or after, past those that come, go or stay."""
    change = chains[name]
    # Those that dispatch lead everywhere, and most of it stays.
    apart = name.startswith(_DISPATCHING)
    todo = list(_targets(_differing(change) if apart else {*(change.old or ()), *(change.new or ())}))
    seen: set[str] = set()
    while todo:
        target = todo.pop()
        if target in seen:
            continue
        seen.add(target)
        reached = chains.get(target)
        if reached is None:
            # Whoever is led to a branch that stays meets there what was there before.
            todo += _targets(() if target.startswith(names.BRANCHES) else staying(target))
        elif reached.old is not None and reached.new is not None:
            yield target
        else:
            todo += _targets(reached.old or reached.new or ())


def _differing(change: Change) -> set[str]:
    return {*(change.old or ())} ^ {*(change.new or ())}


def _is_for_ports(text: str) -> bool:
    return " --dport " in text and " -d " not in f" {text}"


def _targets(rules: Iterable[str]) -> Iterator[str]:
    return (f" {text}".rpartition(" -j ")[2] for text in rules)


class _Parts:
    """Disjoint parts of a whole, which begins in pieces."""

    def __init__(self, pieces: Iterable[str]) -> None:
        self.of = {piece: piece for piece in pieces}

    def find(self, piece: str) -> str:
        while self.of[piece] != piece:
            self.of[piece] = piece = self.of[self.of[piece]]
        return piece

    def join(self, one: str, other: str) -> None:
        self.of[self.find(one)] = self.find(other)
