"""The plugin that brings the backend ``ipvs``, and its settings."""

from math import ceil

from msgspec import Struct

from pointsman.core.backend import BackendRegistry, BackendSpec, DataplaneSettings
from pointsman.core.hookspecs import hookimpl

from .servers import Timeouts

LONGEST = (2**31 - 1) // 1000
"""Seconds that any kernel takes for a time-out: 24 days. Of more, those with a quick clock refuse all."""


class IpvsOptions(Struct, frozen=True, rename="camel"):
    """What can be set: how IPVS picks endpoints (CFG-16), where empty means by `DEFAULT_SCHEDULER`.

    The others are after how many seconds it forgets idle connections, where 0 leaves what is (CFG-17).
    """

    scheduler: str = ""
    tcp_timeout: float = 0
    tcp_fin_timeout: float = 0
    udp_timeout: float = 0

    @property
    def timeouts(self) -> Timeouts:
        """The time-outs as IPVS has them, in whole seconds, `LONGEST` at most."""
        given = (self.tcp_timeout, self.tcp_fin_timeout, self.udp_timeout)
        return Timeouts(*(min(ceil(seconds), LONGEST) for seconds in given))


def _make(settings: DataplaneSettings) -> object:
    # Imported late: whoever only lists the backends needn't pay for this one's netlink code.
    from .dataplane import IpvsDataplane

    return IpvsDataplane(settings)


@hookimpl
def pointsman_register_backends(registry: BackendRegistry) -> None:
    """See `Acquire.pointsman_register_backends`."""
    summary = "endpoints picked by IPVS behind flat nftables maps, all over netlink"
    registry.add(BackendSpec("ipvs", summary, _make, options=IpvsOptions, conntrack=True))
