"""``pointsman conformance``: hold backends to the suite."""

import argparse
import importlib.util
from collections.abc import Iterator

from pointsman.core.errors import ConfigError, PointsmanError
from pointsman.core.plugins import Plugins

from .command import Subparsers

CASES = "pointsman.conformance.cases"
FAMILIES = ("4", "6", "both")


def add_parser(commands: Subparsers) -> None:
    """See `Command.add_parser`."""
    parser = commands.add_parser(
        "conformance",
        help="hold backends to the conformance suite",
        description="Play every case of the conformance suite for each backend: simulated ones as anybody,"
        " all others as root, in network namespaces that end with the run. Exits with 0 if all passed, 1 if a"
        " case failed, 2 if asked for what there isn't, 6 if a core case can't be played on this machine.",
        epilog="What follows -- goes to pytest, such as: pointsman conformance --backend memory -- -x -vv",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--backend",
        action="append",
        required=True,
        metavar="NAME",
        help="whom to hold to it; may be repeated",
    )
    parser.add_argument("--family", choices=FAMILIES, default="both", help="IP families (%(default)s)")
    parser.add_argument(
        "--instance", metavar="NAME", help="the instance name of the backends' kernel objects"
    )
    parser.add_argument("-k", metavar="EXPRESSION", help="only cases whose names match, as pytest's -k")
    parser.add_argument("pytest", nargs="*", metavar="-- ARGUMENT", help="anything else for pytest")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, plugins: Plugins) -> int:
    """See `Command.run`."""
    for name in args.backend:
        if name not in plugins.backends:
            installed = ", ".join(spec.name for spec in plugins.backends)
            raise ConfigError(f"--backend {name}: there is no such backend; installed: {installed}")
    try:
        import mpmath  # noqa: F401 - the suite needs it, and says less of it when it is missing
        import pytest
    except ModuleNotFoundError as error:
        raise PointsmanError(
            f"the conformance suite needs {error.name}; pip install 'pointsman[conformance]'"
        ) from error
    return int(pytest.main([*_isolation(), *_selection(args), *args.pytest]))


def _isolation() -> Iterator[str]:
    """Nobody's settings but ours, whatever folder this is called from, and nothing written into it."""
    spec = importlib.util.find_spec(CASES)
    assert spec is not None
    assert spec.submodule_search_locations
    yield from ("-c", "/dev/null", "--rootdir", spec.submodule_search_locations[0])
    yield from ("--no-header", "--import-mode=importlib", "--strict-markers")
    # The plugin has to be there even where autoloading is off; and this process has imported it already.
    yield from (
        "-p",
        "no:cacheprovider",
        "-p",
        "pointsman",
        "-W",
        "ignore::pytest.PytestAssertRewriteWarning",
    )


def _selection(args: argparse.Namespace) -> Iterator[str]:
    yield from ("--pyargs", CASES, "--family", args.family)
    for name in args.backend:
        yield from ("--backend", name)
    if args.instance is not None:
        yield from ("--instance", args.instance)
    if args.k is not None:
        yield from ("-k", args.k)
