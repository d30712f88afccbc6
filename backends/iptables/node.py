"""The node that rules are for, as those tell that are no service's."""

import re

from pointsman.core.addresses import IPFamily, Network, parse_address, parse_network
from pointsman.core.model import (
    LocalInterface,
    LocalInterfacePrefix,
    LocalNetwork,
    LocalTraffic,
    NodeContext,
    NodePortAddresses,
)

from . import names
from .rules import ANYWHERE, LOOPBACK, parse
from .skeleton import LEAN
from .state import State, entries
from .tables import filter_, nat

_OWNER = re.compile(rf"pointsman instance (\S+), local pods (are in|come by|are unknown) ?(\S*?)(?:{LEAN})?")


def read_context(family: IPFamily, state: State) -> tuple[str, NodeContext]:
    """Whose rules these are, and the node that they are for."""
    [owner, *_] = (*state.chains.get(nat(names.CANARY), ()), "")
    found = _OWNER.fullmatch(parse(owner).get("--comment"))
    marks = [parse(text).get("--set-xmark") for text in state.chains.get(nat(names.MARK_MASQ), ())]
    mark = int(marks[0].partition("/")[0], 16) if marks and marks[0] else 1 << 14
    _, unclaimed = entries(state, filter_(names.CLUSTER_IPS))
    cidrs = [
        read_network(family, parsed.get("-d"))
        for text in unclaimed
        if (parsed := parse(text)).target == "DROP" and "--ctstate" not in parsed.options
    ]
    invalid = any(
        parse(text).get("--ctstate") == "INVALID" for text in state.chains.get(filter_(names.FORWARD), ())
    )
    return found[1] if found else "", NodeContext(
        family,
        mark,
        _local(found) if found else None,
        _node_ports(family, state),
        tuple(cidrs),
        invalid,
    )


def _local(found: re.Match[str]) -> LocalTraffic | None:
    if found[2] == "are in":
        return LocalNetwork(parse_network(found[3]))
    if found[2] == "come by":
        prefix = found[3].removesuffix("+")
        return LocalInterface(prefix) if prefix == found[3] else LocalInterfacePrefix(prefix)
    return None


def _node_ports(family: IPFamily, state: State) -> NodePortAddresses:
    """Which addresses node ports answer on."""
    _, others = entries(state, nat(names.SERVICES))
    where = [p.options for text in others if (p := parse(text)).target == names.NODE_PORTS]
    if any("-d" not in options and "! -d" not in options for options in where):
        return NodePortAddresses(None, loopback=True)
    if any("! -d" in options for options in where):
        return NodePortAddresses(None, loopback=False)
    networks = [options["-d"] for options in where]
    loopback = LOOPBACK[family]
    addresses = tuple(parse_address(n.partition("/")[0]) for n in networks if n != loopback)
    return NodePortAddresses(addresses, loopback=loopback in networks)


def read_network(family: IPFamily, text: str) -> Network:
    """A network as rules tell it, where none is every address."""
    return parse_network(text or ANYWHERE[family])
