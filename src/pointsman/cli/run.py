"""``pointsman run``: keep the kernel as the objects say."""

import argparse
import sys

from pointsman.core.plugins import Plugins

from .command import Subparsers
from .flags import add
from .options import FLAGS, options, settled
from .selection import select


def add_parser(commands: Subparsers) -> None:
    """See `Command.add_parser`."""
    parser = commands.add_parser(
        "run",
        help="serve this node until told to stop",
        description="Program this node's kernel as Services and EndpointSlices say, and follow their changes."
        " SIGTERM or SIGINT ends it; the rules stay and go on serving: pointsman cleanup removes them.",
        allow_abbrev=False,
    )
    add(parser, FLAGS)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, plugins: Plugins) -> int:
    """See `Command.run`."""
    # Late: structlog, and what the daemon is made of, take as long to load as all the rest.
    from . import logs
    from .daemon import Decided, serve

    chosen = options(args, plugins)
    logs.configure(sys.stderr, chosen.log_format, chosen.verbosity)
    selection = select(plugins, chosen.config)
    config = settled(chosen, selection.spec.name, tuple(selection.capabilities))
    plugins.configure(config)
    kind, argument = chosen.source
    serve(Decided(config, selection, plugins.sources[kind].make(argument, config)), plugins)
    return 0
