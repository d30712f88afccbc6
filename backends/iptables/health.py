"""The ports of health checks, which this node accepts whatever its policy (SEC-04, IPT-08)."""

from collections.abc import Iterable, Mapping

from pointsman.core.model import Match, NamespacedName, Protocol, ServiceFrontends, ServicePortName
from pointsman.core.plan import Delta

from .dispatch import Leaf, Tree, place
from .rules import rule
from .tables import ChainName, Rules

WORDS = "health check node port"


def accepting(service: NamespacedName, port: int) -> str:
    """The rule that accepts what asks after a Service's health."""
    return rule("ACCEPT", service=(Protocol.TCP, port), comment=f"{service} {WORDS}")


class HealthPorts:
    """The chain that accepts. Each of a Service's ports has its health check, which goes with the last."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._users: dict[int, set[ServicePortName]] = {}

    def fill(
        self, services: Iterable[ServiceFrontends], others: Mapping[int, str]
    ) -> dict[ChainName, Rules | None]:
        """Hold the ports of services, and besides them those of others."""
        self._users = {}
        for service in services:
            self._enter(service)
        leaves = {_place(port): _leaf(port, text) for port, text in others.items()}
        return self._tree.fill(leaves | {_place(port): self._leaf(port) for port in self._users})

    def apply(self, delta: Delta) -> dict[ChainName, Rules | None]:
        """Move on by a delta; the chains that change."""
        touched: set[int] = set()
        for change in delta.services:
            if change.old is not None and (port := change.old.health_check_node_port):
                touched.add(port)
                self._users[port].discard(change.name)
        for change in delta.services:
            if change.new is not None and (port := change.new.health_check_node_port):
                touched.add(port)
                self._enter(change.new)
        changed = self._tree.replace({_place(port): self._leaf(port) for port in touched}) if touched else {}
        for port in touched:
            if not self._users[port]:
                del self._users[port]
        return changed

    def _enter(self, service: ServiceFrontends) -> None:
        if service.health_check_node_port:
            self._users.setdefault(service.health_check_node_port, set()).add(service.name)

    def _leaf(self, port: int) -> Leaf:
        users = self._users[port]
        return _leaf(port, accepting(min(users).service, port)) if users else {}


def _place(port: int) -> bytes:
    return place(Match(None, Protocol.TCP, port))


def _leaf(port: int, text: str) -> Leaf:
    return {(Protocol.TCP, port): text}
