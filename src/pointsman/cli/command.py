"""What a command is: a module of this package, or a plugin's own, with two functions."""

import argparse
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from pointsman.core.plugins import Plugins

Subparsers: TypeAlias = "argparse._SubParsersAction[Any]"


class Command(Protocol):
    """A subcommand.

    Its module is imported whenever any command runs: what is slow to import belongs into `run`.
    """

    def add_parser(self, commands: Subparsers) -> None:
        """Add the subcommand's parser, whose default ``run`` is `run` (``parser.set_defaults(run=run)``)."""

    def run(self, args: argparse.Namespace, plugins: "Plugins") -> int:
        """Do it, and return the exit status: 0, or 1 if it failed.

        A `PointsmanError` becomes a line on standard error, any other exception a traceback.
        """
