"""What the tables are to hold, kept from plan to plan so that a change costs what it touches."""

from collections.abc import Iterable, Mapping
from functools import partial

from msgspec import Struct

from pointsman.core.addresses import host_network
from pointsman.core.errors import SyncError
from pointsman.core.model import Match, Model, NodeContext, ServiceFrontends
from pointsman.core.plan import Delta

from . import names, skeleton
from .dispatch import PORT_LENGTH, Tree, addresses, place, ports
from .health import HealthPorts
from .means import Means
from .rules import REJECT, network, rule
from .services import Fragment, Root, compile_service
from .tables import ChainName, Rules, Tables, filter_

NAME = "iptables"
_PORTS = (Root.NODE_PORTS, Root.REFUSED_NODE_PORTS)

# What changes: chains with their new rules, None for those that go.
Changed = dict[ChainName, Rules | None]


class Others(Struct, frozen=True):
    """Rules of services that a model doesn't hold yet: those of frontends, and the rest of what is shared."""

    frontends: Mapping[Root, Mapping[Match, str]] = {}
    cluster_ips: frozenset[bytes] = frozenset()
    health_ports: Mapping[int, str] = {}


class Image:
    """One family's tables as a model wants them."""

    def __init__(self, context: NodeContext, means: Means, instance: str, *, lean: bool) -> None:
        by_address = partial(Tree, length=context.family.address_length, block=addresses)
        by_port = partial(Tree, length=PORT_LENGTH, block=ports)
        self._context = context
        self._means = means
        self._lean = lean
        self._trees = {root: (by_port if root in _PORTS else by_address)(root.value) for root in Root}
        self._cluster_ips = by_address(filter_(names.CLUSTER_IPS))
        accepting = by_port(filter_(names.NODE_PORTS))
        accepting.head = skeleton.guard(context)
        self._health = HealthPorts(accepting)
        self._trees[Root.DISPATCH].tail = skeleton.to_node_ports(context)
        self._trees[Root.EXTERNAL].tail = skeleton.to_refused_node_ports(context)
        self._cluster_ips.tail = skeleton.unclaimed(context)
        for root in (Root.FIREWALL, Root.EXTERNAL, Root.CLUSTER):
            self._trees[root].head = (skeleton.TRANSLATED,)
        self._cluster_ips.head = (skeleton.TRANSLATED,)
        self.tables = Tables(
            skeleton.chains(context, means, instance, lean=lean), skeleton.jumps(), skeleton.shared(context)
        )

    def fill(self, model: Model, others: Others = Others()) -> None:
        """Hold a model, and besides it those rules of others that are for other destinations."""
        fragments = [self._compile(service) for service in model.services.values()]
        entries = {root: dict(others.frontends.get(root, {})) for root in Root}
        claims: dict[Match, str] = {}
        for service in model.services.values():
            for frontend in service.frontends:
                self._claim(claims, frontend.match, service)
                for root in Root:  # what others say of a destination that is claimed doesn't count
                    entries[root].pop(frontend.match, None)
        for fragment in fragments:
            self.tables.chains.update(fragment.chains)
            self.tables.sets.update(fragment.sets)
            for root, rules in fragment.entries.items():
                entries[root].update(rules)
        for root, tree in self._trees.items():
            self.note(tree.fill(_leaves(entries[root])))
        virtual = others.cluster_ips.union(model.cluster_ips)
        self.note(self._cluster_ips.fill({address: self._cluster_ip_leaf(address) for address in virtual}))
        self.note(self._health.fill(model.services.values(), others.health_ports))

    def apply(self, delta: Delta) -> tuple[Changed, set[str]]:
        """Move on by a delta of services; the chains that change, and the sets that go."""
        old = [self._compile(change.old) for change in delta.services if change.old]
        new = [self._compile(change.new) for change in delta.services if change.new]
        kept: dict[ChainName, Rules] = {}
        sets: dict[str, int] = {}
        for fragment in new:
            kept.update(fragment.chains)
            sets.update(fragment.sets)
        changed: Changed = {chain: None for part in old for chain in part.chains if chain not in kept}
        changed |= {chain: rules for chain, rules in kept.items() if self.tables.chains.get(chain) != rules}
        for root in Root:
            changed |= self._move(root, _of(root, old), _of(root, new))
        users = delta.cluster_ips
        leaves = {a: self._cluster_ip_leaf(a) for a in users.added} | {a: {} for a in users.removed}
        if leaves:
            changed |= self._cluster_ips.replace(leaves)
        changed |= self._health.apply(delta)
        gone = {name for part in old for name in part.sets if name not in sets}
        self.tables.sets = {n: t for n, t in (self.tables.sets | sets).items() if n not in gone}
        return changed, gone

    def _compile(self, service: ServiceFrontends) -> Fragment:
        return compile_service(self._context, self._means.memory, service, lean=self._lean)

    def _claim(self, claims: dict[Match, str], match: Match, service: ServiceFrontends) -> None:
        other = claims.setdefault(match, str(service.name))
        if other != str(service.name):
            raise SyncError(
                NAME,
                f"{match} belongs to both {other} and {service.name}; nothing was written,"
                " one of them has to give it up",
            )

    def _move(self, root: Root, old: dict[Match, str], new: dict[Match, str]) -> Changed:
        """Replace rules in a shared chain."""
        if old == new:
            return {}
        tree = self._trees[root]
        leaves: dict[bytes, dict[tuple[int, int], str]] = {}
        for match in {*old, *new}:
            leaf = leaves.setdefault(place(match), dict(tree.leaf(place(match))))
            leaf.pop((match.protocol, match.port), None)
            if match in new:
                leaf[match.protocol, match.port] = new[match]
        return tree.replace(leaves)

    def _cluster_ip_leaf(self, address: bytes) -> dict[tuple[int, int], str]:
        comment = "no service has this port of the cluster IP"
        where = network(host_network(address))
        return {(0, 0): rule(REJECT[self._context.family], destination=where, comment=comment)}

    def note(self, changed: Changed) -> None:
        """Hold what changed."""
        for chain, rules in changed.items():
            if rules is None:
                self.tables.chains.pop(chain, None)
            else:
                self.tables.chains[chain] = rules


def _leaves(entries: Mapping[Match, str]) -> dict[bytes, dict[tuple[int, int], str]]:
    leaves: dict[bytes, dict[tuple[int, int], str]] = {}
    for match, text in entries.items():
        leaves.setdefault(place(match), {})[match.protocol, match.port] = text
    return leaves


def _of(root: Root, fragments: Iterable[Fragment]) -> dict[Match, str]:
    return {match: text for part in fragments for match, text in part.entries.get(root, {}).items()}
