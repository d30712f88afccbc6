"""``pointsman demo``: the example that Pointsman began with, played on this machine's own kernel."""

import argparse
import sys

from pointsman.cli.command import Subparsers
from pointsman.core.plugins import Plugins

CONNECTIONS = 1000


def add_parser(commands: Subparsers) -> None:
    """See `Command.add_parser`."""
    parser = commands.add_parser(
        "demo",
        help="watch a Service work: a client, a node and four pods in network namespaces",
        description="Build a client, a node and four pods out of network namespaces, program the node for one"
        " Service, connect to its virtual IP many times, and show what happened. Needs root; leaves nothing.",
        allow_abbrev=False,
    )
    parser.add_argument("--backend", default="nftables", metavar="NAME", help="the dataplane (%(default)s)")
    parser.add_argument(
        "--connections", type=_count, default=CONNECTIONS, metavar="N", help="how many to make (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print data instead of a picture")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, plugins: Plugins) -> int:
    """See `Command.run`; fails if any connection found no pod."""
    from . import picture, stage  # late: both load much that no other command needs

    with picture.progress(args.connections) as progress:
        report = stage.play(plugins, args.backend, args.connections, *progress)
    if args.json:
        sys.stdout.write(picture.as_json(report))
    else:
        picture.draw(report)
    return 0 if report.answered == report.connections else 1


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 1_000_000):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1000000")
    return int(text)
