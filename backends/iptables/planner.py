"""From plans to changes: compared with what the kernel holds, or with what it is known to hold. Pure."""

from collections.abc import Iterable

from . import names
from .changes import Changes
from .rules import same
from .state import State
from .tables import ChainName, Change, Rules, Tables, nat


def difference(
    state: State,
    tables: Tables,
    chains: Iterable[tuple[ChainName, Rules]] | None = None,
    *,
    keep_others: bool = False,
) -> Changes:
    """What leads from the kernel's state to ours; with ``keep_others`` no chain goes.

    One that others lead to can't go: it is emptied, and stays. ``chains`` are ours, where they come one by
    one and not with the tables.
    """
    changes = Changes(held=state.chains)
    stale = {} if keep_others else dict(state.chains)
    for name, rules in tables.chains.items() if chains is None else chains:
        stale.pop(name, None)
        held = state.chains.get(name)
        if held is None or not _alike(held, rules):
            changes.chains[name] = Change(held, rules)
    used = state.used_by_others() if stale else {}
    for name in stale:
        if name not in used or state.chains[name]:
            changes.chains[name] = Change(state.chains[name], () if name in used else None)
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


def way_back(state: State, changes: Changes) -> Changes:
    """What undoes as much of some changes as is written. Rules in shared chains do no harm, and stay."""
    back = Changes(held=state.chains)
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
    """What leaves nothing of ours but what others use.

    The martian guard stays, for the kubelet counts on it (CLN-04), and so does what others mark packets with.
    """
    changes = difference(state, Tables())
    if nat(names.MARK_MASQ) in state.used_by_others():
        changes.chains.pop(nat(names.MARK_MASQ), None)
    changes.jumps = {base: Change(found, ()) for base in state.foreign if (found := state.jumps(base))}
    return changes


def _alike(one: Rules, other: Rules) -> bool:
    return one == other or (len(one) == len(other) and all(map(same, one, other)))
