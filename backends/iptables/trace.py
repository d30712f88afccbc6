"""A packet's way through the kernel's rules, told in the words of those who read ``iptables-save``."""

from math import lcm

from pointsman.core.addresses import format_address, format_endpoint
from pointsman.core.model import Endpoint
from pointsman.core.packet import Action, Packet, Step, Trace, Verdict

from . import names
from .state import State
from .walk import Visit, Way, follow


def trace(state: State, packet: Packet) -> Trace:
    """What the rules make of a packet, each rule that has a part in it named as ``iptables-save`` prints it.

    Of clients that session affinity remembers nothing is known here: the packet is told as that of a new one.
    """
    story = _Story(packet)
    ends = []
    for way in follow(state, packet, story.visited):
        ends.append(way)
    return Trace(_verdict(ends), tuple(story.steps))


def _verdict(ends: list[Way]) -> Verdict:
    led = [way for way in ends if way.action is Action.FORWARD]
    if not led:
        return Verdict(ends[0].action)
    whole = lcm(*(way.chance.denominator for way in led))
    endpoints = {Endpoint(way.destination, way.port, int(way.chance * whole)): way for way in led}
    return Verdict(
        Action.FORWARD,
        tuple(sorted(endpoints)),
        frozenset(endpoint for endpoint, way in endpoints.items() if way.masqueraded),
    )


class _Story:
    """Makes steps of visits. Being led to a chain is only worth telling if anything is decided there."""

    def __init__(self, packet: Packet) -> None:
        self._packet = packet
        self._led: list[Visit] = []
        self.steps: list[Step] = []

    def visited(self, visit: Visit, way: Way) -> None:
        target = visit.rule.target
        while self._led and self._led[-1].rule.target != visit.chain.name:
            self._led.pop()  # led back from there, with nothing decided
        if target in ("RETURN", "") or visit.chain.name == names.MARK_MASQ:
            return
        leads = target.startswith("KUBE-") and target != names.MARK_MASQ
        if leads and not target.startswith(names.ENDPOINT):
            self._led.append(visit)
            return
        step = self._step(visit, way)
        if step is None:
            return
        self.steps += (_lead(led) for led in self._led)
        self._led.clear()
        if target == "DNAT" and not visit.chain.name.startswith(names.ENDPOINT):  # the lean form picks by it
            self.steps.append(_pick(visit, way, visit.rule.get("--to-destination")))
        self.steps.append(step)

    def _step(self, visit: Visit, way: Way) -> Step | None:
        target, where = visit.rule.target, _where(visit)
        comment = visit.rule.get("--comment")
        why = f" ({comment})" if comment else ""
        if target.startswith(names.ENDPOINT):
            return _pick(visit, way, f"{target}{why}")
        if target == "DNAT":
            before = format_endpoint(self._packet.destination, self._packet.port)
            after = visit.rule.get("--to-destination")
            return Step("dnat", f"destination {before} becomes {after}", where)
        if target == "MASQUERADE":
            source = format_address(self._packet.source)
            return Step("masquerade", f"source {source} becomes an address of the node", where)
        if target == names.MARK_MASQ:
            return Step("policy", f"marked to be masqueraded{why}", where)
        if target in ("DROP", "REJECT"):
            what = "dropped" if target == "DROP" else "rejected"
            return Step("refuse", f"{what}{why}", where)
        if target == "ACCEPT" and visit.chain.table == "nat":
            return Step("policy", f"left as it is{why}", where)
        return None


def _pick(visit: Visit, way: Way, what: str) -> Step:
    share = float(visit.share)
    chance = "the rest" if share == 1 else f"{share:.1%} of what gets here".replace(".0%", "%")
    return Step("pick", f"{chance} → {what}", _where(visit), float(way.chance))


def _lead(visit: Visit) -> Step:
    comment = visit.rule.get("--comment")
    topic = "policy" if visit.chain.name.startswith((names.EXTERNAL, names.SOURCES)) else "match"
    return Step(topic, f"→ {visit.rule.target}" + (f" ({comment})" if comment else ""), _where(visit))


def _where(visit: Visit) -> str:
    return f"-t {visit.chain.table} -A {visit.chain.name} {visit.text}"
