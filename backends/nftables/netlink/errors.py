"""What can go wrong between us and nf_tables."""

from __future__ import annotations

import os
from collections.abc import Sequence
from errno import ERESTART
from typing import NamedTuple


class Failure(NamedTuple):
    """One operation the kernel refused.

    Attributes:
        errno: why.
        operation: what was asked, naming the element if the kernel pointed at one.
        message: the kernel's own words (extended acknowledgement), often empty.
    """

    errno: int
    operation: str
    message: str = ""

    def __str__(self) -> str:
        words = f" ({self.message})" if self.message else ""
        return f"{self.operation}: {os.strerror(self.errno)}{words}"


class NetlinkError(OSError):
    """The kernel refused a request. A refused transaction changed nothing.

    Attributes:
        failures: every refused operation the kernel told of, in the order of the transaction.
    """

    def __init__(self, failures: Sequence[Failure]) -> None:
        self.failures = tuple(failures)
        first = self.failures[0]
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        super().__init__(first.errno, f"{first}{more}")

    def __str__(self) -> str:
        return str(self.strerror)


class StaleGeneration(NetlinkError):
    """The ruleset has changed since the generation the transaction was meant for; nothing was applied."""

    def __init__(self, generation: int) -> None:
        super().__init__(
            [Failure(ERESTART, f"commit on generation {generation}", "the ruleset has changed since")]
        )
        self.generation = generation


class OutcomeUnknown(OSError):
    """The kernel's answer got lost: whether the transaction was applied has to be read back."""


class DumpInterrupted(OSError):
    """The ruleset kept changing while it was dumped; try again when it is quieter."""
