"""Killed at any moment, the dataplane leaves the old or the new answer to every packet, and a right start.

How often is up to the environment variable POINTSMAN_KILLS: the nightly run kills 200 times.
"""

import os
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pointsman.backends.nftables.dataplane import NftablesDataplane
from pointsman.backends.nftables.layout import Layout, layout
from pointsman.backends.nftables.netlink.netfilter import NetfilterSocket
from pointsman.backends.nftables.planner import full
from pointsman.backends.nftables.state import TableState, read
from pointsman.backends.nftables.walk import follow
from pointsman.conformance.lab import Namespace
from pointsman.core.backend import DataplaneSettings, expected
from pointsman.core.model import Model
from pointsman.core.plan import Delta, SyncPlan
from tests import strategies
from tests.backends import killing
from tests.backends.nftables import syncing
from tests.backends.nftables.fates import ends, right
from tests.backends.nftables.held import Held
from tests.backends.nftables.synced import without_loopback

pytestmark = [pytest.mark.netns, pytest.mark.timeout(1800)]

INSTANCE = "pointsman-killed"
KILLS = int(os.environ.get("POINTSMAN_KILLS", "20"))
AT_LEAST_STARTED = 30.0
LONG_ENOUGH = 1.0


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    with Namespace("kill") as opened:
        yield opened


@settings(
    max_examples=KILLS,
    phases=[Phase.generate],  # what happened at one moment doesn't happen again
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_killed_at_any_moment(namespace: Namespace, data: st.DataObject) -> None:
    family = data.draw(strategies.families)
    models = [without_loopback(m) for m, _ in data.draw(strategies.histories(family, min_size=2))]
    packets = data.draw(st.lists(st.one_of(*map(strategies.packets, models)), min_size=4, max_size=8))
    transactions = data.draw(st.integers(0, 12), label="transactions before the end, or 0 for some time")
    milliseconds = data.draw(st.integers(0, 60), label="milliseconds before the end")
    at = run_and_kill(namespace, models, transactions, milliseconds)
    old, new = models[at - 1], models[at]
    dataplane = NftablesDataplane(DataplaneSettings(family, INSTANCE))
    try:
        state = namespace.run(held, layout(family, INSTANCE))
        table = Held(state)
        for packet in packets:
            assert ends(follow(table, packet)) in right(packet, old, new)
        plan = SyncPlan(family, new, Delta(), full=True)
        assert namespace.run(dataplane.dataplane_sync, plan).writes == writes(state, new)
        assert namespace.run(dataplane.dataplane_observe, None) == expected(new)
        assert namespace.run(dataplane.dataplane_sync, plan).writes == 0
    finally:
        namespace.run(dataplane.dataplane_cleanup)
        namespace.run(dataplane.dataplane_close)


def run_and_kill(namespace: Namespace, models: Sequence[Model], transactions: int, milliseconds: int) -> int:
    """Start a process that syncs, kill it; the number of the model that it was about to bring."""
    # Between models that are alike no transaction is ever made.
    limits = AT_LEAST_STARTED, LONG_ENOUGH if transactions else milliseconds / 1000
    return killing.run_and_kill(namespace, syncing.__name__, [INSTANCE, str(transactions)], models, limits)


def held(where: Layout) -> TableState:
    with NetfilterSocket() as netlink:
        found = read(netlink, where)
    assert found is not None
    return found


def writes(state: TableState, model: Model) -> int:
    """What there is to write to bring a state to a model."""
    plan = SyncPlan(model.node.family, model, Delta(), full=True)
    step, anew = full(layout(model.node.family, INSTANCE), plan, state)
    assert not anew, "the table is ours, and is mended in place"
    return step.changes.writes()
