"""A process that syncs for as long as it lives: what the tests kill.

Reads models from its standard input, brings the kernel to the first, then to the others in turn, round and
round, and says before each sync which one it is about to begin. It ends itself, by SIGKILL, once it has made
as many transactions as it was told to; told 0, it has to be killed.
"""

import os
import signal
import sys
from collections.abc import Sequence

from pointsman.backends.nftables.dataplane import NftablesDataplane
from pointsman.backends.nftables.netlink.messages import Operation
from pointsman.backends.nftables.netlink.netfilter import NetfilterSocket
from pointsman.core.backend import DataplaneSettings
from tests.backends.killing import given_models, sync_for_ever


def die_after(transactions: int) -> None:
    """Have the process killed right behind so many transactions from now on; 0 is never."""
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
    models = given_models()
    dataplane = NftablesDataplane(DataplaneSettings(models[0].node.family, instance))
    sync_for_ever(dataplane, models, lambda: die_after(transactions))


if __name__ == "__main__":
    main()
