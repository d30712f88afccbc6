"""From the kernel's rules back to the model's terms.

The rules are read as services, frontends and pools. What was understood is then compiled again: wherever that
doesn't give the very rules that are there, what they do can't be said, and it is called strange. Who knows
what should be there has it compared with that instead: of some rules nothing in the model's terms tells, and
what were left without them would be as consistent.
"""

import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import product, takewhile
from math import lcm

from msgspec.structs import replace

from pointsman.core.addresses import IPFamily, Network, parse_address
from pointsman.core.backend import Observed, expected
from pointsman.core.model import (
    Answer,
    Endpoint,
    Frontend,
    FrontendKind,
    Masquerade,
    Match,
    Model,
    NodeContext,
    Pool,
    Protocol,
    Refusal,
    ServiceFrontends,
    ServicePortName,
)
from pointsman.core.plan import advance

from . import names
from .changes import Changes
from .image import Image
from .means import Means
from .node import read_context, read_network
from .planner import difference
from .rules import Parsed, parse
from .services import KINDS, Audience, Effective, Root, cluster_ip_rule, external_rules
from .state import State, entries, frontends, health_ports
from .tables import ChainName, filter_, nat
from .walk import GREATEST_SUM

_KINDS = {words: kind for kind, words in KINDS.items()}
_COMMENT = re.compile(r"(\S+?)/([^\s:]+)(?::(\S+))? (cluster IP|loadbalancer IP|external IP|node port)\b.*")


def observed(family: IPFamily, means: Means, state: State, left: Changes | None = None) -> Observed:
    """What the tables do, in the model's terms; strange is what is ``left`` to do towards what is meant."""
    if not state.chains:
        return Observed({}, strange=() if left is None else ("not one of our chains is there",))
    wrong = set() if left is None else {*_deviations(left, state)}
    try:
        instance, context = read_context(family, state)
        reader = _Reader(context, state)
        model = reader.model()
    except ValueError as error:
        wrong.add(f"a chain of ours holds a rule that nobody understands: {error}")
        return Observed({}, strange=tuple(sorted(wrong)))
    if left is None:
        image = Image(model.node, means, instance, lean=state.lean)
        wrong = {*_deviations(difference(state, image.fill(model)), state)}
    found = expected(model)
    cluster_ips, _ = entries(state, filter_(names.CLUSTER_IPS))
    return Observed(
        found.frontends,
        frozenset(address for address, _, port in cluster_ips if address is not None and not port),
        found.service_cidrs,
        tuple(sorted(reader.strange | wrong)),
    )


def _deviations(left: Changes, state: State) -> Iterator[str]:
    for name in left.chains:
        yield f"chain {name.name} of table {name.table} {_wrong(name, state)}"
    for base in left.jumps:
        yield f"chain {base.name} of table {base.table} doesn't lead to ours"
    for name in left.shared:
        yield f"chain {name.name} of table {name.table} lacks what we add to it"


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
            rules = cluster_ip_rule(self._context, name, match, masquerade, lean=self._state.lean)
            if all(text in held for text in rules):
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
        picks: list[tuple[Parsed, Fraction]] = []
        for text in self._state.chains.get(nat(chain), ()):
            parsed = parse(text)
            if parsed.target == "DNAT" or (
                parsed.target.startswith(names.ENDPOINT) and parsed.get("--comment")
            ):
                share = parsed.get("--probability")
                picks.append((parsed, _recovered(share) if share else Fraction(1)))
        left, shares = Fraction(1), list[tuple[Endpoint, Fraction]]()
        for pick, part in picks:
            endpoint = _translated(pick) or self._endpoint(pick.target)
            if endpoint is not None:
                shares.append((endpoint, left * part))
            left *= 1 - part
        whole = lcm(*(share.denominator for _, share in shares))
        return tuple(Endpoint(e.address, e.port, int(share * whole)) for e, share in shares if share)

    def _endpoint(self, chain: str) -> Endpoint | None:
        for text in self._state.chains.get(nat(chain), ()):
            if endpoint := _translated(parse(text)):
                return endpoint
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


def _translated(rule: Parsed) -> Endpoint | None:
    """The endpoint that a rule leads to at once."""
    address, found, port = rule.get("--to-destination").rpartition(":")
    return Endpoint(parse_address(address.strip("[]")), int(port)) if found else None


def _source(context: NodeContext, parsed: Parsed) -> Network:
    return read_network(context.family, parsed.get("-s"))


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
