"""What kube-proxy left behind, in each of its modes, and how to be rid of it (CLN-01, CLN-02).

Only what is certainly its own goes: tables and chains by its names, and of IPVS the virtual servers whose
addresses are on its interface (CLN-03: kube-proxy itself removes everybody's).
"""

import ipaddress
from collections.abc import Callable, Iterator
from contextlib import closing
from errno import ENOENT, EPERM
from functools import partial
from typing import NamedTuple

from pyroute2 import IPRoute, IPSet
from pyroute2.netlink.exceptions import NetlinkError as RouteError

from pointsman.backends.iptables import kernel
from pointsman.backends.ipvs.netlink import IpvsSocket
from pointsman.backends.ipvs.servers import DELETE_SERVICE, Request
from pointsman.backends.nftables.netlink import messages
from pointsman.backends.nftables.netlink.constants import Family
from pointsman.backends.nftables.netlink.messages import Table
from pointsman.backends.nftables.netlink.netfilter import NetfilterSocket
from pointsman.core.addresses import IPFamily
from pointsman.core.errors import PointsmanError

from .kube_chains import removal

_TABLES = (Table(Family.IP, "kube-proxy"), Table(Family.IP6, "kube-proxy"))
_INTERFACE = "kube-ipvs0"
# Of its mode ipvs; the iptables backend's own sets begin with KUBE- too.
_PURPOSES = """
    LOOP-BACK CLUSTER-IP EXTERNAL-IP EXTERNAL-IP-LOCAL LOAD-BALANCER LOAD-BALANCER-LOCAL LOAD-BALANCER-FW
    LOAD-BALANCER-SOURCE-IP LOAD-BALANCER-SOURCE-CIDR NODE-PORT-TCP NODE-PORT-LOCAL-TCP NODE-PORT-UDP
    NODE-PORT-LOCAL-UDP NODE-PORT-SCTP-HASH NODE-PORT-LOCAL-SCTP-HASH HEALTH-CHECK-NODE-PORT IPVS-IPS
"""
_SETS = {f"KUBE-{family}{purpose}"[:31] for family in ("", "6-") for purpose in _PURPOSES.split()}


class Leftover(NamedTuple):
    """Something kube-proxy may have left; ``remove`` says whether there was any of it.

    ``remove`` raises PointsmanError if it can't be removed.
    """

    name: str
    remove: Callable[[], bool]


def leftovers(*, iptables: bool = True) -> Iterator[Leftover]:
    """All kinds of them; but the chains of iptables if these are to be taken over instead."""
    yield Leftover("nftables tables", _guarded(_remove_tables))
    if iptables:
        for variant in kernel.Variant:
            for family in IPFamily:
                name = f"iptables-{variant} chains for {family}"
                yield Leftover(name, _guarded(partial(_remove_chains, family, variant)))
    yield Leftover("virtual servers", _guarded(_remove_virtual_servers))
    yield Leftover("IP sets", _guarded(_remove_sets))


def _guarded(remove: Callable[[], bool]) -> Callable[[], bool]:
    def guarded() -> bool:
        try:
            return remove()
        except (OSError, RouteError, kernel.Refused) as error:
            raise PointsmanError(str(error)) from error

    return guarded


def _remove_tables() -> bool:
    with NetfilterSocket() as netfilter:
        there = {info.table for info in netfilter.dump_tables()}
        found = [table for table in _TABLES if table in there]
        if found:
            netfilter.commit([messages.delete_table(table) for table in found])
    return bool(found)


def _remove_chains(family: IPFamily, variant: kernel.Variant) -> bool:
    tools = kernel.find(family, variant)
    if tools is None:
        return False
    steps = removal(tools.read())
    for step in steps:
        tools.write(step)
    return bool(steps)


def _remove_virtual_servers() -> bool:
    """Remove kube-proxy's interface, and before it the virtual servers at its addresses."""
    with IPRoute() as route:
        links = route.link_lookup(ifname=_INTERFACE)
        if not links:
            return False
        addresses = {
            ipaddress.ip_address(message.get_attr("IFA_ADDRESS")).packed
            for message in route.get_addr(index=links[0])
        }
        _remove_servers_at(addresses)
        route.link("del", index=links[0])
    return True


def _remove_servers_at(addresses: set[bytes]) -> None:
    try:
        ipvs = IpvsSocket()
    except OSError as error:
        if error.errno == ENOENT:
            return  # a kernel without IPVS
        raise
    with closing(ipvs):
        theirs = [server for server, _ in list(ipvs.services()) if server.address in addresses]
        ipvs.commit([Request(DELETE_SERVICE, server) for server in theirs])


def _remove_sets() -> bool:
    with IPSet() as sets:
        try:
            names = [message.get_attr("IPSET_ATTR_SETNAME") for message in sets.list()]
        except RouteError as error:
            if error.code == EPERM:
                raise
            return False  # a kernel without IP sets has none of kube-proxy's
        theirs = [name for name in names if name in _SETS]
        for name in theirs:
            sets.destroy(name)
    return bool(theirs)
