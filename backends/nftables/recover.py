"""The node context that the kernel's rules were made for, recovered from the rules themselves."""

from collections.abc import Sequence

from pointsman.core.addresses import FAMILY_OF_LENGTH, Network
from pointsman.core.model import (
    LocalInterface,
    LocalInterfacePrefix,
    LocalNetwork,
    LocalTraffic,
    Masquerade,
    NodeContext,
    NodePortAddresses,
)

from .chains import DISPATCH, FORWARD, MASQUERADE, UNUSED
from .layout import Layout
from .netlink import constants as nf
from .netlink import selectors as sel
from .netlink.attributes import Tree
from .netlink.objects import Expression, RuleInfo
from .state import TableState


def node_context(layout: Layout, state: TableState) -> NodeContext:
    """What the rules say of the node; where they say nothing sensible, a value that they will not match."""
    return NodeContext(
        family=FAMILY_OF_LENGTH[sel.daddr(layout.family).length],
        masquerade_mark=_mark(state.rules.get(MASQUERADE, [])),
        local=_local_traffic(layout, state),
        node_ports=_node_ports(layout, state),
        service_cidrs=tuple(
            sorted(
                network
                for rule in state.rules.get(UNUSED, [])
                if (network := _network(layout, rule.expressions)) is not None
            )
        ),
        drop_invalid=len(state.rules.get(FORWARD, [])) > 2,
    )


def _mark(rules: Sequence[RuleInfo]) -> int:
    for rule in rules:
        for expression in rule.expressions:
            if expression.name == "bitwise":
                return int.from_bytes(_value(expression, nf.NFTA_BITWISE_MASK), "little")
    return 0


def _local_traffic(layout: Layout, state: TableState) -> LocalTraffic | None:
    """Who is local, as the first chain tells that has a rule about it."""
    suffix = f"-{Masquerade.UNLESS_LOCAL}"
    rules = next(
        (r for name, r in sorted(state.rules.items()) if name.endswith(suffix) and "pick-" in name), []
    )
    if not rules:
        return None
    if len(rules) == 1:  # nobody is masqueraded: everybody is local
        length = sel.daddr(layout.family).length
        return LocalNetwork(Network(bytes(length), 0))
    first = rules[0].expressions
    if first and first[0].name == "meta" and len(first) > 1 and first[1].name == "cmp":
        name = _value(first[1], nf.NFTA_CMP_DATA)
        if len(name) == sel.IIFNAME.length:
            return LocalInterface(_text(name))
        return LocalInterfacePrefix(_text(name))
    network = _network(layout, first)
    return None if network is None else LocalNetwork(network)


def _node_ports(layout: Layout, state: TableState) -> NodePortAddresses:
    named = any(
        expression.name == "lookup"
        and _text(_attribute(expression, nf.NFTA_LOOKUP_SET)) == layout.node_port_ips.name
        for rule in state.rules.get(DISPATCH, [])
        for expression in rule.expressions
    )
    if not named:
        return NodePortAddresses()
    return NodePortAddresses(tuple(sorted(state.elements.get(layout.node_port_ips.name, {}))))


def _network(layout: Layout, expressions: Sequence[Expression]) -> Network | None:
    """The network that a rule compares an address with, if it begins so."""
    names = [expression.name for expression in expressions[:3]]
    length = sel.daddr(layout.family).length
    if names[:2] == ["payload", "cmp"]:
        value = _value(expressions[1], nf.NFTA_CMP_DATA)
        return Network(value.ljust(length, b"\0"), 8 * len(value))
    if names == ["payload", "bitwise", "cmp"]:
        mask = _value(expressions[1], nf.NFTA_BITWISE_MASK)
        return Network(_value(expressions[2], nf.NFTA_CMP_DATA), int.from_bytes(mask).bit_count())
    return None


def _value(expression: Expression, kind: int) -> bytes:
    data = _attribute(expression, kind)
    if isinstance(data, bytes):
        return data
    return next(
        (value for number, value in data if number == nf.NFTA_DATA_VALUE and isinstance(value, bytes)), b""
    )


def _attribute(expression: Expression, kind: int) -> "bytes | Tree":
    return next((value for number, value in expression.attributes if number == kind), b"")


def _text(value: "bytes | Tree") -> str:
    return value.rstrip(b"\0").decode(errors="replace") if isinstance(value, bytes) else ""
