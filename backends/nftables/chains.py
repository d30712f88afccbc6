"""The chains: a fixed skeleton, and classes that services with the same shape share.

A class chain is named after what it does (``pick-4-unless-local``), so its name tells its rules. It exists
while an element of a verdict map leads to it.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple
from typing import Protocol as Interface

from pointsman.core.addresses import Network, collapse
from pointsman.core.model import LocalInterface, LocalNetwork, LocalTraffic, Masquerade, NodeContext, Refusal

from .layout import Layout
from .netlink import rules as r
from .netlink import selectors as sel
from .netlink.constants import CtState, CtStatus, Hook, SetFlag, VerdictCode
from .netlink.elements import ElementCodec, Verdict, prefix_range
from .netlink.sets import SetSpec
from .ruleset import Base, Chain, Owned, Rule

DNAT_PRIORITY = -100
SNAT_PRIORITY = 100

DISPATCH = "dispatch"
FIREWALL = "check-sources"
REFUSE = "refuse"
REJECT = "reject-it"
UNUSED = "check-service-addresses"
FORWARD = "forward-filter"
MASQUERADE = "masquerade-marked"

_PICK = re.compile(r"(nodeport-)?pick-(far-)?(\d+)-([a-z-]+)")
_SPLIT = re.compile(r"(nodeport-)?split-(?:0|(\d+)-([a-z]+(?:-[a-z]+)?))-(?:0|(\d+)-([a-z-]+))")

# For an address that nobody serves: the packet stays as it is. Without an element it would be taken for one
# to a node port, where the address is the node's own.
NOBODY = Verdict(VerdictCode.RETURN)
REFUSALS = {
    Refusal.REJECT: Verdict(VerdictCode.GOTO, REJECT),
    Refusal.DROP: Verdict(VerdictCode.DROP),
}


class Pick(NamedTuple):
    """A class: pick one of ``size`` indices, after deciding on masquerade."""

    node_port: bool
    size: int
    masquerade: Masquerade
    far: bool = False

    @property
    def name(self) -> str:
        """Such as ``pick-4-unless-local`` or ``nodeport-pick-far-2-never``."""
        far = "far-" if self.far else ""
        return f"{_prefix(self.node_port)}pick-{far}{self.size}-{self.masquerade}"

    def needs(self) -> Iterator["ChainClass"]:
        """The classes it leads to."""
        return iter(())

    def chain(self, layout: Layout, context: NodeContext) -> Chain:
        """Its rules."""
        rules = (*self.before(layout, context), *self.at_random(layout))
        return Chain(self.name, rules, comment=_choice(self.size))

    def before(self, layout: Layout, context: NodeContext) -> Iterator[Rule]:
        """What is decided before an endpoint is picked."""
        yield found()
        yield from _mark(layout, context, self.masquerade)

    def at_random(self, layout: Layout) -> Iterator[Rule]:
        """Pick an endpoint.

        A packet whose processor was taken away since it was led here, as hypervisors do, may find the place
        gone that it picks. The first place stays for as long as there is an endpoint.
        """
        side = layout.node_port if self.node_port else layout.address
        endpoints = side.far_endpoints if self.far else side.endpoints
        yield Rule(r.dnat_map(layout.family, (*side.key, sel.numgen_random(self.size)), endpoints.name))
        if self.size > 1:
            first = (*side.key, sel.numgen_random(1))
            yield Rule(r.dnat_map(layout.family, first, endpoints.name), "the place went meanwhile")


def _choice(size: int) -> str:
    return "the only endpoint" if size == 1 else f"one of {size} places, each as likely"


def _prefix(node_port: bool) -> str:
    return "nodeport-" if node_port else ""


class Split(NamedTuple):
    """A class: local pods and the node pick in one way, everybody else in another (MTX-07).

    None picks nothing: the packet falls through, and is refused later.
    """

    near: Pick | None
    far: Pick | None

    @property
    def name(self) -> str:
        """Such as ``split-4-unless-local-2-never``."""
        prefix = _prefix(any(pick.node_port for pick in self.needs()))
        sides = (f"{pick.size}-{pick.masquerade}" if pick else "0" for pick in self)
        return f"{prefix}split-{'-'.join(sides)}"

    def needs(self) -> Iterator[Pick]:
        """The classes it leads to."""
        return (pick for pick in self if pick is not None)

    def chain(self, layout: Layout, context: NodeContext) -> Chain:
        """Its rules."""
        near, far = (None if pick is None else pick.name for pick in self)
        return Chain(
            self.name, split_rules(layout, context, near, far), comment="external traffic policy Local"
        )


def parse_class(chain: str) -> Pick | Split | None:
    """The way to pick that a chain's name stands for; None where it is no such name."""
    kinds = {*Masquerade, None}
    if (name := _PICK.fullmatch(chain)) and name[4] in kinds:
        return Pick(bool(name[1]), int(name[3]), Masquerade(name[4]), bool(name[2]))
    if (name := _SPLIT.fullmatch(chain)) and {name[3], name[5]} <= kinds:
        node_port = bool(name[1])
        near = Pick(node_port, int(name[2]), Masquerade(name[3])) if name[2] else None
        far = Pick(node_port, int(name[4]), Masquerade(name[5]), far=True) if name[4] else None
        return Split(near, far)
    return None


def split_rules(layout: Layout, context: NodeContext, near: str | None, far: str | None) -> tuple[Rule, ...]:
    """Lead local pods and the node to one chain, everybody else to another; None leads nowhere."""
    to_near = r.return_() if near is None else r.goto(near)
    rules = [Rule(r.match_local(source=True) + to_near, "the node itself")]
    if context.local is not None:
        rules.insert(0, Rule(match_local_traffic(layout, context.local) + to_near, "local pods"))
    if far is not None:
        rules.append(Rule(r.goto(far), "clients from outside"))
    return (found(), *rules)


def found() -> Rule:
    """Take the number off the packet again, once it has led to its chain."""
    return Rule(r.clear_priority())


class Allow(NamedTuple):
    """A class: only these networks may come in (SVC-LB-02), shared by services with the same ranges."""

    sources: tuple[Network, ...]

    @property
    def name(self) -> str:
        """``allow-`` and a digest of the networks."""
        digest = sha256(" ".join(map(str, self.sources)).encode()).hexdigest()
        return f"allow-{digest[:16]}"

    def needs(self) -> Iterator["ChainClass"]:
        """The classes it leads to."""
        return iter(())

    def chain(self, layout: Layout, context: NodeContext) -> Chain:
        """Its rules."""
        rules = (
            Rule(r.match_set((sel.saddr(layout.family),), self.name, interval=True) + r.return_()),
            Rule(r.drop(), "from outside the source ranges"),
        )
        return Chain(self.name, rules, comment="source ranges")

    def owned(self, layout: Layout) -> Owned:
        """The set of its networks, joined where they touch, since a set's intervals must not overlap."""
        spec = SetSpec(self.name, (sel.saddr(layout.family),), flags=SetFlag.INTERVAL)
        intervals = (ElementCodec(spec).interval(first, last) for first, last in _joined(self.sources))
        return Owned(spec, tuple(boundary for interval in intervals for boundary in interval))


@lru_cache(maxsize=4096)
def allow(sources: tuple[Network, ...]) -> Allow:
    """The class that admits some networks, the same for all ways to write them."""
    return Allow(tuple(sorted(collapse(sources))))


class ChainClass(Interface):
    """What service ports of one shape share: a chain with a telling name."""

    @property
    def name(self) -> str:
        """The chain's name, which no other class has."""

    def needs(self) -> "Iterator[ChainClass]":
        """The classes it leads to."""

    def chain(self, layout: Layout, context: NodeContext) -> Chain:
        """Its rules."""

    def __hash__(self) -> int: ...


def closure(classes: Iterable[ChainClass]) -> Iterator[ChainClass]:
    """Classes with all that they lead to, each before those that lead to it; some may come twice."""
    for chain_class in classes:
        yield from chain_class.needs()
        yield chain_class


def skeleton(layout: Layout, context: NodeContext) -> Iterator[Chain]:
    """The chains that are always there."""
    new = r.match_ct_state(CtState.NEW)
    yield from (
        Chain("prerouting-nat", (_jump(DISPATCH),), base=Base("nat", Hook.PREROUTING, DNAT_PRIORITY)),
        Chain("output-nat", (_jump(DISPATCH),), base=Base("nat", Hook.OUTPUT, DNAT_PRIORITY)),
        Chain("postrouting-nat", (_jump(MASQUERADE),), base=Base("nat", Hook.POSTROUTING, SNAT_PRIORITY)),
        Chain(DISPATCH, tuple(_dispatch(layout, context)), comment="where new connections to services begin"),
        Chain(MASQUERADE, tuple(_masquerade(layout, context)), comment="source becomes the node's own"),
    )
    before_dnat = DNAT_PRIORITY - 10
    check = (Rule(new + r.jump(FIREWALL)),)
    yield from (
        Chain("prerouting-sources", check, base=Base("filter", Hook.PREROUTING, before_dnat)),
        Chain("output-sources", check, base=Base("filter", Hook.OUTPUT, before_dnat)),
        Chain(FIREWALL, (Rule(r.verdict_map(layout.firewall.key, layout.firewall.name)),)),
    )
    invalid = Rule(r.match_ct_state(CtState.INVALID) + r.drop(), "no NAT can be done for these")
    refuse, unused = Rule(new + r.jump(REFUSE)), Rule(new + r.jump(UNUSED))
    forward = (invalid, refuse, unused) if context.drop_invalid else (refuse, unused)
    yield from (
        Chain("input-filter", (refuse,), base=Base("filter", Hook.INPUT, 0)),
        Chain(FORWARD, forward, base=Base("filter", Hook.FORWARD, 0)),
        Chain("output-filter", (refuse, unused), base=Base("filter", Hook.OUTPUT, 0)),
        Chain(REFUSE, tuple(_refuse(layout, context)), comment="services without an endpoint to go to"),
        Chain(REJECT, (Rule(r.reject(layout.family)),), comment="tell the client at once"),
        Chain(UNUSED, tuple(_unused(layout, context)), comment="service addresses nobody answers for"),
    )


def _joined(networks: tuple[Network, ...]) -> Iterator[tuple[bytes, bytes]]:
    """The networks as intervals, first and last address, where those that overlap or touch are one."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(_bounds(network) for network in networks):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    for first, last in joined:
        length = len(networks[0].address)
        yield first.to_bytes(length), last.to_bytes(length)


def _bounds(network: Network) -> tuple[int, int]:
    first, last = prefix_range(network.address, network.prefix)
    return int.from_bytes(first), int.from_bytes(last)


def match_local_traffic(layout: Layout, local: LocalTraffic, *, negate: bool = False) -> bytes:
    """The match for packets of local pods (MSQ-06), or for all others.

    A network of length 0 makes everybody local: the match is empty, and its negation has no form.
    """
    if isinstance(local, LocalNetwork):
        network = local.network
        if not network.prefix:
            return b""
        saddr = sel.saddr(layout.family)
        return r.match_prefix(saddr, network.address, network.prefix, negate=negate)
    if isinstance(local, LocalInterface):
        return r.match_interface(sel.IIFNAME, local.interface, negate=negate)
    return r.match_interface(sel.IIFNAME, f"{local.prefix}*", negate=negate)


def _jump(chain: str) -> Rule:
    return Rule(r.jump(chain))


def _everybody_is_local(context: NodeContext) -> bool:
    return isinstance(context.local, LocalNetwork) and not context.local.network.prefix


def _mark(layout: Layout, context: NodeContext, masquerade: Masquerade) -> Iterator[Rule]:
    mark = r.set_mark_bits(context.masquerade_mark)
    if masquerade is Masquerade.ALWAYS:
        yield Rule(mark, "masquerade")
    elif masquerade is Masquerade.UNLESS_LOCAL and not _everybody_is_local(context):
        not_local = b""
        if context.local is not None:
            not_local = match_local_traffic(layout, context.local, negate=True)
        yield Rule(not_local + mark, "masquerade all but local pods")


def _dispatch(layout: Layout, context: NodeContext) -> Iterator[Rule]:
    for side in layout.sides:
        where = _node_port_match(layout, context) if side is layout.node_port else b""
        # The packet's priority is scratch paper between two lookups of one rule: rules share no registers.
        number = r.set_priority_from_map(side.key, side.dispatch.name)
        yield Rule(where + number + r.verdict_map(layout.classes.key, layout.classes.name))


def _leave_be() -> Rule:
    # An endpoint may have an address and port that somebody would be refused at who asked for them.
    return Rule(r.match_ct_status(CtStatus.DNAT) + r.return_(), "on the way to an endpoint")


def _refuse(layout: Layout, context: NodeContext) -> Iterator[Rule]:
    yield _leave_be()
    for side in layout.sides:
        where = _node_port_match(layout, context) if side is layout.node_port else b""
        yield Rule(where + r.verdict_map(side.key, side.refusals.name))


def _node_port_match(layout: Layout, context: NodeContext) -> bytes:
    """The addresses on which node ports answer; never a loopback address (DIV-06)."""
    daddr = sel.daddr(layout.family)
    if context.node_ports.addresses is not None:
        return r.match_set((daddr,), layout.node_port_ips.name)
    loopback = bytes((127, 0, 0, 0)) if daddr.length == 4 else bytes(15) + b"\x01"
    length = 8 if daddr.length == 4 else 128
    return r.match_local() + r.match_prefix(daddr, loopback, length, negate=True)


def _unused(layout: Layout, context: NodeContext) -> Iterator[Rule]:
    daddr = sel.daddr(layout.family)
    known = r.match_set((daddr,), layout.cluster_ips.name)
    yield _leave_be()
    yield Rule(known + r.reject(layout.family), "a ClusterIP, but none of its ports")
    for cidr in context.service_cidrs:
        match = r.match_prefix(daddr, cidr.address, cidr.prefix) if cidr.prefix else b""
        yield Rule(match + r.drop(), f"no Service has this address of {cidr}")


def _masquerade(layout: Layout, context: NodeContext) -> Iterator[Rule]:
    mark = context.masquerade_mark
    clear = r.match_mark(mark, 0, negate=True) + r.flip_mark_bits(mark)
    yield Rule(clear + r.masquerade(fully_random=True), "decided when the endpoint was picked")
    dnated = r.match_ct_status(CtStatus.DNAT)
    hairpin = r.match_set(layout.hairpin.key, layout.hairpin.name)
    yield Rule(dnated + hairpin + r.masquerade(fully_random=True), "a pod reaching itself")
