"""Broken dataplanes, and others that lack something, as a third party's distribution would bring them.

Each mutant does to packets something else than it says: what it observes, and how much it writes, is told by
a healthy dataplane. Only a case that looks at packets can find it out.
"""

from collections.abc import Iterator

from pointsman.backends.iptables.dataplane import IptablesDataplane
from pointsman.backends.memory.dataplane import MemoryDataplane
from pointsman.backends.nftables.dataplane import NftablesDataplane
from pointsman.core.backend import BackendRegistry, BackendSpec, DataplaneSettings
from pointsman.core.hookspecs import hookimpl
from tests.conformance.besidemutants import CAUGHT_BY as BESIDE
from tests.conformance.kernelmutants import ON_IPTABLES, ON_NFTABLES

from . import addresses, balancing, changes, masquerading, memories, refusals
from .base import Mutant
from .others import OTHERS

__all__ = ["Mutant", "addresses", "balancing", "changes", "masquerading", "memories", "mutants", "refusals"]


def _all_kinds(kind: type[Mutant]) -> Iterator[type[Mutant]]:
    for one in kind.__subclasses__():
        yield one
        yield from _all_kinds(one)


def _iptables(settings: DataplaneSettings) -> IptablesDataplane:
    return IptablesDataplane(settings, None)


def mutants() -> Iterator[type[Mutant]]:
    yield from _all_kinds(Mutant)


@hookimpl
def pointsman_register_backends(registry: BackendRegistry) -> None:
    for mutant in mutants():
        registry.add(BackendSpec(mutant.__name__, mutant.__doc__ or "broken", mutant, simulated=True))
    for name in BESIDE:
        registry.add(
            BackendSpec(name, "healthy; what works beside it isn't", MemoryDataplane, simulated=True)
        )
    for name in ON_NFTABLES:
        registry.add(BackendSpec(name, "nftables, and something that spoils it", NftablesDataplane))
    for name in ON_IPTABLES:
        registry.add(BackendSpec(name, "iptables, and something that spoils it", _iptables))
    for name, other in OTHERS.items():
        registry.add(BackendSpec(name, "for the suite's own tests", other, simulated=True))
