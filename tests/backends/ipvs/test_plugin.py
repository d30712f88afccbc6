"""The plugin's registration and its settings."""

import pytest

from pointsman.backends.ipvs import plugin
from pointsman.backends.ipvs.dataplane import IpvsDataplane
from pointsman.backends.ipvs.plugin import IpvsOptions
from pointsman.backends.ipvs.servers import Timeouts
from pointsman.backends.ipvs.split import DEFAULT_SCHEDULER
from pointsman.core.addresses import IPFamily
from pointsman.core.backend import BackendRegistry, DataplaneSettings


@pytest.mark.parametrize(
    ("options", "scheduler"),
    [(None, DEFAULT_SCHEDULER), (IpvsOptions(), DEFAULT_SCHEDULER), (IpvsOptions("lc"), "lc")],
)
def test_CFG_16_the_scheduler_can_be_chosen(options: IpvsOptions | None, scheduler: str) -> None:
    registry = BackendRegistry()
    plugin.pointsman_register_backends(registry)
    spec = registry["ipvs"]
    assert spec.options is IpvsOptions
    made = spec.make(DataplaneSettings(IPFamily.IPV4, options=options))
    assert isinstance(made, IpvsDataplane)
    assert made.scheduler == scheduler


def test_CFG_17_timeouts_are_whole_seconds() -> None:
    assert IpvsOptions(tcp_timeout=0.2, udp_timeout=300).timeouts == Timeouts(1, 0, 300)
    assert IpvsOptions(tcp_timeout=2147483.5).timeouts == Timeouts(2147483, 0, 0)
    assert Timeouts(1, 0, 300).over(Timeouts(900, 120, 300)) == Timeouts(1, 120, 300)
