"""From plans to changes: compared with what the kernel holds, or with what it is known to hold. Pure."""

from collections.abc import Mapping

from .changes import Change, Changes
from .image import Changed
from .rules import same
from .state import State
from .tables import ChainName, Rules, Tables


def difference(state: State, tables: Tables, *, keep_others: bool = False) -> Changes:
    """What leads from the kernel's state to ours; with ``keep_others`` no chain goes."""
    changes = Changes()
    for name, rules in tables.chains.items():
        held = state.chains.get(name)
        if held is None or not _alike(held, rules):
            changes.chains[name] = Change(held, rules)
    if not keep_others:
        for name, rules in state.chains.items():
            if name not in tables.chains:
                changes.chains[name] = Change(rules, None)
    for base, rules in tables.jumps.items():
        held = state.jumps(base)
        if not _alike(held, rules):
            changes.jumps[base] = Change(held, rules)
    for name, rules in tables.shared.items():
        present = state.foreign.get(name, ())
        missing = tuple(text for text in rules if not any(same(text, other) for other in present))
        if missing:
            changes.shared[name] = missing
            if name not in state.foreign:
                changes.created.add(name)
    return changes


def movement(held: Mapping[ChainName, Rules], changed: Changed) -> Changes:
    """What leads from the chains that are held to those that changed."""
    return Changes({name: Change(held.get(name), rules) for name, rules in changed.items()})


def way_back(state: State, changes: Changes) -> Changes:
    """What undoes as much of some changes as is written. Rules in shared chains do no harm, and stay."""
    back = Changes()
    for name, change in changes.chains.items():
        held = state.chains.get(name)
        if held is not change.old and (held is None or change.old is None or not _alike(held, change.old)):
            back.chains[name] = Change(held, change.old)
    for base, change in changes.jumps.items():
        held, old = state.jumps(base), change.old or ()
        if not _alike(held, old):
            back.jumps[base] = Change(held, old)
    return back


def removal(state: State) -> Changes:
    """What leaves nothing of ours. The martian guard stays: the kubelet counts on it (CLN-04)."""
    jumps = {base: Change(found, ()) for base in state.foreign if (found := state.jumps(base))}
    used = state.used_by_others()
    return Changes(
        {name: Change(rules, None) for name, rules in state.chains.items() if name not in used}, jumps
    )


def _alike(one: Rules, other: Rules) -> bool:
    return one == other or (len(one) == len(other) and all(map(same, one, other)))
