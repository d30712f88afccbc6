"""Dataplanes that lack something, and say so: no mutants, but for the suite's own tests."""

from collections.abc import Callable, Iterable
from functools import partial

from pointsman.backends.memory.dataplane import MemoryDataplane
from pointsman.core.addresses import IPFamily
from pointsman.core.backend import DataplaneSettings
from pointsman.core.errors import BackendUnavailable
from pointsman.core.features import SUPPORTED, Capabilities, Feature, Level, Support
from pointsman.core.hookspecs import hookimpl


class Lacking(MemoryDataplane):
    """Right in all that it does, and doesn't claim to do the rest."""

    def __init__(self, supports: dict[Feature, Support], settings: DataplaneSettings) -> None:
        super().__init__(settings)
        self.supports = supports

    @hookimpl
    def dataplane_probe(self) -> Capabilities:
        return Capabilities(dict.fromkeys(Feature, SUPPORTED) | self.supports)


class Absent(MemoryDataplane):
    """Can't run here for some families."""

    def __init__(self, families: Iterable[IPFamily], settings: DataplaneSettings) -> None:
        super().__init__(settings)
        self.missing = settings.family in families

    @hookimpl
    def dataplane_probe(self) -> Capabilities:
        if self.missing:
            raise BackendUnavailable("absent", "the kernel lacks magic", "load its module magic")
        return super().dataplane_probe()


OTHERS: dict[str, Callable[[DataplaneSettings], object]] = {
    "healthy": MemoryDataplane,
    "absent": partial(Absent, tuple(IPFamily)),
    "absent-ipv6": partial(Absent, (IPFamily.IPV6,)),
    "without-sctp": partial(Lacking, {Feature.SCTP: Support(Level.UNSUPPORTED, "too new for it")}),
    "later-weights": partial(Lacking, {Feature.WEIGHTS: Support(Level.NOT_IMPLEMENTED, "next year")}),
}
