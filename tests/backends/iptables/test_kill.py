"""Killed at any moment, the dataplane leaves the old or the new answer to every packet, and a right start.

How often is up to the environment variable POINTSMAN_KILLS: the nightly run kills 200 times.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pointsman.backends.iptables.kernel import Variant, choose
from pointsman.backends.iptables.trace import trace
from pointsman.backends.iptables.writing import read
from pointsman.conformance.lab import Namespace
from pointsman.core.backend import expected
from pointsman.core.model import Model
from tests import strategies
from tests.backends import killing
from tests.backends.iptables import syncing
from tests.backends.iptables.driven import Kernel
from tests.backends.iptables.fates import fates, ours

pytestmark = [
    pytest.mark.netns,
    pytest.mark.timeout(1800),
    pytest.mark.program("iptables-legacy", "iptables-nft", "ip6tables-legacy", "ip6tables-nft"),
]

KILLS = int(os.environ.get("POINTSMAN_KILLS", "12"))
AT_LEAST_STARTED = 60.0
LONG_ENOUGH = 0.5
AT_REST = 30.0


@pytest.mark.parametrize("variant", Variant)
@settings(
    max_examples=KILLS // 2,
    phases=[Phase.generate],  # what happened at one moment doesn't happen again
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_killed_at_any_moment(variant: Variant, data: st.DataObject) -> None:
    family = data.draw(strategies.families)
    models = [model for model, _ in data.draw(strategies.histories(family, min_size=2))]
    models = [model for model in models if model.node == models[0].node]
    packets = [
        packet
        for packet in data.draw(st.lists(st.one_of(*map(strategies.packets, models)), min_size=4, max_size=8))
        if ours(models[0], packet)
    ]
    steps = data.draw(st.integers(0, 8), label="transactions before the end, or 0 for some time")
    milliseconds = data.draw(st.integers(0, 60), label="milliseconds before the end")
    with Namespace("kill") as namespace:
        at = run_and_kill(namespace, variant, models, steps, milliseconds)
        old, new = models[at - 1], models[at]
        held = namespace.run(read, "iptables", choose("iptables", family, variant))
        for packet in packets:
            told = trace(held, packet).verdict
            assert told in fates(old, new, packet), packet
        kernel = Kernel(namespace, variant, family)
        try:
            kernel.sync(new, full=True)
            assert kernel.observe() == expected(new)
            assert kernel.sync(new, full=True) == 0
        finally:
            kernel.close()


def run_and_kill(
    namespace: Namespace, variant: Variant, models: Sequence[Model], steps: int, milliseconds: int
) -> int:
    """Start a process that syncs, kill it; the number of the model that it was about to bring."""
    # Between models that are alike no transaction is ever made.
    limits = AT_LEAST_STARTED, LONG_ENOUGH if steps else milliseconds / 1000
    at = killing.run_and_kill(namespace, syncing.__name__, [variant, str(steps)], models, limits)
    wait_for_tools(namespace)
    return at


def wait_for_tools(namespace: Namespace) -> None:
    """A tool that was under way outlives who started it, and may still write what it has been given."""
    deadline = time.monotonic() + AT_REST
    while any(_is_tool(process, namespace.inode) for process in Path("/proc").glob("[0-9]*")):
        assert time.monotonic() < deadline, "a tool goes on for ever"
        time.sleep(0.01)


def _is_tool(process: Path, inode: int) -> bool:
    try:
        return (process / "ns/net").stat().st_ino == inode and b"tables" in (process / "comm").read_bytes()
    except OSError:  # it ended meanwhile
        return False
