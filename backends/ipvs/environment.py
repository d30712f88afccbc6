"""What the node's network namespace needs besides tables and virtual servers: routes and settings."""

import os
import re
from collections.abc import Iterator
from errno import EEXIST, ENOENT, ESRCH
from pathlib import Path
from socket import AF_INET, AF_INET6
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError as RouteError

from pointsman.core.addresses import IPFamily, Network, format_address

TABLE = 28781
"""The routing table of all instances: no other route is in it than to their virtual servers."""

PRIORITY = 30000
"""Of the rule that leads there: behind the table ``local``, before ``main``."""

_LOOPBACK = 1  # the index of lo in every network namespace
_SCOPE_HOST = 254
_SYSCTLS = Path("/proc/sys/net/ipv4")
_WANTED = {
    "vs/conntrack": "1",
    "vs/expire_nodest_conn": "1",
    "vs/expire_quiescent_template": "1",
}
_DROPS_REUSED = (4, 1), (5, 9)
"""Since when, and until when, IPVS drops the first SYN from a client's port that it still remembers, unless
told not to look for one (commit f0a5e4d7a594)."""
_AF = {IPFamily.IPV4: AF_INET, IPFamily.IPV6: AF_INET6}


def missing(family: IPFamily) -> tuple[str, str] | None:
    """What the kernel lacks of what `ensure` needs, and the option that would bring it."""
    if not (_SYSCTLS / "vs/conntrack").exists():
        return "connection tracking in IPVS", "CONFIG_IP_VS_NFCT"
    try:
        with IPRoute() as ip:
            rules = list(ip.get_rules(family=_AF[family]))
    except RouteError:
        rules = []
    policies = "CONFIG_IP_MULTIPLE_TABLES and CONFIG_IPV6_MULTIPLE_TABLES"
    return None if rules else ("policy routing", policies)


def ensure(family: IPFamily, network: Network) -> int:
    """Make virtual servers' addresses local and have IPVS work together with conntrack (IPVS-02).

    The addresses are bound to no interface: a route of type ``local`` is enough. Returns how many things
    were changed.

    Raises:
        OSError: a setting can't be written.
        pyroute2.NetlinkError: a route can't be.
    """
    changed = 0
    for name, value in settings(family, os.uname().release).items():
        path = _SYSCTLS / name
        if path.read_text().strip() != value:
            path.write_text(value)
            changed += 1
    with IPRoute() as ip:
        changed += _try(EEXIST, ip.route, "add", **_route(family, network))
        changed += _try(EEXIST, ip.rule, "add", **_rule(family, network))
    return changed


def remove(family: IPFamily, network: Network) -> int:
    """Take the route and its rule away; settings stay, for others may count on them by now (CLN-04)."""
    with IPRoute() as ip:
        rule = _try(ENOENT, ip.rule, "del", **_rule(family, network))
        return rule + _try(ESRCH, ip.route, "del", **_route(family, network))


def faults(family: IPFamily, network: Network) -> Iterator[str]:
    """What isn't as `ensure` makes it."""
    for name, value in settings(family, os.uname().release).items():
        if (_SYSCTLS / name).read_text().strip() != value:
            yield f"net.ipv4.{name.replace('/', '.')} is not {value}"
    base = format_address(network.address)
    with IPRoute() as ip:
        routes = ip.get_routes(family=_AF[family], table=TABLE, type=2)
        if not any(
            (route["dst_len"], route.get_attr("RTA_DST")) == (network.prefix, base) for route in routes
        ):
            yield f"the local route to {network} in table {TABLE} is missing"
        rules = ip.get_rules(family=_AF[family])
        if not any(
            (rule["dst_len"], rule.get_attr("FRA_DST"), rule.get_attr("FRA_TABLE"))
            == (network.prefix, base, TABLE)
            for rule in rules
        ):
            yield f"the rule that looks up {network} in table {TABLE} is missing"


def settings(family: IPFamily, release: str) -> dict[str, str]:
    """What is to be set below ``net.ipv4``, for a kernel of that release."""
    forward = {"ip_forward": "1"} if family is IPFamily.IPV4 else {}
    first, fixed = _DROPS_REUSED
    numbers = re.match(r"(\d+)\.(\d+)", release)
    drops = numbers is not None and first <= (int(numbers[1]), int(numbers[2])) < fixed
    return _WANTED | forward | ({"vs/conn_reuse_mode": "0"} if drops else {})


def _route(family: IPFamily, network: Network) -> dict[str, Any]:
    scope = {"scope": _SCOPE_HOST} if family is IPFamily.IPV4 else {}
    return {
        "family": _AF[family],
        "dst": str(network),
        "oif": _LOOPBACK,
        "type": "local",
        "table": TABLE,
        **scope,
    }


def _rule(family: IPFamily, network: Network) -> dict[str, Any]:
    return {
        "family": _AF[family],
        "dst": format_address(network.address),
        "dst_len": network.prefix,
        "table": TABLE,
        "priority": PRIORITY,
    }


def _try(expected: int, call: Any, *args: Any, **kwargs: Any) -> int:
    """1 if a request was carried out, 0 if there was nothing to do."""
    try:
        call(*args, **kwargs)
    except RouteError as error:
        if error.code != expected:
            raise
        return 0
    return 1
