r"""What a lab looks like, as a value: machines, cables, addresses and routes.

::

    off-cluster clients   router (default gateway, swallows what it gets)
           |                 |
      -----+--------+--------+-----+----   192.168.77.0/24   fd00:192:168:77::/64
                    |              |
                  node           node2
                 /    \               \
             pods   (ptp veth)     remote pods
         10.244.1.0/24             10.244.2.0/24
      fd00:10:244:1::/64        fd00:10:244:2::/64

Pods hang on their node as the ptp CNI plugin does it: a host route per pod, one gateway address on all
host-side interfaces, no bridge. Every machine has both families.

What the node under test leaves alone goes to the router, which says nothing. `Lab.claim` gives it an address;
a server there then tells "the proxy did nothing" from "dropped".
"""

from enum import StrEnum

from msgspec import Struct

from pointsman.core.addresses import IPFamily, family_of, parse_address


class Role(StrEnum):
    """What a machine is for."""

    NODE = "node"
    POD = "pod"
    CLIENT = "client"
    ROUTER = "router"


class Address(Struct, frozen=True):
    """An address of an interface; one not ``preferred`` is used as a source only when asked for."""

    text: str
    prefix: int
    preferred: bool = True


class Interface(Struct, frozen=True):
    """An interface and its addresses, the main ones first."""

    name: str
    addresses: tuple[Address, ...] = ()


class Route(Struct, frozen=True):
    """A route; without ``gateway`` its destination is on the link, or the machine itself if ``own``."""

    destination: str
    interface: str
    gateway: str | None = None
    own: bool = False


class Machine(Struct, frozen=True):
    """A network namespace to be. The router's interfaces, but for the first, are ports of that first one."""

    name: str
    role: Role
    addresses: tuple[str, ...]
    interfaces: tuple[Interface, ...]
    routes: tuple[Route, ...]

    def addresses_of(self, family: IPFamily) -> tuple[str, ...]:
        """Its own addresses of a family, the main one first."""
        return tuple(address for address in self.addresses if family_of(parse_address(address)) == family)


class Cable(Struct, frozen=True):
    """A veth pair: machine and interface at either end."""

    machine: str
    interface: str
    far_machine: str
    far_interface: str


class Topology(Struct, frozen=True):
    """A whole lab, laid out."""

    machines: tuple[Machine, ...]
    cables: tuple[Cable, ...]
