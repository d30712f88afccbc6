"""Turn a laid-out topology into namespaces; the only place that makes interfaces, addresses and routes."""

import errno
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from socket import AF_INET, AF_INET6

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from pointsman.core.addresses import family_of, parse_address

from .errors import LabUnavailable
from .netns import LOOPBACK, Namespace
from .topology import Address, Cable, Interface, Machine, Role, Route, Topology

_NODAD = 0x02  # IFA_F_NODAD: an address without duplicate detection is usable at once
_SCOPE_LINK, _SCOPE_HOST = 253, 254
_LOCAL_TABLE = 255
_LOCAL_TYPE = 2
_WORKER_SECONDS, _A_MOMENT = 5.0, 0.001
_FOREVER = 0xFFFFFFFF

_EVERYWHERE: dict[str, str | int] = {
    # A machine may have IPv6 off where a new namespace inherits that; what is ours need not stay so.
    "ipv6/conf/all/disable_ipv6": 0,
    "ipv6/conf/default/disable_ipv6": 0,
    # Both limits: the plain one is per destination, the mask also exempts from the one for all destinations.
    "ipv4/icmp_ratelimit": 0,
    "ipv4/icmp_ratemask": 0,
    "ipv6/icmp/ratelimit": 0,
    "ipv6/icmp/ratemask": "",
    "ipv4/ping_group_range": "0 2147483647",
    "ipv4/conf/all/rp_filter": 0,
    "ipv4/conf/default/rp_filter": 0,
    "ipv4/conf/all/send_redirects": 0,
    "ipv4/conf/default/send_redirects": 0,
    "ipv4/conf/all/accept_redirects": 0,
    "ipv4/conf/default/accept_redirects": 0,
    "ipv6/conf/all/accept_redirects": 0,
    "ipv6/conf/default/accept_redirects": 0,
    "ipv6/conf/default/accept_ra": 0,
    "ipv6/conf/default/router_solicitations": 0,
    "ipv6/conf/default/accept_dad": 0,
}
_NODE: dict[str, str | int] = {"ipv4/ip_forward": 1, "ipv6/conf/all/forwarding": 1}
# Clients may send from networks of which no interface has the addresses.
_CLIENT: dict[str, str | int] = {"ipv4/ip_nonlocal_bind": 1, "ipv6/ip_nonlocal_bind": 1}
_OF_A_ROLE = {Role.NODE: _NODE, Role.CLIENT: _CLIENT}


def build(topology: Topology, stack: ExitStack) -> dict[str, Namespace]:
    """Make every machine of a topology; ``stack`` closes them, also those made before a failure.

    Raises:
        LabUnavailable: the machine lacks something a lab needs.
        pyroute2.NetlinkError: the kernel refused an interface, address or route.
    """
    namespaces: dict[str, Namespace] = {}
    for machine in topology.machines:
        namespace = namespaces[machine.name] = stack.enter_context(Namespace(machine.name))
        namespace.sysctl(_OF_A_ROLE.get(machine.role, {}) | _EVERYWHERE)
    for cable in topology.cables:
        _connect(cable, namespaces)
    for machine in topology.machines:
        namespaces[machine.name].configure(partial(_configure, machine))
    return namespaces


def _connect(cable: Cable, namespaces: dict[str, Namespace]) -> None:
    far_end = {"ifname": cable.far_interface, "net_ns_fd": namespaces[cable.far_machine].fileno()}
    namespaces[cable.machine].configure(
        lambda netlink: add_link(netlink, cable.interface, "veth", peer=far_end)
    )


def add_link(netlink: IPRoute, name: str, kind: str, **options: object) -> None:
    """Add a virtual interface.

    Raises:
        LabUnavailable: the kernel has none of this kind.
    """
    try:
        netlink.link("add", ifname=name, kind=kind, **options)
    except NetlinkError as error:
        if error.code != errno.EOPNOTSUPP:
            raise
        raise LabUnavailable(f"the kernel has no {kind} interfaces", f"load its module {kind}") from error


def _configure(machine: Machine, netlink: IPRoute) -> None:
    if machine.role is Role.ROUTER:
        add_link(netlink, machine.interfaces[0].name, "bridge")
    index = {link.get("ifname"): link["index"] for link in netlink.get_links()}
    if machine.role is Role.ROUTER:
        bridge, *ports = (index[interface.name] for interface in machine.interfaces)
        for port in ports:
            netlink.link("set", index=port, master=bridge)
        _swallow(netlink)
    _address(netlink, machine.interfaces, index)
    for route in machine.routes:
        _add_route(netlink, route, index[route.interface])


def _address(netlink: IPRoute, interfaces: Sequence[Interface], index: dict[str, int]) -> None:
    # Up first: a route over an interface that is down is refused.
    for interface in interfaces:
        netlink.link("set", index=index[interface.name], state="up")
        for address in interface.addresses:
            netlink.addr("add", index=index[interface.name], **_words_for(address))


def add_address(netlink: IPRoute, interface: str, address: Address) -> None:
    """Give an interface an address; when it returns, the machine takes what is sent there for its own."""
    [index] = netlink.link_lookup(ifname=interface)
    netlink.addr("add", index=index, **_words_for(address))
    _await_local(netlink, address.text)


def _await_local(netlink: IPRoute, address: str) -> None:
    """Wait for the route that makes an IPv6 address local: a worker of the kernel adds it a bit later."""
    deadline = time.monotonic() + _WORKER_SECONDS
    while not _is_local(netlink, address) and time.monotonic() < deadline:
        time.sleep(_A_MOMENT)


def _is_local(netlink: IPRoute, address: str) -> bool:
    try:
        return all(route["type"] == _LOCAL_TYPE for route in netlink.route("get", dst=address))
    except NetlinkError:
        return False


def remove_address(netlink: IPRoute, interface: str, address: Address) -> None:
    """Take an address from an interface."""
    [index] = netlink.link_lookup(ifname=interface)
    netlink.addr("del", index=index, address=address.text, prefixlen=address.prefix)


def _words_for(address: Address) -> dict[str, object]:
    words: dict[str, object] = {"address": address.text, "prefixlen": address.prefix}
    if ":" in address.text:
        words["flags"] = _NODAD
        if not address.preferred:
            words |= {"preferred_lft": 0, "valid_lft": _FOREVER}
    return words


def _add_route(netlink: IPRoute, route: Route, interface: int) -> None:
    how: dict[str, object] = {"oif": interface, "family": AF_INET6 if ":" in route.destination else AF_INET}
    if route.own:
        how |= {"type": "local", "table": _LOCAL_TABLE, "scope": _SCOPE_HOST}
    elif route.gateway is not None:
        how["gateway"] = route.gateway
    else:
        how["scope"] = _SCOPE_LINK
    netlink.route("add", dst=route.destination, **how)


def own_address(netlink: IPRoute, address: str) -> None:
    """Make an address this machine's own, from when this returns; nothing happens if it is."""
    prefix = family_of(parse_address(address)).address_length * 8
    how: dict[str, object] = {"flags": _NODAD} if ":" in address else {}
    netlink.addr("replace", index=LOOPBACK, address=address, prefixlen=prefix, **how)
    _await_local(netlink, address)


def _swallow(netlink: IPRoute) -> None:
    """Lose what has no other way: without such a route IPv6 answers "no route", which is no silence."""
    for family, everything in ((AF_INET, "0.0.0.0/0"), (AF_INET6, "::/0")):
        netlink.route("add", family=family, dst=everything, type="blackhole")
