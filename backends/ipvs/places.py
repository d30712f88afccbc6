"""Where virtual servers live: addresses that nobody else uses, one place for each pool of a service port.

IPv4 reserves 240.0.0.0/4 for a future that never came; IPv6 has 100::/64, whose packets are to be discarded
by whoever gets one (RFC 6666). No such packet leaves the node, nor is one let in. An instance has a part of
them, by which it also knows its own virtual servers from everybody else's.
"""

from hashlib import sha256
from typing import NamedTuple

from pointsman.core.addresses import IPFamily, Network
from pointsman.core.model import Pool, Protocol, ServicePortName

from .servers import Server

_V4_BASE, _V4_PREFIX, _V4_PARTS = 0xF << 28, 12, 240  # 255.0.0.0/8 holds the broadcast address
_V6_BASE, _V6_PREFIX = 0x100 << 112, 80
_PORTS = 65535


class Owner(NamedTuple):
    """Whose a place is."""

    name: ServicePortName
    pool: Pool


def block(family: IPFamily, instance: str) -> Network:
    """The addresses of an instance: 2^20 of IPv4, 2^48 of IPv6."""
    digest = sha256(instance.encode()).digest()
    if family is IPFamily.IPV4:
        return Network((_V4_BASE | (digest[0] % _V4_PARTS) << 20).to_bytes(4), _V4_PREFIX)
    return Network((_V6_BASE | int.from_bytes(digest[:2]) << 48).to_bytes(16), _V6_PREFIX)


class Places:
    """Gives each pool a place that follows from its name, unless another has it; then it is the next best.

    So a process that starts anew finds nearly every virtual server where it would put it, and only those few
    that had to give way to another may move.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._owners: dict[Server, Owner] = {}
        self._places: dict[Owner, Server] = {}

    def of(self, owner: Owner) -> Server:
        """The place of a pool, which from now on has it."""
        place = self._places.get(owner)
        attempt = 0
        while place is None:
            candidate = _candidate(self._network, owner, attempt)
            if candidate not in self._owners:
                place = candidate
                self._owners[place], self._places[owner] = owner, place
            attempt += 1
        return place

    def leave(self, name: ServicePortName) -> None:
        """Take the places of a service port back."""
        for pool in Pool:
            place = self._places.pop(Owner(name, pool), None)
            if place is not None:
                del self._owners[place]


def _candidate(network: Network, owner: Owner, attempt: int) -> Server:
    number = int.from_bytes(sha256(f"{owner.name} {owner.pool} {attempt}".encode()).digest())
    base = int.from_bytes(network.address)
    hosts = (1 << len(network.address) * 8 - network.prefix) - 2
    number, host = divmod(number, hosts)
    protocol = Protocol(owner.name.protocol)
    return Server(protocol, (base + 1 + host).to_bytes(len(network.address)), 1 + number % _PORTS)
