"""The plugin that brings the backend ``ipvs``, and its settings."""

from msgspec import Struct

from pointsman.core.backend import BackendRegistry, BackendSpec, DataplaneSettings
from pointsman.core.hookspecs import hookimpl

from .split import DEFAULT_SCHEDULER


class IpvsOptions(Struct, frozen=True, rename="camel"):
    """What can be set: how IPVS picks endpoints (CFG-16), where empty means by `DEFAULT_SCHEDULER`."""

    scheduler: str = ""


def _make(settings: DataplaneSettings) -> object:
    # Imported late: whoever only lists the backends needn't pay for this one's netlink code.
    from .dataplane import IpvsDataplane

    options = settings.options or IpvsOptions()
    return IpvsDataplane(settings, options.scheduler or DEFAULT_SCHEDULER)


@hookimpl
def pointsman_register_backends(registry: BackendRegistry) -> None:
    """See `Acquire.pointsman_register_backends`."""
    summary = "endpoints picked by IPVS behind flat nftables maps, all over netlink"
    registry.add(BackendSpec("ipvs", summary, _make, options=IpvsOptions))
