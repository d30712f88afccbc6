"""From service ports to elements: what the table must hold for each of them. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

from pointsman.core.model import Answer, Frontend, NodeContext, Pool, ServiceFrontends

from .affinity import LEARNING, Group, group
from .chains import NOBODY, REFUSALS, ChainClass, Pick, Split, allow
from .layout import Layout, match_key
from .netlink.elements import Verdict
from .netlink.sets import SetSpec
from .numbers import goto
from .ruleset import Chain, Elements, Value
from .slots import Slots, assign, index_key


class Placement(NamedTuple):
    """The slots of a service port's two pools."""

    cluster: Slots = ()
    local: Slots = ()

    def of(self, pool: Pool) -> Slots:
        """The slots of a pool."""
        return self.cluster if pool is Pool.CLUSTER else self.local


class Fragment(NamedTuple):
    """What the table holds for one service port.

    ``classes`` are the chain classes that its elements lead to; ``chains`` and ``sets`` are its own, by name,
    which only session affinity needs.
    """

    elements: Elements
    classes: frozenset[ChainClass]
    chains: dict[str, Chain]
    sets: dict[str, SetSpec]


def place(service: ServiceFrontends, before: Placement) -> Placement:
    """Slots for a service port, as near to those before as can be."""
    return Placement(assign(before.cluster, service.cluster), assign(before.local, service.local))


def compile_service(
    layout: Layout, context: NodeContext, service: ServiceFrontends, placement: Placement
) -> Fragment:
    """Everything the table must hold for one service port."""
    writer = _Writer(layout, context, service, placement)
    for frontend in service.frontends:
        writer.frontend(frontend)
    if writer.group is not None:
        writer.remember(writer.group)
    return Fragment(writer.elements, frozenset(writer.classes), writer.chains, writer.sets)


def compile_addresses(
    layout: Layout, cluster_ips: Iterable[bytes], endpoint_addresses: Iterable[bytes]
) -> Elements:
    """The sets that count users over all service ports (SVC-CIP-03, MSQ-03)."""
    return {
        layout.cluster_ips.name: dict.fromkeys(cluster_ips),
        layout.hairpin.name: dict.fromkeys(address + address for address in endpoint_addresses),
    }


def compile_node(layout: Layout, context: NodeContext) -> Elements:
    """The elements that follow from the node alone."""
    return {layout.node_port_ips.name: dict.fromkeys(context.node_ports.addresses or ())}


class _Writer:
    """Collects what one service port needs."""

    def __init__(
        self, layout: Layout, context: NodeContext, service: ServiceFrontends, placement: Placement
    ) -> None:
        self._layout = layout
        self._context = context
        self._service = service
        self._placement = placement
        self.group = group(service) if service.affinity else None
        self.elements: Elements = {}
        self.classes: set[ChainClass] = set()
        self.chains: dict[str, Chain] = {}
        self.sets: dict[str, SetSpec] = {}

    def frontend(self, frontend: Frontend) -> None:
        """Lead to the endpoints, refuse where there are none, and admit whom the frontend admits."""
        side, key = self._layout.side(frontend.match), match_key(frontend.match)
        slots = [self._placement.of(answer.pool) for answer in frontend.answers]
        for endpoints, occupants in zip((side.endpoints, side.far_endpoints), slots, strict=False):
            self._slots(endpoints.name, key, occupants)
        if any(slots):
            self._put(side.dispatch.name, key, self._lead(frontend))
        elif side is self._layout.address:
            self._put(side.dispatch.name, key, NOBODY)
        if not all(slots):  # whom the dispatch leaves as they are meet the refusals
            self._put(side.refusals.name, key, REFUSALS[self._service.when_empty])
        if frontend.sources is not None:
            admitted = allow(frontend.sources)
            self.classes.add(admitted)
            self._put(self._layout.firewall.name, key, goto(admitted.name))

    def remember(self, sticky: Group) -> None:
        """Learn at every address where clients of this service port went."""
        pools = [pool for pool in Pool if self._placement.of(pool)]
        for pool in pools:
            known, pool_members = sticky.clients(self._layout, pool), sticky.members(self._layout, pool)
            self.sets |= {known.name: known, pool_members.name: pool_members}
            self.elements[pool_members.name] = dict.fromkeys(self._placement.of(pool))
        if not pools:
            return
        self.classes.update(LEARNING)
        self._own(sticky.learn_chain(self._layout, pools))
        for frontend in self._service.frontends:
            if not any(self._placement.of(answer.pool) for answer in frontend.answers):
                continue
            learners = self._layout.side(frontend.match).learners
            self._put(learners.name, match_key(frontend.match), goto(sticky.learner))

    def _lead(self, frontend: Frontend) -> Verdict:
        """The verdict by which new connections find their endpoints."""
        near = self._pick(frontend, frontend.near, far=False)
        if frontend.far is None:
            if self.group is not None and near is not None:
                return goto(self.group.pick_name(near, frontend.near.pool))
            shared: ChainClass = near or Split(None, None)
        else:
            shared = Split(near, self._pick(frontend, frontend.far, far=True))
            if self.group is not None:
                pools = (frontend.near.pool, frontend.far.pool)
                self._own(self.group.split_chain(self._layout, self._context, shared, pools))
                return goto(self.group.split_name(shared, pools))
        self.classes.add(shared)
        return goto(shared.name)

    def _pick(self, frontend: Frontend, answer: Answer, *, far: bool) -> Pick | None:
        """How one audience picks; None where there is nothing to pick from."""
        size = len(self._placement.of(answer.pool))
        if not size:
            return None
        pick = Pick(frontend.match.address is None, size, answer.masquerade, far)
        if self.group is not None:
            self._own(self.group.pick_chain(self._layout, self._context, pick, answer.pool))
        return pick

    def _own(self, chain: Chain) -> None:
        self.chains[chain.name] = chain

    def _slots(self, name: str, key: bytes, slots: Slots) -> None:
        elements = self.elements.setdefault(name, {}) if slots else {}
        for index, occupant in enumerate(slots):
            elements[key + index_key(index)] = occupant

    def _put(self, name: str, key: bytes, value: Value) -> None:
        self.elements.setdefault(name, {})[key] = value
