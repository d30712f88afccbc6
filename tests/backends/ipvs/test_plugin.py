"""The plugin's registration and its flag."""

import argparse

import pytest

from pointsman.backends.ipvs import plugin
from pointsman.backends.ipvs.dataplane import IpvsDataplane
from pointsman.backends.ipvs.split import DEFAULT_SCHEDULER
from pointsman.core.addresses import IPFamily
from pointsman.core.backend import BackendRegistry, DataplaneSettings


@pytest.mark.parametrize(
    ("arguments", "scheduler"), [([], DEFAULT_SCHEDULER), (["--ipvs-scheduler", "lc"], "lc")]
)
def test_the_flag_chooses_the_scheduler(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], scheduler: str
) -> None:
    monkeypatch.setitem(plugin._chosen, "scheduler", DEFAULT_SCHEDULER)
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    commands.add_parser("run")
    plugin.pointsman_add_options(commands)
    parser.parse_args(["run", *arguments])
    registry = BackendRegistry()
    plugin.pointsman_register_backends(registry)
    made = registry["ipvs"].make(DataplaneSettings(IPFamily.IPV4))
    assert isinstance(made, IpvsDataplane)
    assert made.scheduler == scheduler
