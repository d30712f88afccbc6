"""Latencies, whatever the wall clock does meanwhile (MET-04)."""

from hypothesis import given
from hypothesis import strategies as st

from pointsman.core.addresses import IPFamily
from pointsman.core.backlog import Backlog
from pointsman.core.latency import Latencies
from pointsman.core.model import NamespacedName
from pointsman.core.plan import Trigger

V4, V6 = IPFamily.IPV4, IPFamily.IPV6
WEB = NamespacedName("shop", "web")
SECONDS = st.integers(0, 10_000).map(float)


class Clocks:
    """A wall clock and a monotonic one."""

    def __init__(self) -> None:
        self.wall, self.steady = 1e9, 50.0

    def advance(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


@given(SECONDS, SECONDS, st.integers(-100_000, 100_000))
def test_MET_04_a_step_of_the_clock_while_a_change_waits_is_not_its_latency(
    before: float, after: float, step: int
) -> None:
    clocks = Clocks()
    latencies = Latencies(lambda: clocks.wall, lambda: clocks.steady)
    trigger = Trigger(WEB, clocks.wall)
    clocks.advance(before)
    latencies.heard(Backlog(V4, since=clocks.steady))
    clocks.wall += step
    latencies.heard(Backlog(V4, since=clocks.steady, slices=2))
    clocks.advance(after)
    assert latencies.of(V4, trigger) == before + after


def test_what_nobody_waited_with_goes_by_the_wall_clock() -> None:
    """As the first lists do, and what comes after a sync."""
    clocks = Clocks()
    latencies = Latencies(lambda: clocks.wall, lambda: clocks.steady)
    latencies.heard(Backlog(V4, since=clocks.steady))
    latencies.heard(Backlog(V4))
    clocks.wall += 3600
    trigger = Trigger(WEB, clocks.wall - 2)
    assert latencies.of(V4, trigger) == latencies.of(V6, trigger) == 2
    assert latencies.of(V4, Trigger(WEB, clocks.wall + 5)) == 0
