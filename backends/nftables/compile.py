"""From service ports to elements: what the table must hold for each of them. Pure."""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from pointsman.core.model import Frontend, NodeContext, Pool, ServiceFrontends

from .chains import REFUSALS, ChainClass, Pick, Split, allow
from .layout import Layout, match_key
from .netlink.constants import VerdictCode
from .netlink.elements import Verdict
from .ruleset import Elements, Value
from .slots import Slots, assign, index_key


class Placement(NamedTuple):
    """The slots of a service port's two pools."""

    cluster: Slots = ()
    local: Slots = ()

    def of(self, pool: Pool) -> Slots:
        """The slots of a pool."""
        return self.cluster if pool is Pool.CLUSTER else self.local


class Fragment(NamedTuple):
    """What the table holds for one service port: elements, and the chain classes that these lead to."""

    elements: Elements
    classes: frozenset[ChainClass]


def place(service: ServiceFrontends, before: Placement) -> Placement:
    """Slots for a service port, as near to those before as can be."""
    return Placement(assign(before.cluster, service.cluster), assign(before.local, service.local))


def compile_service(layout: Layout, service: ServiceFrontends, placement: Placement) -> Fragment:
    """Everything the table must hold for one service port."""
    writer = _Writer(layout)
    for frontend in service.frontends:
        writer.frontend(service, frontend, placement)
    return Fragment(writer.elements, frozenset(writer.classes))


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
    """Collects elements and the classes they lead to."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.elements: Elements = {}
        self.classes: set[ChainClass] = set()

    def frontend(self, service: ServiceFrontends, frontend: Frontend, placement: Placement) -> None:
        side, key = self._layout.side(frontend.match), match_key(frontend.match)
        near = placement.of(frontend.near.pool)
        far = () if frontend.far is None else placement.of(frontend.far.pool)
        self._slots(side.endpoints.name, key, near)
        self._slots(side.far_endpoints.name, key, far)
        if near:
            self._goto(side.dispatch.name, key, _dispatch_class(frontend, len(near), len(far)))
        # What the dispatch leaves as it is meets the refusals: everybody, or the far ones alone.
        if not near or (frontend.far is not None and not far):
            self._put(side.refusals.name, key, REFUSALS[service.when_empty])
        if frontend.sources is not None:
            self._goto(self._layout.firewall.name, key, allow(frontend.sources))

    def _slots(self, name: str, key: bytes, slots: Slots) -> None:
        elements = self.elements.setdefault(name, {}) if slots else {}
        for index, occupant in enumerate(slots):
            elements[key + index_key(index)] = occupant

    def _goto(self, name: str, key: bytes, chain: ChainClass) -> None:
        self.classes.add(chain)
        self._put(name, key, _goto(chain))

    def _put(self, name: str, key: bytes, value: Value) -> None:
        self.elements.setdefault(name, {})[key] = value


def _dispatch_class(frontend: Frontend, near: int, far: int) -> ChainClass:
    node_port, masquerade = frontend.match.address is None, frontend.near.masquerade
    if frontend.far is None:
        return Pick(node_port, near, masquerade)
    return Split(node_port, near, far, masquerade)


@lru_cache(maxsize=4096)
def _goto(chain: ChainClass) -> Verdict:
    return Verdict(VerdictCode.GOTO, chain.name)
