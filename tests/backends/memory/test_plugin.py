"""The backend's plugin, found as any other."""

from pointsman.backends.memory import plugin
from pointsman.core.addresses import IPFamily
from pointsman.core.backend import DataplaneSettings
from pointsman.core.features import Capabilities
from pointsman.core.plugins import Plugins, probe


def test_it_registers_a_backend_that_runs_anywhere() -> None:
    plugins = Plugins([plugin], discover=False)
    [spec] = plugins.backends
    assert spec.name == "memory"
    for family in IPFamily:
        assert isinstance(probe(spec, DataplaneSettings(family)).outcome, Capabilities)
