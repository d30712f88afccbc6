"""The dataplane against a real kernel: what it writes, reads back, mends and leaves alone."""

import queue
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pointsman.backends.nftables.dataplane import NftablesDataplane
from pointsman.backends.nftables.layout import layout
from pointsman.backends.nftables.netlink import messages
from pointsman.backends.nftables.netlink import rules as r
from pointsman.backends.nftables.netlink.elements import ElementCodec
from pointsman.backends.nftables.netlink.netfilter import NetfilterSocket
from pointsman.conformance.lab import Namespace
from pointsman.core.addresses import IPFamily
from pointsman.core.backend import DataplaneSettings, Observed, expected
from pointsman.core.model import Model, NodeContext, NodePortAddresses
from pointsman.core.plan import SyncPlan, diff
from tests import strategies
from tests.backends.nftables.models import seed

pytestmark = pytest.mark.netns

INSTANCE = "pointsman-test"
FAMILIES = tuple(IPFamily)


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    with Namespace("nftables") as opened:
        yield opened


class Kernel:
    """A dataplane in a namespace, driven as the engine drives it."""

    def __init__(self, namespace: Namespace, family: IPFamily) -> None:
        self.namespace = namespace
        self.family = family
        self.layout = layout(family, INSTANCE)
        self.dataplane = NftablesDataplane(DataplaneSettings(family, INSTANCE))
        self.model = Model(NodeContext(family))

    def sync(self, desired: Model, *, full: bool = False) -> int:
        """Bring the kernel to a model; how much was written."""
        plan = SyncPlan(self.family, desired, diff(self.model, desired), full=full)
        report = self.namespace.run(self.dataplane.dataplane_sync, plan)
        self.model = desired
        return report.writes

    def observe(self, meant: Model | None = None) -> Observed:
        return self.namespace.run(self.dataplane.dataplane_observe, meant)

    def commit(self, *operations: messages.Operation) -> None:
        """Write as somebody else would: from another socket."""
        self.namespace.run(_commit, operations)

    def restart(self) -> None:
        """A new process with nothing in memory; the kernel keeps what it has."""
        self.namespace.run(self.dataplane.dataplane_close)
        self.dataplane = NftablesDataplane(DataplaneSettings(self.family, INSTANCE))

    def close(self) -> None:
        self.namespace.run(self.dataplane.dataplane_cleanup)
        self.namespace.run(self.dataplane.dataplane_close)


def _commit(operations: tuple[messages.Operation, ...]) -> None:
    with NetfilterSocket() as netlink:
        netlink.commit(operations)


@pytest.fixture(params=FAMILIES, ids=str)
def kernel(request: pytest.FixtureRequest, namespace: Namespace) -> Iterator[Kernel]:
    opened = Kernel(namespace, request.param)
    yield opened
    opened.close()


@pytest.mark.parametrize("family", FAMILIES, ids=str)
@settings(suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_history_leaves_what_the_model_says(
    namespace: Namespace, family: IPFamily, data: st.DataObject
) -> None:
    """Partial syncs one after another, full ones and restarts in between: the kernel holds the model."""
    kernel = Kernel(namespace, family)
    try:
        kernel.sync(data.draw(strategies.models(family)), full=True)
        for _ in range(data.draw(st.integers(1, 4))):
            if data.draw(st.booleans(), label="restart"):
                kernel.restart()
                assert kernel.sync(kernel.model, full=True) == 0
            desired, _ = data.draw(strategies.successors(kernel.model))
            kernel.sync(desired, full=data.draw(st.booleans(), label="full"))
            assert kernel.observe() == kernel.observe(desired) == expected(desired)
            assert kernel.sync(desired) == 0
            assert kernel.sync(desired, full=True) == 0
    finally:
        kernel.close()


def test_cleanup_is_complete_and_idempotent(kernel: Kernel) -> None:
    kernel.sync(seed(kernel.family), full=True)
    assert kernel.namespace.run(kernel.dataplane.dataplane_cleanup) is True
    assert kernel.namespace.run(kernel.dataplane.dataplane_cleanup) is False
    assert kernel.observe() == Observed({})


def test_a_flush_by_somebody_else_is_mended_by_the_next_plan_of_any_kind(kernel: Kernel) -> None:
    kernel.sync(seed(kernel.family), full=True)
    kernel.commit(messages.delete_table(kernel.layout.table))
    assert kernel.sync(kernel.model) > 0
    assert kernel.observe() == expected(kernel.model)


def test_single_edits_by_somebody_else_are_mended_with_few_writes(kernel: Kernel) -> None:
    kernel.sync(seed(kernel.family), full=True)
    table, endpoints = kernel.layout.table, kernel.layout.address.endpoints
    held = kernel.namespace.run(_elements, kernel)
    kernel.commit(
        *messages.delete_elements(table, endpoints, ElementCodec(endpoints).keys(held[:1])),
        messages.insert_rule(table, "dispatch", r.drop()),
    )
    assert kernel.observe().strange
    mended = kernel.sync(kernel.model)
    assert kernel.observe() == expected(kernel.model)
    assert mended < 10


@pytest.mark.parametrize("name", ["hairpin", "node_port_ips"])
def test_an_address_gone_from_a_set_that_no_answer_shows_is_missed(kernel: Kernel, name: str) -> None:
    """A pod that reaches itself isn't masqueraded any more, or a node port has one address less."""
    model = seed(kernel.family)
    address = next(iter(model.endpoint_addresses))
    node = replace(model.node, node_ports=NodePortAddresses((address,)))
    kernel.sync(replace(model, node=node), full=True)
    assert not kernel.observe(kernel.model).strange
    spec = getattr(kernel.layout, name)
    key = address * len(spec.key)
    kernel.commit(*messages.delete_elements(kernel.layout.table, spec, ElementCodec(spec).keys([key])))
    assert not kernel.observe().strange
    assert kernel.observe(kernel.model).strange == (f"set {spec.name} lacks addresses or has others",)
    kernel.sync(kernel.model)
    assert not kernel.observe(kernel.model).strange


def test_rules_that_are_right_for_another_node_are_missed(kernel: Kernel) -> None:
    kernel.sync(seed(kernel.family), full=True)
    meant = replace(
        kernel.model, node=replace(kernel.model.node, drop_invalid=not kernel.model.node.drop_invalid)
    )
    assert not kernel.observe().strange
    assert kernel.observe(meant).strange


def test_a_table_that_is_not_ours_is_left_alone(kernel: Kernel) -> None:
    foreign = messages.Table(kernel.layout.family, "somebody-elses")
    kernel.commit(messages.add_table(foreign), messages.add_chain(foreign, "theirs"))
    try:
        kernel.sync(seed(kernel.family), full=True)
        kernel.namespace.run(kernel.dataplane.dataplane_cleanup)
        assert kernel.namespace.run(_chains, foreign) == ["theirs"]
        assert kernel.sync(kernel.model, full=True) > 0
        # A write to another table is no reason to look at ours again.
        kernel.commit(messages.add_chain(foreign, "more"))
        assert kernel.sync(kernel.model) == 0
    finally:
        kernel.commit(messages.delete_table(foreign))


def _elements(kernel: Kernel) -> list[bytes]:
    with NetfilterSocket() as netlink:
        return [
            e.key for e in netlink.dump_elements(kernel.layout.table, kernel.layout.address.endpoints.name)
        ]


def _chains(table: messages.Table) -> list[str]:
    with NetfilterSocket() as netlink:
        return [chain.name for chain in netlink.dump_chains(table)]


def test_a_foreign_write_is_told_at_once_and_our_own_never(kernel: Kernel) -> None:
    told: queue.SimpleQueue[None] = queue.SimpleQueue()
    kernel.sync(seed(kernel.family), full=True)
    kernel.namespace.run(kernel.dataplane.dataplane_watch, lambda: told.put(None))
    kernel.sync(seed(kernel.family, 5))
    kernel.sync(seed(kernel.family, 3))
    kernel.commit(messages.add_chain(kernel.layout.table, "theirs"))
    told.get(timeout=10)
    assert told.empty()
    assert kernel.sync(kernel.model) == 1
    assert kernel.observe() == expected(kernel.model)
