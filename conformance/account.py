"""What one process of a run knows of it: on several processes, each tells the one that reports."""

from collections.abc import Iterable

from msgspec import Struct

from pointsman.conformance.report.model import Unavailable
from pointsman.core.addresses import IPFamily
from pointsman.core.features import Feature, Support

from .stages import NotHere, Stage


class Chosen(Struct, frozen=True):
    """What is to be played.

    Attributes:
        cases: the names of the cases.
        by_backend: how many there are for each backend, counting families.
        trimmed: whether some were left out that profile and families would have had.
    """

    cases: tuple[str, ...] = ()
    by_backend: dict[str, int] = {}
    trimmed: bool = False


class Known(Struct, frozen=True):
    """What a backend said of itself, by family."""

    capabilities: dict[str, dict[str, Support]] = {}
    unavailable: dict[str, Unavailable] = {}


class Account(Struct, frozen=True):
    """All that a process has to tell."""

    chosen: Chosen = Chosen()
    backends: dict[str, Known] = {}


def known(stage: Stage | NotHere, families: Iterable[IPFamily]) -> Known:
    """What is known of a backend once its stage has been set up, or couldn't be."""
    if isinstance(stage, NotHere):
        return Known(unavailable={str(family): Unavailable(*stage) for family in families})
    return Known(
        {
            str(family): {str(feature): stage.support(feature, family) for feature in Feature}
            for family in stage.subject.capabilities
        },
        {str(family): Unavailable(*why) for family, why in stage.missing.items()},
    )


def merged(accounts: Iterable[Account]) -> Account:
    """What several processes know together; all have chosen the same, but each knows the backends it met."""
    result = Account()
    for account in accounts:
        result = Account(account.chosen, result.backends | account.backends)
    return result
