"""The plugin that brings the backend ``nftables``."""

from pointsman.core.backend import BackendRegistry, BackendSpec, DataplaneSettings
from pointsman.core.hookspecs import hookimpl


def _make(settings: DataplaneSettings) -> object:
    # Imported late: whoever only lists the backends needn't pay for this one's netlink code.
    from .dataplane import NftablesDataplane

    return NftablesDataplane(settings)


@hookimpl
def pointsman_register_backends(registry: BackendRegistry) -> None:
    """See `Acquire.pointsman_register_backends`."""
    summary = "flat maps over netlink, one table per family"
    registry.add(BackendSpec("nftables", summary, _make, conntrack=True))
