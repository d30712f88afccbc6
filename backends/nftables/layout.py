"""The table's layout: its name, its maps and sets, and how a frontend becomes a key in them.

Nothing here is per service. Every map is shared by all services of a family; what tells them apart is the
key. The README of this package draws the whole.
"""

from dataclasses import dataclass
from functools import cache

from pointsman.core.addresses import IPFamily
from pointsman.core.model import Endpoint, Match

from .netlink import selectors as sel
from .netlink.constants import Family
from .netlink.messages import Table
from .netlink.sets import VERDICTS, SetSpec

PREFIX = "pointsman"
_PORT = 2
_FAMILIES = {IPFamily.IPV4: Family.IP, IPFamily.IPV6: Family.IP6}


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two ways into a service, and the maps that belong to it: by address or by node port."""

    name: str
    dispatch: SetSpec
    endpoints: SetSpec
    far_endpoints: SetSpec
    refusals: SetSpec
    learners: SetSpec
    key: tuple[sel.Selector, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """The maps and sets of one family's table."""

    table: Table
    family: Family
    address: Side
    node_port: Side
    classes: SetSpec
    firewall: SetSpec
    cluster_ips: SetSpec
    node_port_ips: SetSpec
    hairpin: SetSpec

    @property
    def sides(self) -> tuple[Side, Side]:
        """Both ways in."""
        return (self.address, self.node_port)

    @property
    def sets(self) -> tuple[SetSpec, ...]:
        """All maps and sets that are always there, in the order in which they are declared."""
        by_side = [
            (side.dispatch, side.endpoints, side.far_endpoints, side.refusals, side.learners)
            for side in self.sides
        ]
        return (
            *by_side[0],
            *by_side[1],
            self.classes,
            self.firewall,
            self.cluster_ips,
            self.node_port_ips,
            self.hairpin,
        )

    def side(self, match: Match) -> Side:
        """The way in that a frontend's match belongs to."""
        return self.node_port if match.address is None else self.address


@cache
def layout(family: IPFamily, instance: str, *, counted: bool = False) -> Layout:
    """The layout of a family's table, named after the instance.

    ``counted`` has virtual addresses and node ports count the connections that look them up.

    All names begin alike, so that no instance can be named after somebody else's table.
    """
    nf_family = _FAMILIES[family]
    daddr, saddr = sel.daddr(nf_family), sel.saddr(nf_family)
    by_address = (daddr, sel.L4PROTO, sel.TH_DPORT)
    by_port = (sel.L4PROTO, sel.TH_DPORT)
    return Layout(
        table=Table(nf_family, PREFIX if instance == PREFIX else f"{PREFIX}-{instance}"),
        family=nf_family,
        address=_side("", by_address, daddr, "virtual address", counted),
        node_port=_side("nodeport-", by_port, daddr, "node port", counted),
        classes=SetSpec("classes", (sel.PRIORITY,), VERDICTS, comment="number -> how to pick"),
        firewall=SetSpec("firewall", by_address, VERDICTS, comment="virtual address -> source ranges"),
        cluster_ips=SetSpec(
            "cluster-ips", (daddr,), comment="ClusterIPs; other ports of theirs are rejected"
        ),
        node_port_ips=SetSpec("nodeport-ips", (daddr,), comment="local addresses that answer node ports"),
        hairpin=SetSpec(
            "hairpin", (saddr, daddr), comment="endpoints: a pod that reaches itself is masqueraded"
        ),
    )


def _side(prefix: str, key: tuple[sel.Selector, ...], daddr: sel.Selector, what: str, counted: bool) -> Side:
    indexed = (*key, sel.numgen_random(1))
    number = f"{what} -> number of a class"
    return Side(
        name=prefix,
        dispatch=SetSpec(f"{prefix}services", key, (sel.PRIORITY,), comment=number, counted=counted),
        endpoints=SetSpec(f"{prefix}endpoints", indexed, (daddr, sel.TH_DPORT), comment="index -> endpoint"),
        far_endpoints=SetSpec(
            f"{prefix}far-endpoints",
            indexed,
            (daddr, sel.TH_DPORT),
            comment="the same for far clients",
        ),
        refusals=SetSpec(f"{prefix}no-endpoints", key, VERDICTS, comment=f"{what} -> how to refuse"),
        learners=SetSpec(f"{prefix}learners", key, VERDICTS, comment=f"{what} -> how to remember who came"),
        key=key,
    )


def match_key(match: Match) -> bytes:
    """A match as a key of its side's maps."""
    tail = bytes((match.protocol, 0, 0, 0)) + match.port.to_bytes(_PORT) + bytes(2)
    return tail if match.address is None else match.address + tail


def target(endpoint: Endpoint) -> bytes:
    """An endpoint as data of the endpoint maps."""
    return endpoint.address + endpoint.port.to_bytes(_PORT) + bytes(2)
