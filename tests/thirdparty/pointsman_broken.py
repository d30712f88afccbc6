"""Backends that are broken, each in one way; blamed.py says what is to become of them."""

import threading

from pointsman_sqlite.dataplane import SqliteDataplane

from pointsman.core.backend import BackendRegistry, BackendSpec
from pointsman.core.features import Capabilities
from pointsman.core.hookspecs import hookimpl
from pointsman.core.plan import SyncPlan, SyncReport


class Raising(SqliteDataplane):
    """Can't write."""

    @hookimpl
    def dataplane_sync(self, plan: SyncPlan) -> SyncReport:
        """Raise what no hook may."""
        raise KeyError("no such luck")


class Hanging(SqliteDataplane):
    """Never ends."""

    @hookimpl
    def dataplane_sync(self, plan: SyncPlan) -> SyncReport:
        """Wait for nothing."""
        threading.Event().wait()
        return SyncReport()


class Mute(SqliteDataplane):
    """Never says what it can do."""

    @hookimpl
    def dataplane_probe(self) -> Capabilities:
        """Wait for nothing."""
        threading.Event().wait()
        return super().dataplane_probe()


class Misspelt(SqliteDataplane):
    """Wants what no hook is given."""

    @hookimpl
    def dataplane_sync(self, plann: SyncPlan) -> SyncReport:
        """Never called."""
        return SyncReport()


@hookimpl
def pointsman_register_backends(registry: BackendRegistry) -> None:
    """Add the backends."""
    for backend in (Raising, Hanging, Mute, Misspelt):
        name = backend.__name__.lower()
        registry.add(BackendSpec(name, "is broken", backend, simulated=True, patience=2.0))
