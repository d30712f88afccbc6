"""How full the connection tracking table is."""

from pathlib import Path
from typing import NamedTuple

_NETFILTER = Path("/proc/sys/net/netfilter")


class Occupancy(NamedTuple):
    """Entries there are, entries there may be, and buckets that hold them.

    The table is shared by all network namespaces, the entries are counted in each by itself.
    """

    entries: int
    limit: int
    buckets: int


def occupancy() -> Occupancy:
    """Occupancy as the calling thread's network namespace sees it.

    Raises:
        OSError: the kernel doesn't track connections.
    """
    return Occupancy(_read("count"), _read("max"), _read("buckets"))


def _read(name: str) -> int:
    return int((_NETFILTER / f"nf_conntrack_{name}").read_text())
