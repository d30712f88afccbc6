"""From the kernel's rules back to the model's terms.

The rules are read as services, frontends and pools. What was understood is then compiled again: wherever that
doesn't give the very rules that are there, what they do can't be said, and it is called strange.
"""

import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import product, takewhile
from math import lcm

from msgspec.structs import replace

from pointsman.core.addresses import IPFamily, Network, parse_address, parse_network
from pointsman.core.backend import Observed, expected
from pointsman.core.model import (
    Answer,
    Endpoint,
    Frontend,
    FrontendKind,
    LocalInterface,
    LocalInterfacePrefix,
    LocalNetwork,
    LocalTraffic,
    Masquerade,
    Match,
    Model,
    NodeContext,
    NodePortAddresses,
    Pool,
    Protocol,
    Refusal,
    ServiceFrontends,
    ServicePortName,
)
from pointsman.core.plan import advance

from . import names
from .image import Image
from .means import Means
from .planner import difference
from .rules import ANYWHERE, LOOPBACK, Parsed, parse
from .services import KINDS, Audience, Effective, Root, cluster_ip_rule, external_rules
from .state import State, entries, frontends, health_ports
from .tables import ChainName, filter_, nat
from .walk import GREATEST_SUM

_KINDS = {words: kind for kind, words in KINDS.items()}
_COMMENT = re.compile(r"(\S+?)/([^\s:]+)(?::(\S+))? (cluster IP|loadbalancer IP|external IP|node port)\b.*")
_OWNER = re.compile(r"pointsman instance (\S+), local pods (are in|come by|are unknown) ?(\S*)")


def observed(family: IPFamily, means: Means, state: State) -> Observed:
    """What the tables do, in the model's terms."""
    if not state.chains:
        return Observed({})
    instance, context = _context(family, state)
    reader = _Reader(context, state)
    model = reader.model()
    image = Image(model.node, means, instance)
    image.fill(model)
    found = expected(model)
    left = difference(state, image.tables)
    reader.strange.update(
        f"chain {name.name} of table {name.table} {_wrong(name, state)}" for name in left.chains
    )
    reader.strange.update(
        f"chain {base.name} of table {base.table} doesn't lead to ours" for base in left.jumps
    )
    cluster_ips, _ = entries(state, filter_(names.CLUSTER_IPS))
    return Observed(
        found.frontends,
        frozenset(address for address, _, port in cluster_ips if address is not None and not port),
        found.service_cidrs,
        tuple(sorted(reader.strange)),
    )


def _wrong(name: ChainName, state: State) -> str:
    return "holds other rules than it should" if name in state.chains else "is missing"


class _Reader:
    """Reads services out of the rules, collecting what it can't make sense of."""

    def __init__(self, context: NodeContext, state: State) -> None:
        self._context = context
        self._state = state
        self._entries = {root: frontends(state, root) for root in Root}
        self.strange: set[str] = set()

    def model(self) -> Model:
        services: dict[ServicePortName, dict[Match, FrontendKind]] = {}
        for root, rules in self._entries.items():
            for match, text in rules.items():
                found = _COMMENT.fullmatch(parse(text).get("--comment"))
                if found is None:
                    self.strange.add(f"chain {root.value.name} holds a rule that names no service: {text}")
                    continue
                name = ServicePortName(found[1], found[2], found[3] or "", match.protocol)
                services.setdefault(name, {})[match] = _KINDS[found[4]]
        read = {name: self._service(name, matches) for name, matches in services.items()}
        changes = self._with_health(read).items()
        cluster_ips, _ = entries(self._state, filter_(names.CLUSTER_IPS))
        model = advance(Model(self._context), changes, self._context)[0]
        for address, _, port in cluster_ips:
            if address is not None and not port and address not in model.cluster_ips:
                model = Model(model.node, model.services, model.cluster_ips.set(address, 1))
        return model

    def _service(self, name: ServicePortName, matches: dict[Match, FrontendKind]) -> ServiceFrontends:
        pools = {pool: self._pool(names.pool_chain(name, pool)) for pool in Pool}
        refusals = {self._refusal(match) for match in matches} - {None}
        if len(refusals) > 1:
            self.strange.add(f"{name} refuses in different ways")
        return ServiceFrontends(
            name,
            tuple(self._frontend(name, match, kind, pools) for match, kind in matches.items()),
            tuple(sorted(pools[Pool.CLUSTER])),
            tuple(sorted(pools[Pool.LOCAL])),
            refusals.pop() or Refusal.REJECT if refusals else Refusal.REJECT,
            max(
                (self._affinity(names.endpoint_chain(name, e)) for p in pools.values() for e in p), default=0
            ),
        )

    def _with_health(
        self, services: dict[ServicePortName, ServiceFrontends]
    ) -> dict[ServicePortName, ServiceFrontends]:
        """The services with the ports of their health checks, which stand in rules of their own."""
        ports = health_ports(self._state)
        homeless = set(ports.values()) - {name.service for name in services}
        empty = (ServicePortName(service.namespace, service.name, "", Protocol.TCP) for service in homeless)
        by_service = {service: port for port, service in ports.items()}
        return {
            name: replace(service, health_check_node_port=by_service.get(name.service, 0))
            for name, service in (services | {name: ServiceFrontends(name, ()) for name in empty}).items()
        }

    def _frontend(
        self,
        name: ServicePortName,
        match: Match,
        kind: FrontendKind,
        pools: dict[Pool, tuple[Endpoint, ...]],
    ) -> Frontend:
        root = Root.NODE_PORTS if match.address is None else Root.DISPATCH
        target = parse(self._entries[root].get(match, "")).target
        sources = None
        if match in self._entries[Root.FIREWALL]:
            sources = self._sources(match, target)
            if target.startswith(names.SOURCES):
                leads = (t for t in self._targets(nat(target)) if t.startswith(names.EXTERNAL))
                target = next(leads, "ACCEPT")
        who = self._audience(name, match, target, pools)
        near, far = self._answer(who.near, pools), self._answer(who.far, pools)
        return Frontend(match, kind, near, far if who.split else None, sources)

    def _audience(
        self, name: ServicePortName, match: Match, target: str, pools: dict[Pool, tuple[Endpoint, ...]]
    ) -> Audience:
        for pool in Pool:
            if target == names.pool_chain(name, pool):
                found = Effective(pool, self._cluster_ip_masquerade(name, match, target))
                return Audience(found, found, split=False)
        if target.startswith(names.EXTERNAL):
            held = self._state.chains.get(nat(target), ())
            for who in _audiences([pool for pool in Pool if pools[pool]]):
                if tuple(external_rules(self._context, name, who)) == held:
                    return who
            self.strange.add(f"chain {target} of table nat holds other rules than it should")
        return Audience(None, None, split=False)

    def _cluster_ip_masquerade(self, name: ServicePortName, match: Match, chain: str) -> Masquerade:
        held = self._state.chains.get(nat(chain), ())
        for masquerade in (Masquerade.UNLESS_LOCAL, Masquerade.ALWAYS):
            if all(text in held for text in cluster_ip_rule(self._context, name, match, masquerade)):
                return masquerade
        return Masquerade.NEVER

    def _answer(self, found: Effective | None, pools: dict[Pool, tuple[Endpoint, ...]]) -> Answer:
        """An answer as found; one that has no endpoint may be said to draw from any pool that is empty."""
        if found is not None:
            return Answer(found.pool, found.masquerade)
        empty = next((pool for pool in Pool if not pools[pool]), Pool.CLUSTER)
        return Answer(empty, Masquerade.NEVER)

    def _refusal(self, match: Match) -> Refusal | None:
        for root in (Root.EXTERNAL, Root.CLUSTER, Root.REFUSED_NODE_PORTS):
            if match in self._entries[root]:
                target = parse(self._entries[root][match]).target
                return Refusal.DROP if target == "DROP" else Refusal.REJECT
        return None

    def _sources(self, match: Match, target: str) -> tuple[Network, ...]:
        """The source ranges, from the chain that admits them or else the one that drops the others."""
        guard = parse(self._entries[Root.FIREWALL][match]).target
        chain = nat(target) if target.startswith(names.SOURCES) else filter_(guard)
        rules = (parse(text) for text in self._state.chains.get(chain, ()))
        admitted = takewhile(lambda rule: rule.target not in ("ACCEPT", "DROP"), rules)
        return tuple(sorted(_source(self._context, rule) for rule in admitted))

    def _targets(self, chain: ChainName) -> Iterator[str]:
        return (parse(text).target for text in self._state.chains.get(chain, ()))

    def _pool(self, chain: str) -> tuple[Endpoint, ...]:
        """The endpoints that a chain picks from, with weights in lowest terms."""
        picks: list[tuple[str, Fraction]] = []
        for text in self._state.chains.get(nat(chain), ()):
            parsed = parse(text)
            if parsed.target.startswith(names.ENDPOINT) and parsed.get("--comment"):
                share = parsed.get("--probability")
                picks.append((parsed.target, _recovered(share) if share else Fraction(1)))
        left, shares = Fraction(1), list[tuple[Endpoint, Fraction]]()
        for target, part in picks:
            endpoint = self._endpoint(target)
            if endpoint is not None:
                shares.append((endpoint, left * part))
            left *= 1 - part
        whole = lcm(*(share.denominator for _, share in shares))
        return tuple(Endpoint(e.address, e.port, int(share * whole)) for e, share in shares if share)

    def _endpoint(self, chain: str) -> Endpoint | None:
        for text in self._state.chains.get(nat(chain), ()):
            address, found, port = parse(text).get("--to-destination").rpartition(":")
            if found:
                return Endpoint(parse_address(address.strip("[]")), int(port))
        self.strange.add(f"chain {chain} of table nat leads to no endpoint")
        return None

    def _affinity(self, chain: str) -> int:
        """For how many seconds an endpoint's clients are remembered, 0 if they aren't."""
        for text in self._state.chains.get(nat(chain), ()):
            parsed = parse(text)
            if parsed.get("--timeout").isdecimal():
                return int(parsed.get("--timeout"))
            if "--set" in parsed.options:
                return self._recent(chain)
        return 0

    def _recent(self, chain: str) -> int:
        for name, rules in self._state.chains.items():
            if name.name.startswith((names.SERVICE, names.LOCAL)):
                for text in rules:
                    parsed = parse(text)
                    if parsed.get("--name") == chain and parsed.get("--seconds").isdecimal():
                        return int(parsed.get("--seconds"))
        return 0


def _context(family: IPFamily, state: State) -> tuple[str, NodeContext]:
    """Whose rules these are, and the node that they are for, as the rules that are no service's tell."""
    [owner, *_] = (*state.chains.get(nat(names.CANARY), ()), "")
    found = _OWNER.fullmatch(parse(owner).get("--comment"))
    marks = [parse(text).get("--set-xmark") for text in state.chains.get(nat(names.MARK_MASQ), ())]
    mark = int(marks[0].partition("/")[0], 16) if marks and marks[0] else 1 << 14
    _, unclaimed = entries(state, filter_(names.CLUSTER_IPS))
    cidrs = [
        _network(family, parsed.get("-d"))
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


def _network(family: IPFamily, text: str) -> Network:
    return parse_network(text or ANYWHERE[family])


def _source(context: NodeContext, parsed: Parsed) -> Network:
    return _network(context.family, parsed.get("-s"))


def _recovered(share: str) -> Fraction:
    """The exact share that a rounded probability stands for."""
    return Fraction(share).limit_denominator(GREATEST_SUM)


def _audiences(pools: Iterable[Pool]) -> Iterator[Audience]:
    """Everything that an external chain may stand for, the usual first."""
    answers = [Effective(pool, masquerade) for pool in pools for masquerade in Masquerade]
    yield from (Audience(answer, answer, split=False) for answer in answers)
    for near, far in product((*answers, None), repeat=2):
        if near != far:
            yield Audience(near, far, split=True)
