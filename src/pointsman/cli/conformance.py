"""``pointsman conformance``: hold backends to the suite, and look at what came of it."""

import argparse
from pathlib import Path

from pointsman.core.errors import ConfigError, PointsmanError
from pointsman.core.plugins import Plugins

from . import conformance_reports, conformance_runs
from .command import Subparsers

FAMILIES = ("4", "6", "both")
PROFILES = ("core", "extended")

_USAGE = """%(prog)s --backend NAME [--backend NAME ...] [OPTION ...] [-- PYTEST-ARGUMENT ...]
       %(prog)s --target-command 'PROGRAM ... {kubeconfig} ...' [OPTION ...]
       %(prog)s diff OLD.json NEW.json
       %(prog)s matrix REPORT.json ... [--report FILE.md]
       %(prog)s cases [--profile core] [--family 4]
       %(prog)s schema"""

_DESCRIPTION = """\
Play every case of the conformance suite for each backend: simulated ones as anybody, all others as root, in
network namespaces that end with the run. Exits with 0 if all passed, 1 if a case failed, 2 if asked for what
there isn't, 6 if a core case can't be played on this machine.

  diff      what changed from one report to another; exits with 1 if anything got worse
  matrix    reports side by side, rule by rule, in Markdown
  cases     the names of all cases, and their digest, by which a trimmed report shows
  schema    the JSON Schema of reports
"""


def add_parser(commands: Subparsers) -> None:
    """See `Command.add_parser`."""
    parser = commands.add_parser(
        "conformance",
        help="hold backends to the conformance suite",
        usage=_USAGE,
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_selection(parser)
    _add_way(parser)
    parser.add_argument(
        "words", nargs="*", metavar="WORD", help="diff, matrix, cases or schema, or what -- says"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, plugins: Plugins) -> int:
    """See `Command.run`."""
    if not args.backend and not args.target_command:
        return conformance_reports.run(args)
    for name in args.backend:
        if name not in plugins.backends:
            installed = ", ".join(spec.name for spec in plugins.backends)
            raise ConfigError(f"--backend {name}: there is no such backend; installed: {installed}")
    if args.vm is not None:
        return conformance_runs.in_guest(args)
    try:
        import hypothesis  # noqa: F401 - the suite needs these, and says less of it when one is missing
        import mpmath  # noqa: F401
        import pytest  # noqa: F401
        import xdist  # type: ignore[import-untyped]  # noqa: F401
    except ModuleNotFoundError as error:
        raise PointsmanError(
            f"the conformance suite needs {error.name}; pip install 'pointsman[conformance]'"
        ) from error
    return conformance_runs.here(args)


def _add_selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--backend",
        action="append",
        default=[],
        metavar="NAME",
        help="whom to hold to it; may be repeated: results stand side by side",
    )
    parser.add_argument(
        "--target-command",
        action="append",
        default=[],
        metavar="COMMAND",
        help="hold a program to it that watches the API server of {kubeconfig} for the node {node}",
    )
    parser.add_argument("--family", choices=FAMILIES, default="both", help="IP families (%(default)s)")
    parser.add_argument(
        "--profile",
        choices=PROFILES,
        default="extended",
        help="core: what makes a service proxy; extended: all there is (%(default)s)",
    )
    parser.add_argument("-k", metavar="EXPRESSION", help="only cases whose names match, as pytest's -k")
    parser.add_argument(
        "--scenarios", metavar="NUMBER", help="how many random scenarios to go through in each family (10)"
    )
    parser.add_argument("--seed", metavar="NUMBER", help="what they are made from (0)")
    parser.add_argument(
        "--replay",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="play this scenario, and nothing else; may be repeated",
    )


def _add_way(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--report",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="write a report: JUnit for FILE.xml, Markdown for FILE.md, else JSON; may be repeated",
    )
    parser.add_argument("-n", metavar="NUMBER", help="on so many processes, each with a lab of its own")
    parser.add_argument(
        "--vm",
        nargs="?",
        const="",
        metavar="KERNEL",
        help="in a User-Mode-Linux guest: of this release or file, else of the newest kernel there is",
    )
    parser.add_argument(
        "--instance", metavar="NAME", help="the instance name of the backends' kernel objects"
    )
