"""The engine under random edits in any order, with failing syncs, restarts and relists.

Whatever has happened, a sync that succeeds leaves the dataplanes with what an engine that sees the present
objects for the first time would give them, and every plan on the way keeps the laws of deltas.
"""

import logging
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pointsman.core.addresses import IPFamily
from pointsman.core.apis import KINDS as KINDS_BY_NAME
from pointsman.core.apis import ApiObject, EndpointSlice, Kind, Node, Service, ServiceCIDR, decode, kind_name
from pointsman.core.backlog import Backlog
from pointsman.core.config import LocalMode, ProxyConfig
from pointsman.core.endpointsmap import SERVICE_NAME
from pointsman.core.engine import IDLE_SECONDS, KINDS
from pointsman.core.errors import ResyncRequired, SyncError
from pointsman.core.model import NamespacedName
from pointsman.core.plan import Facts
from pointsman.core.startup import NodeUnfit

from . import strategies
from .fakes import Bench
from .laws import Holder, facts_of
from .objects import NODE

CONFIG = ProxyConfig(
    NODE,
    families=tuple(IPFamily),
    local_mode=LocalMode.NODE_CIDR,
    node_port_addresses=None,
    min_sync_period=0,
)
# Loading plugins costs more than all that is done with them here: that happens once.
BENCH, FRESH = Bench(CONFIG), Bench(CONFIG)
Key = tuple[str, NamespacedName]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Thousands of syncs fail here on purpose."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


class Failure(NamedTuple):
    """A sync of a family that fails; in a cold start in parts, it may be a later part that does."""

    family: IPFamily
    error: Exception
    after: int


Then = str | Failure
ERRORS: list[Exception] = [SyncError("script", "no"), ResyncRequired("script", "?"), KeyError("bug")]
THEN: st.SearchStrategy[Then] = st.sampled_from(["sync", "edit", "sync"]) | st.builds(
    Failure, st.sampled_from(IPFamily), st.sampled_from(ERRORS), st.integers(0, 2)
)


def key_of(item: ApiObject) -> Key:
    return kind_name(item), NamespacedName(item.metadata.namespace, item.metadata.name)


class EngineMachine(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[Key, ApiObject] = {}
        self.last: tuple[Key, ApiObject | None] | None = None
        self.interfaces: frozenset[bytes] = frozenset()
        self.chunk: int | None = None
        self.start()

    def start(self) -> None:
        """A new process: an engine that knows nothing, over kernels that hold anything."""
        self.bench = BENCH
        self.bench.restart()
        self.bench.listener.backlogs.clear()
        self.bench.listener.after.clear()
        self.holders = {family: Holder(family) for family in IPFamily}
        for family, script in self.bench.scripts.items():
            script.chunk = self.chunk
            script.on_sync = self.holders[family].sync
        self.bench.engine.probe()
        self.listed: set[Kind] = set()

    @initialize(
        chunk=st.sampled_from([None, None, 1, 2]),
        services=st.tuples(*map(strategies.services, strategies.SERVICES)),
        slices=st.tuples(*map(strategies.slices, strategies.SLICES[:3])),
    )
    def populate(
        self, chunk: int | None, services: tuple[Service, ...], slices: tuple[EndpointSlice, ...]
    ) -> None:
        self.chunk = chunk
        self.start()
        for service in services:
            self.put(service)
        for slice_ in slices:
            self.put(slice_)

    def put(self, item: ApiObject) -> None:
        """An object is added or changed."""
        self.last = key_of(item), self.objects.get(key_of(item))
        self.objects[key_of(item)] = item
        try:
            self.bench.engine.updated(item)
        except NodeUnfit:
            self.restart()  # as whoever looks after the process does (IN-NODE-05)

    def drop(self, key: Key) -> None:
        """An object is gone."""
        self.last = key, self.objects.pop(key)
        self.bench.engine.deleted(KINDS_BY_NAME[key[0]], key[1])

    def chosen(self, data: st.DataObject, kind: Kind) -> Any:
        """One of the present objects of a kind, None if there is none."""
        present = self.present(kind)
        return data.draw(st.sampled_from(present)) if present else None

    def present(self, kind: Kind) -> list[ApiObject]:
        """The present objects of a kind, in the order of their names."""
        return [item for (name, _), item in sorted(self.objects.items()) if name == kind.__name__]

    # Edits; each may be followed by a sync, which may fail

    @rule(data=st.data(), name=st.sampled_from(strategies.SERVICES), then=THEN)
    def put_service(self, data: st.DataObject, name: str, then: Then) -> None:
        self.put(data.draw(strategies.services(name)))
        self.go_on(then)

    @rule(data=st.data(), name=st.sampled_from(strategies.SLICES), then=THEN)
    def put_slice(self, data: st.DataObject, name: str, then: Then) -> None:
        self.put(data.draw(strategies.slices(name)))
        self.go_on(then)

    @rule(data=st.data(), name=st.sampled_from(strategies.CIDRS), then=THEN)
    def put_cidr(self, data: st.DataObject, name: str, then: Then) -> None:
        self.put(data.draw(strategies.cidrs(name)))
        self.go_on(then)

    @rule(item=strategies.nodes(), then=THEN)
    def put_node(self, item: Node, then: Then) -> None:
        self.put(item)
        self.go_on(then)

    @rule(addresses=st.sets(st.sampled_from(strategies.INTERFACES)), then=THEN)
    def set_interfaces(self, addresses: set[bytes], then: Then) -> None:
        self.interfaces = frozenset(addresses)
        self.bench.engine.set_interface_addresses(addresses)
        self.go_on(then)

    @rule(then=THEN)
    def take_back(self, then: Then) -> None:
        """The last edit is taken back: something is again as it was before, or gone again."""
        if self.last is not None:
            key, before = self.last
            if before is not None:
                self.put(before)
            elif key in self.objects and key[0] != Node.__name__:
                self.drop(key)
        self.go_on(then)

    @rule(data=st.data(), service=st.sampled_from(strategies.SERVICES), then=THEN)
    def relabel_slice(self, data: st.DataObject, service: str, then: Then) -> None:
        old = self.chosen(data, EndpointSlice)
        if old is not None:
            plain = plain_of(old)
            plain["metadata"]["labels"][SERVICE_NAME] = service
            self.put(made(EndpointSlice, plain))
        self.go_on(then)

    @rule(data=st.data(), ready=st.booleans(), terminating=st.booleans(), then=THEN)
    def flap_endpoint(self, data: st.DataObject, ready: bool, terminating: bool, then: Then) -> None:
        old = self.chosen(data, EndpointSlice)
        if old is not None and old.endpoints:
            plain = plain_of(old)
            flapping = data.draw(st.sampled_from(plain["endpoints"]))
            flapping["conditions"] = {"ready": ready, "terminating": terminating}
            self.put(made(EndpointSlice, plain))
        self.go_on(then)

    @rule(data=st.data(), then=THEN)
    def copy_endpoint(self, data: st.DataObject, then: Then) -> None:
        """An endpoint appears in a second slice; it may leave the first one later."""
        source, destination = self.chosen(data, EndpointSlice), self.chosen(data, EndpointSlice)
        if source is not None and source.endpoints:
            plain = plain_of(destination)
            plain["endpoints"].append(data.draw(st.sampled_from(plain_of(source)["endpoints"])))
            self.put(made(EndpointSlice, plain))
        self.go_on(then)

    @rule(data=st.data(), kind=st.sampled_from([Service, EndpointSlice, ServiceCIDR]), then=THEN)
    def delete(self, data: st.DataObject, kind: Kind, then: Then) -> None:
        gone = self.chosen(data, kind)
        if gone is not None:
            self.drop(key_of(gone))
        self.go_on(then)

    @rule(kind=st.sampled_from([Service, EndpointSlice, ServiceCIDR]), then=THEN)
    def delete_what_is_not_there(self, kind: Kind, then: Then) -> None:
        self.bench.engine.deleted(kind, NamespacedName("shop", "nowhere"))
        self.go_on(then)

    @rule(data=st.data(), kind=st.sampled_from(list(KINDS_BY_NAME.values())), then=THEN)
    def relist(self, data: st.DataObject, kind: Kind, then: Then) -> None:
        """A watch was lost: what the new list lacks is gone."""
        present = self.present(kind)
        # A Node that goes leaves its last state behind, which a fresh engine can't know.
        gone = data.draw(st.sets(st.sampled_from(range(len(present))), max_size=2)) if present else set()
        kept = [item for at, item in enumerate(present) if at not in gone or kind is Node]
        for item in present:
            if item not in kept:
                del self.objects[key_of(item)]
        self.bench.engine.replaced(kind, kept)
        self.listed.add(kind)
        self.go_on(then)

    @rule(data=st.data(), kind=st.sampled_from(list(KINDS_BY_NAME.values())))
    def repeat(self, data: st.DataObject, kind: Kind) -> None:
        """An object comes again as it is: there is nothing to do."""
        self.list_the_rest()
        self.sync()
        item = self.chosen(data, kind)
        if item is not None:
            plans = [len(script.plans) for script in self.bench.scripts.values()]
            self.bench.engine.updated(item)
            self.bench.engine.run_due()
            assert plans == [len(script.plans) for script in self.bench.scripts.values()]
            assert not self.pending()

    @rule(family=st.sampled_from(IPFamily))
    def look_at_the_kernel(self, family: IPFamily) -> None:
        self.bench.engine.request_full(family)

    @rule()
    def stay_idle(self) -> None:
        """For so long that the kernel is looked at, just in case."""
        self.list_the_rest()
        self.sync()
        known = [len(script.plans) for script in self.bench.scripts.values()]
        self.bench.clock.advance(IDLE_SECONDS)
        self.bench.engine.run_due()
        for script, plans in zip(self.bench.scripts.values(), known, strict=True):
            (plan,) = script.plans[plans:]
            assert plan.full
            assert not plan.delta

    @rule()
    def restart(self) -> None:
        objects = list(self.objects.values())
        self.start()
        for item in objects:
            self.bench.engine.updated(item)
        self.bench.engine.set_interface_addresses(self.interfaces)

    # Syncs

    def list_the_rest(self) -> None:
        for kind in KINDS - self.listed:
            self.bench.engine.replaced(kind, self.present(kind))
            self.listed.add(kind)

    def go_on(self, then: Then) -> None:
        match then:
            case "edit":
                return
            case "sync":
                self.list_the_rest()
                self.sync()
            case Failure(family, error, after):
                self.list_the_rest()
                self.holders[family].failures = [*[None] * after, error]
                self.bench.engine.run_due()
                self.holders[family].failures.clear()

    def sync(self) -> None:
        """A sync that succeeds, and what must hold then."""
        self.bench.clock.advance(CONFIG.sync_period)
        self.bench.engine.run_due()
        assert not self.pending()
        fresh = fresh_engine(list(self.objects.values()), self.interfaces)
        for family, holder in self.holders.items():
            ours, theirs = (b.engine.families[family].proxy for b in (self.bench, fresh))
            assert ours.services.current == theirs.services.current
            assert ours.endpoints.current == theirs.endpoints.current
            assert not ours.services.pending
            assert not ours.endpoints.pending
            assert holder.model == fresh.scripts[family].plans[-1].desired == ours.applied
            assert holder.complete
            assert self.facts_told(family) == facts_of(ours) == theirs.applied_facts
        assert set(self.bench.engine.rejections) == set(fresh.engine.rejections)

    def facts_told(self, family: IPFamily) -> Facts:
        """What observers heard last of a family's facts."""
        told = reversed(self.bench.listener.after)
        return next(plan.facts for plan, report, _ in told if report and plan.family is family)

    def pending(self) -> bool:
        return any(map(self.pending_in, IPFamily))

    def pending_in(self, family: IPFamily) -> bool:
        return self.bench.engine.families[family].proxy.pending()

    @invariant()
    def every_plan_keeps_the_laws(self) -> None:
        for holder in self.holders.values():
            if holder.broken is not None:
                raise holder.broken

    @invariant()
    def observers_know_what_waits(self) -> None:
        for family, state in self.bench.engine.families.items():
            told = [backlog for backlog in self.bench.listener.backlogs if backlog.family is family]
            backlog = told[-1] if told else Backlog(family)
            assert backlog.services == len(state.proxy.services.pending)
            assert backlog.slices == len(state.proxy.endpoints.pending)
            assert (backlog.since is not None) == (self.pending_in(family) and self.listed >= KINDS)

    @invariant()
    def nothing_is_written_before_all_is_listed(self) -> None:
        if not self.listed >= KINDS:
            self.bench.engine.run_due()
            assert not any(script.plans for script in self.bench.scripts.values())


def fresh_engine(objects: list[ApiObject], interfaces: frozenset[bytes]) -> Bench:
    """An engine that has seen nothing but these objects, in an order of its own."""
    random.Random(len(objects)).shuffle(objects)
    bench = FRESH
    bench.restart()
    bench.engine.set_interface_addresses(interfaces)
    for kind in KINDS:
        bench.engine.replaced(kind, [item for item in objects if isinstance(item, kind)])
    bench.engine.run_due()
    return bench


def plain_of(item: ApiObject) -> Any:
    return msgspec.json.decode(msgspec.json.encode(item))


def made(kind: Kind, plain: object) -> ApiObject:
    return decode(kind, msgspec.json.encode(plain))


TestEngineMachine = EngineMachine.TestCase
TestEngineMachine.settings = settings(
    max_examples=max(150, 3 * settings().max_examples), stateful_step_count=30
)
