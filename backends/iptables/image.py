"""What the tables are to hold, kept from plan to plan so that a change costs what it touches."""

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from msgspec import Struct

from pointsman.core.addresses import host_network
from pointsman.core.errors import SyncError
from pointsman.core.model import Match, Model, NodeContext, ServiceFrontends
from pointsman.core.plan import Delta

from . import names, skeleton
from .changes import Changes
from .dispatch import PORT_LENGTH, Tree, addresses, place, ports
from .health import HealthPorts
from .means import Means
from .rules import REJECT, network, rule
from .services import Fragment, Root, compile_service
from .tables import ChainName, Change, Rules, Tables, filter_

NAME = "iptables"
_PORTS = (Root.NODE_PORTS, Root.REFUSED_NODE_PORTS)

# What changes: chains with their new rules, None for those that go.
Changed = dict[ChainName, Rules | None]


class Others(Struct, frozen=True):
    """Rules of services that a model doesn't hold yet: those of frontends, and the rest of what is shared."""

    frontends: Mapping[Root, Mapping[Match, str]] = {}
    cluster_ips: frozenset[bytes] = frozenset()
    health_ports: Mapping[int, str] = {}


class Movement(NamedTuple):
    """What a delta changes, and the sets of clients of the services in it, before and after."""

    changes: Changes
    before: dict[str, int]
    after: dict[str, int]


class Image:
    """One family's tables as a model wants them.

    Chains of single services follow from the services and aren't kept; those that all share are.
    """

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
        self._shared = skeleton.chains(context, means, instance, lean=lean)

    def fill(self, model: Model, others: Others = Others()) -> Tables:
        """Hold a model, and besides it those rules of others that are for other destinations."""
        tables = self.around()
        for fragment in self.fragments(model, others):
            tables.chains.update(fragment.chains)
            tables.sets.update(fragment.sets)
        return tables

    def around(self) -> Tables:
        """What is to be in chains that aren't ours."""
        return Tables(jumps=skeleton.jumps(), shared=skeleton.shared(self._context))

    def fragments(self, model: Model, others: Others = Others()) -> Iterator[Fragment]:
        """As `fill`, service by service, and last what all share: so nobody needs to hold all at once."""
        entries = {root: dict(others.frontends.get(root, {})) for root in Root}
        claims: dict[Match, str] = {}
        for service in model.services.values():
            for frontend in service.frontends:
                self._claim(claims, frontend.match, service)
                for root in Root:  # what others say of a destination that is claimed doesn't count
                    entries[root].pop(frontend.match, None)
        del claims
        for service in model.services.values():
            fragment = self._compile(service)
            for root, rules in fragment.entries.items():
                entries[root].update(rules)
            yield fragment
        for root, tree in self._trees.items():
            self._note(tree.fill(_leaves(entries.pop(root))))
        virtual = others.cluster_ips.union(model.cluster_ips)
        self._note(self._cluster_ips.fill({address: self._cluster_ip_leaf(address) for address in virtual}))
        self._note(self._health.fill(model.services.values(), others.health_ports))
        yield Fragment(self._shared)

    def apply(self, delta: Delta) -> Movement:
        """Move on by a delta of services."""
        before = self._compile_all(change.old for change in delta.services)
        after = self._compile_all(change.new for change in delta.services)
        changes = Changes(held=ChainMap(before.chains, self._shared))
        for name in before.chains | after.chains:
            change = Change(before.chains.get(name), after.chains.get(name))
            if change.old != change.new:
                changes.chains[name] = change
        moved: Changed = {}
        for root in Root:
            moved |= self._move(root, before.entries.get(root, {}), after.entries.get(root, {}))
        users = delta.cluster_ips
        leaves = {a: self._cluster_ip_leaf(a) for a in users.added} | {a: {} for a in users.removed}
        if leaves:
            moved |= self._cluster_ips.replace(leaves)
        moved |= self._health.apply(delta)
        for name, rules in moved.items():
            changes.chains[name] = Change(self._shared.get(name), rules)
        self._note(moved)
        return Movement(changes, before.sets, after.sets)

    def _compile_all(self, services: Iterable[ServiceFrontends | None]) -> Fragment:
        found = Fragment()
        for service in services:
            if service is not None:
                fragment = self._compile(service)
                found.chains.update(fragment.chains)
                found.sets.update(fragment.sets)
                for root, rules in fragment.entries.items():
                    found.entries.setdefault(root, {}).update(rules)
        return found

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

    def _note(self, changed: Changed) -> None:
        for chain, rules in changed.items():
            if rules is None:
                self._shared.pop(chain, None)
            else:
                self._shared[chain] = rules


def _leaves(entries: Mapping[Match, str]) -> dict[bytes, dict[tuple[int, int], str]]:
    leaves: dict[bytes, dict[tuple[int, int], str]] = {}
    for match, text in entries.items():
        leaves.setdefault(place(match), {})[match.protocol, match.port] = text
    return leaves
