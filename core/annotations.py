"""Pointsman's own annotations: what Kubernetes' objects have no field for.

All are optional and begin with ``pointsman.dev/``. A value that can't be read is reported and ignored.
"""

import re
from collections.abc import Mapping

from msgspec import Struct

from .addresses import parse_address

WEIGHTS = "pointsman.dev/weights"
DRAIN = "pointsman.dev/drain-seconds"
SCHEDULER = "pointsman.dev/scheduler"

# Dataplanes that pick by index hold one slot per unit of weight.
MAX_WEIGHT = 100
MAX_DRAIN = 86400

_SCHEDULER = re.compile(r"[a-z0-9][a-z0-9_-]{0,14}")  # IP_VS_SCHEDNAME_MAXLEN


class Weights(Struct, frozen=True):
    """Shares of endpoints: by address, and for all others.

    A weight of 0 takes the endpoint out of service for new connections.
    """

    others: int | None = None
    by_address: tuple[tuple[bytes, int], ...] = ()

    def of(self, address: bytes) -> int | None:
        """The weight given for an address, None if nothing was said."""
        for known, weight in self.by_address:
            if known == address:
                return weight
        return self.others


NO_WEIGHTS = Weights()


def parse_weights(text: str) -> Weights:
    """Read ``3``, ``10.0.0.1=3,10.0.0.2=0`` or both, as in ``2,10.0.0.1=5``.

    Raises:
        ValueError: the text is something else, or a weight lies outside 0…100.
    """
    others: int | None = None
    by_address: dict[bytes, int] = {}
    for part in text.split(","):
        address, equals, weight = (piece.strip() for piece in part.rpartition("="))
        if equals:
            by_address[parse_address(address)] = _number(weight, MAX_WEIGHT)
        else:
            others = _number(weight, MAX_WEIGHT)
    return Weights(others, tuple(sorted(by_address.items())))


def parse_drain(text: str) -> int:
    """Read a number of seconds.

    Raises:
        ValueError: the text is something else, or lies outside 0…86400.
    """
    return _number(text.strip(), MAX_DRAIN)


def parse_scheduler(text: str) -> str:
    """Read the name of a way to pick endpoints; whether there is one of that name, the dataplane knows.

    Raises:
        ValueError: the text is no such name.
    """
    name = text.strip()
    if not _SCHEDULER.fullmatch(name):
        raise ValueError(f"{text[:80]!r} is not a scheduler's name, such as wrr or lc")
    return name


def annotation(annotations: Mapping[str, str] | None, key: str) -> str | None:
    """The value of an annotation, None if it isn't there."""
    return None if annotations is None else annotations.get(key)


def _number(text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and int(text) <= most):
        raise ValueError(f"{text[:80]!r} is not a whole number from 0 to {most}")
    return int(text)
