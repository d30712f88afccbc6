"""A packet's way through the rules: from hook to hook, chain to chain, rule to rule.

What happens in the chains is told as it is found; a rule that only chance lets a packet pass makes two ways
of one. Kernel counterparts: ``ipt_do_table`` in ``net/ipv4/netfilter/ip_tables.c``, and for the nat table
``nf_nat_inet_fn`` in ``net/netfilter/nf_nat_core.c``.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction

from msgspec import Struct
from msgspec.structs import replace

from pointsman.core.addresses import IPFamily, Network, parse_address, parse_network
from pointsman.core.packet import Action, Packet

from . import names
from .form import hairpin
from .rules import Parsed, parse
from .state import BUILT_IN, ENTRANCES, PROTOCOLS, State
from .tables import ChainName

# Weights are recovered from probabilities of 31 bits: beyond this sum of a pool's weights they are ambiguous.
GREATEST_SUM = 40_000

_TO_ITSELF = {parse(hairpin(family)).get("--bytecode") for family in IPFamily}
_FATES = {"ACCEPT": Action.PASS, "DROP": Action.DROP, "REJECT": Action.REJECT}
_FOLLOWED = {*ENTRANCES, names.FIREWALL}
# Options that ask nothing of a packet: arguments of targets, and how often others matched.
_SILENT = {
    *("--comment", "--mode", "--reject-with", "--to-destination", "--set-xmark", "--random-fully"),
    *(
        "--nfacct-name",
        "--add-set",
        "--exist",
        "--timeout",
        "--set",
        "--name",
        "--mask",
        "--rsource",
        "--reap",
        "--seconds",
    ),
}


class Visit(Struct, frozen=True):
    """A rule that matched, the chain it stands in, and the chance that a packet gets past it there."""

    chain: ChainName
    text: str
    share: Fraction = Fraction(1)

    @property
    def rule(self) -> Parsed:
        """The rule, taken apart."""
        return parse(self.text)


class Way(Struct, frozen=True):
    """A packet on its way: where it is going by now, and with what chance it got there."""

    destination: bytes
    port: int
    mark: int = 0
    translated: bool = False
    masqueraded: bool = False
    chance: Fraction = Fraction(1)
    action: Action = Action.PASS


# Told of every rule that matched, with the way after it.
Listener = Callable[[Visit, Way], None]


def follow(state: State, packet: Packet, listener: Listener) -> Iterator[Way]:
    """All ends that a new connection's first packet may come to, one after another."""
    walker = _Walker(state, packet, listener)
    start = Way(packet.destination, packet.port)
    local = packet.interface is None
    for way in walker.base("nat", "OUTPUT" if local else "PREROUTING", start):
        inside = packet.to_node and not way.translated
        hook = "OUTPUT" if local else "INPUT" if inside else "FORWARD"
        for passed in walker.base("filter", hook, replace(way, action=Action.PASS)):
            if passed.action in (Action.DROP, Action.REJECT):
                yield passed
                continue
            action = Action.FORWARD if passed.translated else Action.PASS
            for end in walker.base("nat", "POSTROUTING", replace(passed, action=Action.PASS)):
                yield replace(end, action=action)


class _Walker:
    def __init__(self, state: State, packet: Packet, listener: Listener) -> None:
        self._state = state
        self._packet = packet
        self._listener = listener

    def base(self, table: str, name: str, way: Way) -> Iterator[Way]:
        """Through a built-in chain, by those of its rules that lead to chains of service proxies."""
        for end, _ in self._through(ChainName(table, name), way):
            yield end

    def _through(self, chain: ChainName, way: Way) -> Iterator[tuple[Way, bool]]:
        """The ways out of a chain, and whether each has come to its end or goes on where it was led from."""
        for text in self._state.rules(chain):
            rule = parse(text)
            share = self._share(rule, way)
            if not share or (chain.name in BUILT_IN and rule.target not in _FOLLOWED):
                continue
            taken = replace(way, chance=way.chance * share)
            self._listener(Visit(chain, text, share), taken)
            if rule.target == "RETURN":
                break
            left = [] if share == 1 else [replace(way, chance=way.chance - taken.chance)]
            for after, ended in self._take(chain, rule, taken):
                if ended:
                    yield after, True
                else:
                    left.append(after)
            if not left:
                return
            # What differs between those that go on is at most their mark, which the last of them has.
            way = replace(left[-1], chance=sum((each.chance for each in left), Fraction()))
        yield way, False

    def _take(self, chain: ChainName, rule: Parsed, way: Way) -> Iterator[tuple[Way, bool]]:
        """What a rule's target does."""
        target = rule.target
        if target in _FATES:
            yield replace(way, action=_FATES[target]), True
        elif target == "DNAT":
            address, _, port = rule.get("--to-destination").rpartition(":")
            to = parse_address(address.strip("[]"))
            yield replace(way, destination=to, port=int(port), translated=True), True
        elif target == "MASQUERADE":
            yield replace(way, masqueraded=True), True
        elif target == "MARK":
            value, _, mask = rule.get("--set-xmark").partition("/")
            yield replace(way, mark=way.mark & ~int(mask, 16) ^ int(value, 16)), False
        elif target.startswith("KUBE-"):
            yield from self._through(ChainName(chain.table, target), way)
        else:  # a rule without a target, and SET, let everything pass
            yield way, False

    def _share(self, rule: Parsed, way: Way) -> Fraction:
        """The chance that a rule matches: none or all but for ``statistic``."""
        share = Fraction(1)
        for option, value in rule.options.items():
            name = option.removeprefix("! ")
            if name == "--probability":
                share = Fraction(value).limit_denominator(GREATEST_SUM)
            elif name not in _SILENT and self._matches(name, value, way) is option.startswith("! "):
                return Fraction()
        return share

    def _matches(self, option: str, value: str, way: Way) -> bool:
        packet = self._packet
        match option:
            case "-s":
                return packet.source in _network(value)
            case "-d":
                return way.destination in _network(value)
            case "-i":
                prefix = value.removesuffix("+")
                arrived = packet.interface or ""
                return arrived == value or (prefix != value and bool(arrived) and arrived.startswith(prefix))
            case "-p":
                return packet.protocol is not None and PROTOCOLS.get(value) is packet.protocol
            case "--dport":
                first, _, last = value.partition(":")
                return int(first) <= way.port <= int(last or first)
            case "--src-type":
                return packet.interface is None
            case "--dst-type":
                return packet.to_node and not way.translated
            case "--ctstate":
                states = {"NEW", "DNAT"} if way.translated else {"NEW"}
                return not states.isdisjoint(value.split(","))
            case "--ctorigdst":
                return packet.destination in _network(value)
            case "--mark":
                number, _, mask = value.partition("/")
                return way.mark & int(mask, 16) == int(number, 16)
            case "--bytecode":
                return value in _TO_ITSELF and way.destination == packet.source
        return False  # a client that is not remembered, and what only others' rules ask


def _network(text: str) -> Network:
    return parse_network(text if "/" in text else f"{text}/{128 if ':' in text else 32}")
