"""Says what is missing where the cases are collected without a backend to hold to them."""

import pytest


def pytest_pycollect_makemodule(parent: pytest.Collector) -> None:
    """Refuse a run that names no backend."""
    if not parent.config.getoption("backend"):
        from pointsman.core.plugins import Plugins

        installed = ", ".join(spec.name for spec in Plugins().backends)
        raise parent.CollectError(
            f"say with --backend NAME whom to hold to the cases; installed: {installed}"
        )
