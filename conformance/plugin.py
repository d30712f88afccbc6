"""Pytest plugin: the options of the conformance suite, and the suite itself where a backend is named.

Every pytest run on a machine with Pointsman loads this module, so it imports nothing of weight.
"""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the suite's options."""
    group = parser.getgroup("pointsman", "conformance of Kubernetes service proxies (Pointsman)")
    group.addoption(
        "--backend",
        action="append",
        default=[],
        metavar="NAME",
        help="hold this backend to the suite; may be repeated",
    )
    group.addoption(
        "--family", choices=("4", "6", "both"), default="both", help="IP families to serve and test"
    )
    group.addoption(
        "--instance",
        default="conformance",
        metavar="NAME",
        help="the instance name of the backends' kernel objects",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Bring in the suite, if it is asked for."""
    if config.getoption("backend"):
        from .suite import Suite

        config.pluginmanager.register(Suite(config), "pointsman-suite")
