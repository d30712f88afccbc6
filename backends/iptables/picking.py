"""From a pool to one of its endpoints, at random or as remembered. Pure."""

from collections.abc import Iterator

from pointsman.core.addresses import host_network
from pointsman.core.model import Endpoint, ServiceFrontends

from . import names
from .memory import Memory
from .rules import network, random_share, rule


def pick_rules(memory: Memory, service: ServiceFrontends, endpoints: tuple[Endpoint, ...]) -> Iterator[str]:
    """Back to the endpoint that a client was at, else to any: 1/n, 1/(n-1), …, the rest (IPT-06)."""
    ordered = sorted(endpoints, key=str)
    chains = [names.endpoint_chain(service.name, endpoint) for endpoint in ordered]
    if service.affinity:
        yield from (rule(chain, matches=memory.remembers(chain, service.affinity)) for chain in chains)
    left = sum(endpoint.weight for endpoint in ordered)
    for endpoint, chain in zip(ordered, chains, strict=True):
        share = random_share(endpoint.weight, left) if endpoint.weight < left else ""
        yield rule(chain, comment=f"{names.display(service.name)} -> {endpoint}", matches=share)
        left -= endpoint.weight


def lean_rules(service: ServiceFrontends, endpoints: tuple[Endpoint, ...]) -> Iterator[str]:
    """As `pick_rules`, but straight to the endpoints."""
    # Put together by hand: large clusters are made of these.
    protocol = f"-p {service.name.protocol.name.lower()}"
    left = sum(endpoint.weight for endpoint in endpoints)
    for address, weight in sorted((str(endpoint), endpoint.weight) for endpoint in endpoints):
        share = f" {random_share(weight, left)}" if weight < left else ""
        yield f"{protocol}{share} -j DNAT --to-destination {address}"
        left -= weight


def endpoint_rules(memory: Memory, service: ServiceFrontends, endpoint: Endpoint) -> Iterator[str]:
    """The chain that leads to one endpoint (IPT-07)."""
    yield rule(names.MARK_MASQ, source=network(host_network(endpoint.address)))
    if service.affinity:
        yield memory.remember(names.endpoint_chain(service.name, endpoint), service.affinity)
    yield rule(f"DNAT --to-destination {endpoint}", service=(service.name.protocol, 0))
