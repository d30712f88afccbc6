"""A backend for Pointsman that keeps its rules in a database."""

from pointsman.core.backend import BackendRegistry, BackendSpec
from pointsman.core.hookspecs import hookimpl

from .dataplane import NAME, SqliteDataplane


@hookimpl
def pointsman_register_backends(registry: BackendRegistry) -> None:
    """Add the backend."""
    registry.add(BackendSpec(NAME, "keeps rules in a database", SqliteDataplane, simulated=True))
