"""Pytest plugin: the options of the conformance suite, and the suite itself where a backend is named.

Every pytest run on a machine with Pointsman loads this module, so it imports nothing of weight. Its options
other than those that say what to test carry the suite's name: two plugins with one option stop every run.
"""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the suite's options."""
    group = parser.getgroup("pointsman", "conformance of Kubernetes service proxies (Pointsman)")
    _add_selection(group)
    _add_scenarios(group)


def _add_selection(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--backend",
        action="append",
        default=[],
        metavar="NAME",
        help="hold this backend to the suite; may be repeated",
    )
    group.addoption(
        "--target-command",
        action="append",
        default=[],
        metavar="COMMAND",
        help="hold a program to the suite that watches the API server of {kubeconfig} for the node {node};"
        " may be repeated",
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
    group.addoption(
        "--conformance-profile",
        choices=("core", "extended"),
        default="extended",
        help="core: only cases about what makes a service proxy; extended: all (%(default)s)",
    )
    group.addoption(
        "--conformance-report",
        action="append",
        default=[],
        metavar="FILE",
        help="write a report: Markdown for FILE.md, else JSON; may be repeated",
    )


def _add_scenarios(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--conformance-scenarios",
        type=_positive,
        default=10,
        metavar="NUMBER",
        help="how many random scenarios to go through for each backend and family (%(default)s)",
    )
    group.addoption(
        "--conformance-seed",
        type=int,
        default=0,
        metavar="NUMBER",
        help="what random scenarios are made from: the same number, the same scenarios (%(default)s)",
    )
    group.addoption(
        "--conformance-replay",
        action="append",
        default=[],
        metavar="FILE",
        help="play this scenario; may be repeated",
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def pytest_configure(config: pytest.Config) -> None:
    """Bring in the suite, if it is asked for."""
    if config.getoption("backend") or config.getoption("target_command"):
        from .suite import Suite

        config.pluginmanager.register(Suite(config), "pointsman-suite")
