"""The timetable of syncs, by a clock that is set by hand (SYNC-02, SYNC-03)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.core.runner import BoundedFrequencyRunner

from .fakes import Clock

MIN, MAX, RETRY = 1.0, 3600.0, 30.0


def make_runner(clock: Clock, *, min_interval: float = MIN, retry: float = RETRY) -> BoundedFrequencyRunner:
    return BoundedFrequencyRunner(clock, min_interval=min_interval, max_interval=MAX, retry_interval=retry)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def runner(clock: Clock) -> BoundedFrequencyRunner:
    return make_runner(clock)


def test_SYNC_02_nothing_is_due_before_the_first_request(
    runner: BoundedFrequencyRunner, clock: Clock
) -> None:
    assert runner.wait() is None
    clock.advance(10 * MAX)
    assert runner.wait() is None


def test_SYNC_02_the_first_run_is_immediate(runner: BoundedFrequencyRunner) -> None:
    runner.request()
    assert runner.wait() == 0
    assert not runner.forced()


def test_SYNC_02_requests_coalesce(runner: BoundedFrequencyRunner) -> None:
    for _ in range(5):
        runner.request()
    runner.ran(ok=True)
    assert runner.wait() == MAX


def test_SYNC_02_runs_are_spaced_from_the_end_of_the_previous(
    runner: BoundedFrequencyRunner, clock: Clock
) -> None:
    runner.request()
    clock.advance(7)  # a long run
    runner.ran(ok=True)
    runner.request()
    assert runner.wait() == MIN
    clock.advance(0.75)
    assert runner.wait() == 0.25
    clock.advance(0.25)
    assert runner.wait() == 0


def test_SYNC_02_no_spacing_if_none_is_asked_for(clock: Clock) -> None:
    runner = make_runner(clock, min_interval=0)
    runner.request()
    runner.ran(ok=True)
    runner.request()
    assert runner.wait() == 0


def test_SYNC_03_an_idle_runner_forces_a_run(runner: BoundedFrequencyRunner, clock: Clock) -> None:
    runner.request()
    runner.ran(ok=True)
    clock.advance(MAX - 1)
    assert runner.wait() == 1
    clock.advance(1)
    assert runner.wait() == 0
    assert runner.forced()
    runner.ran(ok=True)
    assert runner.wait() == MAX


def test_SYNC_03_a_requested_run_is_not_forced(runner: BoundedFrequencyRunner, clock: Clock) -> None:
    runner.request()
    runner.ran(ok=True)
    clock.advance(2 * MAX)
    runner.request()
    assert not runner.forced()


def test_SYNC_03_a_failed_run_is_tried_again(runner: BoundedFrequencyRunner, clock: Clock) -> None:
    runner.request()
    runner.ran(ok=False)
    assert runner.wait() == RETRY
    assert not runner.forced()
    clock.advance(RETRY)
    assert runner.wait() == 0
    runner.ran(ok=True)
    assert runner.wait() == MAX


def test_SYNC_03_a_request_brings_a_failed_run_forward(runner: BoundedFrequencyRunner, clock: Clock) -> None:
    runner.request()
    runner.ran(ok=False)
    runner.request()
    assert runner.wait() == MIN


def test_SYNC_03_a_retry_keeps_the_spacing(clock: Clock) -> None:
    runner = make_runner(clock, min_interval=5, retry=2)
    runner.request()
    runner.ran(ok=False)
    assert runner.wait() == 5


@given(
    st.lists(
        st.one_of(
            st.just("request"),
            st.floats(0, 100).map(lambda seconds: ("pass", seconds)),
            st.tuples(st.just("run"), st.booleans()),
        )
    )
)
def test_SYNC_02_runs_keep_their_distance_and_requests_are_met(steps: list[object]) -> None:
    """Whatever happens: no run too soon after another, and one due in time wherever one is owed."""
    clock = Clock()
    runner = make_runner(clock)
    finished: float | None = None
    owed = False
    for step in steps:
        match step:
            case "request":
                owed = True
                runner.request()
            case ("pass", float(seconds)):
                clock.advance(seconds)
            case ("run", bool(ok)) if runner.wait() == 0:
                assert finished is None or clock() - finished >= MIN
                finished, owed = clock(), not ok
                runner.ran(ok=ok)
        wait = runner.wait()
        if finished is None:
            assert wait == (0 if owed else None)
        else:
            assert wait is not None
            assert wait <= max(0, finished + (RETRY if owed else MAX) - clock())
