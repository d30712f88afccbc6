"""A packet's way through the table, and on through the virtual server that it leads to."""

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from pointsman.core.addresses import Network, format_endpoint
from pointsman.core.model import Endpoint, Protocol
from pointsman.core.packet import Action, Packet, Step, Trace, Verdict

from .netlink import IpvsError, IpvsSocket
from .observe import members
from .servers import MASQUERADING, Server, Service, Target


def follow(
    packet: Packet, inner: Trace, network: Network, ipvs: IpvsSocket, hairpin: Callable[[bytes], bool]
) -> Trace:
    """What becomes of a packet, given its trace through the table.

    ``hairpin`` tells whether the table masquerades a pod that has this address and reaches itself. Where a
    virtual server is missing or has nobody to send packets to, they are dropped.
    """
    verdict = inner.verdict
    if verdict.action is not Action.FORWARD or packet.protocol is None:
        return inner
    endpoints: list[Endpoint] = []
    masqueraded = set(verdict.masqueraded)
    steps: list[Step] = []
    for endpoint in verdict.endpoints:
        if endpoint.address not in network:
            endpoints.append(endpoint)
            continue
        server = Server(Protocol(packet.protocol), endpoint.address, endpoint.port)
        found = _members(ipvs, server)
        if not found:
            steps.append(
                Step("refuse", "it has nobody to send packets to: dropped", f"virtual server {server}")
            )
            return Trace(Verdict(Action.DROP), (*inner.steps, *steps))
        endpoints += found
        always = endpoint in masqueraded
        masqueraded.discard(endpoint)
        hairpins = {e for e in found if e.address == packet.source and hairpin(e.address)}
        masqueraded |= set(found) if always else hairpins
        steps += _picks(server, found, () if always else hairpins)
    whole = replace(verdict, endpoints=tuple(sorted(endpoints)), masqueraded=frozenset(masqueraded))
    return Trace(whole, (*inner.steps, *steps))


def _members(ipvs: IpvsSocket, server: Server) -> tuple[Endpoint, ...]:
    try:
        found = ipvs.destinations(server)
    except IpvsError:
        return ()
    sent = {Target(*target): one for target, one in found.items() if one.method == MASQUERADING}
    return members(Service("", 0, sent))


def _picks(server: Server, found: Iterable[Endpoint], hairpins: Iterable[Endpoint]) -> Iterable[Step]:
    members = tuple(found)
    total = sum(endpoint.weight for endpoint in members)
    where = f"virtual server {server}"
    for endpoint in members:
        yield Step("pick", f"{endpoint}, one of {len(members)}", where, endpoint.weight / total)
        place = format_endpoint(server.address, server.port)
        yield Step("dnat", f"destination {place} becomes {endpoint}", where)
        if endpoint in hairpins:
            yield Step("masquerade", "source becomes an address of the node: the client picked itself", where)
