"""What a plan changes in the table, and what is remembered from one plan to the next."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

from pointsman.core.model import Model, NodeContext, Pool, ServiceFrontends, ServicePortName
from pointsman.core.plan import Delta, SyncPlan

from .affinity import MEMBERS, group
from .chains import Allow, ChainClass, Pick, Split, closure, parse_class, skeleton
from .changes import Changes
from .compile import Placement, compile_addresses, compile_node, compile_service, place
from .layout import Layout, match_key
from .netlink.sets import SetSpec
from .numbers import Numbers, enumerate_chains, held, verdicts
from .ruleset import Chain, Elements, Owned, Value, merge
from .slots import Slots, index_key
from .state import TableState

_NOWHERE = Placement()


@dataclass(slots=True)
class Books:
    """What is known of the table beyond the model it holds.

    ``placements`` has the service ports whose endpoints don't stand in sorted order; ``users`` counts the
    service ports that need a chain class, 0 for one that is there unused; ``sticky`` are service ports with
    chains of their own; ``numbers`` stand for the chains that the dispatch leads to.
    """

    placements: dict[ServicePortName, Placement] = field(default_factory=dict)
    users: Counter[ChainClass] = field(default_factory=Counter)
    sticky: set[ServicePortName] = field(default_factory=set)
    numbers: Numbers = Numbers()

    def placement(self, service: ServiceFrontends) -> Placement:
        """Where a service port's endpoints stand."""
        return self.placements.get(service.name) or place(service, _NOWHERE)

    def remember(self, service: ServiceFrontends, placement: Placement) -> None:
        """Note where a service port's endpoints stand from now on."""
        if placement == place(service, _NOWHERE):
            self.placements.pop(service.name, None)
        else:
            self.placements[service.name] = placement
        if service.affinity:
            self.sticky.add(service.name)
        else:
            self.sticky.discard(service.name)

    def forget(self, name: ServicePortName) -> None:
        """Note that a service port is gone."""
        self.placements.pop(name, None)
        self.sticky.discard(name)

    def count(self, users: Counter[ChainClass]) -> None:
        """Note that service ports have come to need classes, or ceased to."""
        self.users.update(users)
        for chain_class in users:
            if not self.users[chain_class] and _leaves(chain_class):
                del self.users[chain_class]


class Review(NamedTuple):
    """A map of clients to look through once the rest is written.

    Entries that lead to anybody but ``members`` go; those made for another timeout than ``timeout``, in
    milliseconds, get the time they have left by this one (AFF-04, AFF-06).
    """

    clients: SetSpec
    members: frozenset[bytes]
    timeout: int


@dataclass(slots=True)
class Step:
    """One plan on its way into the table: what to write, and what to note once it is written."""

    changes: Changes = field(default_factory=Changes)
    reviews: list[Review] = field(default_factory=list)
    placed: list[tuple[ServiceFrontends, Placement]] = field(default_factory=list)
    gone: list[ServicePortName] = field(default_factory=list)
    users: Counter[ChainClass] = field(default_factory=Counter)
    numbers: Numbers = Numbers()

    def note(self, books: Books) -> None:
        """The changes are in the kernel."""
        for service, placement in self.placed:
            books.remember(service, placement)
        for name in self.gone:
            books.forget(name)
        books.count(self.users)
        books.numbers = self.numbers


def partial(layout: Layout, delta: Delta, desired: Model, books: Books) -> Step:
    """What a delta changes in a table that is known to hold the model before it; costs what changed."""
    step = Step()
    new_context = desired.node
    old_context = delta.node[0] if delta.node is not None else new_context
    before, after = _Side(layout, old_context), _Side(layout, new_context)
    for name, old, new in delta.services:
        placement = _NOWHERE
        if old is not None:
            placement = books.placement(old)
            before.add(old, placement)
        if new is None:
            step.gone.append(name)
        else:
            placement = place(new, placement)
            after.add(new, placement)
            step.placed.append((new, placement))
        if old is not None and new is not None and old.affinity and new.affinity:
            step.reviews += _reviews(layout, new, placement, books.placement(old), old.affinity)
    if delta.node is not None:
        changed = {change.name for change in delta.services}
        for name in sorted(books.sticky - changed):
            service = desired.services[name]
            before.add(service, books.placement(service))
            after.add(service, books.placement(service))
        merge(before.elements, compile_node(layout, old_context))
        merge(after.elements, compile_node(layout, new_context))
        _change_context(step.changes, layout, old_context, new_context, books)
    removed, added = delta.cluster_ips.removed, delta.cluster_ips.added
    merge(before.elements, compile_addresses(layout, removed, delta.endpoint_addresses.removed))
    merge(after.elements, compile_addresses(layout, added, delta.endpoint_addresses.added))
    step.users = after.users
    step.users.subtract(before.users)
    step.changes.compare(before.elements, after.elements)
    _compare_own(step.changes, before, after)
    for chain_class in sorted(step.users, key=_name):
        users = books.users.get(chain_class)
        if users is None and step.users[chain_class]:
            _add_class(step.changes, layout, chain_class, new_context)
        elif users and not users + step.users[chain_class] and _leaves(chain_class):
            _drop_class(step.changes, chain_class)
    step.numbers = enumerate_chains(layout, step.changes, books.numbers)
    return step


def full(layout: Layout, plan: SyncPlan, state: TableState | None) -> tuple[Step, bool]:
    """What differs between the table as the kernel holds it and the plan.

    Also says whether the table has to be made anew, because there is none or one of another layout. The
    step's notes are then, as always here, for books that are empty.
    """
    desired, context = plan.desired, plan.desired.node
    step, after = Step(), _Side(layout, context)
    found: Elements = {} if state is None else verdicts(layout, state.elements)
    for service in desired.services.values():
        placement = place(service, _found(layout, service, found))
        after.add(service, placement)
        step.placed.append((service, placement))
        if service.affinity and state is not None:
            step.reviews += _reviews(layout, service, placement)
    merge(after.elements, compile_addresses(layout, desired.cluster_ips, desired.endpoint_addresses))
    merge(after.elements, compile_node(layout, context))
    step.users = after.users
    fixed = list(skeleton(layout, context))
    changes = step.changes
    if state is None or not _compatible(layout, fixed, after, state):
        changes.skeleton = fixed
        for chain_class in sorted(after.users, key=_name):
            _add_class(changes, layout, chain_class, context)
        _compare_own(changes, _Side(layout, context), after)
        changes.compare({}, {**after.elements, layout.classes.name: Numbers().elements()})
        step.numbers = enumerate_chains(layout, changes, Numbers())
        step.reviews = []
        return step, True
    _keep_unused(step.users, layout, context, state)
    _repair(changes, layout, [*fixed, *after.chains.values()], after.users, context, state)
    changes.new_sets += (Owned(spec) for name, spec in sorted(after.sets.items()) if name not in state.sets)
    numbers = held(found.get(layout.classes.name, {}))
    if plan.complete:
        _drop_strangers(changes, layout, fixed, after, state)
        numbers = numbers.only({c.name for c in after.users} | after.chains.keys())
    after.elements[layout.classes.name] = numbers.elements()
    changes.compare({**found, **_members_held(after, state)}, after.elements)
    if not plan.complete:
        changes.removed = {}
    step.numbers = enumerate_chains(layout, changes, numbers)
    return step, False


class _Side:
    """All that some service ports need, together."""

    def __init__(self, layout: Layout, context: NodeContext) -> None:
        self._layout = layout
        self._context = context
        self.elements: Elements = {}
        self.users: Counter[ChainClass] = Counter()
        self.chains: dict[str, Chain] = {}
        self.sets: dict[str, SetSpec] = {}

    def add(self, service: ServiceFrontends, placement: Placement) -> None:
        fragment = compile_service(self._layout, self._context, service, placement)
        merge(self.elements, fragment.elements)
        self.users.update(set(closure(fragment.classes)))
        self.chains |= fragment.chains
        self.sets |= fragment.sets


def _compare_own(changes: Changes, before: _Side, after: _Side) -> None:
    """Add the difference between what service ports have for themselves."""
    changes.new_sets += (Owned(spec) for name, spec in sorted(after.sets.items()) if name not in before.sets)
    for name, chain in sorted(after.chains.items()):
        if name not in before.chains:
            changes.chains.append(chain)
        elif before.chains[name] != chain:
            changes.skeleton.append(chain)
    changes.gone_chains += sorted(before.chains.keys() - after.chains.keys())
    changes.gone_sets += sorted(before.sets.keys() - after.sets.keys())
    for name in changes.gone_sets:
        changes.removed.pop(name, None)  # they go with their set


def _reviews(
    layout: Layout,
    service: ServiceFrontends,
    placement: Placement,
    before: Placement | None = None,
    seconds: int | None = None,
) -> Iterator[Review]:
    """The maps of clients to look through, all or those that a change from what was before touches."""
    sticky = group(service)
    for pool in Pool:
        slots = placement.of(pool)
        left = before is None or not set(before.of(pool)) <= set(slots)
        if slots and (left or seconds != service.affinity):
            yield Review(sticky.clients(layout, pool), frozenset(slots), 1000 * service.affinity)


def _members_held(after: _Side, state: TableState) -> Elements:
    """What the kernel holds of the sets of members that are wanted."""
    return {
        name: {element.key: None for element in state.owned.get(name, [])}
        for name in after.sets
        if name.startswith(MEMBERS)
    }


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


def _compatible(layout: Layout, fixed: list[Chain], after: _Side, state: TableState) -> bool:
    """Whether the kernel's table is of our layout, so that it can be mended in place."""
    own = (spec for name, spec in after.sets.items() if name in state.sets)
    return all(map(state.declares, (*layout.sets, *own))) and all(map(state.attached, fixed))


def _repair(
    changes: Changes,
    layout: Layout,
    chains: list[Chain],
    users: Counter[ChainClass],
    context: NodeContext,
    state: TableState,
) -> None:
    """Write the chains that are missing or wrong, with the sets that belong to them."""
    classes = sorted(users, key=_name)
    for admitted in (c for c in classes if isinstance(c, Allow)):
        if not state.contains(admitted.owned(layout)):
            changes.new_sets.append(admitted.owned(layout))
    for chain in (*chains, *(chain_class.chain(layout, context) for chain_class in classes)):
        if chain.name not in state.chains:
            changes.chains.append(chain)
        elif not state.holds(chain):
            changes.skeleton.append(chain)


def _keep_unused(users: Counter[ChainClass], layout: Layout, context: NodeContext, state: TableState) -> None:
    """Count ways to pick that are there and right, though nobody needs them now."""
    for name in state.chains:
        unused = parse_class(name)
        if unused is not None and state.holds(unused.chain(layout, context)):
            users.update({unused: 0})


def _drop_strangers(
    changes: Changes, layout: Layout, fixed: list[Chain], after: _Side, state: TableState
) -> None:
    """Remove what is in our table and isn't wanted: leftovers, or somebody's additions."""
    chains = {c.name for c in fixed} | {c.name for c in after.users} | after.chains.keys()
    sets = {spec.name for spec in layout.sets} | after.sets.keys()
    sets |= {chain_class.name for chain_class in after.users if isinstance(chain_class, Allow)}
    changes.gone_chains += sorted(state.chains.keys() - chains)
    # Anonymous sets go with their rules.
    changes.gone_sets += sorted(n for n in state.sets.keys() - sets if not state.anonymous(n))


def _change_context(
    changes: Changes, layout: Layout, old: NodeContext, new: NodeContext, books: Books
) -> None:
    """Rewrite the chains that say something else about this node than before."""
    classes = sorted(books.users, key=_name)
    before = (*skeleton(layout, old), *(chain_class.chain(layout, old) for chain_class in classes))
    after = (*skeleton(layout, new), *(chain_class.chain(layout, new) for chain_class in classes))
    changes.skeleton += (now for was, now in zip(before, after, strict=True) if was != now)


def _leaves(chain_class: ChainClass) -> bool:
    """Whether a class is removed with its last user.

    Ways to pick stay: the kernel goes through all elements of a map when a rule that looks into it comes
    (``nf_tables_bind_set``), and those between which services come and go are few.
    """
    return not isinstance(chain_class, Pick | Split)


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
