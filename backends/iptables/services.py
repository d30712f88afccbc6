"""From one service port to its chains, and to its rules in the chains that all services share. Pure."""

from collections.abc import Iterator
from enum import Enum

from msgspec import Struct, field

from pointsman.core.addresses import collapse, host_network
from pointsman.core.model import (
    Answer,
    Endpoint,
    Frontend,
    FrontendKind,
    LocalInterface,
    LocalInterfacePrefix,
    LocalNetwork,
    Masquerade,
    Match,
    NodeContext,
    Pool,
    Refusal,
    ServiceFrontends,
    ServicePortName,
)

from . import names
from .memory import Memory
from .picking import endpoint_rules, lean_rules, pick_rules
from .rules import REJECT, Where, network, rule
from .tables import ChainName, Rules, filter_, nat

KINDS = {
    FrontendKind.CLUSTER_IP: "cluster IP",
    FrontendKind.LOAD_BALANCER: "loadbalancer IP",
    FrontendKind.EXTERNAL_IP: "external IP",
    FrontendKind.NODE_PORT: "node port",
}
_ORDER = list(FrontendKind)


class Root(Enum):
    """The shared chains that rules of single frontends stand in, in the order in which packets meet them."""

    DISPATCH = nat(names.SERVICES)
    NODE_PORTS = nat(names.NODE_PORTS)
    FIREWALL = filter_(names.PROXY_FIREWALL)
    EXTERNAL = filter_(names.EXTERNAL_SERVICES)
    REFUSED_NODE_PORTS = filter_(names.REFUSED_NODE_PORTS)
    CLUSTER = filter_(names.SERVICES)


class Effective(Struct, frozen=True):
    """An answer that has endpoints: all that rules are made from."""

    pool: Pool
    masquerade: Masquerade


class Audience(Struct, frozen=True):
    """What near and far clients get, None being nothing; ``split`` says whether the two differ."""

    near: Effective | None
    far: Effective | None
    split: bool


class Fragment(Struct):
    """What the tables hold for one service port."""

    chains: dict[ChainName, Rules] = field(default_factory=dict)
    entries: dict[Root, dict[Match, str]] = field(default_factory=dict)
    sets: dict[str, int] = field(default_factory=dict)


def compile_service(
    context: NodeContext, memory: Memory, service: ServiceFrontends, *, lean: bool = False
) -> Fragment:
    """Everything the tables hold for one service port (IPT-03…08), in the lean form if need be."""
    writer = _Writer(context, memory, service, lean=lean)
    for frontend in sorted(service.frontends, key=_rank):
        writer.frontend(frontend)
    for pool in Pool:
        if endpoints := service.cluster if pool is Pool.CLUSTER else service.local:
            writer.pool(pool, endpoints)
    return writer.fragment


def audience(service: ServiceFrontends, frontend: Frontend) -> Audience:
    """Whom a frontend leads where, as far as there is anywhere to lead to."""

    def effective(answer: Answer) -> Effective | None:
        return Effective(answer.pool, answer.masquerade) if service.pool(answer) else None

    near = effective(frontend.near)
    far = near if frontend.far is None else effective(frontend.far)
    return Audience(near, far, near != far)


def cluster_ip_rule(
    context: NodeContext, name: ServicePortName, match: Match, masquerade: Masquerade, *, lean: bool = False
) -> Iterator[str]:
    """The rule that masquerades what goes to a ClusterIP, first in its pool's chain (IPT-06)."""
    destination = network(host_network(match.address)) if match.address is not None else ""
    where = Where(destination=destination, service=(match.protocol, match.port))
    what = f"{names.display(name)} cluster IP"
    yield from _masquerade(context, masquerade, what, where, lean=lean)


def external_rules(context: NodeContext, name: ServicePortName, who: Audience) -> Iterator[str]:
    """The chain that external frontends lead to (IPT-05)."""
    what = f"{names.display(name)} external destinations"
    if who.split:
        pods = _pods(context)
        if pods is not None:
            yield from _near(name, who.near, f"pod traffic for {what}", pods, marks=(Masquerade.ALWAYS,))
        local = Where(matches="-m addrtype --src-type LOCAL")
        both = (Masquerade.ALWAYS, Masquerade.UNLESS_LOCAL)
        yield from _near(name, who.near, f"LOCAL traffic for {what}", local, marks=both)
    if who.far is None:
        yield rule("ACCEPT", comment=f"nobody to take {what}")
        return
    yield from _masquerade(context, who.far.masquerade, what, Where(), far=who.split)
    yield rule(names.pool_chain(name, who.far.pool))


def _rank(frontend: Frontend) -> tuple[int, bytes, int]:
    return _ORDER.index(frontend.kind), frontend.match.address or b"", frontend.match.port


class _Writer:
    """Collects what one service port needs."""

    def __init__(
        self, context: NodeContext, memory: Memory, service: ServiceFrontends, *, lean: bool
    ) -> None:
        self._context = context
        self._memory = memory
        self._service = service
        self._lean = lean
        self._name = service.name
        self._masquerades: dict[Pool, list[str]] = {Pool.CLUSTER: [], Pool.LOCAL: []}
        self._variants: dict[str, list[object]] = {names.EXTERNAL: [], names.SOURCES: []}
        self.fragment = Fragment()

    def frontend(self, frontend: Frontend) -> None:
        """Lead to the endpoints, admit whom the frontend admits, and refuse where there are none."""
        who = audience(self._service, frontend)
        kind = KINDS[frontend.kind]
        root = Root.NODE_PORTS if frontend.match.address is None else Root.DISPATCH
        self._entry(root, frontend, kind, self._lead(frontend, who))
        if frontend.sources is not None:
            self._protect(frontend, who, kind)
        if who.near is None or who.far is None:
            # Those whom the other audience's rules lead on are translated by now, and left alone.
            refusal = "DROP" if self._service.when_empty is Refusal.DROP else REJECT[self._context.family]
            self._entry(_refusing(frontend), frontend, f"{kind} has no endpoints", refusal)

    def pool(self, pool: Pool, endpoints: tuple[Endpoint, ...]) -> None:
        """The chain that picks, and those of the endpoints."""
        chain = nat(names.pool_chain(self._name, pool))
        if self._lean and not self._service.affinity:
            self.fragment.chains[chain] = (*self._masquerades[pool], *lean_rules(self._service, endpoints))
            return
        picks = pick_rules(self._memory, self._service, endpoints)
        self.fragment.chains[chain] = (*self._masquerades[pool], *picks)
        for endpoint in endpoints:
            where = names.endpoint_chain(self._name, endpoint)
            rules = tuple(endpoint_rules(self._memory, self._service, endpoint))
            self.fragment.chains[nat(where)] = rules
            if self._service.affinity and self._memory.needs_sets:
                self.fragment.sets[where] = self._service.affinity

    def _lead(self, frontend: Frontend, who: Audience) -> str:
        """The chain that new connections to a frontend are sent to."""
        if who.near is None and who.far is None:
            return "ACCEPT"  # as they are, past the node ports, to be refused
        plain = frontend.kind is FrontendKind.CLUSTER_IP and frontend.sources is None
        if plain and who.near is not None and not who.split:
            rules = cluster_ip_rule(
                self._context, self._name, frontend.match, who.near.masquerade, lean=self._lean
            )
            self._masquerades[who.near.pool] += rules
            return names.pool_chain(self._name, who.near.pool)
        external = self._variant(names.EXTERNAL, who)
        self.fragment.chains[nat(external)] = tuple(external_rules(self._context, self._name, who))
        if frontend.sources is None:
            return external
        admitting = self._variant(names.SOURCES, (who, self._sources(frontend)))
        sources = self._sources(frontend)
        nobody = () if sources else (rule(external, comment="no source is admitted"),)
        self.fragment.chains[nat(admitting)] = (
            *(rule(external, source=source) for source in sources),
            rule("ACCEPT", comment="other sources are left to be dropped"),
            *nobody,  # never met: so that the chain tells whose sources it is about
        )
        return admitting

    def _protect(self, frontend: Frontend, who: Audience, kind: str) -> None:
        """Drop what comes from elsewhere; by now the admitted are translated, or there is no endpoint."""
        target = "DROP"
        if who.near is None or who.far is None:
            target = self._variant(names.SOURCES, (who, self._sources(frontend)))
            self.fragment.chains[filter_(target)] = (
                *(rule("RETURN", source=source) for source in self._sources(frontend)),
                rule("DROP", comment="other sources are dropped"),
            )
        self._entry(Root.FIREWALL, frontend, f"{kind} only for its source ranges", target)

    def _sources(self, frontend: Frontend) -> list[str]:
        return [network(block) for block in sorted(collapse(frontend.sources or ()))]

    def _variant(self, prefix: str, content: object) -> str:
        """The chain for a content, under the well-known name if it is the service port's first one."""
        known = self._variants[prefix]
        if content not in known:
            known.append(content)
        index = known.index(content)
        return names.variant_chain(prefix, self._name, f"#{index}" if index else "")

    def _entry(self, root: Root, frontend: Frontend, words: str, target: str) -> None:
        address, protocol, port = frontend.match
        text = rule(
            target,
            destination=network(host_network(address)) if address is not None else "",
            service=(protocol, port),
            comment=f"{names.display(self._name)} {words}",
        )
        self.fragment.entries.setdefault(root, {})[frontend.match] = text


def _refusing(frontend: Frontend) -> Root:
    if frontend.match.address is None:
        return Root.REFUSED_NODE_PORTS
    return Root.CLUSTER if frontend.kind is FrontendKind.CLUSTER_IP else Root.EXTERNAL


def _near(
    name: ServicePortName,
    near: Effective | None,
    what: str,
    where: Where,
    *,
    marks: tuple[Masquerade, ...],
) -> Iterator[str]:
    if near is None:
        yield rule("ACCEPT", comment=f"nobody to take {what}", **where)
        return
    if near.masquerade in marks:
        always = "always " if near.masquerade is Masquerade.ALWAYS else ""
        yield rule(names.MARK_MASQ, comment=f"{always}masquerade {what}", **where)
    yield rule(names.pool_chain(name, near.pool), comment=f"route {what}", **where)


def _masquerade(
    context: NodeContext,
    masquerade: Masquerade,
    what: str,
    where: Where,
    *,
    far: bool = False,
    lean: bool = False,
) -> Iterator[str]:
    """Mark what is to be masqueraded; where all or none are local, only the comment tells the intent."""
    if masquerade is Masquerade.NEVER:
        return
    if masquerade is Masquerade.ALWAYS:
        yield rule(names.MARK_MASQ, comment=f"masquerade {what}", **where)
        return
    outside: Where | None = Where() if far else _outside(context)
    target = names.MARK_MASQ if outside is not None else ""
    everything: Where = {**where, **(outside or Where())}
    # The lean form leaves out what goes without saying.
    comment = "" if lean and outside else f"masquerade unless from a local pod: {what}"
    yield rule(target, comment=comment, **everything)


def _pods(context: NodeContext) -> Where | None:
    """What local pods' packets have in common (MSQ-06); None where there is no way to tell."""
    match context.local:
        case LocalNetwork(block):
            return Where(source=network(block))
        case LocalInterface(name):
            return Where(interface=name)
        case LocalInterfacePrefix(prefix):
            return Where(interface=f"{prefix}+")
        case None:
            return None


def _outside(context: NodeContext) -> Where | None:
    """What all but local pods' packets have in common; None where every packet is a local pod's."""
    match context.local:
        case LocalNetwork(block):
            return Where(source=f"! {block}") if block.prefix else None
        case LocalInterface(name):
            return Where(interface=f"! {name}")
        case LocalInterfacePrefix(prefix):
            return Where(interface=f"! {prefix}+")
        case None:
            return Where()
