"""Change tracking: transitions since the last time the dataplane was up to date."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.core.tracker import ChangeTracker


@pytest.fixture
def tracker() -> ChangeTracker[str, int]:
    tracker: ChangeTracker[str, int] = ChangeTracker()
    tracker.set("a", 1)
    tracker.settle()
    return tracker


def test_several_changes_are_one_transition(tracker: ChangeTracker[str, int]) -> None:
    for value in (2, 3, 4):
        assert tracker.set("a", value)
    assert tracker.current == {"a": 4}
    assert tracker.pending == {"a": 1}


def test_a_change_taken_back_is_none(tracker: ChangeTracker[str, int]) -> None:
    tracker.set("a", 2)
    tracker.set("a", 1)
    assert not tracker.pending


def test_the_same_value_is_no_change(tracker: ChangeTracker[str, int]) -> None:
    assert not tracker.set("a", 1)
    assert not tracker.set("b", None)
    assert not tracker.pending


def test_removal_and_return(tracker: ChangeTracker[str, int]) -> None:
    tracker.set("a", None)
    assert "a" not in tracker.current
    assert tracker.pending == {"a": 1}
    tracker.set("a", 1)
    assert not tracker.pending


def test_addition_and_removal(tracker: ChangeTracker[str, int]) -> None:
    tracker.set("b", 1)
    assert tracker.pending == {"b": None}
    tracker.set("b", None)
    assert not tracker.pending


def test_views_cannot_be_written(tracker: ChangeTracker[str, int]) -> None:
    with pytest.raises(TypeError):
        tracker.current["a"] = 5  # type: ignore[index]


steps = st.lists(
    st.none() | st.tuples(st.sampled_from("abc"), st.none() | st.integers(0, 2)), min_size=1, max_size=30
)


@given(steps)
def test_pending_is_the_difference_to_the_last_settled_state(
    edits: list[tuple[str, int | None] | None],
) -> None:
    """None settles; all else sets."""
    tracker: ChangeTracker[str, int] = ChangeTracker()
    settled: dict[str, int] = {}
    current: dict[str, int] = {}
    for edit in edits:
        if edit is None:
            tracker.settle()
            settled = dict(current)
        else:
            key, value = edit
            assert tracker.set(key, value) == (current.get(key) != value)
            if value is None:
                current.pop(key, None)
            else:
                current[key] = value
        assert tracker.current == current
        assert tracker.pending == {
            key: settled.get(key) for key in settled.keys() | current if settled.get(key) != current.get(key)
        }
