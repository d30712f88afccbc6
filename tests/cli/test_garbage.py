"""When the interpreter looks for garbage."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from pointsman.cli.garbage import Garbage


@pytest.fixture
def garbage() -> Iterator[Garbage]:
    gc.collect()
    made = Garbage()
    yield made
    made.close()
    gc.unfreeze()


class Knot:
    """Holds itself: nobody but the collector frees it."""

    def __init__(self) -> None:
        self.end = self


def test_the_collector_looks_seldom_until_everything_is_there(garbage: Garbage) -> None:
    looks = sum(generation["collections"] for generation in gc.get_stats())
    kept = [Knot() for _ in range(20_000)]

    assert sum(generation["collections"] for generation in gc.get_stats()) == looks
    assert len(kept) == 20_000


def test_what_has_come_to_stay_is_looked_at_no_more_and_freed_once_unused(garbage: Garbage) -> None:
    came_to_stay = {"a": object()}
    garbage_by_then = weakref.ref(Knot())
    holder = {"knot": Knot()}
    kept = weakref.ref(holder["knot"])

    garbage.settle()

    assert not any(seen is came_to_stay for seen in gc.get_objects())
    gc.collect()
    assert garbage_by_then() is not None, "a cycle nobody holds is passed over like all else"
    holder["knot"].end = Knot()
    holder.clear()
    assert kept() is None, "reference counts free what is in no cycle"


def test_garbage_that_comes_later_is_collected(garbage: Garbage) -> None:
    usual = gc.get_threshold()
    garbage.settle()
    knot = weakref.ref(Knot())

    gc.collect()

    assert knot() is None
    assert gc.get_threshold() != usual, "as usual again"
