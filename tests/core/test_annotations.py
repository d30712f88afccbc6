"""Our own annotations: what they may say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.core.addresses import format_address, parse_address
from pointsman.core.annotations import NO_WEIGHTS, Weights, annotation, parse_drain, parse_weights

A, B = parse_address("10.0.0.1"), parse_address("fd00::1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", Weights(3)),
        (" 0 ", Weights(0)),
        ("10.0.0.1=5", Weights(None, ((A, 5),))),
        ("2, 10.0.0.1 = 5", Weights(2, ((A, 5),))),
        ("fd00::1=1,10.0.0.1=5,2", Weights(2, ((A, 5), (B, 1)))),
        ("10.0.0.1=5,10.0.0.1=6", Weights(None, ((A, 6),))),
        ("100", Weights(100)),
    ],
)
def test_weights(text: str, expected: Weights) -> None:
    assert parse_weights(text) == expected


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "101", "1.5", "10.0.0.1=", "=5", "pod=5", "1,,2", "1;2", "٣"]
)
def test_what_is_no_weight_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        parse_weights(text)


def test_the_weight_of_an_address_comes_before_that_of_the_others() -> None:
    weights = parse_weights("2,10.0.0.1=5")
    assert weights.of(A) == 5
    assert weights.of(B) == 2
    assert NO_WEIGHTS.of(A) is None


@given(st.dictionaries(st.ip_addresses().map(lambda a: a.packed), st.integers(0, 100)), st.integers(0, 100))
def test_weights_read_what_was_written(by_address: dict[bytes, int], others: int) -> None:
    parts = [str(others), *(f"{format_address(a)}={weight}" for a, weight in by_address.items())]
    assert parse_weights(",".join(parts)) == Weights(others, tuple(sorted(by_address.items())))


@pytest.mark.parametrize(("text", "expected"), [("0", 0), (" 30 ", 30), ("86400", 86400)])
def test_drain(text: str, expected: int) -> None:
    assert parse_drain(text) == expected


@pytest.mark.parametrize("text", ["", "-1", "86401", "30s", "1e3", "9" * 5000])
def test_what_is_no_time_is_refused_in_few_words(text: str) -> None:
    with pytest.raises(ValueError, match="is not a whole number from 0 to 86400") as caught:
        parse_drain(text)
    assert len(str(caught.value)) < 200


def test_annotations_may_be_absent() -> None:
    assert annotation(None, "a") is None
    assert annotation({}, "a") is None
    assert annotation({"a": "1"}, "a") == "1"
