"""Plans, carried out on dictionaries instead of a kernel."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pointsman.backends.ipvs import planner, sweep
from pointsman.backends.ipvs.observe import observed
from pointsman.backends.ipvs.places import Places, block
from pointsman.backends.ipvs.planner import Step, full, partial
from pointsman.backends.ipvs.servers import (
    ADD,
    ADD_SERVICE,
    DELETE,
    DELETE_SERVICE,
    SET,
    SET_SERVICE,
    Destination,
    Request,
    Server,
    Service,
    Steps,
    Target,
    steps,
    with_leaving,
)
from pointsman.core.addresses import IPFamily
from pointsman.core.backend import expected
from pointsman.core.model import Model, NodeContext, Protocol, ServiceFrontends
from pointsman.core.plan import Delta, SyncPlan
from tests.strategies import families, histories

Held = dict[Server, Service]


def by_scheduler(service: ServiceFrontends) -> str:
    """As with a kernel that has lc and no other but the one for all."""
    return "lc" if service.scheduler == "lc" else "mh"


class Refused(Exception):
    """What IPVS would answer with an error."""


def carry_out(held: Held, requests: Sequence[Request]) -> Held:
    """What IPVS makes of requests, as strict as the kernel about what is there already or missing."""
    after = dict(held)
    for request in requests:
        server, target = request.server, request.target
        if (request.verb is ADD_SERVICE) == (server in after):
            raise Refused(request)
        if request.verb in (ADD_SERVICE, SET_SERVICE):
            assert request.service is not None
            kept = after[server].destinations if server in after else {}
            new = request.service
            after[server] = Service(new.scheduler, new.flags, kept, new.timeout)
        elif request.verb is DELETE_SERVICE:
            del after[server]
        else:
            assert target is not None
            service = after[server]
            destinations = dict(service.destinations)
            if (request.verb is ADD) == (target in destinations):
                raise Refused(request)
            if request.verb is DELETE:
                del destinations[target]
            else:
                assert request.verb in (ADD, SET)
                assert request.destination is not None
                destinations[target] = request.destination
            after[server] = Service(service.scheduler, service.flags, destinations, service.timeout)
    return after


targets = st.builds(Target, st.sampled_from((b"\x0a\0\0\1", b"\x0a\0\0\2")), st.sampled_from((80, 8080)))
contents = st.builds(
    Service,
    st.sampled_from(("mh", "rr", "lc")),
    st.sampled_from((0, 0x18)),
    st.dictionaries(targets, st.builds(Destination, st.integers(0, 3), st.sampled_from((0, 3)))),
    st.sampled_from((0, 300)),
)
servers = st.builds(Server, st.sampled_from(Protocol), st.just(b"\xf0\0\0\1"), st.sampled_from((1, 2)))
states = st.dictionaries(servers, contents)


@given(states, states)
def test_steps_lead_from_any_state_to_any_other(before: Held, after: Held) -> None:
    """And in between, everybody who is to be there is, beside those who are about to go."""
    make, clear, leaving = steps(before, after)
    between = carry_out(before, make)
    for server, service in after.items():
        assert service.destinations.items() <= between[server].destinations.items()
    assert between.keys() == before.keys() | after.keys()
    assert carry_out(between, clear) == with_leaving(after, leaving)
    for server, targets in leaving.items():
        assert after[server].scheduler == "lc"
        assert server.protocol is not Protocol.UDP
        assert targets == before[server].destinations.keys() - after[server].destinations.keys()
    assert steps(after, after) == Steps([], [], {})


def test_who_leaves_lingers_where_connections_are_counted_and_gets_its_weight_again() -> None:
    server = Server(Protocol.TCP, b"\xf0\0\0\1", 1)
    one, other = Target(b"\x0a\0\0\1", 80), Target(b"\x0a\0\0\2", 80)
    both = {server: Service("lc", 0, {one: Destination(2), other: Destination(3)})}
    alone = {server: Service("lc", 0, {one: Destination(2)})}
    going = steps(both, alone)
    assert going == Steps(
        [], [Request(SET, server, None, other, Destination(0))], {server: frozenset((other,))}
    )
    left = with_leaving(alone, going.leaving)
    assert steps(left, alone) == Steps([], [], going.leaving)
    assert steps(left, both) == Steps([Request(SET, server, None, other, Destination(3))], [], {})
    assert steps(left, {}) == Steps([], [Request(DELETE_SERVICE, server)], {})
    hashed = {server: replace(alone[server], scheduler="mh")}
    assert steps(left, hashed).clear == [Request(DELETE, server, None, other)]


def test_the_idle_go_and_who_was_not_looked_at_stays() -> None:
    servers = [Server(Protocol.TCP, b"\xf0\0\0\1", port) for port in (1, 2, 3)]
    one, other = Target(b"\x0a\0\0\1", 80), Target(b"\x0a\0\0\2", 80)
    leaving = {server: frozenset((one, other)) for server in servers}
    swept = sweep.plan(leaving, {servers[0]: {one: 0, other: 5}, servers[1]: {other: 0}})
    assert swept.requests == [
        Request(DELETE, servers[0], None, one),
        Request(DELETE, servers[1], None, other),
    ]
    assert swept.leaving == {servers[0]: {other}, servers[2]: {one, other}}


class Process:
    """What a dataplane does with plans, on a dictionary."""

    def __init__(self, family: IPFamily, held: Held) -> None:
        self.family = family
        self.network = block(family, "pointsman")
        self.held = held
        self._places = Places(self.network)
        self._known = planner.Held()
        self.busy = False

    def full(self, desired: Model) -> Step:
        self._places = Places(self.network)
        plan = SyncPlan(self.family, desired, Delta(), full=True)
        return self._do(full(plan, self.held, self._places, by_scheduler))

    def partial(self, desired: Model, delta: Delta) -> Step:
        plan = SyncPlan(self.family, desired, delta, full=False)
        step = self._do(partial(plan, self._known, self._places, by_scheduler))
        for name, _, new in delta.services:
            if new is None:
                self._places.leave(name)
        return step

    def _do(self, step: Step) -> Step:
        self.held = carry_out(carry_out(self.held, step.requests.make), step.requests.clear)
        leaving = step.held.leaving
        counts = {server: dict.fromkeys(targets, int(self.busy)) for server, targets in leaving.items()}
        swept = sweep.plan(leaving, counts)
        self.held = carry_out(self.held, swept.requests)
        self._known = step.held._replace(leaving=swept.leaving)
        return step


@given(families, st.data())
def test_table_and_virtual_servers_together_are_the_model(family: IPFamily, data: st.DataObject) -> None:
    """After every delta of any history; and a process that starts anew has nothing to do.

    Be the connections of those who leave over at once or not.
    """
    process = Process(family, {})
    process.full(Model(NodeContext(family)))
    table = Model(NodeContext(family))
    for desired, delta in data.draw(histories(family)):
        process.busy = data.draw(st.booleans())
        step = process.partial(desired, delta)
        table = table if step.table is None else step.table.desired
        found = observed(expected(table), process.held, process.network, iter(()))
        assert found == expected(desired)
        again = Process(family, process.held).full(desired)
        assert again.requests[:2] == ([], [])
        assert again.table is not None
        assert expected(again.table.desired) == expected(table)


@given(families, st.data())
def test_a_full_plan_mends_whatever_is_held(family: IPFamily, data: st.DataObject) -> None:
    desired, _ = data.draw(histories(family, max_size=1))[-1]
    right = Process(family, {})
    right.full(desired)
    damaged = Process(family, {**right.held, **data.draw(states)})
    for server in data.draw(st.sets(st.sampled_from(sorted(right.held)))) if right.held else ():
        damaged.held[server] = data.draw(contents)
    step = damaged.full(desired)
    assert damaged.held == right.held
    assert step.table is not None


@given(families, st.data())
def test_an_early_part_takes_nothing_away(family: IPFamily, data: st.DataObject) -> None:
    desired, _ = data.draw(histories(family, max_size=1))[-1]
    held = data.draw(states)
    plan = SyncPlan(family, desired, Delta(), full=True, complete=False)
    step = full(plan, held, Places(block(family, "pointsman")), by_scheduler)
    after = carry_out(carry_out(held, step.requests.make), step.requests.clear)
    assert held.items() <= after.items()


@given(families, st.data())
def test_the_table_is_left_alone_where_only_weights_change(family: IPFamily, data: st.DataObject) -> None:
    """Who comes and goes concerns IPVS; the table only has to know of addresses, for hairpins."""
    process = Process(family, {})
    process.full(Model(NodeContext(family)))
    for desired, delta in data.draw(histories(family)):
        step = process.partial(desired, delta)
        quiet = not (delta.node or delta.cluster_ips or delta.endpoint_addresses) and all(
            old is not None
            and new is not None
            and not old.affinity
            and not new.affinity
            and (old.frontends, old.when_empty, old.drain) == (new.frontends, new.when_empty, new.drain)
            and (bool(old.cluster), bool(old.local)) == (bool(new.cluster), bool(new.local))
            for _, old, new in delta.services
        )
        assert not quiet or step.table is None
