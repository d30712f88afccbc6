"""Run a program with a time limit: ``python bounded.py SECONDS COMMAND [ARGUMENT ...]``.

The official client waits for exec plugins without end, and where nobody can reach them. So it is given this
to run, which ends a plugin that takes too long, and all that it has started, and says so.
"""

import os
import signal
import subprocess
import sys


def main(limit: str, *command: str) -> int:
    """Pass on what the command says; its exit status, or 1 if it couldn't be run or was ended."""
    try:
        # A group of its own: what it leaves behind would keep its output open, and so its reader waiting.
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0)
    except OSError as error:
        sys.stderr.write(f"{command[0]} can't be run: {error.strerror}")
        return 1
    try:
        output, errors = process.communicate(timeout=float(limit))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        sys.stderr.write(f"{command[0]} was ended: it gave nothing for {float(limit):g} s")
        return 1
    sys.stdout.buffer.write(output)
    sys.stderr.buffer.write(errors)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
