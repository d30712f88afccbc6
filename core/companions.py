"""What works beside the dataplanes on a node, whichever they are: conntrack, load balancers' health checks.

The daemon makes its services itself, with all that its configuration says of them. Who drives an engine in
another way, as the conformance suite does, finds here what there is and starts it plainly.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from msgspec import Struct

from .addresses import IPFamily
from .errors import PluginError


class Companion(Protocol):
    """At work: a plugin with observe hooks, to be registered where it is to hear of syncs."""

    def stop(self) -> None:
        """End its work, and wait for that. Idempotent."""


class CompanionSpec(Struct, frozen=True):
    """A companion that is installed.

    ``start`` has it work in the network namespace of the thread that calls it, for these families.
    """

    name: str
    summary: str
    start: Callable[[Sequence[IPFamily]], Companion]


class CompanionRegistry:
    """The companions that are installed, by name."""

    def __init__(self) -> None:
        self._specs: dict[str, CompanionSpec] = {}

    def add(self, spec: CompanionSpec) -> None:
        """Register a companion.

        Raises:
            PluginError: the name is taken.
        """
        if spec.name in self._specs:
            raise PluginError(
                f"companion {spec.name!r} is registered twice; uninstall one of its distributions"
            )
        self._specs[spec.name] = spec

    def __contains__(self, name: object) -> bool:
        """Whether there is a companion of that name."""
        return name in self._specs

    def __iter__(self) -> Iterator[CompanionSpec]:
        """All companions, by name."""
        return iter(sorted(self._specs.values(), key=lambda spec: spec.name))
