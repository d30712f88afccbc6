"""A process that syncs for as long as it lives: what the tests kill.

Reads models from its standard input, brings the kernel to the first, then to the others in turn, round and
round, and says before each sync which one it is about to begin. It ends itself, by SIGKILL, right behind so
many runs of ``iptables-restore`` as it was told to; told 0, it has to be killed.
"""

import os
import pickle
import signal
import sys

from pointsman.backends.iptables.changes import Step
from pointsman.backends.iptables.dataplane import IptablesDataplane
from pointsman.backends.iptables.kernel import Tools, Variant
from pointsman.core.backend import DataplaneSettings
from pointsman.core.model import Model
from pointsman.core.plan import Delta, SyncPlan, diff


def die_after(steps: int) -> None:
    """Have the process killed right behind so many steps from now on."""
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
    models: list[Model] = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the test that started us
    family = models[0].node.family
    dataplane = IptablesDataplane(DataplaneSettings(family), variant)
    dataplane.dataplane_sync(SyncPlan(family, models[0], Delta(), full=True))
    if steps:
        die_after(steps)
    at = 0
    while True:
        towards = (at + 1) % len(models)
        print(towards, flush=True)  # noqa: T201 - to the test
        plan = SyncPlan(family, models[towards], diff(models[at], models[towards]), full=False)
        dataplane.dataplane_sync(plan)
        at = towards


if __name__ == "__main__":
    main()
