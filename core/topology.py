"""Which endpoints of a service port a node may use: policies, termination and topology hints."""

from collections.abc import Mapping

from msgspec import Struct

from .annotations import Weights
from .endpointsmap import EndpointInfo
from .model import Endpoint

Candidates = Mapping[tuple[bytes, int], EndpointInfo]
# An endpoint that may be chosen, with what its slice says of it.
_Offer = tuple[Endpoint, EndpointInfo]


class Selection(Struct, frozen=True):
    """The two pools of a service port, sorted, and whether any endpoint anywhere could be used."""

    cluster: tuple[Endpoint, ...] = ()
    local: tuple[Endpoint, ...] = ()
    any_usable: bool = False


def select(
    candidates: Candidates, weights: Weights, zone: str, *, want_cluster: bool, want_local: bool
) -> Selection:
    """Choose the endpoints of one service port (SEL-01…SEL-09).

    Args:
        candidates: all endpoints of the service port, by address and port.
        weights: what the Service says of shares; an endpoint's own word counts more.
        zone: this node's zone, empty if unknown.
        want_cluster: whether any frontend draws from the Cluster set (SEL-03).
        want_local: whether any frontend draws from the Local set.
    """
    ready: list[_Offer] = []
    draining: list[_Offer] = []
    for (address, port), info in candidates.items():
        weight = _weight(info, weights)
        if weight == 0:
            continue
        if info.ready:
            ready.append((Endpoint(address, port, weight), info))
        elif info.serving and info.terminating:
            draining.append((Endpoint(address, port, weight), info))
    cluster: list[_Offer] = []
    if want_cluster:
        cluster = _topologically_near(ready, zone) or draining
    local: list[_Offer] = []
    if want_local:
        local = _on_this_node(ready) or _on_this_node(draining)
    return Selection(_pool(cluster), _pool(local), bool(ready or draining))


def _topologically_near(ready: list[_Offer], zone: str) -> list[_Offer]:
    """Those of the ready endpoints that hints leave for this node (SEL-05…SEL-09).

    Node hints count first, then zone hints. A kind of hint counts only where every endpoint carries one and
    at least one names us; otherwise all endpoints stay.
    """
    if all(info.on_node is not None for _, info in ready):
        ours = [offer for offer in ready if offer[1].on_node]
        if ours:
            return ours
    if zone and all(info.zones is not None for _, info in ready):
        ours = [offer for offer in ready if zone in (offer[1].zones or ())]
        if ours:
            return ours
    return ready


def _on_this_node(offers: list[_Offer]) -> list[_Offer]:
    return [offer for offer in offers if offer[1].local]


def _weight(info: EndpointInfo, weights: Weights) -> int:
    said = info.weight if info.weight is not None else weights.of(info.address)
    return 1 if said is None else said


def _pool(chosen: list[_Offer]) -> tuple[Endpoint, ...]:
    return tuple(sorted([endpoint for endpoint, _ in chosen]))
