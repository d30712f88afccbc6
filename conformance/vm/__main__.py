"""``python -m pointsman.conformance.vm``: run a command in a guest."""

import argparse
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from .building import build, obtain
from .errors import TimedOut, VmError
from .guest import Guest
from .kernels import DIRECTORIES, locate
from .progress import shown

TIMED_OUT, FAILED = 124, 125  # as timeout(1) has them
_BY_SIGNAL = 128  # and the signal's number, as in shells


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status, or one of the above."""
    parser = _parser()
    args = parser.parse_args(arguments)
    if not args.command and not args.build:
        parser.error("there is no command to run")
    if args.unless is not None and args.unless.exists():
        # This machine will do. Nothing is left for us to do but to make way.
        os.execvp(args.command[0], args.command)
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(_BY_SIGNAL + number))
    try:
        if args.ready and locate(args.kernel) is None:
            sys.stderr.write("pointsman.conformance.vm: no kernel is at hand; nothing was run in a guest\n")
            return 0
        with shown(Console(stderr=True)) as report:
            kernel = (build if args.build else obtain)(args.kernel, report)
        if not args.command:
            sys.stdout.write(f"{kernel.path}\n")
            return 0
        guest = Guest(kernel, args.memory, args.write)
        status = guest.run(args.command, timeout=args.timeout).returncode
    except (VmError, NotADirectoryError) as error:
        sys.stderr.write(f"pointsman.conformance.vm: {error}\n")
        return TIMED_OUT if isinstance(error, TimedOut) else FAILED
    except KeyboardInterrupt:
        return _BY_SIGNAL + signal.SIGINT
    except BrokenPipeError:  # whoever read the output has seen enough
        return _BY_SIGNAL + signal.SIGPIPE
    return status if status >= 0 else _BY_SIGNAL - status


def mebibytes(text: str) -> int:
    """Read an amount of memory such as ``2G`` or ``512M``."""
    amount = re.fullmatch(r"([1-9]\d*)([MG])", text)
    if amount is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 2G or 512M")
    return int(amount[1]) * (1024 if amount[2] == "G" else 1)


def seconds(text: str) -> float:
    """Read a number of seconds, more than none."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pointsman.conformance.vm",
        usage="%(prog)s [options] -- COMMAND [ARGUMENT ...]",
        description="Run a command as root in a throw-away User-Mode-Linux guest that has this machine's file"
        " tree; what it writes is gone with it. The exit status is the command's, 124 if its time was up, 125"
        " if there was no guest or it failed.",
        epilog=f"Kernels are looked for in the directories of ${DIRECTORIES}, in ~/.cache/pointsman/uml and"
        " beside the checkout. If there is none, one is built from Debian's linux-source.",
        allow_abbrev=False,
    )
    parser.add_argument("-k", "--kernel", metavar="KERNEL", help="its path or version; the newest by default")
    parser.add_argument(
        "-m", "--memory", type=mebibytes, default="2G", metavar="SIZE", help="such as 512M; 2G"
    )
    parser.add_argument(
        "-t", "--timeout", type=seconds, metavar="SECONDS", help="for the command, boot aside"
    )
    parser.add_argument(
        "-w",
        "--write",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="a directory to write through to this machine; may be repeated",
    )
    parser.add_argument(
        "--build",
        action="store_true",
        help="use a kernel built from Debian's linux-source, and build it if need be; -k names the version",
    )
    parser.add_argument(
        "--ready",
        action="store_true",
        help="where no kernel is at hand, say so and do nothing: building one takes its time",
    )
    parser.add_argument(
        "--unless",
        type=Path,
        metavar="PATH",
        help="run the command on this machine if that path is there, such as a directory below /proc/sys that"
        " comes with what a guest is wanted for",
    )
    parser.add_argument("command", nargs="*", metavar="COMMAND")
    return parser


if __name__ == "__main__":
    sys.exit(main())
