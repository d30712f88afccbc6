"""The chains that are there whatever the services, and the rules that lead to them (IPT-02, -08, -09)."""

from collections.abc import Iterator

from pointsman.core.addresses import IPFamily, host_network
from pointsman.core.model import (
    LocalInterface,
    LocalInterfacePrefix,
    LocalNetwork,
    LocalTraffic,
    NodeContext,
)

from . import accounting, names
from .form import hairpin
from .means import Means
from .rules import LOOPBACK, network, rule
from .tables import ChainName, Rules, filter_, nat

NEW = "-m conntrack --ctstate NEW"
TRANSLATED = rule("RETURN", matches="-m conntrack --ctstate DNAT")
# Chains that hold a rule for as long as nobody flushes their table (SYNC-08).
CANARIES = (nat(names.CANARY), filter_(names.CANARY))
# What the mark of whose chains these are ends with in the lean form.
LEAN = "; endpoints have no chains"
_LOCAL = "-m addrtype --dst-type LOCAL"


def jumps() -> dict[ChainName, Rules]:
    """The rules of built-in chains that lead to ours, in the order in which packets meet them.

    Who isn't admitted is dropped before anybody is told that nobody is there (DIV-12).
    """
    firewall = rule(names.PROXY_FIREWALL, comment="kubernetes load balancer firewall", matches=NEW)
    external = rule(
        names.EXTERNAL_SERVICES, comment="kubernetes externally-visible service portals", matches=NEW
    )
    services = rule(names.SERVICES, comment="kubernetes service portals", matches=NEW)
    unclaimed = rule(names.CLUSTER_IPS, comment="kubernetes addresses without a service", matches=NEW)
    forward = rule(names.FORWARD, comment="kubernetes forwarding rules")
    health = rule(names.NODE_PORTS, comment="kubernetes health check service ports")
    return {
        nat("PREROUTING"): (rule(names.SERVICES, comment="kubernetes service portals"),),
        nat("OUTPUT"): (rule(names.SERVICES, comment="kubernetes service portals"),),
        nat("POSTROUTING"): (rule(names.POSTROUTING, comment="kubernetes postrouting rules"),),
        filter_("INPUT"): (firewall, external, services, health),
        filter_("FORWARD"): (firewall, external, services, unclaimed, forward),
        filter_("OUTPUT"): (firewall, external, services, unclaimed),
    }


def shared(context: NodeContext) -> dict[ChainName, Rules]:
    """What must be somewhere in chains that the kubelet uses too: the martian guard (SEC-01, DIV-18)."""
    guards = guard(context)
    if not guards:
        return {}
    jump = (rule(names.FIREWALL),)
    return {filter_(names.FIREWALL): guards, filter_("INPUT"): jump, filter_("OUTPUT"): jump}


def guard(context: NodeContext) -> Rules:
    """The martian guard, where loopback addresses are routed.

    Wherever something is accepted it comes before that, for of the one in the kubelet's chain nobody knows
    where it stands.
    """
    if context.family is not IPFamily.IPV4 or not context.node_ports.loopback:
        return ()
    loopback = LOOPBACK[context.family]
    comment = "block incoming localnet connections"
    state = "-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT"
    return (rule("DROP", source=f"! {loopback}", destination=loopback, comment=comment, matches=state),)


def chains(context: NodeContext, means: Means, instance: str, *, lean: bool) -> dict[ChainName, Rules]:
    """Our own chains that no service has a part in."""
    mark = f"0x{context.masquerade_mark:x}"
    return {
        nat(names.CANARY): (rule(comment=describe(context, instance, lean=lean)),),
        filter_(names.CANARY): (rule(comment="gone if somebody flushes this table"),),
        nat(names.MARK_MASQ): (rule(f"MARK --set-xmark {mark}/{mark}"),),
        nat(names.POSTROUTING): (
            *_to_themselves(context, names.MARK_MASQ, lean=lean),
            rule("RETURN", matches=f"-m mark ! --mark {mark}/{mark}"),
            *_counted_node_ports(context, means),
            rule(f"MARK --set-xmark {mark}/0x0"),
            rule("MASQUERADE --random-fully", comment="kubernetes service traffic requiring SNAT"),
        ),
        filter_(names.FORWARD): tuple(_forward(context, means, mark, lean=lean)),
    }


def to_node_ports(context: NodeContext) -> Rules:
    """The last rules of the dispatch: which addresses node ports answer on (SVC-NP-01, -02, -07)."""
    return tuple(_eligible(context, names.NODE_PORTS))


def to_refused_node_ports(context: NodeContext) -> Rules:
    """As `to_node_ports`, for those without endpoints: what is excluded isn't refused either (DIV-07)."""
    return tuple(_eligible(context, names.REFUSED_NODE_PORTS))


def unclaimed(context: NodeContext) -> Rules:
    """What becomes of service addresses that no service has (SVC-CIP-04)."""
    comment = "no service has this address"
    return tuple(rule("DROP", destination=network(c), comment=comment) for c in context.service_cidrs)


def describe(context: NodeContext, instance: str, *, lean: bool) -> str:
    """Whose chains these are, how they tell local pods, and their form, for whoever reads them."""
    form = LEAN if lean else ""
    return f"pointsman instance {instance}, local pods {_describe_local(context.local)}{form}"


def _describe_local(local: LocalTraffic | None) -> str:
    match local:
        case LocalNetwork(block):
            return f"are in {block}"
        case LocalInterface(name):
            return f"come by {name}"
        case LocalInterfacePrefix(prefix):
            return f"come by {prefix}+"
        case None:
            return "are unknown"


def _eligible(context: NodeContext, chain: str) -> Iterator[str]:
    comment = "kubernetes service nodeports"
    allowed, loopback = context.node_ports.addresses, LOOPBACK[context.family]
    if allowed is None:
        besides = "" if context.node_ports.loopback else f"! {loopback}"
        yield rule(chain, destination=besides, comment=comment, matches=_LOCAL)
        return
    if context.node_ports.loopback:
        yield rule(chain, destination=loopback, comment=comment, matches=_LOCAL)
    for address in allowed:
        if not _is_loopback(address):
            where = network(host_network(address))
            yield rule(chain, destination=where, comment=comment, matches=_LOCAL)


def _counted_node_ports(context: NodeContext, means: Means) -> Iterator[str]:
    """Count connections to node ports on localhost (MET-12): they are marked, and nothing else to there."""
    if means.counted and context.family is IPFamily.IPV4 and context.node_ports.loopback:
        loopback = LOOPBACK[context.family]
        counted = f"-m nfacct --nfacct-name {accounting.LOCALHOST_NODE_PORTS}"
        comment = "kubernetes node ports on localhost"
        yield rule(comment=comment, matches=f"-m conntrack --ctorigdst {loopback} {counted}")


def _is_loopback(address: bytes) -> bool:
    return address[0] == 127 if len(address) == 4 else address == bytes(15) + b"\x01"


def _to_themselves(context: NodeContext, target: str, *, lean: bool) -> Iterator[str]:
    """Endpoints that were led to themselves: in the full form, their own chains mark them (IPT-07)."""
    if lean:
        yield rule(target, comment="an endpoint that reached itself", matches=hairpin(context.family))


def _forward(context: NodeContext, means: Means, mark: str, *, lean: bool) -> Iterator[str]:
    if context.drop_invalid:
        counted = f" -m nfacct --nfacct-name {accounting.INVALID}" if means.counted else ""
        yield rule("DROP", matches=f"-m conntrack --ctstate INVALID{counted}")
    yield rule("ACCEPT", comment="kubernetes forwarding rules", matches=f"-m mark --mark {mark}/{mark}")
    comment = "kubernetes forwarding conntrack rule"
    yield rule("ACCEPT", comment=comment, matches="-m conntrack --ctstate RELATED,ESTABLISHED")
    yield from _to_themselves(context, "ACCEPT", lean=lean)  # which have no mark yet
