"""The virtual servers that the kernel holds, as far as they are ours."""

from msgspec.structs import replace

from pointsman.core.addresses import Network

from .netlink import IpvsSocket
from .servers import Server, Service


def read(ipvs: IpvsSocket, network: Network) -> dict[Server, Service]:
    """The virtual servers in our part of the addresses, with their destinations; no other is touched."""
    return {
        server: replace(service, destinations=ipvs.destinations(server))
        for server, service in list(ipvs.services())
        if server.address in network
    }
