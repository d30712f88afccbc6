"""The plugin that brings the backend ``memory``."""

from pointsman.core.backend import BackendRegistry, BackendSpec
from pointsman.core.hookspecs import hookimpl

from .dataplane import NAME, MemoryDataplane

SPEC = BackendSpec(
    NAME,
    "holds the state in memory and answers as a kernel should; programs nothing",
    MemoryDataplane,
    simulated=True,
)


@hookimpl
def pointsman_register_backends(registry: BackendRegistry) -> None:
    """Add the backend."""
    registry.add(SPEC)
