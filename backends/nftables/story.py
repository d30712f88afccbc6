"""Ways through the rules as a verdict, and as a story for people in the words of `Step.topic`."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import takewhile
from math import lcm

from pointsman.core.addresses import format_address, format_endpoint
from pointsman.core.model import Endpoint
from pointsman.core.packet import Action, Packet, Step, Trace, Verdict

from .declarations import declaration
from .layout import Layout
from .listing import describe, describe_verdict
from .machine import (
    DROP,
    Chosen,
    Found,
    Marked,
    Masqueraded,
    Missed,
    Noted,
    Rejected,
    State,
    Translated,
    Visit,
)
from .netlink.constants import VerdictCode
from .netlink.selectors import render
from .netlink.sets import SetSpec

_Place = tuple[bytes, int]
# From what a packet deserves to what must not befall it by chance.
_ACTIONS = (Action.FORWARD, Action.PASS, Action.REJECT, Action.DROP)


def summarise(ways: Sequence[State]) -> Verdict:
    """What all ways come to. Where they disagree, because an element is missing, the worst end is told.

    Endpoints are sorted, their weights in lowest terms.
    """
    action = max((way.action for way in ways), key=_ACTIONS.index)
    shares: dict[_Place, Fraction] = {}
    masqueraded = set()
    for way in ways:
        if way.action is Action.FORWARD:
            place = way.destination, way.port
            shares[place] = shares.get(place, Fraction()) + way.probability
            if way.masqueraded:
                masqueraded.add(place)
    total = sum(shares.values(), Fraction())
    scale = lcm(*((share / total).denominator for share in shares.values()))
    endpoints = {place: Endpoint(*place, int(share / total * scale)) for place, share in shares.items()}
    return Verdict(
        action,
        tuple(sorted(endpoints.values())),
        frozenset(endpoints[place] for place in masqueraded),
    )


def tell(layout: Layout, packet: Packet, ways: Sequence[State]) -> Trace:
    """A verdict, and the rules that led to it.

    What is the same on all ways comes first; then, for each end, what leads there and with what probability.
    """
    teller = _Teller(layout, packet)
    return Trace(summarise(ways), tuple(teller.steps(ways)))


class _Teller:
    """Tells of one packet's ways."""

    def __init__(self, layout: Layout, packet: Packet) -> None:
        self._layout = layout
        self._packet = packet
        sides = layout.sides
        self._matches = {side.dispatch.name for side in sides} | {side.refusals.name for side in sides}
        self._learners = {side.learners.name for side in sides}
        self._silent = layout.classes.name  # says nothing beyond what the rules of the class say

    def steps(self, ways: Sequence[State]) -> Iterator[Step]:
        common = list(takewhile(lambda visit: not _chosen(visit), ways[0].visits))
        told = [step for visit in common for step in self._visit(visit)]
        yield from told
        for alike in _by_end(ways, len(common)):
            one = alike[0]
            rest = one.visits[len(common) :]
            share = sum((way.probability for way in alike), Fraction())
            for at, visit in enumerate(rest, len(common)):
                if _chosen(visit):
                    yield self._pick(alike, visit, at, float(share))
                yield from self._visit(visit)
            if one.action is Action.PASS:
                text = f"no rule decides about {self._packet}: routes and sockets do"
                yield Step("match", text, f"table {self._layout.table}")

    def _visit(self, visit: Visit) -> Iterator[Step]:
        """What one rule did, unless it only led from chain to chain."""
        where, why = self._where(visit), _why(visit)
        for effect in visit.effects:
            if isinstance(effect, Marked):
                if effect.mark:
                    yield Step("policy", f"marked {effect.mark:#x}, to be masqueraded{why}", where)
            elif isinstance(effect, Translated):
                yield from self._translation(visit, effect)
            elif isinstance(effect, Masqueraded):
                source = format_address(self._packet.source)
                yield Step("masquerade", f"source {source} becomes an address of the node{why}", where)
            elif isinstance(effect, Noted):
                text = f"{format_address(self._packet.source)} is noted in {effect.name}{why}"
                yield Step("policy", text, where)
        yield from self._decision(visit, where, why)

    def _decision(self, visit: Visit, where: str, why: str) -> Iterator[Step]:
        """Where a rule sent the packet, if there was something to decide."""
        found = [e for e in visit.effects if isinstance(e, Found) and e.name != self._silent]
        missed = [effect for effect in visit.effects if isinstance(effect, Missed)]
        refused = any(isinstance(effect, Rejected) for effect in visit.effects)
        because = ", ".join([*map(self._membership, found), *map(self._membership, missed)])
        if refused or visit.verdict == DROP:
            what = "rejected" if refused else "dropped"
            yield Step("refuse", f"{because}: {what}{why}" if because else f"{what}{why}", where)
        elif visit.verdict.code in (VerdictCode.JUMP, VerdictCode.GOTO, VerdictCode.RETURN):
            names = {effect.name for effect in found}
            if names & self._learners:
                return
            if found:
                topic = "match" if names & self._matches else "policy"
                yield Step(topic, f"{because}: {describe_verdict(visit.verdict)}{why}", where)
            elif visit.verdict.code == VerdictCode.GOTO:
                yield Step("policy", f"{describe_verdict(visit.verdict)}{why}", where)

    def _translation(self, visit: Visit, effect: Translated) -> Iterator[Step]:
        before = format_endpoint(self._packet.destination, self._packet.port)
        after = format_endpoint(effect.address, effect.port)
        if not _chosen(visit):
            yield Step("pick", f"{after}, no other{_why(visit)}", self._where(visit))
        yield Step("dnat", f"destination {before} becomes {after}", self._element(visit))

    def _element(self, visit: Visit) -> str:
        """The element that a rule found last, as nft would list it."""
        for effect in reversed(visit.effects):
            if isinstance(effect, Found) and isinstance(effect.data, bytes):
                spec = declaration(self._layout, effect.name)
                key, data = spec.render_key(effect.key), _render_data(spec, effect.data)
                return f"table {self._layout.table} {spec.noun} {spec.name}: {key} : {data}"
        return self._where(visit)

    def _pick(self, alike: Sequence[State], visit: Visit, at: int, share: float) -> Step:
        """What chance decided: the numbers that lead to the same end."""
        chosen = [effect for way in alike for effect in way.visits[at].effects if isinstance(effect, Chosen)]
        numbers = ", ".join(str(effect.value) for effect in chosen)
        end, index = alike[0], f"index {numbers} of {chosen[0].modulus}"
        if any(isinstance(effect, Missed) for effect in visit.effects):
            text = f"{index}, for which there is no endpoint"
        else:
            text = f"{format_endpoint(end.destination, end.port)}, {index}{_why(visit)}"
        return Step("pick", text, self._where(visit), share)

    def _membership(self, effect: Found | Missed) -> str:
        spec = declaration(self._layout, effect.name)
        verb = "is" if isinstance(effect, Found) else "isn't"
        return f"{spec.render_key(effect.key)} {verb} in {spec.noun} {spec.name}"

    def _where(self, visit: Visit) -> str:
        """The rule, as ``nft list`` shows it."""
        place = f"table {self._layout.table} chain {visit.chain}"
        return f"{place}: {'policy drop' if visit.rule is None else describe(visit.rule.expressions)}"


def _render_data(spec: SetSpec, data: bytes) -> str:
    return render(spec.data, data) if isinstance(spec.data, tuple) else data.hex(" ")


def _chosen(visit: Visit) -> bool:
    return any(isinstance(effect, Chosen) for effect in visit.effects)


def _why(visit: Visit) -> str:
    """The rule's comment, in brackets."""
    return f" ({visit.rule.comment})" if visit.rule is not None and visit.rule.comment else ""


def _by_end(ways: Sequence[State], common: int) -> list[list[State]]:
    """The ways, those together that differ in nothing but the number that came out."""
    groups: dict[object, list[State]] = {}
    for way in ways:
        rules = tuple((visit.chain, visit.rule and visit.rule.handle) for visit in way.visits[common:])
        groups.setdefault((way.action, way.destination, way.port, way.masqueraded, rules), []).append(way)
    return list(groups.values())
