"""A process that syncs for as long as it lives: what the tests kill.

Reads models from its standard input, brings the kernel to the first, then to the others in turn, round and
round, and says before each sync which one it is about to begin. It ends itself, by SIGKILL, once it has made
as many transactions as it was told to; told 0, it has to be killed.
"""

import os
import pickle
import signal
import sys
from collections.abc import Sequence

from pointsman.backends.nftables.dataplane import NftablesDataplane
from pointsman.backends.nftables.netlink.messages import Operation
from pointsman.backends.nftables.netlink.netfilter import NetfilterSocket
from pointsman.core.backend import DataplaneSettings
from pointsman.core.model import Model
from pointsman.core.plan import Delta, SyncPlan, diff


def die_after(transactions: int) -> None:
    """Have the process killed right behind so many transactions from now on."""
    made, commit = 0, NetfilterSocket.commit

    def last_commit(self: NetfilterSocket, operations: Sequence[Operation], genid: int | None = None) -> None:
        nonlocal made
        commit(self, operations, genid)
        made += 1
        if made == transactions:
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(NetfilterSocket, "commit", last_commit)  # noqa: B010 - a method is assigned to on purpose


def main() -> None:
    instance, transactions = sys.argv[1], int(sys.argv[2])
    models: list[Model] = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the test that started us
    family = models[0].node.family
    dataplane = NftablesDataplane(DataplaneSettings(family, instance))
    dataplane.dataplane_sync(SyncPlan(family, models[0], Delta(), full=True))
    if transactions:
        die_after(transactions)
    at = 0
    while True:
        towards = (at + 1) % len(models)
        print(towards, flush=True)  # noqa: T201 - to the test
        plan = SyncPlan(family, models[towards], diff(models[at], models[towards]), full=False)
        dataplane.dataplane_sync(plan)
        at = towards


if __name__ == "__main__":
    main()
