"""A packet's way through a table: from hook to hook, chain to chain, rule to rule.

The ruleset is asked for its parts one by one, only for those the packet meets, so that it may be the
kernel's own. Kernel counterparts: ``nft_do_chain`` in ``net/netfilter/nf_tables_core.c``, and for the NAT
chains ``nf_nat_inet_fn`` in ``net/netfilter/nf_nat_core.c``.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from pointsman.core.errors import DataplaneError
from pointsman.core.packet import Packet

from .instructions import Sets, evaluate
from .machine import BREAK, CONTINUE, DROP, Chosen, State, Visit
from .netlink.constants import CtStatus, Hook, VerdictCode
from .netlink.objects import ChainInfo, RuleInfo
from .operands import NotKnown


class Unreadable(DataplaneError):
    """A rule that the packet meets can't be followed; the message names it."""


class Ruleset(Sets, Protocol):
    """The chains and sets of one table."""

    def bases(self) -> Iterable[ChainInfo]:
        """All base chains."""

    def rules(self, chain: str) -> Sequence[RuleInfo]:
        """The rules of a chain, in order."""


def follow(ruleset: Ruleset, packet: Packet) -> list[State]:
    """Every way a packet may take through a table's chains; their probabilities add up to 1.

    A packet that DNAT has sent elsewhere is taken to be forwarded there. One that the node sends to itself is
    followed on its way out: when it comes in again, NAT has been decided.

    Raises:
        Unreadable: a rule on the way can't be followed.
    """
    walk = _Walk(ruleset)
    going = [State(packet, packet.source, packet.destination, packet.port)]
    for hook in _hooks(packet):
        going = [after for state in going for after in walk.hook(hook(state), state)]
    return going


def _hooks(packet: Packet) -> tuple[Callable[[State], Hook | None], ...]:
    """The hooks that a packet meets; None where it has arrived before."""
    if packet.interface is None:
        return (lambda _: Hook.OUTPUT, lambda _: Hook.POSTROUTING)

    def forwarded(state: State) -> bool:
        return not packet.to_node or bool(state.status & CtStatus.DNAT)

    return (
        lambda _: Hook.PREROUTING,
        lambda state: Hook.FORWARD if forwarded(state) else Hook.INPUT,
        lambda state: Hook.POSTROUTING if forwarded(state) else None,
    )


class _Walk:
    """Follows packets through one ruleset."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._ruleset = ruleset
        self._bases = sorted(ruleset.bases(), key=lambda base: base.priority or 0)

    def hook(self, hook: Hook | None, state: State) -> list[State]:
        """Past all base chains of a hook."""
        going = [state]
        for base in self._bases:
            if base.hook == hook:
                going = [after for state in going for after in self._base(base, state)]
        return going

    def _base(self, base: ChainInfo, state: State) -> Iterator[State]:
        """Past a base chain. A packet that was dropped stays where it is."""
        if state.verdict == DROP or (base.kind == "nat" and state.status & _translation(base)):
            yield state
            return
        for after in self._chain(base.name, state):
            if after.verdict == CONTINUE and base.policy == VerdictCode.DROP:
                policy = Visit(base.name, None, (), DROP)
                yield replace(after, verdict=DROP, visits=(*after.visits, policy))
            else:
                yield after if after.verdict == DROP else after.end(CONTINUE)

    def _chain(self, chain: str, state: State) -> Iterator[State]:
        """Through a chain to its end, verdict ``CONTINUE``, or to a verdict that ends more than the chain."""
        going = [state]
        for rule in self._ruleset.rules(chain):
            arriving, going = going, []
            for arrived in arriving:
                for after in self._rule(rule, arrived):
                    if after.verdict == CONTINUE:
                        going.append(after)
                    elif after.verdict.code == VerdictCode.JUMP:
                        for back in self._target(rule, after):
                            if back.verdict == CONTINUE:
                                going.append(back)
                            else:
                                yield back
                    elif after.verdict.code == VerdictCode.GOTO:
                        yield from self._target(rule, after)
                    elif after.verdict.code == VerdictCode.RETURN:
                        yield after.end(CONTINUE)
                    else:
                        yield after
        yield from going

    def _target(self, rule: RuleInfo, state: State) -> Iterator[State]:
        if state.verdict.chain is None:
            raise _unreadable(rule, "a jump to nowhere")
        return self._chain(state.verdict.chain, state.end(CONTINUE))

    def _rule(self, rule: RuleInfo, state: State) -> list[State]:
        """Past one rule, with its verdict."""
        going, ended = [replace(state, registers=bytes(len(state.registers)), effects=())], list[State]()
        for expression in rule.expressions:
            arriving, going = going, []
            for arrived in arriving:
                try:
                    outcomes = list(evaluate(expression, arrived, self._ruleset))
                except NotKnown as error:
                    raise _unreadable(rule, f"{expression.name}: {error}") from None
                for after in outcomes:
                    (going if after.verdict == CONTINUE else ended).append(after)
        return [_leave(rule, after) for after in (*ended, *going)]


def _translation(base: ChainInfo) -> CtStatus:
    """What a NAT chain decides; of a connection that has it, no chain is asked again."""
    return CtStatus.DNAT if base.hook in (Hook.PREROUTING, Hook.OUTPUT) else CtStatus.SNAT


def _leave(rule: RuleInfo, state: State) -> State:
    """Past a rule. One that didn't match has done nothing, unless it was chance that led astray."""
    if state.verdict != BREAK:
        visit = Visit(rule.chain, rule, state.effects, state.verdict)
    elif any(isinstance(effect, Chosen) for effect in state.effects):
        visit = Visit(rule.chain, rule, state.effects, CONTINUE)
    else:
        return state.end(CONTINUE)
    return replace(state, verdict=visit.verdict, visits=(*state.visits, visit))


def _unreadable(rule: RuleInfo, what: str) -> Unreadable:
    return Unreadable(
        "nftables",
        f"table {rule.table}, chain {rule.chain}, rule with handle {rule.handle} can't be followed: {what};"
        " where the packet would go from there is not known",
    )
