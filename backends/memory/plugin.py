"""The plugin that brings the backend ``memory``."""

from pointsman.core.backend import BackendRegistry, BackendSpec, DataplaneSettings
from pointsman.core.hookspecs import hookimpl


def _make(settings: DataplaneSettings) -> object:
    # Late: no daemon that programs a kernel needs a model of one.
    from .dataplane import MemoryDataplane

    return MemoryDataplane(settings)


SPEC = BackendSpec(
    "memory",
    "holds the state in memory and answers as a kernel should; programs nothing",
    _make,
    simulated=True,
)


@hookimpl
def pointsman_register_backends(registry: BackendRegistry) -> None:
    """Add the backend."""
    registry.add(SPEC)
