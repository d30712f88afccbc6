"""What the kernel holds, from the text of ``iptables-save``."""

from collections.abc import Iterable, Iterator

from msgspec import Struct, field

from pointsman.core.addresses import parse_network
from pointsman.core.model import Match, NamespacedName, Protocol

from . import names
from .health import WORDS
from .image import Others
from .rules import parse
from .services import Root
from .skeleton import LEAN
from .tables import ChainName, Rules

# Our chains that are there whatever the services, by table. KUBE-FIREWALL is the kubelet's as well.
FIXED = {
    "nat": {names.SERVICES, names.NODE_PORTS, names.POSTROUTING, names.MARK_MASQ, names.CANARY},
    "filter": {
        names.SERVICES,
        names.EXTERNAL_SERVICES,
        names.REFUSED_NODE_PORTS,
        names.PROXY_FIREWALL,
        names.CLUSTER_IPS,
        names.FORWARD,
        names.NODE_PORTS,
        names.CANARY,
    },
}
# Those of them that built-in chains lead to.
ENTRANCES = {
    names.SERVICES,
    names.POSTROUTING,
    names.EXTERNAL_SERVICES,
    names.PROXY_FIREWALL,
    names.CLUSTER_IPS,
    names.FORWARD,
    names.NODE_PORTS,
}
# What the comment of each rule begins with that leads there; kube-proxy's do too.
LEADS = "kubernetes "
BUILT_IN = {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}
PROTOCOLS = {protocol.name.lower(): protocol for protocol in Protocol}


class State(Struct):
    """One family's nat and filter tables: our chains, and the rules of those that are others' too."""

    chains: dict[ChainName, Rules] = field(default_factory=dict)
    foreign: dict[ChainName, Rules] = field(default_factory=dict)

    def rules(self, chain: ChainName) -> Rules:
        """The rules of any chain."""
        return self.chains.get(chain) or self.foreign.get(chain, ())

    def jumps(self, base: ChainName) -> Rules:
        """Those rules of a built-in chain that lead to chains of ours, and are a service proxy's."""
        return tuple(text for text in self.foreign.get(base, ()) if _is_jump(base, text))

    def used_by_others(self) -> dict[ChainName, ChainName]:
        """The chains that rules of others lead to, such as KUBE-MARK-MASQ, and one that leads there."""
        return {
            ChainName(base.table, target): base
            for base, rules in self.foreign.items()
            for text in rules
            if (target := parse(text).target) and not _is_jump(base, text)
        }

    @property
    def owner(self) -> str | None:
        """The instance whose chains these are; empty for kube-proxy's, None where there are none."""
        if ChainName("nat", names.SERVICES) not in self.chains:
            return None
        for text in self.chains.get(ChainName("nat", names.CANARY), ()):
            words = parse(text).get("--comment").split()
            if words[:2] == ["pointsman", "instance"] and len(words) > 2:
                return words[2].rstrip(",")
        return ""

    @property
    def lean(self) -> bool:
        """Whether the chains are in the lean form."""
        marks = self.chains.get(ChainName("nat", names.CANARY), ())
        return any(parse(text).get("--comment").endswith(LEAN) for text in marks)

    @property
    def beyond_kube_proxy(self) -> bool:
        """Whether there is a chain that kube-proxy never makes."""
        return ChainName("filter", names.CLUSTER_IPS) in self.chains


def is_ours(chain: ChainName) -> bool:
    """Whether nobody but a service proxy has business in a chain."""
    return chain.name in FIXED.get(chain.table, ()) or names.is_hashed(chain.name)


def _is_jump(base: ChainName, text: str) -> bool:
    if base.name not in BUILT_IN:
        return False
    parsed = parse(text)
    return parsed.target in ENTRANCES and parsed.get("--comment").startswith(LEADS)


def read_tables(lines: Iterable[str], tables: Iterable[str] = ("nat", "filter")) -> State:
    """Take the output of ``iptables-save`` apart, line by line."""
    rules: dict[ChainName, list[str]] = {}
    table, wanted = "", set(tables)
    for line in lines:
        if line.startswith("*"):
            table = line[1:]
        elif table not in wanted:
            continue
        elif line.startswith(":"):
            rules.setdefault(ChainName(table, line[1:].split(" ", 1)[0]), [])
        elif line.startswith("-A "):
            name, _, body = line[3:].partition(" ")
            rules.setdefault(ChainName(table, name), []).append(body)
    ours = {chain: tuple(found) for chain, found in rules.items() if is_ours(chain)}
    foreign = {chain: tuple(found) for chain, found in rules.items() if chain not in ours}
    return State(ours, foreign)


def entries(state: State, root: ChainName) -> tuple[dict[tuple[bytes | None, int, int], str], list[str]]:
    """The rules of a shared chain and its branches by destination, and those that are for no single one."""
    found: dict[tuple[bytes | None, int, int], str] = {}
    others: list[str] = []
    for text in _walk(state, root, set()):
        where = _destination(text)
        if where is None or where in found:
            others.append(text)
        else:
            found[where] = text
    return found, others


def frontends(state: State, root: Root) -> dict[Match, str]:
    """As `entries`, for chains that hold rules of frontends."""
    found, _ = entries(state, root.value)
    return {
        Match(a, Protocol(protocol), port): text for (a, protocol, port), text in found.items() if protocol
    }


def health_rules(state: State) -> dict[int, str]:
    """The rules that accept what asks after Services' health, by port."""
    found, _ = entries(state, ChainName("filter", names.NODE_PORTS))
    return {port: text for (_, _, port), text in found.items()}


def health_ports(state: State) -> dict[int, NamespacedName]:
    """The ports of Services' health checks, and whose they are."""
    found: dict[int, NamespacedName] = {}
    for port, text in health_rules(state).items():
        namespace, _, name = parse(text).get("--comment").removesuffix(f" {WORDS}").partition("/")
        found[port] = NamespacedName(namespace, name)
    return found


def others(state: State) -> Others:
    """Everything in the chains that services share."""
    cluster_ips, _ = entries(state, ChainName("filter", names.CLUSTER_IPS))
    return Others(
        {root: frontends(state, root) for root in Root},
        frozenset(address for address, _, port in cluster_ips if address is not None and not port),
        health_rules(state),
    )


def _walk(state: State, chain: ChainName, seen: set[ChainName]) -> Iterator[str]:
    if chain in seen:
        return
    seen.add(chain)
    for text in state.chains.get(chain, ()):
        target = parse(text).target
        if target.startswith(names.BRANCHES):
            yield from _walk(state, ChainName(chain.table, target), seen)
        else:
            yield text


def _destination(text: str) -> tuple[bytes | None, int, int] | None:
    """The destination that a rule is for: a single address, a port, or both."""
    parsed = parse(text)
    protocol, port = PROTOCOLS.get(parsed.get("-p")), parsed.get("--dport")
    where = parsed.get("-d")
    network = (
        parse_network(where if "/" in where else f"{where}/{128 if ':' in where else 32}") if where else None
    )
    single = network is not None and network.prefix == 8 * len(network.address)
    if protocol is not None and port.isdecimal() and (single or network is None):
        return network.address if network is not None else None, protocol, int(port)
    if network is not None and single and not parsed.get("-p") and "--dst-type" not in parsed.options:
        return network.address, 0, 0
    return None
