"""Flushes are noticed within a period, single rules by the audit (SYNC-08)."""

import threading
from collections.abc import Iterator
from typing import cast

import pytest

from pointsman.backends.iptables.kernel import Variant
from pointsman.backends.iptables.watch import Watch
from pointsman.conformance.lab import Namespace
from pointsman.core.audit import Auditor
from pointsman.core.backend import expected
from pointsman.core.plugins import Dataplane
from tests.backends.iptables.driven import Kernel
from tests.backends.iptables.test_seed import SVC, seed

pytestmark = [pytest.mark.netns, pytest.mark.program("iptables-legacy", "iptables-nft")]

PERIOD = 0.2
SOON = 20.0
QUIET = 1.0


@pytest.fixture(params=Variant, ids=str)
def kernel(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    with Namespace("iptables") as namespace:
        opened = Kernel(namespace, request.param, period=PERIOD)
        yield opened
        opened.close()


@pytest.mark.parametrize(
    "flushes",
    [
        ["-t nat -F"],
        ["-F"],
        ["-t nat -F", "-t nat -X", "-F", "-X"],
        ["-F", "-X", "-A INPUT -s 192.0.2.1 -j DROP"],  # as somebody does who reloads rules of their own
    ],
    ids=", ".join,
)
def test_SYNC_08_a_flush_is_noticed_within_a_period_and_repaired(kernel: Kernel, flushes: list[str]) -> None:
    kernel.command("-A", "INPUT", "-s", "192.0.2.1", "-j", "DROP")
    kernel.sync(seed(), full=True)
    before = sorted(line for line in kernel.save().splitlines() if line.startswith("-A"))
    changed = watched(kernel)

    for flush in flushes:
        kernel.command(*flush.split())

    assert changed.wait(SOON)
    kernel.sync(seed(), full=True)
    assert kernel.observe(seed()) == expected(seed())
    if "-A" in flushes[-1]:
        assert sorted(line for line in kernel.save().splitlines() if line.startswith("-A")) == before


def test_nothing_is_noticed_where_nothing_is_wrong_or_but_a_rule_is_gone(kernel: Kernel) -> None:
    kernel.sync(seed(), full=True)
    changed = watched(kernel)
    kernel.command("-A", "INPUT", "-p", "tcp", "--dport", "22", "-j", "ACCEPT")
    kernel.command("-t", "nat", "-D", SVC, "3")

    assert not changed.wait(QUIET)

    drifts: list[str] = []
    model, reader = kernel.model, {kernel.family: cast(Dataplane, Reader(kernel))}
    auditor = Auditor(lambda _: model, reader, lambda _, how: drifts.append(how), lambda _: None)
    auditor.audit(kernel.family)
    assert "10.96.92.20:80/tcp answers in another way" in drifts[0]


def test_before_the_first_sync_and_after_a_clean_up_nothing_is_missed(kernel: Kernel) -> None:
    changed = watched(kernel)
    assert not changed.wait(QUIET)

    kernel.sync(seed(), full=True)
    kernel.namespace.run(kernel.dataplane.dataplane_cleanup)

    assert not changed.wait(QUIET)


def test_the_next_look_after_a_flush_comes_soon() -> None:
    looks, told = threading.Semaphore(0), threading.Semaphore(0)

    def flushed() -> bool:
        looks.release()
        return False

    watch = Watch(flushed, told.release, PERIOD)
    watch.start()
    try:
        assert all(looks.acquire(timeout=SOON) and told.acquire(timeout=SOON) for _ in range(3))
    finally:
        watch.stop()


class Reader:
    """Reads as the audit's own dataplane does."""

    def __init__(self, kernel: Kernel) -> None:
        self.observe = kernel.observe


def watched(kernel: Kernel) -> threading.Event:
    changed = threading.Event()
    kernel.namespace.run(kernel.dataplane.dataplane_watch, changed.set)
    return changed
