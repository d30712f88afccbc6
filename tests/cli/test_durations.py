"""Durations, as Go's time.ParseDuration reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.cli.durations import Duration, duration

UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("1h2m3s", 3723),
        ("500ms", 0.5),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("1.s", 1),
        ("0", 0),
        ("0s", 0),
        ("-1s", -1),
        ("+1s", 1),
        ("3us", 3e-6),
        ("3µs", 3e-6),
        ("3μs", 3e-6),
        ("1m1m", 120),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text).seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "30", "s", ".s", "1d", "1 s", " 1s", "1s ", "1s\n", "--1s", "1e3s", "1s2", "٣s", "1S", "+", "00"],
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration such as 30s"):
        duration(text)


@pytest.mark.parametrize("text", ["2600000h", "9" * 5000 + "s"])
def test_too_long(text: str) -> None:
    with pytest.raises(ValueError, match="292 years"):
        duration(text)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5µs"),
        (250_000_000, "250ms"),
        (1_500_000_000, "1.5s"),
        (60_000_000_000, "1m0s"),
        (900_000_000_000, "15m0s"),
        (86_400_000_000_000, "24h0m0s"),
        (-3_600_000_000_001, "-1h0m0.000000001s"),
    ],
)
def test_they_are_written_as_go_writes_them(nanoseconds: int, text: str) -> None:
    assert str(Duration(nanoseconds)) == text


@given(st.integers(-(2**63) + 1, 2**63 - 1).map(Duration))
def test_what_is_written_says_the_same(span: Duration) -> None:
    assert duration(str(span)) == span


@given(st.lists(st.tuples(st.integers(0, 9999), st.sampled_from(sorted(UNITS))), min_size=1, max_size=5))
def test_parts_add_up(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{number}{unit}" for number, unit in parts)
    assert duration(text).seconds == pytest.approx(sum(number * UNITS[unit] for number, unit in parts))
