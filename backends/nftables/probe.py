"""What this kernel can do, found out by trying it: all needs in a transaction that is made to fail.

The last operation of every attempt deletes a table that doesn't exist, so nothing is ever applied. Where that
is all that went wrong, the kernel has what was tried. Only where more did, each need is tried by itself, to
name what is missing: the kernel lets 12 ms pass before it has taken back a transaction.
"""

from collections.abc import Iterable, Iterator
from errno import EPERM
from typing import NamedTuple

from pointsman.core.errors import BackendUnavailable
from pointsman.core.features import SUPPORTED, Capabilities, Feature, Level, Support
from pointsman.core.model import Pool

from .affinity import Group
from .layout import Layout
from .netlink import messages
from .netlink import rules as r
from .netlink import selectors as sel
from .netlink.constants import CtState, Hook, SetFlag
from .netlink.errors import Failure, NetlinkError
from .netlink.messages import Operation, Table
from .netlink.netfilter import NetfilterSocket
from .netlink.sets import SetSpec

NAME = "nftables"
_ABSENT = "pointsman-probe-absent"

_FEATURES = dict.fromkeys(Feature, SUPPORTED) | {
    Feature.SCHEDULERS: Support(Level.UNSUPPORTED, "endpoints are picked at random, by weight"),
    Feature.LOCALHOST_NODE_PORTS: Support(
        Level.UNSUPPORTED, "node ports don't answer on loopback addresses in this mode (SVC-NP-07)"
    ),
}


class _Need(NamedTuple):
    """Something the backend can't do without, and the kernel option that brings it."""

    what: str
    option: str
    operations: list[Operation]


def probe(layout: Layout) -> Capabilities:
    """Try everything the backend needs.

    Raises:
        BackendUnavailable: something is missing; names it and the remedy.
    """
    try:
        netlink = NetfilterSocket()
    except PermissionError as error:
        raise _not_permitted() from error
    except OSError as error:
        raise BackendUnavailable(
            NAME,
            f"the kernel has no nf_tables ({error})",
            "load nf_tables, or build it in (CONFIG_NF_TABLES)",
        ) from error
    with netlink:
        needs = list(_needs(layout))
        # Needs begin alike, and what they share is to be made once.
        if _missing(netlink, dict.fromkeys(operation for need in needs for operation in need.operations)):
            for need in needs:
                if missing := _missing(netlink, need.operations):
                    remedy = f"use a kernel with {need.option}"
                    raise BackendUnavailable(NAME, f"the kernel lacks {need.what} ({missing[0]})", remedy)
    return Capabilities(_FEATURES)


def _missing(netlink: NetfilterSocket, operations: Iterable[Operation]) -> list[Failure]:
    """What the kernel refuses of some operations. Raises `BackendUnavailable`: it refuses to be asked."""
    tried = list(operations)
    try:
        netlink.commit([*tried, messages.delete_table(Table(tried[0].family, _ABSENT))])
    except NetlinkError as error:
        if error.errno == EPERM:
            raise _not_permitted() from error
        return [failure for failure in error.failures if _ABSENT not in failure.operation]
    return []


def _not_permitted() -> BackendUnavailable:
    return BackendUnavailable(
        NAME, "programming the kernel is not permitted", "run as root, or with CAP_NET_ADMIN"
    )


def _needs(layout: Layout) -> Iterator[_Need]:
    family = layout.family
    table = Table(family, "pointsman-probe")
    start = [messages.add_table(table)]
    yield _Need(f"{family} tables", "CONFIG_NF_TABLES_IPV4 and _IPV6", start)
    chain = messages.add_chain(table, "probe")
    nat = messages.add_base_chain(table, "nat", "nat", Hook.PREROUTING, -100)
    yield _Need("NAT chains", "CONFIG_NFT_NAT", [*start, nat])

    def rule(what: str, option: str, *expressions: bytes) -> _Need:
        return _Need(what, option, [*start, chain, messages.add_rule(table, "probe", *expressions)])

    yield rule("connection tracking matches", "CONFIG_NFT_CT", r.match_ct_state(CtState.NEW))
    yield rule("address type matches", "CONFIG_NFT_FIB_IPV4 and _IPV6", r.match_local())
    yield rule("packet marks", "CONFIG_NF_TABLES", r.set_mark_bits(1))
    yield rule("refusals", "CONFIG_NFT_REJECT", r.reject(family))
    endpoints = layout.address.endpoints
    pick = r.dnat_map(family, (*layout.address.key, sel.numgen_random(2)), endpoints.name)
    yield _Need(
        "random picks from maps",
        "CONFIG_NFT_NUMGEN and CONFIG_NFT_NAT",
        [*start, messages.add_set(table, endpoints), nat, messages.add_rule(table, "nat", pick)],
    )
    snat = messages.add_base_chain(table, "snat", "nat", Hook.POSTROUTING, 100)
    masquerade = messages.add_rule(table, "snat", r.masquerade(fully_random=True))
    yield _Need("masquerading", "CONFIG_NFT_MASQ", [*start, snat, masquerade])
    ranges = SetSpec("ranges", (sel.saddr(family),), flags=SetFlag.INTERVAL)
    yield _Need("interval sets", "CONFIG_NF_TABLES", [*start, messages.add_set(table, ranges)])
    sticky, pools = Group("probe", "", 1), [Pool.CLUSTER]
    sets = (sticky.clients(layout, Pool.CLUSTER), sticky.members(layout, Pool.CLUSTER))
    learn = (
        messages.add_rule(table, "probe", rule.expressions)
        for rule in sticky.learn_chain(layout, pools).rules
    )
    yield _Need(
        "maps that packets fill",
        "CONFIG_NF_TABLES",
        [*start, *(messages.add_set(table, spec) for spec in sets), chain, *learn],
    )
