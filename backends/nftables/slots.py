"""Which endpoint stands at which index.

The kernel picks an index at random; so the endpoints of a service must stand at 0, 1, 2 … without a hole,
each at as many indices as its weight says. Changes keep everybody else in place: an endpoint that leaves is
replaced by one from the end, a new one is appended. So what has to be written is what changed, at any size.
"""

from collections import Counter
from functools import lru_cache
from math import gcd
from sys import byteorder

from pointsman.core.model import Endpoint

from .layout import target

Slots = tuple[bytes, ...]


@lru_cache(maxsize=4096)
def index_key(index: int) -> bytes:
    """An index as numgen leaves it in a register: a 32-bit integer in the host's byte order."""
    return index.to_bytes(4, byteorder)


def assign(before: Slots, pool: tuple[Endpoint, ...]) -> Slots:
    """The slots for a pool, as near to those before as can be."""
    wanted = _copies(pool)
    if not before:
        return tuple(wanted)
    if sorted(before) == sorted(wanted):
        return before
    left = Counter(wanted)
    slots: list[bytes | None] = [None] * len(wanted)
    for index, occupant in enumerate(before[: len(wanted)]):
        if left[occupant]:
            left[occupant] -= 1
            slots[index] = occupant
    newcomers = iter([occupant for occupant in wanted if _take(left, occupant)])
    return tuple(next(newcomers) if slot is None else slot for slot in slots)


def _take(left: Counter[bytes], occupant: bytes) -> bool:
    left[occupant] -= 1
    return left[occupant] >= 0


def _copies(pool: tuple[Endpoint, ...]) -> list[bytes]:
    """Every endpoint as often as its weight in lowest terms."""
    if all(endpoint.weight == 1 for endpoint in pool):
        return [target(endpoint) for endpoint in pool]
    divisor = gcd(*(endpoint.weight for endpoint in pool))
    return [t for endpoint in pool for t in [target(endpoint)] * (endpoint.weight // divisor)]
