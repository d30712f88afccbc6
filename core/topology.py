"""Which endpoints of a service port a node may use: policies, termination and topology hints."""

from collections.abc import Mapping

from msgspec import Struct

from .annotations import Weights
from .endpointsmap import EndpointInfo
from .model import Endpoint

Candidates = Mapping[tuple[bytes, int], EndpointInfo]


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
    offered = {key: info for key, info in candidates.items() if _weight(info, weights) > 0}
    ready = {key: info for key, info in offered.items() if info.ready}
    draining = {key: i for key, i in offered.items() if not i.ready and i.serving and i.terminating}
    cluster: Candidates = {}
    if want_cluster:
        cluster = topologically_near(ready, zone) or draining
    local: Candidates = {}
    if want_local:
        local = _on_this_node(ready) or _on_this_node(draining)
    return Selection(_pool(cluster, weights), _pool(local, weights), bool(ready or draining))


def topologically_near(ready: Candidates, zone: str) -> Candidates:
    """Those of the ready endpoints that hints leave for this node (SEL-05…SEL-09).

    Node hints count first, then zone hints. A kind of hint counts only where every endpoint carries one and
    at least one names us; otherwise all endpoints stay.
    """
    infos = ready.values()
    if all(info.on_node is not None for info in infos):
        ours = {key: info for key, info in ready.items() if info.on_node}
        if ours:
            return ours
    if zone and all(info.zones is not None for info in infos):
        ours = {key: info for key, info in ready.items() if zone in (info.zones or ())}
        if ours:
            return ours
    return ready


def _on_this_node(candidates: Candidates) -> Candidates:
    return {key: info for key, info in candidates.items() if info.local}


def _weight(info: EndpointInfo, weights: Weights) -> int:
    said = info.weight if info.weight is not None else weights.of(info.address)
    return 1 if said is None else said


def _pool(chosen: Candidates, weights: Weights) -> tuple[Endpoint, ...]:
    return tuple(sorted(Endpoint(ip, port, _weight(info, weights)) for (ip, port), info in chosen.items()))
