"""What a plan changes in the table, and what is remembered from one plan to the next."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from pointsman.core.model import Model, NodeContext, Pool, ServiceFrontends, ServicePortName
from pointsman.core.plan import Delta, SyncPlan

from .chains import Allow, ChainClass, closure, skeleton
from .changes import Changes
from .compile import Placement, compile_addresses, compile_node, compile_service, place
from .layout import Layout, match_key
from .ruleset import Chain, Elements, Value, merge
from .slots import Slots, index_key
from .state import TableState

_NOWHERE = Placement()


@dataclass(slots=True)
class Books:
    """What is known of the table beyond the model it holds.

    ``placements`` has the service ports whose endpoints don't stand in sorted order; ``users`` counts the
    service ports that need a chain class.
    """

    placements: dict[ServicePortName, Placement] = field(default_factory=dict)
    users: Counter[ChainClass] = field(default_factory=Counter)

    def placement(self, service: ServiceFrontends) -> Placement:
        """Where a service port's endpoints stand."""
        return self.placements.get(service.name) or place(service, _NOWHERE)

    def remember(self, service: ServiceFrontends, placement: Placement) -> None:
        """Note where a service port's endpoints stand from now on."""
        if placement == place(service, _NOWHERE):
            self.placements.pop(service.name, None)
        else:
            self.placements[service.name] = placement

    def count(self, users: Counter[ChainClass]) -> None:
        """Note that service ports have come to need classes, or ceased to."""
        self.users.update(users)
        for chain_class in users:
            if not self.users[chain_class]:
                del self.users[chain_class]


@dataclass(slots=True)
class Step:
    """One plan on its way into the table: what to write, and what to note once it is written."""

    changes: Changes = field(default_factory=Changes)
    placed: list[tuple[ServiceFrontends, Placement]] = field(default_factory=list)
    gone: list[ServicePortName] = field(default_factory=list)
    users: Counter[ChainClass] = field(default_factory=Counter)

    def note(self, books: Books) -> None:
        """The changes are in the kernel."""
        for service, placement in self.placed:
            books.remember(service, placement)
        for name in self.gone:
            books.placements.pop(name, None)
        books.count(self.users)


def partial(layout: Layout, delta: Delta, desired: Model, books: Books) -> Step:
    """What a delta changes in a table that is known to hold the model before it; costs what changed."""
    step = Step()
    before: Elements = {}
    after: Elements = {}
    for name, old, new in delta.services:
        placement = _NOWHERE
        if old is not None:
            placement = books.placement(old)
            fragment = compile_service(layout, old, placement)
            merge(before, fragment.elements)
            step.users.subtract(set(closure(fragment.classes)))
        if new is None:
            step.gone.append(name)
        else:
            placement = place(new, placement)
            fragment = compile_service(layout, new, placement)
            merge(after, fragment.elements)
            step.users.update(set(closure(fragment.classes)))
            step.placed.append((new, placement))
    merge(before, compile_addresses(layout, delta.cluster_ips.removed, delta.endpoint_addresses.removed))
    merge(after, compile_addresses(layout, delta.cluster_ips.added, delta.endpoint_addresses.added))
    if delta.node is not None:
        merge(before, compile_node(layout, delta.node[0]))
        merge(after, compile_node(layout, delta.node[1]))
    step.changes.compare(before, after)
    context = desired.node
    for chain_class in sorted(step.users, key=_name):
        users = books.users[chain_class]
        if not users and step.users[chain_class]:
            _add_class(step.changes, layout, chain_class, context)
        elif users and not users + step.users[chain_class]:
            _drop_class(step.changes, chain_class)
    if delta.node is not None:
        _change_context(step, layout, *delta.node, books)
    return step


def full(layout: Layout, plan: SyncPlan, state: TableState | None) -> tuple[Step, bool]:
    """What differs between the table as the kernel holds it and the plan.

    Also says whether the table has to be made anew, because there is none or one of another layout. The
    step's notes are then, as always here, for books that are empty.
    """
    step, changes = Step(), Changes()
    desired, context = plan.desired, plan.desired.node
    held: Elements = {} if state is None else state.elements
    elements = compile_addresses(layout, desired.cluster_ips, desired.endpoint_addresses)
    merge(elements, compile_node(layout, context))
    for service in desired.services.values():
        placement = place(service, _found(layout, service, held))
        fragment = compile_service(layout, service, placement)
        merge(elements, fragment.elements)
        step.users.update(set(closure(fragment.classes)))
        step.placed.append((service, placement))
    fixed = list(skeleton(layout, context))
    anew = state is None or not _compatible(layout, fixed, state)
    if state is None or anew:
        changes.skeleton = fixed
        held = {}
        for chain_class in sorted(step.users, key=_name):
            _add_class(changes, layout, chain_class, context)
    else:
        changes.skeleton = [chain for chain in fixed if not state.holds(chain)]
        _repair_classes(changes, layout, step.users, context, state)
        if plan.complete:
            _drop_strangers(changes, layout, fixed, step.users, state)
    changes.compare(held, elements)
    if not plan.complete:
        changes.removed = {}
    step.changes = changes
    return step, anew


def _found(layout: Layout, service: ServiceFrontends, held: Elements) -> Placement:
    """Where the kernel has a service port's endpoints, as its frontends' elements tell."""
    found: dict[Pool, Slots] = {}
    for frontend in service.frontends if held else ():
        side, key = layout.side(frontend.match), match_key(frontend.match)
        for answer, spec in zip(frontend.answers, (side.endpoints, side.far_endpoints), strict=False):
            if answer.pool not in found:
                found[answer.pool] = tuple(_occupants(held.get(spec.name, {}), key))
    return Placement(found.get(Pool.CLUSTER, ()), found.get(Pool.LOCAL, ()))


def _occupants(elements: dict[bytes, Value], key: bytes) -> Iterator[bytes]:
    for index in count():
        occupant = elements.get(key + index_key(index))
        if not isinstance(occupant, bytes):
            return
        yield occupant


def _compatible(layout: Layout, fixed: list[Chain], state: TableState) -> bool:
    """Whether the kernel's table is of our layout, so that it can be mended in place."""
    return all(map(state.declares, layout.sets)) and all(map(state.attached, fixed))


def _repair_classes(
    changes: Changes, layout: Layout, users: Counter[ChainClass], context: NodeContext, state: TableState
) -> None:
    for chain_class in sorted(users, key=_name):
        chain = chain_class.chain(layout, context)
        if isinstance(chain_class, Allow) and not state.contains(chain_class.owned(layout)):
            changes.new_sets.append(chain_class.owned(layout))
        if chain.name not in state.chains:
            changes.chains.append(chain)
        elif not state.holds(chain):
            changes.skeleton.append(chain)


def _drop_strangers(
    changes: Changes, layout: Layout, fixed: list[Chain], users: Counter[ChainClass], state: TableState
) -> None:
    """Remove what is in our table and isn't wanted: leftovers, or somebody's additions."""
    chains = {chain.name for chain in fixed} | {chain_class.name for chain_class in users}
    sets = {spec.name for spec in layout.sets} | {c.name for c in users if isinstance(c, Allow)}
    changes.gone_chains += sorted(state.chains.keys() - chains)
    # Anonymous sets go with their rules.
    changes.gone_sets += sorted(n for n in state.sets.keys() - sets if not state.anonymous(n))


def _change_context(step: Step, layout: Layout, old: NodeContext, new: NodeContext, books: Books) -> None:
    kept = [c for c in sorted(books.users, key=_name) if books.users[c] + step.users[c]]
    before = {c.name: c for c in (*skeleton(layout, old), *(c.chain(layout, old) for c in kept))}
    after = (*skeleton(layout, new), *(c.chain(layout, new) for c in kept))
    step.changes.skeleton += (chain for chain in after if before[chain.name] != chain)


def _add_class(changes: Changes, layout: Layout, chain_class: ChainClass, context: NodeContext) -> None:
    if isinstance(chain_class, Allow):
        changes.new_sets.append(chain_class.owned(layout))
    changes.chains.append(chain_class.chain(layout, context))


def _drop_class(changes: Changes, chain_class: ChainClass) -> None:
    changes.gone_chains.append(chain_class.name)
    if isinstance(chain_class, Allow):
        changes.gone_sets.append(chain_class.name)


def _name(chain_class: ChainClass) -> str:
    return chain_class.name
