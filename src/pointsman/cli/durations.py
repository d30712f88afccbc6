"""Durations as Go programs, and so kube-proxy's users, write them."""

import re
from decimal import Decimal

_UNITS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PART = re.compile(rf"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)({'|'.join(sorted(_UNITS, key=len, reverse=True))})")
_LONGEST = 2**63 - 1  # Go counts nanoseconds in 64 bits


class Duration(int):
    """A number of nanoseconds, written as Go writes it: ``15m0s``, ``1.5s``, ``250ms``."""

    @property
    def seconds(self) -> float:
        """The same in seconds."""
        return self / 10**9

    def __str__(self) -> str:
        sign, left = ("-", -self) if self < 0 else ("", int(self))
        if left < _UNITS["s"]:
            unit = next((unit for unit in ("ms", "µs", "ns") if left >= _UNITS[unit]), "s")
            return f"{sign}{_decimal(left, _UNITS[unit])}{unit}"
        minutes, rest = divmod(left, _UNITS["m"])
        hours, minutes = divmod(minutes, 60)
        seconds = f"{_decimal(rest, _UNITS['s'])}s"
        if hours:
            return f"{sign}{hours}h{minutes}m{seconds}"
        return f"{sign}{minutes}m{seconds}" if minutes else f"{sign}{seconds}"

    def __repr__(self) -> str:
        return f"Duration({self})"


def duration(text: str) -> Duration:
    """A duration such as ``30s``, ``1h2m3s`` or ``500ms``; ``0`` needs no unit.

    Raises:
        ValueError: it is something else, or longer than 292 years.
    """
    unsigned = text[1:] if text[:1] in ("+", "-") else text
    parts = _PART.findall(unsigned)
    if unsigned != "0" and (not parts or "".join(number + unit for number, unit in parts) != unsigned):
        raise ValueError(f"{text[:80]!r} is not a duration such as 30s, 500ms or 1h2m3s")
    nanoseconds = sum(Decimal(number) * _UNITS[unit] for number, unit in parts)
    if nanoseconds > _LONGEST:
        raise ValueError(f"{text[:80]!r} is too long: 292 years are the most")
    return Duration(-int(nanoseconds) if text.startswith("-") else int(nanoseconds))


def _decimal(count: int, unit: int) -> str:
    """A count of nanoseconds in a unit, with as many decimals as it needs."""
    whole, rest = divmod(count, unit)
    decimals = str(unit + rest)[1:].rstrip("0")
    return f"{whole}.{decimals}" if decimals else str(whole)
