"""Session affinity: what a service port with a ClientIP timeout needs beyond the shared maps.

This is the one place with objects per service, and only for services that ask for it. One shared map could
hold who went where by the address that was asked, but all addresses of a service port have to share it
(AFF-02), and no rule that nft can print turns an address into its service's key.

Per service port and pool there is a map from clients to endpoints, filled by the kernel itself: after DNAT, a
rule stores where the client went, or restarts the entry's clock (AFF-01). It stores members of the pool only,
so that nobody is led to an endpoint that has left, not even by a packet on its way when it did (AFF-04).
"""

from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

from pointsman.core.model import NodeContext, Pool, Protocol, ServiceFrontends, ServicePortName

from .chains import DNAT_PRIORITY, Pick, Split, split_rules
from .layout import Layout
from .netlink import rules as r
from .netlink import selectors as sel
from .netlink.constants import CtState, CtStatus, Hook, SetFlag
from .netlink.sets import SetSpec
from .ruleset import Base, Chain, Rule

LEARN = "learn"
MEMBERS = "members-"
CLIENTS = 1 << 17  # remembered per service port and pool; who comes when it is full isn't remembered (DIV-16)


class Learn(NamedTuple):
    """A class: the way to the learning rules, there while any service port has affinity."""

    hook: Hook

    @property
    def name(self) -> str:
        """Such as ``prerouting-learn``."""
        return f"{self.hook.name.lower()}-learn"

    def needs(self) -> Iterator["LearnDispatch"]:
        """The classes it leads to."""
        yield LearnDispatch()

    def chain(self, layout: Layout, context: NodeContext) -> Chain:
        """Its rules: right behind DNAT, for what was rewritten."""
        dnated = r.match_ct_state(CtState.NEW) + r.match_ct_status(CtStatus.DNAT)
        return Chain(
            self.name, (Rule(dnated + r.jump(LEARN)),), base=Base("filter", self.hook, DNAT_PRIORITY + 1)
        )


class LearnDispatch(NamedTuple):
    """A class: from the address that was asked to the service port's learning rules."""

    name: str = LEARN

    def needs(self) -> Iterator["LearnDispatch"]:
        """The classes it leads to."""
        return iter(())

    def chain(self, layout: Layout, context: NodeContext) -> Chain:
        """Its rules, one per protocol: without it, nft wouldn't know what kind of port it prints."""
        return Chain(self.name, tuple(_learn_dispatch(layout, context)), comment="who went where")


LEARNING = (Learn(Hook.PREROUTING), Learn(Hook.OUTPUT))


def _learn_dispatch(layout: Layout, context: NodeContext) -> Iterator[Rule]:
    asked = sel.ct_original_daddr(layout.family)
    port = (sel.L4PROTO, sel.CT_ORIGINAL_PROTO_DST)
    on_node = b""
    if context.node_ports.addresses is not None:
        on_node = r.match_set((asked,), layout.node_port_ips.name)
    for protocol in Protocol:
        match = r.match(sel.L4PROTO, bytes((protocol,)))
        yield Rule(match + r.verdict_map((asked, *port), layout.address.learners.name))
        yield Rule(match + on_node + r.verdict_map(port, layout.node_port.learners.name))


class Group(NamedTuple):
    """What one service port's affinity is made of."""

    digest: str
    comment: str
    seconds: int

    @property
    def learner(self) -> str:
        """The chain with its learning rules."""
        return f"learn-{self.digest}"

    def clients(self, layout: Layout, pool: Pool) -> SetSpec:
        """The map from clients to endpoints of a pool; what is in it is the kernel's business."""
        return SetSpec(
            f"sticky-{self.digest}-{pool}",
            (sel.saddr(layout.family),),
            (sel.daddr(layout.family), sel.TH_DPORT),
            flags=SetFlag.EVAL | SetFlag.TIMEOUT,
            size=CLIENTS,
            comment=self.comment,
        )

    def members(self, layout: Layout, pool: Pool) -> SetSpec:
        """The set of a pool's endpoints."""
        return members(layout, f"{MEMBERS}{self.digest}-{pool}", self.comment)

    def learn_chain(self, layout: Layout, pools: list[Pool]) -> Chain:
        """Remember where a client went, for this long from now on."""
        saddr, target = sel.saddr(layout.family), (sel.daddr(layout.family), sel.TH_DPORT)
        rules = tuple(
            Rule(
                r.match_set(target, self.members(layout, pool).name)
                + r.update_map((saddr,), target, self.clients(layout, pool).name, timeout=1000 * self.seconds)
            )
            for pool in pools
        )
        return Chain(self.learner, rules, comment=self.comment)

    def pick_chain(self, layout: Layout, context: NodeContext, pick: Pick, pool: Pool) -> Chain:
        """As the class ``pick``, but first where the client went before."""
        again = r.dnat_map(layout.family, (sel.saddr(layout.family),), self.clients(layout, pool).name)
        before = Rule(again, "where this client went before")
        rules = (*pick.before(layout, context), before, *pick.at_random(layout))
        return Chain(self.pick_name(pick, pool), rules, comment=self.comment)

    def split_chain(
        self, layout: Layout, context: NodeContext, split: Split, pools: tuple[Pool, Pool]
    ) -> Chain:
        """As the class ``split``, but leading to this service port's own chains."""
        near, far = (
            None if pick is None else self.pick_name(pick, pool)
            for pick, pool in zip(split, pools, strict=True)
        )
        rules = split_rules(layout, context, near, far)
        return Chain(self.split_name(split, pools), rules, comment=self.comment)

    def pick_name(self, pick: Pick, pool: Pool) -> str:
        """The name of this service port's version of a pick."""
        return f"sticky-{self.digest}-{pool}-{pick.name}"

    def split_name(self, split: Split, pools: tuple[Pool, Pool]) -> str:
        """The name of this service port's version of a split."""
        return f"sticky-{self.digest}-{'-'.join(pools)}-{split.name}"


@lru_cache(maxsize=4096)
def _digest(name: ServicePortName) -> str:
    return sha256(str(name).encode()).hexdigest()[:16]


def group(service: ServiceFrontends) -> Group:
    """The group of a service port that has affinity."""
    return Group(_digest(service.name), str(service.name), service.affinity)


def members(layout: Layout, name: str, comment: str = "") -> SetSpec:
    """The declaration of a set of endpoints."""
    return SetSpec(name, (sel.daddr(layout.family), sel.TH_DPORT), comment=comment)
