"""What a case can do with packets themselves; `Part.RAW_PACKETS` where it may."""

import socket
from contextlib import closing

from pointsman.conformance.lab import Lab
from pointsman.conformance.lab.wire import SO_MARK, Segment, Tap, inject, throw
from pointsman.core.addresses import IPFamily

from .scene import scene

_UPLINK = "eth0"


class Wire:
    """The lab's cables, by the names of machines."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def tap(self, machine: str, *, mark: int | None = None) -> Tap:
        """See what passes a machine's uplink; with ``mark``, only what bears exactly this one there."""
        return Tap(self._lab[machine], _UPLINK, mark=mark)

    def inject(self, machine: str, segment: Segment) -> None:
        """Send a packet from a machine, past all its connections."""
        inject(self._lab[machine], segment)

    def throw_at_node(self, pod: str, segment: Segment) -> None:
        """Send a packet from a pod to the node under test, though no route leads to its destination."""
        interface = scene(IPFamily.IPV4).interface_of(pod)
        [link] = self._lab.node.configure(lambda netlink: list(netlink.get_links(ifname=interface)))
        throw(self._lab[pod], _UPLINK, bytes.fromhex(link.get("address").replace(":", "")), segment)

    def send_marked(self, address: str, port: int, mark: int) -> None:
        """Have a program on the node under test send a datagram that bears somebody's mark."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        [opened] = self._lab.node.sockets(1, family, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
        with closing(opened):
            opened.setsockopt(socket.SOL_SOCKET, SO_MARK, mark - (1 << 32) if mark >> 31 else mark)
            opened.sendto(b"marked\n", (address, port))

    def listen_on_node(self, address: str, port: int) -> socket.socket:
        """A socket of a program on the node under test that datagrams come to."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        [opened] = self._lab.node.sockets(1, family, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
        opened.bind((address, port))
        return opened
