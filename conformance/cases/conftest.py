"""Says what is missing where the cases are collected without a backend to hold to them."""

import pytest


def pytest_pycollect_makemodule(parent: pytest.Collector) -> None:
    """Refuse a run that names nobody to be tested."""
    if not parent.config.getoption("backend") and not parent.config.getoption("target_command"):
        from pointsman.core.plugins import Plugins

        installed = ", ".join(spec.name for spec in Plugins().backends)
        raise parent.CollectError(
            "say with --backend NAME or --target-command COMMAND whom to hold to the cases; "
            f"installed: {installed}"
        )
