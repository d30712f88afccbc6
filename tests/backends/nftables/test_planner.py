"""Plans without a kernel: deltas and whole states lead to the same table, also from the middle of a sync."""

from collections import Counter
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pointsman.backends.nftables.chains import parse_class
from pointsman.backends.nftables.changes import Writer
from pointsman.backends.nftables.layout import Layout, layout
from pointsman.backends.nftables.numbers import goto
from pointsman.backends.nftables.observe import observed
from pointsman.backends.nftables.planner import Books, Step, full, partial
from pointsman.backends.nftables.slots import index_key
from pointsman.backends.nftables.walk import follow
from pointsman.core.addresses import IPFamily
from pointsman.core.backend import expected
from pointsman.core.model import Endpoint, Model, ServiceFrontends
from pointsman.core.packet import Packet
from pointsman.core.plan import Delta, SyncPlan, advance, diff
from tests import strategies
from tests.backends.nftables.fates import ends, right
from tests.backends.nftables.models import NAME, seed
from tests.backends.nftables.readback import state_of
from tests.backends.nftables.simulated import Simulated
from tests.backends.nftables.synced import Synced, without_loopback

IPV4 = IPFamily.IPV4


def restart(where: Layout, table: Simulated, desired: Model, *, complete: bool = True) -> Step:
    """What somebody without any memory would write into a table."""
    plan = SyncPlan(desired.node.family, desired, Delta(), full=True, complete=complete)
    step, anew = full(where, plan, state_of(where, table))
    assert not anew, "the table was ours, and is mended in place"
    return step


def some_history(data: st.DataObject, size: int = 2) -> list[Model]:
    family = data.draw(strategies.families)
    return [without_loopback(m) for m, _ in data.draw(strategies.histories(family, min_size=size))]


def some_packets(*models: Model) -> st.SearchStrategy[list[Packet]]:
    return st.lists(st.one_of(*map(strategies.packets, models)), min_size=1, max_size=4)


def content(where: Layout, table: Simulated) -> dict[str, object]:
    """All that a table holds, save what is free: who stands at which index, and ways to pick nobody takes."""
    indexed = {spec.name for side in where.sides for spec in (side.endpoints, side.far_endpoints)}
    found: dict[str, object] = {
        f"chain {name}": (info[4:], [(rule.expressions, rule.comment) for rule in table.rules(name)])
        for name, info in table.chains.items()
        if parse_class(name) is None
    }
    classes = {element.key: element.data for element in table.elements[where.classes.name].values()}
    numbered = {side.dispatch.name for side in where.sides}
    for name, info in table.sets.items():
        held = table.elements[name].values()
        elements: object = set(held)
        if name in indexed:
            elements = Counter((e.key[:-4], e.data) for e in held)
        elif name in numbered:
            elements = {(e.key, classes[e.data]) for e in held if isinstance(e.data, bytes)}
        elif name == where.classes.name:
            elements = None  # ways to pick keep theirs
        found[f"set {name}"] = (info._replace(handle=0), elements)
    return found


@given(st.data())
def test_deltas_and_whole_states_lead_to_the_same_table(data: st.DataObject) -> None:
    old, *later = some_history(data)
    synced = Synced(old)
    for new in later:
        for _ in synced.advance(new, diff(old, new)):
            pass
        assert content(synced.layout, synced.table) == content(synced.layout, Synced(new).table)
        assert observed(synced.layout, state_of(synced.layout, synced.table)) == expected(new)
        assert restart(synced.layout, synced.table, new).changes.writes() == 0
        old = new


@settings(max_examples=3 * settings().max_examples)
@given(st.data())
def test_after_each_transaction_every_packet_gets_the_old_answer_or_the_new_one(data: st.DataObject) -> None:
    """As a whole: no endpoint of the one with the masquerade or the source ranges of the other."""
    old, *later = some_history(data)
    synced = Synced(old)
    for new in later:
        packets = data.draw(some_packets(old, new))
        for _ in synced.advance(new, diff(old, new)):
            for packet in packets:
                assert ends(follow(synced.table, packet)) in right(packet, old, new)
        old = new


@given(st.data())
def test_who_dies_in_the_middle_of_a_sync_leaves_a_state_that_is_mended_unnoticed(
    data: st.DataObject,
) -> None:
    """Killed between any two transactions, started again with an old, the same or a newer model."""
    held, meanwhile, *rest = some_history(data)
    new = rest[-1] if rest else meanwhile
    synced = Synced(held)
    packets = data.draw(some_packets(held, meanwhile, new))
    done = data.draw(st.integers(0, 2), label="transactions before the end")
    for _ in islice(synced.advance(meanwhile, diff(held, meanwhile)), done):
        pass
    step = restart(synced.layout, synced.table, new)
    for operations in Writer(synced.layout).phases(step.changes):
        synced.table.commit(operations)
        for packet in packets:
            assert ends(follow(synced.table, packet)) in right(packet, held, meanwhile, new)
    for packet in packets:
        assert [ends(follow(synced.table, packet))] == right(packet, new)
    assert observed(synced.layout, state_of(synced.layout, synced.table)) == expected(new)
    assert restart(synced.layout, synced.table, new).changes.writes() == 0


@given(st.data())
def test_what_was_written_before_the_end_is_not_written_again(data: st.DataObject) -> None:
    old, new, *_ = some_history(data)
    synced = Synced(old)
    left = [restart(synced.layout, synced.table, new).changes.writes()]
    for _ in synced.advance(new, diff(old, new)):
        left.append(restart(synced.layout, synced.table, new).changes.writes())
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0


@given(st.data())
def test_an_early_part_of_a_cold_start_takes_nothing_away(data: st.DataObject) -> None:
    """A plan that isn't complete adds and corrects what it speaks of, and leaves alone what it doesn't."""
    family = data.draw(strategies.families)
    whole = without_loopback(data.draw(strategies.models(family)))
    later = [name for name in sorted(whole.services) if data.draw(st.booleans(), label=f"{name} later")]
    part, _ = advance(whole, [(name, None) for name in later], whole.node)
    synced = Synced(whole)
    assert restart(synced.layout, synced.table, part, complete=False).changes.writes() == 0


@pytest.mark.parametrize("size", [1, 4, 40, 1000])
def test_one_endpoint_costs_the_same_at_any_size(size: int) -> None:
    """Elements written: at its index, the verdict where the size changes, and the hairpin set."""
    model = seed(IPV4, 0)
    service = replace(model.services[NAME], cluster=pods(size))
    model, _ = advance(model, [(NAME, service)], model.node)
    for new, most in (
        (replace(service, cluster=pods(size + 1)), 12),  # a new way to pick with its rules is part of it
        (replace(service, cluster=pods(size)[1:]), 12),
        (replace(service, cluster=(*pods(size)[1:], Endpoint(bytes((10, 9, 9, 9)), 8080))), 3),
    ):
        assert 0 < change(model, new) <= most


def test_what_changes_at_one_service_port_costs_the_same_beside_many() -> None:
    one, many = seed(IPV4), seed(IPV4)
    others = [neighbour(number) for number in range(500)]
    many, _ = advance(many, [(other.name, other) for other in others], many.node)
    shrunk = replace(one.services[NAME], cluster=one.services[NAME].cluster[1:])
    assert change(many, shrunk) <= change(one, shrunk)


def change(model: Model, new: ServiceFrontends) -> int:
    """How much is written when one service port of a model changes."""
    desired, delta = advance(model, [(new.name, new)], model.node)
    books = Books()
    where = layout(model.node.family, "pointsman")
    step, _ = full(where, SyncPlan(IPV4, model, Delta(), full=True), None)
    step.note(books)
    return partial(where, delta, desired, books).changes.writes()


def pods(count: int) -> tuple[Endpoint, ...]:
    return tuple(Endpoint((0x0A800000 + number).to_bytes(4), 8080) for number in range(count))


def neighbour(number: int) -> ServiceFrontends:
    service = seed(IPV4).services[NAME]
    [frontend] = service.frontends
    match = frontend.match._replace(address=(0x0A600100 + number).to_bytes(4))
    return replace(
        service,
        name=NAME._replace(name=f"neighbour-{number}"),
        frontends=(replace(frontend, match=match),),
        cluster=tuple(Endpoint((0x0A900000 + 4 * number + n).to_bytes(4), 8080) for n in range(4)),
    )


# --- examples that a history may not come upon ------------------------------------------------------


def test_ways_to_pick_stay_when_nobody_needs_them_now() -> None:
    synced = Synced(seed(IPV4, 4))
    new = seed(IPV4, 5)
    for _ in synced.advance(new, diff(seed(IPV4, 4), new)):
        pass
    assert {"pick-4-unless-local", "pick-5-unless-local"} <= synced.table.chains.keys()
    assert restart(synced.layout, synced.table, new).changes.writes() == 0


def test_a_number_that_leads_elsewhere_is_mended_and_nobody_follows_it_meanwhile() -> None:
    """Somebody has led a class's number to another class, and that class has two now."""
    model = seed(IPV4, 4)
    service = model.services[NAME]
    [frontend] = service.frontends
    twin = replace(
        service,
        name=NAME._replace(port="twin"),
        frontends=(replace(frontend, match=frontend.match._replace(port=81)),),
        cluster=service.cluster[:2],
    )
    model, _ = advance(model, [(twin.name, twin)], model.node)
    synced = Synced(model)
    classes = synced.table.elements["classes"]
    four, two = (index_key(1), False), (index_key(2), False)
    assert {classes[four].data, classes[two].data} == {
        goto("pick-4-unless-local"),
        goto("pick-2-unless-local"),
    }
    classes[two] = classes[two]._replace(data=classes[four].data)
    step = restart(synced.layout, synced.table, model)
    for operations in Writer(synced.layout).phases(step.changes):
        synced.table.commit(operations)
    assert observed(synced.layout, state_of(synced.layout, synced.table)) == expected(model)
    assert restart(synced.layout, synced.table, model).changes.writes() == 0


def test_a_way_to_pick_that_is_no_longer_right_does_not_stay() -> None:
    """Nobody needs it, and the node's pods have moved: it would mark the wrong ones if it came to use."""
    synced = Synced(seed(IPV4, 4))
    new = seed(IPV4, 5)
    moved = replace(new, node=replace(new.node, local=None))
    step = restart(synced.layout, synced.table, moved)
    assert step.changes.gone_chains == ["pick-4-unless-local"]


@settings(max_examples=50)
@given(st.data())
def test_the_node_may_change_while_ways_to_pick_stay_unused(data: st.DataObject) -> None:
    old, new, newest, *_ = some_history(data, 3)
    synced = Synced(old)
    for _ in synced.advance(new, diff(old, new)):
        pass
    for _ in synced.advance(newest, diff(new, newest)):
        pass
    for name in synced.table.chains:
        unused = parse_class(name)
        if unused is not None:
            assert state_of(synced.layout, synced.table).holds(unused.chain(synced.layout, newest.node))
