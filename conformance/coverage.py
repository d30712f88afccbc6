"""Which numbers of the service contract packets can show: what the cases have to cover, and what nobody can.

The list is ``coverage.toml``, beside this module.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from msgspec import Struct, toml


class _Listed(Struct, frozen=True):
    visible: frozenset[str]
    invisible: Mapping[str, str]


def visible() -> frozenset[str]:
    """The numbers that packets show."""
    return _listed().visible


def invisible() -> Mapping[str, str]:
    """All other numbers, each with the reason why no case can be about it."""
    return _listed().invisible


@cache
def _listed() -> _Listed:
    return toml.decode(files(__package__).joinpath("coverage.toml").read_bytes(), type=_Listed)
