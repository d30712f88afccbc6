"""The sets of clients that session affinity keeps, over netlink: no program is run for them."""

import socket
from collections.abc import Iterator, Mapping
from errno import ENOENT

from pyroute2 import IPSet
from pyroute2.netlink.exceptions import NetlinkError

from pointsman.core.addresses import IPFamily

from .names import ENDPOINT

# Clients that are remembered for one endpoint, at most.
CAPACITY = 65536

# Packets can't make a set's table grow, and a bucket holds 12 clients: of 10,000 (DIV-16), a few would find
# theirs full among the usual 1024. Among these that happens once in 200,000 times; they take 64 KiB.
_BUCKETS = 8192

# IPSET_FLAG_LIST_HEADER of include/uapi/linux/netfilter/ipset/ip_set.h: without the clients themselves.
_HEADERS_ONLY = 1 << 2

_FAMILIES = {IPFamily.IPV4: socket.AF_INET, IPFamily.IPV6: socket.AF_INET6}


class Sets:
    """One family's sets, in the network namespace of the thread that first uses them."""

    def __init__(self, family: IPFamily) -> None:
        self._family = _FAMILIES[family]
        self._opened: IPSet | None = None

    def held(self) -> dict[str, int]:
        """The sets there are of ours, and for how many seconds they remember. Raises OSError."""
        try:
            headers = list(self._socket.list(flags=_HEADERS_ONLY))
        except NetlinkError as error:
            raise OSError(error.code, f"can't list ip sets: {error}") from error
        return {
            name: int(header.get_attr("IPSET_ATTR_DATA").get_attr("IPSET_ATTR_TIMEOUT") or 0)
            for header in headers
            if (name := str(header.get_attr("IPSET_ATTR_SETNAME"))).startswith(ENDPOINT)
            and header.get_attr("IPSET_ATTR_FAMILY") == self._family
        }

    def create(self, wanted: Mapping[str, int]) -> None:
        """Make sets, by name with the seconds after which they forget. Raises OSError."""
        for name, timeout in wanted.items():
            try:
                self._socket.create(
                    name,
                    "hash:ip",
                    family=self._family,
                    timeout=timeout,
                    maxelem=CAPACITY,
                    hashsize=_BUCKETS,
                    exclusive=True,
                )
            except NetlinkError as error:
                raise OSError(error.code, f"can't create ip set {name}: {error}") from error

    def retime(self, changed: Mapping[str, int]) -> None:
        """Have sets remember for another time, those whom they remember already among them (AFF-06).

        A set keeps its time for life, so another one takes its place, which no rule notices. Raises OSError.
        """
        for name, timeout in changed.items():
            before = self.held().get(name, timeout)
            substitute = name + "~"
            self.destroy({substitute})
            self.create({substitute: timeout})
            try:
                for client, left in self._clients(name):
                    # It came `before - left` seconds ago.
                    if left > before - timeout:
                        age = before - left
                        self._socket.add(substitute, client, family=self._family, timeout=timeout - age)
                self._socket.swap(substitute, name)
            except NetlinkError as error:
                raise OSError(error.code, f"can't change the timeout of ip set {name}: {error}") from error
            finally:
                self.destroy({substitute})

    def _clients(self, name: str) -> Iterator[tuple[str, int]]:
        """The clients of a set, and for how many seconds they will be remembered."""
        attribute = "IPSET_ATTR_IPADDR_IPV4" if self._family is socket.AF_INET else "IPSET_ATTR_IPADDR_IPV6"
        for message in self._socket.list(name):
            entries = message.get_attr("IPSET_ATTR_ADT")
            for entry in entries.get_attrs("IPSET_ATTR_DATA") if entries is not None else ():
                address = entry.get_attr("IPSET_ATTR_IP_FROM").get_attr(attribute)
                yield str(address), int(entry.get_attr("IPSET_ATTR_TIMEOUT"))

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
