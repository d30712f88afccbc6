"""How long is waited."""

from hypothesis import given
from hypothesis import strategies as st

from pointsman.plugins.kubernetes.backoff import Backoff
from tests.core.fakes import Clock


def test_waits_grow_up_to_a_limit() -> None:
    backoff = Backoff(0.8, 30.0, clock=Clock(), chance=lambda: 0.0)
    assert [backoff.next() for _ in range(8)] == [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]


@given(st.lists(st.floats(0, 1), min_size=8, max_size=8))
def test_chance_lengthens_them_up_to_twofold(chances: list[float]) -> None:
    draws = iter(chances)
    backoff = Backoff(0.8, 30.0, clock=Clock(), chance=lambda: next(draws))
    for base in (0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0):
        assert base <= backoff.next() <= 2 * base


def test_after_a_calm_time_they_are_short_again() -> None:
    clock = Clock()
    backoff = Backoff(0.8, 30.0, 120.0, clock=clock, chance=lambda: 0.0)
    backoff.next()
    clock.advance(100)
    assert backoff.next() == 1.6
    clock.advance(1.6 + 120.1)
    assert backoff.next() == 0.8


def test_what_the_server_asks_for_is_kept_to() -> None:
    backoff = Backoff(0.8, 30.0, clock=Clock(), chance=lambda: 0.0)
    assert backoff.next(at_least=300.0) == 300.0
    assert backoff.next() == 1.6
