"""The frontends of a service port: every Kubernetes rule about who is answered how, in one place."""

from collections.abc import Iterator

from msgspec import Struct

from .addresses import Network, family_of, host_network
from .model import (
    Answer,
    Frontend,
    FrontendKind,
    Masquerade,
    Match,
    Pool,
    Refusal,
    ServiceFrontends,
)
from .servicemap import ServicePort
from .topology import Candidates, select


class FrontendRules(Struct, frozen=True):
    """What of configuration and node decides how frontends come out.

    ``knows_local_pods`` says whether there is a way to tell local pods from others (MTX-08); ``node_ip`` is
    the node's address of the family, for SVC-LB-04.
    """

    zone: str = ""
    node_ip: bytes | None = None
    knows_local_pods: bool = True
    masquerade_all: bool = False


def service_frontends(port: ServicePort, candidates: Candidates, rules: FrontendRules) -> ServiceFrontends:
    """Everything one node must do for one service port."""
    accessible = port.externally_accessible
    selection = select(
        candidates,
        port.weights,
        rules.zone,
        want_cluster=not port.internal_local or accessible,
        want_local=port.internal_local or (port.external_local and accessible),
    )
    return ServiceFrontends(
        name=port.name,
        frontends=tuple(_frontends(port, rules)),
        cluster=selection.cluster,
        local=selection.local,
        # Nothing anywhere is told at once; something elsewhere, behind a Local policy, is silence (NOEP-*).
        when_empty=Refusal.DROP if selection.any_usable else Refusal.REJECT,
        affinity=port.affinity,
        drain=port.drain,
        health_check_node_port=port.health_check_node_port,
        scheduler=port.scheduler,
    )


def _frontends(port: ServicePort, rules: FrontendRules) -> Iterator[Frontend]:
    protocol = port.name.protocol
    near, far = _external_answers(port, rules)
    yield Frontend(
        Match(port.cluster_ip, protocol, port.port), FrontendKind.CLUSTER_IP, _cluster_ip_answer(port, rules)
    )
    # An address that is both keeps its source ranges (DIV-14).
    for ip in port.load_balancer_ips:
        match = Match(ip, protocol, port.port)
        yield Frontend(match, FrontendKind.LOAD_BALANCER, near, far, _allowed_sources(port, rules))
    for ip in port.external_ips:
        if ip not in port.load_balancer_ips:
            yield Frontend(Match(ip, protocol, port.port), FrontendKind.EXTERNAL_IP, near, far)
    if port.node_port:
        yield Frontend(Match(None, protocol, port.node_port), FrontendKind.NODE_PORT, near, far)


def _cluster_ip_answer(port: ServicePort, rules: FrontendRules) -> Answer:
    """MTX-01, -03, -06 and the columns for internal traffic policy; masqueradeAll is MTX-09."""
    if rules.masquerade_all:
        masquerade = Masquerade.ALWAYS
    else:
        masquerade = Masquerade.UNLESS_LOCAL if rules.knows_local_pods else Masquerade.NEVER
    return Answer(Pool.LOCAL if port.internal_local else Pool.CLUSTER, masquerade)


def _external_answers(port: ServicePort, rules: FrontendRules) -> tuple[Answer, Answer | None]:
    """MTX-02, -04, -05 and -07: what external addresses answer to near and far clients."""
    if not port.external_local:
        return Answer(Pool.CLUSTER, Masquerade.ALWAYS), None
    # The short-circuit: local pods and the node reach all endpoints, as if by the ClusterIP. Where local pods
    # can't be told, those who are near are the node alone, and its traffic is always masqueraded (MTX-08).
    near = Masquerade.UNLESS_LOCAL if rules.knows_local_pods else Masquerade.ALWAYS
    return Answer(Pool.CLUSTER, near), Answer(Pool.LOCAL, Masquerade.NEVER)


def _allowed_sources(port: ServicePort, rules: FrontendRules) -> tuple[Network, ...] | None:
    """The service's source ranges; with the node inside them, its load balancer addresses too (SVC-LB-04)."""
    ranges = port.source_ranges
    if ranges is None or rules.node_ip is None or not any(rules.node_ip in network for network in ranges):
        return ranges
    family = family_of(port.cluster_ip)
    own = {host_network(ip) for ip in port.load_balancer_ips if family_of(ip) is family}
    return tuple(sorted(own.union(ranges)))
