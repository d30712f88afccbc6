"""A decision told step by step, in the words of `Step.topic`."""

from collections.abc import Iterator

from pointsman.core.addresses import format_address, format_endpoint
from pointsman.core.model import Answer, Frontend, Masquerade, ServiceFrontends
from pointsman.core.packet import Action, Packet, Step

from .decision import Client, Decision


def tell(packet: Packet, decision: Decision) -> Iterator[Step]:
    """The way to a decision; each pick is followed by what becomes of a packet that picks so."""
    service, frontend, answer = decision.service, decision.frontend, decision.answer
    if service is None or frontend is None:
        yield from _unclaimed(packet, decision.verdict.action)
        return
    yield Step("match", f"{frontend.match} belongs to {service.name} ({frontend.kind})", "frontends")
    if frontend.sources is not None:
        yield _admission(packet, frontend, admitted=answer is not None)
    if answer is None:
        return
    yield _audience(packet, frontend, decision.client, answer)
    if decision.verdict.action is Action.FORWARD:
        yield from _picks(packet, decision, service, answer)
    else:
        what = "rejected" if decision.verdict.action is Action.REJECT else "dropped"
        yield Step("refuse", f"there is no endpoint: {what}", f"{service.name} {answer.pool} pool")


def _unclaimed(packet: Packet, action: Action) -> Iterator[Step]:
    yield Step("match", f"no frontend is for {packet}", "frontends")
    address = format_address(packet.destination)
    match action:
        case Action.REJECT:
            yield Step("refuse", f"{address} is a ClusterIP without that port: rejected", "cluster IPs")
        case Action.DROP:
            yield Step("refuse", f"{address} is a service address that nobody has: dropped", "service CIDRs")


def _admission(packet: Packet, frontend: Frontend, *, admitted: bool) -> Step:
    source, where = format_address(packet.source), f"{frontend.match} sources"
    networks = "{" + ", ".join(str(network) for network in frontend.sources or ()) + "}"
    if admitted:
        return Step("policy", f"{source} is in {networks}", where)
    return Step("refuse", f"{source} is not in {networks}: dropped", where)


def _audience(packet: Packet, frontend: Frontend, client: Client, answer: Answer) -> Step:
    side = "far" if frontend.far and client is Client.OTHER else "near"
    return Step(
        "policy",
        f"{format_address(packet.source)} is {client}: {answer.pool} pool, masquerade {answer.masquerade}",
        f"{frontend.match} {side}",
    )


def _picks(packet: Packet, decision: Decision, service: ServiceFrontends, answer: Answer) -> Iterator[Step]:
    where = f"{service.name} {answer.pool} pool"
    endpoints = decision.verdict.endpoints
    total = sum(endpoint.weight for endpoint in endpoints)
    destination, source = format_endpoint(packet.destination, packet.port), format_address(packet.source)
    for endpoint in endpoints:
        share = endpoint.weight / total
        yield Step("pick", f"{endpoint}, one of {len(endpoints)}", where, share)
        yield Step("dnat", f"destination {destination} becomes {endpoint}", where)
        if endpoint in decision.verdict.masqueraded:
            because = _why_masqueraded(packet, endpoint.address, answer)
            yield Step("masquerade", f"source {source} becomes an address of the node: {because}", where)


def _why_masqueraded(packet: Packet, endpoint: bytes, answer: Answer) -> str:
    if answer.masquerade is Masquerade.ALWAYS:
        return "it always does here"
    return "the client picked itself" if endpoint == packet.source else "the client is no local pod"
