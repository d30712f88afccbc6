"""The sets of clients that session affinity keeps, over netlink: no program is run for them."""

import socket
from collections.abc import Mapping
from errno import ENOENT

from pyroute2 import IPSet
from pyroute2.netlink.exceptions import NetlinkError

from pointsman.core.addresses import IPFamily

from .names import ENDPOINT

# Clients that are remembered for one endpoint.
CAPACITY = 65536

# IPSET_FLAG_LIST_HEADER of include/uapi/linux/netfilter/ipset/ip_set.h: without the clients themselves.
_HEADERS_ONLY = 1 << 2

_FAMILIES = {IPFamily.IPV4: socket.AF_INET, IPFamily.IPV6: socket.AF_INET6}


class Sets:
    """One family's sets, in the network namespace of the thread that first uses them."""

    def __init__(self, family: IPFamily) -> None:
        self._family = _FAMILIES[family]
        self._opened: IPSet | None = None

    def supported(self) -> bool:
        """Whether the kernel has sets of the kind that is needed."""
        try:
            self._socket.get_supported_revisions("hash:ip", family=self._family)
        except (NetlinkError, OSError):
            return False
        return True

    def names(self) -> set[str]:
        """The sets there are of ours. Raises OSError."""
        try:
            headers = list(self._socket.list(flags=_HEADERS_ONLY))
        except NetlinkError as error:
            raise OSError(error.code, f"can't list ip sets: {error}") from error
        return {
            name
            for header in headers
            if (name := str(header.get_attr("IPSET_ATTR_SETNAME"))).startswith(ENDPOINT)
            and header.get_attr("IPSET_ATTR_FAMILY") == self._family
        }

    def create(self, wanted: Mapping[str, int]) -> None:
        """Make sets, by name with the seconds after which they forget. Raises OSError."""
        for name, timeout in wanted.items():
            try:
                self._socket.create(
                    name, "hash:ip", family=self._family, timeout=timeout, maxelem=CAPACITY, exclusive=True
                )
            except NetlinkError as error:
                raise OSError(error.code, f"can't create ip set {name}: {error}") from error

    def destroy(self, names: set[str]) -> int:
        """Remove sets; how many went. One that is still in use stays until the next full plan."""
        count = 0
        for name in sorted(names):
            try:
                self._socket.destroy(name)
                count += 1
            except NetlinkError as error:
                if error.code == ENOENT:
                    continue
        return count

    def close(self) -> None:
        """Release the socket."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @property
    def _socket(self) -> IPSet:
        if self._opened is None:
            self._opened = IPSet()
        return self._opened
