"""``pointsman cleanup``: remove what this proxy wrote."""

import argparse
import sys
from contextlib import closing
from enum import Enum
from typing import TYPE_CHECKING

from pointsman.core.addresses import IPFamily
from pointsman.core.backend import BackendSpec, DataplaneSettings
from pointsman.core.errors import BackendUnavailable, PointsmanError
from pointsman.core.plugins import Dataplane, Plugins

from .command import Subparsers
from .configuration.flags import add, read
from .configuration.table import INSTANCE
from .configuration.v1alpha1 import Pointsman
from .problems import Problems
from .text import one_line

if TYPE_CHECKING:
    from .leftovers import Leftover


class Outcome(Enum):
    """What became of one dataplane's rules."""

    CLEAN = "clean"
    SKIPPED = "skipped"
    FAILED = "failed"


def add_parser(commands: Subparsers) -> None:
    """See `Command.add_parser`."""
    parser = commands.add_parser(
        "cleanup",
        help="remove all rules of a stopped proxy",
        description="Remove everything that a proxy of this instance name wrote, whichever backend it used,"
        " for IPv4 and IPv6. Nothing else is touched. Backends that can't run here are skipped.",
        allow_abbrev=False,
    )
    add(parser, (INSTANCE,))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, plugins: Plugins) -> int:
    """See `Command.run`."""
    problems: list[str] = []
    instance = read(args, (INSTANCE,), problems).get(INSTANCE.key, Pointsman().instance)
    try:
        INSTANCE.rule(instance)
    except ValueError as error:
        raise Problems([f"{INSTANCE.flags[0]}: {error}"]) from error
    return clean_all(plugins, instance)


def clean_all(plugins: Plugins, instance: str, *, kube_proxy: bool = False) -> int:
    """Remove what an instance wrote, by every backend, and what kube-proxy left; returns the exit status.

    That is 1 if anything failed, or nobody could look (CLN-01).
    """
    settings = [DataplaneSettings(family, instance) for family in IPFamily]
    real = [spec for spec in plugins.backends if not spec.simulated]
    outcomes = {_clean(spec, of_family) for spec in real for of_family in settings}
    if kube_proxy:
        from .leftovers import leftovers

        outcomes |= {_remove(leftover) for leftover in leftovers()}
    if outcomes == {Outcome.SKIPPED}:
        # Without privileges, say: then nobody has looked, and there may well be something.
        print("pointsman: no backend can run here, so nothing was looked for", file=sys.stderr)
        return 1
    return 1 if Outcome.FAILED in outcomes else 0


def _remove(leftover: "Leftover") -> Outcome:
    """Remove what kube-proxy left of one kind, and say so."""
    about = f"kube-proxy's {leftover.name}"
    try:
        found = leftover.remove()
    except PointsmanError as error:
        print(one_line(f"pointsman: {about}: {error}"), file=sys.stderr)
        return Outcome.FAILED
    print(f"{about}: {'removed' if found else 'nothing to remove'}")
    return Outcome.CLEAN


def _clean(spec: BackendSpec, settings: DataplaneSettings) -> Outcome:
    """Clean up after one dataplane, and say so."""
    about = f"{spec.name} {settings.family}"
    try:
        with closing(Dataplane(spec, settings)) as dataplane:
            dataplane.probe()
            found = dataplane.cleanup()
    except BackendUnavailable as error:
        print(one_line(f"{about}: skipped, it can't run here: {error.reason}; {error.remedy}"))
        return Outcome.SKIPPED
    except PointsmanError as error:
        print(one_line(f"pointsman: {about}: {error}"), file=sys.stderr)
        return Outcome.FAILED
    print(f"{about}: {'removed' if found else 'nothing to remove'}")
    return Outcome.CLEAN
