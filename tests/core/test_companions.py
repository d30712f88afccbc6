"""What works beside dataplanes is found like any plugin."""

import pytest

from pointsman.core.companions import CompanionRegistry, CompanionSpec
from pointsman.core.errors import PluginError
from pointsman.core.hookspecs import hookimpl
from pointsman.core.plugins import Plugins


class Worker:
    def stop(self) -> None: ...


class Provider:
    @hookimpl
    def pointsman_register_companions(self, registry: CompanionRegistry) -> None:
        registry.add(CompanionSpec("worker", "works", lambda families: Worker()))


def test_companions_are_there_under_their_names() -> None:
    plugins = Plugins([Provider()], discover=False)
    assert "worker" in plugins.companions
    assert "conntrack" not in plugins.companions
    assert [spec.name for spec in plugins.companions] == ["worker"]


def test_a_companion_registered_twice_is_refused() -> None:
    with pytest.raises(PluginError, match="companion 'worker' is registered twice"):
        Plugins([Provider(), Provider()], discover=False)


def test_ours_are_installed() -> None:
    assert {"conntrack", "health-checks"} <= {spec.name for spec in Plugins().companions}
