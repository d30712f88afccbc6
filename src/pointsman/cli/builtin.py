"""What comes with Pointsman: its plugins and its commands, registered like anybody else's."""

from collections.abc import Sequence

from .command import Command


def plugins() -> Sequence[object]:
    """The plugins that need no entry point, in the order in which they are registered."""
    from pointsman.backends.memory import plugin as memory

    return (memory,)


def commands() -> Sequence[Command]:
    """The subcommands, in the order of ``--help``."""
    from . import backends, cleanup, run

    return [run, cleanup, backends]
