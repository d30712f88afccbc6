"""Where endpoints stand: right shares, nobody moved without need, and few writes at any size."""

from collections import Counter
from math import gcd
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from pointsman.backends.nftables.layout import target
from pointsman.backends.nftables.slots import Slots, assign
from pointsman.core.model import Endpoint

ENDPOINTS = st.builds(
    Endpoint,
    address=st.integers(1, 12).map(lambda host: bytes((10, 244, 1, host))),
    port=st.sampled_from((80, 8080)),
)


@st.composite
def pools(draw: st.DrawFn, min_size: int = 0) -> tuple[Endpoint, ...]:
    places = draw(st.lists(ENDPOINTS, min_size=min_size, max_size=8, unique_by=target))
    weights = st.integers(1, 6) if draw(st.booleans()) else st.just(1)
    return tuple(sorted(Endpoint(place.address, place.port, draw(weights)) for place in places))


def shares(pool: tuple[Endpoint, ...]) -> Counter[bytes]:
    divisor = gcd(*(endpoint.weight for endpoint in pool)) or 1
    return Counter({target(endpoint): endpoint.weight // divisor for endpoint in pool})


def writes(before: Slots, after: Slots) -> int:
    """How many elements are written or removed between two states."""
    return sum(was != now for was, now in zip(before, after, strict=False)) + abs(len(before) - len(after))


def least_writes(before: Slots, wanted: Counter[bytes]) -> int:
    """No way to place the endpoints has fewer: slots beyond the end go, and only what is there can stay."""
    size = wanted.total()
    staying = (Counter(before[:size]) & wanted).total()
    return max(len(before) - size, 0) + size - staying


def pods(count: int) -> tuple[Endpoint, ...]:
    return tuple(Endpoint((0x0A800000 + number).to_bytes(4), 8080) for number in range(count))


@given(pools(), pools())
def test_every_endpoint_stands_as_often_as_its_weight_says(
    before: tuple[Endpoint, ...], pool: tuple[Endpoint, ...]
) -> None:
    assert Counter(assign(assign((), before), pool)) == shares(pool)


@given(st.lists(pools(), min_size=2, max_size=6))
def test_no_change_takes_more_writes_than_it_must(history: list[tuple[Endpoint, ...]]) -> None:
    slots: Slots = ()
    for pool in history:
        after = assign(slots, pool)
        assert writes(slots, after) == least_writes(slots, shares(pool))
        slots = after


@given(pools(), pools())
def test_who_stays_keeps_its_place_unless_the_place_is_gone(
    before: tuple[Endpoint, ...], pool: tuple[Endpoint, ...]
) -> None:
    old = assign((), before)
    new = assign(old, pool)
    for occupant, wanted in shares(pool).items():
        had = [index for index, other in enumerate(old[: len(new)]) if other == occupant]
        kept = [index for index in had if new[index] == occupant]
        assert kept == had[:wanted]


@given(pools(), pools())
def test_a_state_that_is_right_stays_as_it_is(
    before: tuple[Endpoint, ...], pool: tuple[Endpoint, ...]
) -> None:
    slots = assign(assign((), before), pool)
    assert assign(slots, pool) == slots
    assert assign(slots[::-1], pool) == slots[::-1]


@given(st.integers(1, 2000), st.randoms(use_true_random=False))
def test_one_comes_or_goes_at_one_price_whatever_the_size(size: int, random: Random) -> None:
    pool = pods(size)
    joined = assign((), pool)
    left = random.randrange(size)
    without = assign(joined, pool[:left] + pool[left + 1 :])
    assert writes(joined, without) <= 2  # the last fills the hole
    assert writes(without, assign(without, pool)) == 1
