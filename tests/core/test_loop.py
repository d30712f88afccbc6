"""The engine's thread: news in order, syncs in time, and a clean end."""

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pointsman.core.addresses import IPFamily
from pointsman.core.apis import Service
from pointsman.core.config import ProxyConfig
from pointsman.core.engine import KINDS
from pointsman.core.loop import EventLoop
from pointsman.core.model import NamespacedName
from pointsman.core.plan import SyncPlan
from pointsman.core.source import Rejection

from .fakes import Bench
from .objects import NODE, port_name, service

SECONDS = 30  # far more than anything here takes; only a failure waits for it


class Told:
    """An observer that hands on each plan to the test's thread."""

    def __init__(self) -> None:
        self._plans: queue.Queue[tuple[SyncPlan, float]] = queue.Queue()

    def next(self) -> tuple[SyncPlan, float]:
        """The next plan that was carried out and when, once there is one."""
        return self._plans.get(timeout=SECONDS)

    def put(self, plan: SyncPlan) -> None:
        self._plans.put((plan, time.monotonic()))


def timed_bench(told: Told, min_sync_period: float = 0.0) -> Bench:
    """An engine that goes by the real clock."""
    config = ProxyConfig(NODE, families=(IPFamily.IPV4,), min_sync_period=min_sync_period)
    return Bench(config, clock=time.monotonic, on_sync=told.put)


@contextmanager
def running(loop: EventLoop) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=loop.run, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        loop.stop()
        thread.join(SECONDS)
    assert not thread.is_alive()


def list_all(loop: EventLoop) -> None:
    for kind in KINDS:
        loop.replaced(kind, [])


def test_news_from_any_thread_become_syncs() -> None:
    told = Told()
    loop = EventLoop(timed_bench(told).engine)
    with running(loop):
        list_all(loop)
        assert told.next()[0].full
        loop.updated(service())
        assert set(told.next()[0].desired.services) == {port_name()}
        loop.deleted(Service, NamespacedName("shop", "web"))
        assert not told.next()[0].desired.services


def test_news_are_dealt_with_in_order_on_the_loops_thread() -> None:
    loop = EventLoop(timed_bench(Told()).engine)
    dealt: queue.Queue[tuple[int, int]] = queue.Queue()
    with running(loop) as thread:
        for number in range(100):
            loop.call(lambda n=number: dealt.put((n, threading.get_ident())))  # type: ignore[misc]
        found = [dealt.get(timeout=SECONDS) for _ in range(100)]
        assert found == [(number, thread.ident) for number in range(100)]


def test_a_sync_that_must_wait_comes_without_further_news() -> None:
    told = Told()
    loop = EventLoop(timed_bench(told, min_sync_period=0.1).engine)
    with running(loop):
        list_all(loop)
        _, first = told.next()
        loop.updated(service())
        _, second = told.next()
        assert second - first >= 0.1


def test_listed_objects_are_read_on_the_callers_thread() -> None:
    """A source may hand in a generator over what it alone may touch."""
    loop = EventLoop(timed_bench(Told()).engine)
    read: list[int] = []

    def objects() -> Iterator[Service]:
        read.append(threading.get_ident())
        yield service()

    loop.replaced(Service, objects())
    assert read == [threading.get_ident()]


def test_rejections_of_a_source_reach_the_engine() -> None:
    bench = timed_bench(Told())
    loop = EventLoop(bench.engine)
    rejection = Rejection("Service", "shop/web", "$", "not JSON", "web.json")
    with running(loop):
        loop.rejected("web.json", iter([rejection]))
    assert list(bench.engine.rejections) == [rejection]


def test_stop_deals_with_the_news_at_hand() -> None:
    bench = timed_bench(Told())
    loop = EventLoop(bench.engine)
    loop.updated(service())
    loop.call(loop.stop)
    loop.rejected("late", [Rejection("Service", "?", "$", "not JSON", "late")])
    loop.run()
    assert [rejection.origin for rejection in bench.engine.rejections] == ["late"]
    assert bench.script.plans == []


def test_a_source_that_ends_ends_the_loop() -> None:
    loop = EventLoop(timed_bench(Told()).engine)
    loop.failed(ConnectionError("gone for good"))
    with pytest.raises(ConnectionError, match="gone for good"):
        loop.run()


def test_a_stream_of_news_that_never_ends_does_not_keep_syncs_from_their_turn() -> None:
    told = Told()
    bench = timed_bench(told)
    loop = EventLoop(bench.engine)
    rounds = 0

    def more() -> None:
        nonlocal rounds
        rounds += 1
        if bench.script.plans or rounds == 10_000:
            loop.stop()
        else:
            loop.call(more)

    list_all(loop)
    loop.call(more)
    loop.run()
    assert bench.script.plans
    assert rounds < 10_000
