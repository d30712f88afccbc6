"""What observers need to know beside the model: kept up service by service, at the cost of what changed."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from .model import Endpoint, NamespacedName, Protocol, Refusal, ServiceFrontends, ServicePortName
from .plan import Facts, HealthCheck
from .servicemap import ServicePort
from .topology import Candidates


class PortFacts(NamedTuple):
    """What one service port adds to the facts.

    ``local_ready`` are the addresses that its Service's health check counts, none where there is no check.
    """

    name: ServicePortName
    health_check_node_port: int = 0
    local_ready: frozenset[bytes] = frozenset()
    serving: frozenset[Endpoint] | None = None
    no_local_internal: bool = False
    no_local_external: bool = False


class ServiceFacts(NamedTuple):
    """What one Service adds to the facts."""

    health_check: HealthCheck | None = None
    serving: tuple[tuple[ServicePortName, frozenset[Endpoint]], ...] = ()
    no_local_internal: int = 0
    no_local_external: int = 0


NOTHING = ServiceFacts()


def port_facts(port: ServicePort, candidates: Candidates, state: ServiceFrontends) -> PortFacts:
    """The facts of a service port, from its endpoints and the frontends that they led to.

    Conflicts over addresses don't matter here: whoever loses them still has endpoints that are well.
    """
    check = port.health_check_node_port
    # Something could be used somewhere, though not by clients who may only go to this node (MET-07).
    missed = state.when_empty is Refusal.DROP and not state.local
    return PortFacts(
        port.name,
        check,
        frozenset(info.address for info in candidates.values() if info.local and info.ready)
        if check
        else frozenset(),
        frozenset(_serving(candidates)) if port.name.protocol is Protocol.UDP else None,
        no_local_internal=missed and port.internal_local,
        no_local_external=missed and port.external_local and port.externally_accessible,
    )


def service_facts(ports: Iterable[PortFacts]) -> ServiceFacts:
    """The facts of a Service, from those of its ports."""
    ports = tuple(ports)
    check = next((port.health_check_node_port for port in ports), 0)
    ready = frozenset[bytes]().union(*(port.local_ready for port in ports))
    return ServiceFacts(
        HealthCheck(check, len(ready)) if check else None,
        tuple((port.name, port.serving) for port in ports if port.serving is not None),
        sum(port.no_local_internal for port in ports),
        sum(port.no_local_external for port in ports),
    )


class FactBook:
    """The facts of all services.

    ``current`` stays the same object until one of them changes, its health checks until one of these does.
    """

    def __init__(self) -> None:
        self.current = Facts()
        self._services: dict[NamespacedName, ServiceFacts] = {}

    def update(self, changes: Mapping[NamespacedName, ServiceFacts]) -> None:
        """Take in what Services add now; `NOTHING` stands for one that adds nothing, or is gone."""
        steps = [
            (name, old, new)
            for name, new in changes.items()
            if (old := self._services.get(name, NOTHING)) != new
        ]
        if not steps:
            return
        checks, serving = self.current.health_checks.mutate(), self.current.serving.mutate()
        internal, external = self.current.no_local_internal, self.current.no_local_external
        asked = any(old.health_check != new.health_check for _, old, new in steps)
        for name, old, new in steps:
            if new.health_check is not None:
                checks[name] = new.health_check
            elif old.health_check is not None:
                del checks[name]
            for port, _ in old.serving:
                del serving[port]
            for port, endpoints in new.serving:
                serving[port] = endpoints
            internal += new.no_local_internal - old.no_local_internal
            external += new.no_local_external - old.no_local_external
            self._keep(name, new)
        self.current = replace(
            self.current,
            health_checks=checks.finish() if asked else self.current.health_checks,
            serving=serving.finish(),
            no_local_internal=internal,
            no_local_external=external,
        )

    def _keep(self, name: NamespacedName, facts: ServiceFacts) -> None:
        if facts == NOTHING:
            self._services.pop(name, None)
        else:
            self._services[name] = facts


def _serving(candidates: Candidates) -> Iterator[Endpoint]:
    for (address, port), info in candidates.items():
        if info.ready or info.serving:
            yield Endpoint(address, port)
