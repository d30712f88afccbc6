"""Whether a sample of picks is as random as it should be, and how large it must be to show that it isn't.

A test of randomness can't but raise a false alarm now and then; each states how often. Samples are chosen so
that an endpoint with twice its share is found out. The chi-squared approximation gives the rates. So far out
in its tail it is too hopeful where there are many cells with few picks each: the exact rates, by enumeration,
are 1.0 to 1.5 times those of `evenness`, 1.2 (two endpoints) to 1.9 times (four) those of `independence`, and
4.3 times where shares are 3 to 1, all at 1e-7. The budget counts `EXCESS` times each.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product
from math import ceil, exp, lgamma, log
from typing import TypeVar

import mpmath

Pick = TypeVar("Pick")

ALARM_RATE = 5e-8
"""How often a test of randomness fails though picks are random, by the approximation."""

EXCESS = 6
"""How many times as often it may really be."""

MISS_RATE = 1e-4
"""How often it passes though one endpoint has twice its share."""

UNREACHED_RATE = 1e-9
"""How often an endpoint that is in use is reached by none of the connections made to see all in use."""

RUN_BUDGET = 1e-4
"""How often a whole run of the suite may fail by chance alone, all backends and families together."""


class Budget:
    """The chances of failing for nothing, summed up (an upper bound, by Boole's inequality)."""

    def __init__(self) -> None:
        self.spent = 0.0

    def spend(self, rate: float) -> None:
        """Count something that fails at this rate though nothing is wrong."""
        self.spent += rate


def tail(statistic: float, freedom: int) -> float:
    """The probability that a chi-squared variable is at least this large."""
    return float(mpmath.gammainc(freedom / 2, statistic / 2, mpmath.inf, regularized=True))


def evenness(counts: Mapping[Pick, int], shares: Mapping[Pick, float]) -> float:
    """The probability of counts as far from the shares as these, or farther (Pearson's chi-squared test).

    Args:
        counts: how often each was picked.
        shares: the probability of each; they add up to 1. Whatever else was picked has probability 0.
    """
    if not counts.keys() <= shares.keys():
        return 0.0
    if len(shares) == 1:
        return 1.0
    total = sum(counts.values())
    statistic = sum(
        (counts.get(key, 0) - total * share) ** 2 / (total * share) for key, share in shares.items()
    )
    return tail(statistic, len(shares) - 1)


def independence(picks: Sequence[Pick], shares: Mapping[Pick, float]) -> float:
    """The probability of pairs of consecutive picks as uneven as these (the serial test).

    Each pair is used once, so that pairs are independent of each other if picks are.
    """
    pairs = Counter(zip(picks[::2], picks[1::2], strict=False))
    return evenness(pairs, {(a, b): shares[a] * shares[b] for a, b in product(shares, repeat=2)})


@cache
def sample_size(least_share: float, freedom: int) -> int:
    """The picks needed to find out, but for `MISS_RATE`, one endpoint that has twice its share.

    Args:
        least_share: the smallest share of all, for its doubling is the hardest to see.
        freedom: the degrees of freedom of the test, one less than there are cells.
    """
    effect = least_share * (1 - least_share) / (1 + least_share) ** 2
    critical = _critical(freedom)
    high = 1
    while _acceptance(critical, freedom, high * effect) > MISS_RATE:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        if _acceptance(critical, freedom, middle * effect) > MISS_RATE:
            low = middle
        else:
            high = middle
    return high


def coverage(shares: Sequence[float]) -> int:
    """The picks that reach all endpoints, and any one more of average share, but for `UNREACHED_RATE`."""
    least = min(shares) * len(shares) / (len(shares) + 1)
    return ceil(log(UNREACHED_RATE / (len(shares) + 1)) / log(1 - least))


def _critical(freedom: int) -> float:
    """The statistic that is exceeded at `ALARM_RATE`."""
    low, high = 0.0, 64.0 + 4 * freedom
    while high - low > 1e-6:
        middle = (low + high) / 2
        if tail(middle, freedom) > ALARM_RATE:
            low = middle
        else:
            high = middle
    return high


def _acceptance(critical: float, freedom: int, noncentrality: float) -> float:
    """The distribution function of the noncentral chi-squared: a Poisson mixture of central ones."""
    survival = tail(critical, freedom)
    # With two more degrees of freedom, a central one's survival function has one more term of a known series.
    term = exp(freedom / 2 * log(critical / 2) - critical / 2 - lgamma(freedom / 2 + 1))
    weight, total, index = exp(-noncentrality / 2), 0.0, 0
    while index <= noncentrality / 2 or weight > MISS_RATE * 1e-6:
        total += weight * (1 - survival)
        index += 1
        survival += term
        term *= critical / 2 / (freedom / 2 + index)
        weight *= noncentrality / 2 / index
    return total
