"""``pointsman cleanup``: remove what this proxy wrote."""

import argparse
import sys

from pointsman.core.addresses import IPFamily
from pointsman.core.backend import BackendSpec, DataplaneSettings
from pointsman.core.errors import BackendUnavailable, PointsmanError
from pointsman.core.plugins import Dataplane, Plugins

from .command import Subparsers
from .flags import Problems, add, read
from .options import INSTANCE
from .text import one_line


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
    found = read(args, (INSTANCE,), problems)
    if problems:
        raise Problems(problems)
    settings = [DataplaneSettings(family, found[INSTANCE.key]) for family in IPFamily]
    done = [_clean(spec, of_family) for spec in plugins.backends for of_family in settings]
    return 0 if all(done) else 1


def _clean(spec: BackendSpec, settings: DataplaneSettings) -> bool:
    """Clean up after one dataplane, and say so; whether it went well."""
    about = f"{spec.name} {settings.family}"
    try:
        dataplane = Dataplane(spec, settings)
        try:
            dataplane.probe()
            found = dataplane.cleanup()
        finally:
            dataplane.close()
    except BackendUnavailable as error:
        print(one_line(f"{about}: skipped, it can't run here: {error.reason}; {error.remedy}"))
        return True
    except PointsmanError as error:
        print(one_line(f"{about}: failed: {error}"), file=sys.stderr)
        return False
    print(f"{about}: {'removed' if found else 'nothing to remove'}")
    return True
