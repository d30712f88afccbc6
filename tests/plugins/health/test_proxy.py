"""Whether the proxy keeps up, and the pages that say so."""

from typing import Any

import msgspec
import pytest

from pointsman.core.addresses import IPFamily
from pointsman.core.backlog import Backlog
from pointsman.core.model import Model, NodeContext
from pointsman.core.node import NodeFacts
from pointsman.core.plan import Delta, SyncPlan, SyncReport
from pointsman.plugins.health.pages import health_pages
from pointsman.plugins.health.proxy import ProxyHealth
from pointsman.plugins.http.messages import Request, Response

V4, V6 = IPFamily.IPV4, IPFamily.IPV6
PERIOD = 30.0
NOW = 1767225600.0


class Bench:
    """A proxy's health, with clocks set by hand."""

    def __init__(self) -> None:
        self.clock, self.now = 1000.0, NOW
        self.health = ProxyHealth((V4, V6), PERIOD, clock=lambda: self.clock, now=lambda: self.now)
        self.answered: list[tuple[str, int]] = []
        self.pages = health_pages(
            self.health.health, lambda path, code: self.answered.append((path, code)), now=lambda: self.now
        )

    def wait(self, seconds: float) -> None:
        self.clock += seconds
        self.now += seconds

    def queue(self, family: IPFamily) -> None:
        self.health.pointsman_backlog(Backlog(family, self.clock, services=1))

    def sync(self, family: IPFamily, *, ok: bool = True, complete: bool = True) -> None:
        plan = SyncPlan(family, Model(NodeContext(family)), Delta(), full=True, complete=complete)
        self.health.pointsman_after_sync(plan, SyncReport() if ok else None)
        if ok and complete:
            self.health.pointsman_backlog(Backlog(family))

    def ask(self, path: str, method: str = "GET") -> tuple[int, Any]:
        answer = self.pages(Request(method, path))
        assert isinstance(answer, Response)
        return answer.status, msgspec.json.decode(answer.body)


def test_HZ_01_the_pages_say_all_they_are_to_say() -> None:
    bench = Bench()
    bench.health.pointsman_node(NodeFacts())
    bench.sync(V4)
    bench.wait(1.5)
    expected = {
        "lastUpdated": "2026-01-01T00:00:01.500000Z",
        "currentTime": "2026-01-01T00:00:01.500000Z",
        "healthy": True,
        "status": {
            "IPv4": {"lastUpdated": "2026-01-01T00:00:00Z", "healthy": True},
            "IPv6": {"lastUpdated": "0001-01-01T00:00:00Z", "healthy": True},
        },
    }
    assert bench.ask("/livez") == (200, expected)
    assert bench.ask("/healthz") == (200, expected | {"nodeEligible": True})
    assert bench.answered == [("/livez", 200), ("/healthz", 200)]


def test_HZ_01_headers() -> None:
    answer = Bench().pages(Request("GET", "/livez"))
    assert isinstance(answer, Response)
    assert answer.content_type == "application/json"
    assert answer.headers == (("X-Content-Type-Options", "nosniff"),)


def test_HZ_01_there_is_nothing_else() -> None:
    answer = Bench().pages(Request("GET", "/metrics"))
    assert isinstance(answer, Response)
    assert answer.status == 404


@pytest.mark.parametrize("waited", [0.0, 59.9, 60.0, 1000.0])
def test_HZ_02_a_change_may_wait_for_less_than_two_sync_periods(waited: float) -> None:
    bench = Bench()
    bench.queue(V4)
    bench.wait(waited)
    assert bench.health.health().healthy == (waited < 2 * PERIOD)


def test_HZ_02_a_successful_sync_heals_and_no_other() -> None:
    bench = Bench()
    bench.queue(V4)
    bench.wait(100)
    bench.sync(V4, ok=False)
    bench.sync(V4, complete=False)
    assert not bench.health.health().healthy
    bench.sync(V4)
    assert bench.health.health().healthy


def test_HZ_02_idle_and_starting_is_healthy() -> None:
    bench = Bench()
    bench.health.pointsman_backlog(Backlog(V4, None, services=5))
    bench.wait(1e6)
    assert bench.health.health().healthy


def test_HZ_02_a_step_of_the_wall_clock_makes_nobody_ill() -> None:
    bench = Bench()
    bench.queue(V4)
    bench.now += 1e6
    assert bench.health.health().healthy


def test_HZ_03_all_families_count() -> None:
    bench = Bench()
    bench.health.pointsman_node(NodeFacts())
    bench.sync(V4)
    bench.queue(V6)
    bench.wait(60)
    for path in ("/healthz", "/livez"):
        status, content = bench.ask(path)
        assert (status, content["healthy"]) == (503, False)
        assert {family: state["healthy"] for family, state in content["status"].items()} == {
            "IPv4": True,
            "IPv6": False,
        }
        assert content["lastUpdated"] == "2026-01-01T00:00:00Z"
        assert content["currentTime"] == "2026-01-01T00:01:00Z"


@pytest.mark.parametrize("facts", [None, NodeFacts(eligible=False)])
def test_HZ_04_a_node_unseen_or_about_to_go_gets_no_traffic_and_lives(facts: NodeFacts | None) -> None:
    bench = Bench()
    if facts is not None:
        bench.health.pointsman_node(NodeFacts())
        bench.health.pointsman_node(facts)
    status, content = bench.ask("/healthz")
    assert (status, content["healthy"], content["nodeEligible"]) == (503, True, False)
    status, content = bench.ask("/livez")
    assert status == 200
    assert "nodeEligible" not in content
