"""The commands that come with Pointsman."""

from collections.abc import Sequence

from .command import Command


def commands() -> Sequence[Command]:
    """The subcommands, in the order of ``--help``."""
    from . import backends, cleanup, conformance, demo, run

    return [run, cleanup, backends, conformance, demo]
