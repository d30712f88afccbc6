"""Broken dataplanes of a kernel: a pytest plugin that spoils what a backend tells its own.

For each mutant there is a backend of its name; in its cases that mutant is at work. What is read back is read
by the same code, and finds nothing amiss: only packets show it.
"""

import time
from collections.abc import Callable, Generator
from unittest.mock import patch

import pytest
from msgspec.structs import replace

from pointsman.backends.iptables import skeleton
from pointsman.backends.nftables import affinity
from pointsman.backends.nftables.dataplane import NftablesDataplane
from pointsman.backends.nftables.netlink import rules
from pointsman.conformance import world
from pointsman.conformance.lab.wire import Segment, Tap
from pointsman.conformance.selection import variant_of
from pointsman.core.hookspecs import hookimpl
from pointsman.core.node import node_context
from pointsman.core.plan import SyncPlan, SyncReport
from pointsman.plugins.conntrack.table import Table

ON_NFTABLES = {
    "lets_strays_through": "test_packets::test_packets_that_belong_to_no_connection_do_not_get_through",
    "drops_foreign_mark_bits": "test_packets::test_other_bits_of_the_mark_are_somebody_elses",
    "leaves_its_mark_on": "test_packets::test_other_bits_of_the_mark_are_somebody_elses",
    "remembers_a_hundred_clients": "test_affinity::test_many_clients_are_spread_and_all_remembered",
    "finds_no_flow_to_delete": "test_udp_flows::test_a_flow_of_internal_policy_local_moves_on",
    "writes_in_two_steps": "test_established::test_no_connection_is_lost_in_a_change",
    "keeps_strays_out_always": (
        "test_packets::test_packets_that_belong_to_no_connection_get_through_where_that_is_wished"
    ),
}
ON_IPTABLES = {
    "lets_neighbours_reach_loopback": (
        "test_packets::test_loopback_addresses_are_not_to_be_reached_from_elsewhere"
    ),
}
CAUGHT_BY = ON_NFTABLES | ON_IPTABLES
"""The mutants, and for each a case that finds it out, after its module."""

_ALL_BITS = 0xFFFFFFFF

_A_MOMENT = 0.02

_first = Tap.first
_sync = NftablesDataplane.dataplane_sync


def lets_strays_through() -> None:
    patch(
        "pointsman.core.engine.node_context", lambda *known: replace(node_context(*known), drop_invalid=False)
    ).start()


def keeps_strays_out_always() -> None:
    patch(
        "pointsman.core.engine.node_context", lambda *known: replace(node_context(*known), drop_invalid=True)
    ).start()


def writes_in_two_steps() -> None:
    """Removes everything, and then writes it anew: for a moment there is nothing."""

    def sync(self: NftablesDataplane, plan: SyncPlan) -> SyncReport:
        if plan.full:
            return _sync(self, plan)
        self.dataplane_cleanup()
        time.sleep(_A_MOMENT)
        return _sync(self, replace(plan, full=True))

    patch.object(NftablesDataplane, "dataplane_sync", hookimpl(sync)).start()


def drops_foreign_mark_bits() -> None:
    patch.object(rules, "set_mark_bits", lambda bits: rules._change_mark(0, bits)).start()


def leaves_its_mark_on() -> None:
    patch.object(rules, "flip_mark_bits", lambda bits: rules._change_mark(_ALL_BITS, 0)).start()


def remembers_a_hundred_clients() -> None:
    patch.object(affinity, "CLIENTS", 100).start()


def lets_neighbours_reach_loopback() -> None:
    patch.object(skeleton, "guard", lambda context: ()).start()


def finds_no_flow_to_delete() -> None:
    patch.object(Table, "delete", lambda self, family, flows: 0).start()
    patch.object(world, "SOON", 1.0).start()


def _first_soon(tap: Tap, wanted: Callable[[Segment], bool], wait: float) -> Segment | None:
    return _first(tap, wanted, min(wait, 1.0))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Break what is to be broken, for one case."""
    variant = variant_of(item)
    if variant is not None and variant.backend in CAUGHT_BY:
        patch.object(Tap, "first", _first_soon).start()  # what doesn't come is not waited for at length
        globals()[variant.backend]()
    try:
        return (yield)
    finally:
        patch.stopall()
