"""Durations as Go programs, and so kube-proxy's users, write them."""

import re

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(rf"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)({'|'.join(sorted(_UNITS, key=len, reverse=True))})")
_LONGEST = (2**63 - 1) * 1e-9  # Go counts nanoseconds in 64 bits


def parse_duration(text: str) -> float:
    """Seconds in a duration such as ``30s``, ``1h2m3s`` or ``500ms``; ``0`` needs no unit.

    Raises:
        ValueError: it is something else, or longer than 292 years.
    """
    unsigned = text[1:] if text[:1] in ("+", "-") else text
    parts = _PART.findall(unsigned)
    if unsigned != "0" and (not parts or "".join(number + unit for number, unit in parts) != unsigned):
        raise ValueError(f"{text!r} is not a duration such as 30s, 500ms or 1h2m3s")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds > _LONGEST:
        raise ValueError(f"{text!r} is too long: 292 years are the most")
    return -seconds if text.startswith("-") else seconds
