"""A second, fixed table: virtual servers are reached by way of the first alone, and IPVS is the last stop.

Virtual servers' addresses are local to the node. So packets to them are let through before IPVS only if our
own rules have sent them there; and what IPVS has not sent on (a packet that begins no connection, a virtual
server that is just going) must neither reach a socket of the node nor be remembered by conntrack.
"""

from pointsman.backends.nftables.netlink import messages
from pointsman.backends.nftables.netlink import rules as r
from pointsman.backends.nftables.netlink import selectors as sel
from pointsman.backends.nftables.netlink.compare import canonical
from pointsman.backends.nftables.netlink.constants import CtStatus, Family, Hook
from pointsman.backends.nftables.netlink.messages import Operation, Table
from pointsman.backends.nftables.netlink.netfilter import NetfilterSocket
from pointsman.backends.nftables.netlink.objects import parse_expressions
from pointsman.backends.nftables.ruleset import Base, Chain, Rule
from pointsman.core.addresses import Network

# IPVS takes packets at 99 of the input hook and at -98 of the output hook (ip_vs_core.c, ip_vs_ops4).
_BEFORE_INPUT, _AFTER_INPUT, _BEFORE_OUTPUT, _AFTER_OUTPUT = 90, 110, -99, -90


def chains(family: Family, network: Network) -> tuple[Chain, ...]:
    """The chains of the table."""
    ours = r.match_prefix(sel.daddr(family), network.address, network.prefix)
    sent = Rule(r.match_ct_status(CtStatus.DNAT) + r.return_(), "sent here by our own rules")
    stray = (sent, Rule(ours + r.drop(), "virtual servers have no clients of their own"))
    left = (
        Rule(ours + r.reject_tcp_reset(begun=True), "nobody knows this connection any more"),
        Rule(ours + r.drop(), "IPVS sends nobody here"),
    )
    return (
        Chain("input-before", stray, base=Base("filter", Hook.INPUT, _BEFORE_INPUT)),
        Chain("input-after", left, base=Base("filter", Hook.INPUT, _AFTER_INPUT)),
        Chain("output-before", stray, base=Base("filter", Hook.OUTPUT, _BEFORE_OUTPUT)),
        Chain("output-after", left, base=Base("filter", Hook.OUTPUT, _AFTER_OUTPUT)),
    )


def create(table: Table, network: Network) -> list[Operation]:
    """The transaction that makes the table anew, whatever was there."""
    operations = [messages.add_table(table), messages.delete_table(table), messages.add_table(table)]
    for chain in chains(table.family, network):
        assert chain.base is not None
        operations.append(messages.add_base_chain(table, chain.name, *chain.base))
        operations += (
            messages.add_rule(table, chain.name, rule.expressions, comment=rule.comment)
            for rule in chain.rules
        )
    return operations


def present(netlink: NetfilterSocket, table: Table) -> bool:
    """Whether there is such a table at all."""
    return any(info.table == table for info in netlink.dump_tables(table.family))


def intact(netlink: NetfilterSocket, table: Table, network: Network) -> bool:
    """Whether the kernel's table is exactly this one."""
    if not present(netlink, table):
        return False
    wanted = chains(table.family, network)
    bases = {
        info.name: (info.kind, info.hook, info.priority, info.policy) for info in netlink.dump_chains(table)
    }
    rules = [(rule.chain, canonical(rule.expressions)) for rule in netlink.dump_rules(table)]
    return bases == {chain.name: (*(chain.base or ()), 1) for chain in wanted} and sorted(
        rules, key=_chain
    ) == sorted(
        (
            (chain.name, canonical(parse_expressions(rule.expressions)))
            for chain in wanted
            for rule in chain.rules
        ),
        key=_chain,
    )


def _chain(rule: tuple[str, object]) -> str:
    return rule[0]
