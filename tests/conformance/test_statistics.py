import random
from bisect import bisect_right
from collections import Counter
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.conformance.statistics import (
    ALARM_RATE,
    EXCESS,
    MISS_RATE,
    UNREACHED_RATE,
    coverage,
    evenness,
    independence,
    sample_size,
    tail,
)


def even(size: int) -> dict[int, float]:
    return dict.fromkeys(range(size), 1 / size)


def picks(seed: int, count: int, weights: list[int]) -> list[int]:
    return random.Random(seed).choices(range(len(weights)), weights, k=count)


def doubled(size: int) -> list[int]:
    return [2] + [1] * (size - 1)


# As printed in tables of the distribution.
@pytest.mark.parametrize(
    ("statistic", "freedom", "expected"),
    [(3.841, 1, 0.05), (5.991, 2, 0.05), (11.345, 3, 0.01), (16.919, 9, 0.05), (37.697, 15, 0.001)],
)
def test_the_tail_is_that_of_chi_squared(statistic: float, freedom: int, expected: float) -> None:
    assert tail(statistic, freedom) == pytest.approx(expected, rel=1e-3)


def test_evenness_adds_up_squared_differences_in_proportion() -> None:
    shares = {"a": 0.5, "b": 0.25, "c": 0.25}
    assert evenness({"a": 40, "b": 30, "c": 30}, shares) == tail(10**2 / 50 + 2 * 5**2 / 25, 2)


def test_whoever_has_no_share_must_not_be_picked() -> None:
    assert evenness({"a": 50, "b": 50, "stranger": 1}, {"a": 0.5, "b": 0.5}) == 0.0
    assert independence(["a", "b", "stranger", "a"], {"a": 0.5, "b": 0.5}) == 0.0


def test_whoever_is_never_picked_counts() -> None:
    assert evenness({"a": 100}, {"a": 0.5, "b": 0.5}) < ALARM_RATE


def test_a_single_endpoint_is_always_even() -> None:
    assert evenness({"a": 7}, {"a": 1.0}) == 1.0
    assert independence(["a"] * 7, {"a": 1.0}) == 1.0


@pytest.mark.parametrize("size", [2, 4])
def test_false_alarms_come_as_often_as_stated(size: int) -> None:
    runs, rate, rng = 1000, 0.05, random.Random(size)
    samples = [rng.choices(range(size), k=400) for _ in range(runs)]
    for alarms in (
        sum(evenness(Counter(sample), even(size)) < rate for sample in samples),
        sum(independence(sample, even(size)) < rate for sample in samples),
    ):
        assert 20 < alarms < 80  # 50 are due, give or take 7


@pytest.mark.parametrize("size", [2, 4])
def test_the_stated_rate_holds_far_out_in_the_tail(size: int) -> None:
    """By exact enumeration of two and four equal cells: the approximation is not off by more than a fifth."""
    count = sample_size(1 / size, size - 1)
    assert exact_alarm_rate(count, size) == pytest.approx(ALARM_RATE, rel=0.2)


def test_the_serial_test_alarms_more_often_than_stated_but_not_much() -> None:
    """Pairs of two endpoints are four equal cells, with half as many picks each."""
    pairs = sample_size(1 / 2, 1) // 2
    assert 1 < exact_alarm_rate(pairs, 4) / ALARM_RATE < EXCESS / 3  # 1.1; with more cells it is more


@pytest.mark.parametrize("share", [1 / 4, 1 / 3, 1 / 2])
def test_unequal_shares_alarm_little_more_often_than_stated(share: float) -> None:
    count = sample_size(share, 1)
    shares = {"one": share, "other": 1 - share}
    exact = sum(
        comb(count, ones) * share**ones * (1 - share) ** (count - ones)
        for ones in range(count + 1)
        if evenness({"one": ones, "other": count - ones}, shares) < ALARM_RATE
    )
    assert 0.5 < exact / ALARM_RATE < EXCESS / 2


def exact_alarm_rate(count: int, size: int) -> float:
    """The probability that evenness raises an alarm; cells are paired, for all would be too many."""
    limit = least_alarming(count, size)
    if size == 2:
        ways: int = sum(comb(count, a) for a in range(count + 1) if a * a + (count - a) ** 2 >= limit)
        return ways / 2.0**count
    pairs = [
        sorted((a * a + (m - a) ** 2, comb(m, a) / 2**m) for a in range(m + 1)) for m in range(count + 1)
    ]
    total = 0.0
    for m in range(count + 1):
        squares = [square for square, _ in pairs[count - m]]
        tails = [0.0]
        for _, probability in reversed(pairs[count - m]):
            tails.append(tails[-1] + probability)
        alarming = sum(
            probability * tails[len(squares) - bisect_right(squares, limit - square - 1)]
            for square, probability in pairs[m]
        )
        total += comb(count, m) / 2**count * alarming
    return total


def least_alarming(count: int, size: int) -> int:
    """The smallest sum of squared counts that makes for an alarm."""
    low, high = count * count // size, count * count
    while low < high:
        middle = (low + high) // 2
        if tail(size * middle / count - count, size - 1) < ALARM_RATE:
            high = middle
        else:
            low = middle + 1
    return low


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_an_endpoint_with_twice_its_share_is_found_out(size: int) -> None:
    count = sample_size(1 / size, size - 1)
    assert count < 1200
    missed = sum(
        evenness(Counter(picks(seed, count, doubled(size))), even(size)) >= ALARM_RATE for seed in range(300)
    )
    assert missed <= 1  # two would be due in 20,000


def test_the_sample_is_no_larger_than_it_has_to_be() -> None:
    """With two thirds of the picks many more would be missed."""
    count = sample_size(1 / 4, 3) * 2 // 3
    missed = sum(
        evenness(Counter(picks(seed, count, doubled(4))), even(4)) >= ALARM_RATE for seed in range(500)
    )
    assert missed / 500 > 20 * MISS_RATE


@pytest.mark.parametrize("size", [2, 3, 4])
def test_picks_in_turn_are_not_independent(size: int) -> None:
    count = sample_size(1 / size, size - 1)
    in_turn = [index % size for index in range(count)]
    assert evenness(Counter(in_turn), even(size)) > 0.9
    assert independence(in_turn, even(size)) < ALARM_RATE


@pytest.mark.parametrize("size", [2, 3, 4])
def test_picks_that_tell_of_the_next_are_not_independent(size: int) -> None:
    count = sample_size(1 / size, size - 1)
    for seed in range(100):
        rng = random.Random(seed)
        last = 0
        sticky: list[int] = []
        shy: list[int] = []
        for _ in range(count):
            sticky.append(rng.choice([last, *range(size)]) if rng.random() < 0.8 else last)
            last = sticky[-1]
            shy.append(rng.choice([one for one in range(size) if not shy or one != shy[-1]]))
        assert independence(sticky, even(size)) < ALARM_RATE
        assert independence(shy, even(size)) < ALARM_RATE


@given(st.lists(st.integers(1, 10), min_size=1, max_size=8))
def test_coverage_reaches_everybody_and_one_more(weights: list[int]) -> None:
    shares = [weight / sum(weights) for weight in weights]
    count = coverage(shares)
    stranger = 1 / (len(shares) + 1)
    everybody = [*(share * (1 - stranger) for share in shares), stranger]
    assert sum((1 - share) ** count for share in everybody) <= UNREACHED_RATE
    assert count == 1 or sum((1 - min(everybody)) ** (count - 2) for _ in everybody) > UNREACHED_RATE
