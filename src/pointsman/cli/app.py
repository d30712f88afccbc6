"""From arguments to an exit status."""

import argparse
import os
import sys
from collections.abc import Sequence

from pointsman import __version__
from pointsman.core.errors import ConfigError, PluginError, PointsmanError
from pointsman.core.plugins import Plugins

from . import builtin
from .configuration.flags import dashed
from .problems import Problems
from .text import one_line

INTERRUPTED = 130  # what shells give for a program that SIGINT ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``pointsman`` with some arguments, the process's by default; returns the exit status.

    2 is for a command line that can't be read and for broken plugins, 1 for settings that are wrong (CFG-05)
    and for what could not be done. None shows a traceback; a bug does.
    """
    try:
        plugins = Plugins()
        args = _parser(plugins).parse_args(dashed(sys.argv[1:] if arguments is None else arguments))
        status: int = args.run(args, plugins)
        sys.stdout.flush()
    except Problems as error:
        _complain(error)
        return 1
    except (ConfigError, PluginError) as error:
        _complain(error)
        return 2
    except PointsmanError as error:
        _complain(error)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough; nothing may be left for Python to flush at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def kube_proxy() -> int:
    """Run as a container does that was made for kube-proxy: by its name, with its flags alone."""
    return main(["run", *sys.argv[1:]])


def _parser(plugins: Plugins) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pointsman",
        description="A Kubernetes service proxy for Linux with interchangeable dataplanes.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"pointsman {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in builtin.commands():
        command.add_parser(commands)
    plugins.add_options(commands)
    for name, subparser in commands.choices.items():
        if subparser.get_default("run") is None:
            raise PluginError(f"the command {name!r} of a plugin does not say what to run: its default `run`")
    return parser


def _complain(error: PointsmanError) -> None:
    """Say what is wrong, one line for each problem, whatever the message quotes."""
    for problem in error.problems if isinstance(error, Problems) else [str(error)]:
        print(f"pointsman: {one_line(problem)}", file=sys.stderr)
