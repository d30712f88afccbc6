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
            network
            for rule in state.rules.get(UNUSED, [])
            if (network := _network(layout, rule.expressions)) is not None
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
    """Who is local, as the first chain tells that depends on it."""
    everybody = LocalNetwork(Network(bytes(sel.daddr(layout.family).length), 0))
    for name, rules in sorted(state.rules.items()):
        if len(rules) < 2:
            continue
        first = rules[1].expressions  # the first rule is every class's: it clears the packet's priority
        if "split-" in name:
            if first[0].name == "fib":  # only the node itself is near
                continue
            return _compared(layout, first) or everybody
        if "pick-" in name and name.endswith(f"-{Masquerade.UNLESS_LOCAL}"):
            marks = any(_sets_mark(expression) for expression in first)
            return _compared(layout, first) if marks else everybody
    return None


def _compared(layout: Layout, expressions: Sequence[Expression]) -> LocalTraffic | None:
    """What a rule compares packets with to tell who is local, if it begins so."""
    if [expression.name for expression in expressions[:2]] == ["meta", "cmp"]:
        name = _value(expressions[1], nf.NFTA_CMP_DATA)
        whole = len(name) == sel.IIFNAME.length
        return LocalInterface(_text(name)) if whole else LocalInterfacePrefix(_text(name))
    network = _network(layout, expressions)
    return None if network is None else LocalNetwork(network)


def _sets_mark(expression: Expression) -> bool:
    return expression.name == "meta" and bool(_attribute(expression, nf.NFTA_META_SREG))


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
