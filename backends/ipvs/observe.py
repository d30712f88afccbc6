"""From what the kernel holds back to the model's terms: the table, its places filled with destinations."""

from collections.abc import Iterator

from msgspec.structs import replace

from pointsman.core.addresses import Network
from pointsman.core.backend import Observed, ObservedAnswer, ObservedFrontend, lowest_terms
from pointsman.core.model import Endpoint, Protocol

from .servers import MASQUERADING, Server, Servers, Service, lingers
from .split import virtual_service


def observed(inner: Observed, held: Servers, network: Network, faults: Iterator[str]) -> Observed:
    """What table and virtual servers do together.

    ``inner`` is what the table does, ``held`` the virtual servers that are ours; ``faults`` joins what is
    strange, as is a scheduler that a virtual server wasn't made with. Which one a Service asked for, nothing
    here says.
    """
    reader = _Reader(held, network)
    frontends = {
        match: reader.frontend(match.protocol, frontend) for match, frontend in inner.frontends.items()
    }
    strange = {*inner.strange, *faults, *reader.strange, *_strange(held, reader.used)}
    return replace(inner, frontends=frontends, strange=tuple(sorted(strange)))


def members(service: Service) -> tuple[Endpoint, ...]:
    """The destinations that may get new connections."""
    return tuple(
        Endpoint(target.address, target.port, destination.weight)
        for target, destination in sorted(service.destinations.items())
        if destination.weight
    )


class _Reader:
    """Replaces places by what IPVS has for them, noting those it has nothing for."""

    def __init__(self, held: Servers, network: Network) -> None:
        self._held = held
        self._network = network
        self.used: set[Server] = set()
        self.strange: set[str] = set()

    def frontend(self, protocol: Protocol, frontend: ObservedFrontend) -> ObservedFrontend:
        near = self._answer(protocol, frontend.near)
        far = None if frontend.far is None else self._answer(protocol, frontend.far)
        return replace(frontend, near=near, far=None if far == near else far)

    def _answer(self, protocol: Protocol, answer: ObservedAnswer) -> ObservedAnswer:
        endpoints: set[Endpoint] = set()
        for endpoint in answer.endpoints:
            if endpoint.address in self._network:
                server = Server(protocol, endpoint.address, endpoint.port)
                endpoints |= self._destinations(server)
            else:
                endpoints.add(endpoint)
        return replace(answer, endpoints=frozenset(endpoints))

    def _destinations(self, server: Server) -> frozenset[Endpoint]:
        self.used.add(server)
        found = members(self._held[server]) if server in self._held else ()
        if not found:
            self.strange.add(f"virtual server {server} is missing or empty")
        return lowest_terms(found) if found else frozenset()


def _strange(held: Servers, used: set[Server]) -> Iterator[str]:
    for server, service in held.items():
        if server not in used:
            yield f"virtual server {server} has no business here"
        wanted = virtual_service((), service.scheduler)
        if (service.flags, service.timeout) != (wanted.flags, wanted.timeout):
            yield f"virtual server {server} picks in another way"
        for target, destination in service.destinations.items():
            leaving = not destination.weight and lingers(server, service.scheduler)
            if destination.method != MASQUERADING or not (destination.weight or leaving):
                yield f"destination {target} of {server} is served in another way"
