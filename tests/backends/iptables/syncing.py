"""A process that syncs for as long as it lives: what the tests kill.

Reads models from its standard input, brings the kernel to the first, then to the others in turn, round and
round, and says before each sync which one it is about to begin. It ends itself, by SIGKILL, right behind so
many runs of ``iptables-restore`` as it was told to; told 0, it has to be killed.
"""

import os
import signal
import sys

from pointsman.backends.iptables.changes import Step
from pointsman.backends.iptables.dataplane import IptablesDataplane
from pointsman.backends.iptables.kernel import Tools, Variant
from pointsman.core.backend import DataplaneSettings
from tests.backends.killing import given_models, sync_for_ever


def die_after(steps: int) -> None:
    """Have the process killed right behind so many steps from now on; 0 is never."""
    made, write = 0, Tools.write

    def last_write(self: Tools, step: Step) -> None:
        nonlocal made
        write(self, step)
        made += 1
        if made == steps:
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(Tools, "write", last_write)  # noqa: B010 - a method is assigned to on purpose


def main() -> None:
    variant, steps = Variant(sys.argv[1]), int(sys.argv[2])
    models = given_models()
    dataplane = IptablesDataplane(DataplaneSettings(models[0].node.family), variant)
    sync_for_ever(dataplane, models, lambda: die_after(steps))


if __name__ == "__main__":
    main()
