"""What scenarios are made of, drawn at random: objects as an API server would take them."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from hypothesis import strategies as st

from pointsman.conformance.cluster import node
from pointsman.conformance.lab import NODE
from pointsman.conformance.objects import (
    Conditions,
    Ingress,
    Manifest,
    endpoint,
    endpoint_slice,
    port,
    service,
    target,
)
from pointsman.conformance.scene import OUTSIDE, POD, PODS, PORTS, REMOTE_POD, ZONE, Scene
from pointsman.core.features import Feature
from pointsman.core.model import Protocol

NAMES = ("api", "web")
WEIGHTS = "pointsman.dev/weights"
_FIRST_NODE_PORT, _FIRST_HEALTH_CHECK = 30100, 32100
_OTHER_ZONE = "zone-2"


class Offer(NamedTuple):
    """A port that a Service may have."""

    name: str
    number: int
    protocol: Protocol


class Kit(NamedTuple):
    """What there is to draw from.

    Attributes:
        scene: everybody's addresses in the family that a scenario is about.
        other: those in another family that is served as well, if there is one.
        features: what can be had beyond the core.
    """

    scene: Scene
    other: Scene | None
    features: frozenset[Feature]

    @property
    def offers(self) -> Sequence[Offer]:
        """All ports, of protocols that can be had."""
        offers = [
            Offer("http", 80, Protocol.TCP),
            Offer("admin", 81, Protocol.TCP),
            Offer("lookup", 80, Protocol.UDP),
        ]
        if Feature.SCTP in self.features:
            offers.append(Offer("signal", 82, Protocol.SCTP))
        return offers

    def node_port(self, name: str, offer: Offer) -> int:
        """The node port of a Service's port."""
        return _FIRST_NODE_PORT + 10 * NAMES.index(name) + self.offers.index(offer)


@cache
def _rarely() -> st.SearchStrategy[bool]:
    """One time in six; not at all in the simplest of scenarios."""
    return st.integers(0, 5).map(lambda number: number == 5)


@st.composite
def services(draw: st.DrawFn, kit: Kit, name: str) -> Manifest:
    """A Service of any kind."""
    at, index = kit.scene, NAMES.index(name)
    kind = draw(st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer"]))
    external = kind != "ClusterIP"
    offers = draw(st.lists(st.sampled_from(kit.offers), min_size=1, max_size=3, unique=True))
    ports = [
        port(
            one.number,
            name=one.name,
            protocol=one.protocol,
            node_port=kit.node_port(name, one) if external else None,
        )
        for one in offers
    ]
    spec: Manifest = {}
    ingress: list[Ingress] = []
    if external:
        spec["externalTrafficPolicy"] = draw(st.sampled_from(["Cluster", "Cluster", "Local"]))
    if kind == "LoadBalancer":
        ingress.append({"ip": at.load_balancer_ip(index), "ipMode": draw(st.sampled_from(["VIP", "Proxy"]))})
        spec["healthCheckNodePort"] = _FIRST_HEALTH_CHECK + index
        if draw(st.booleans()):
            allowed = [at.pod_cidr(), at.address(OUTSIDE) + ("/32" if "." in at.address(OUTSIDE) else "/128")]
            spec["loadBalancerSourceRanges"] = draw(
                st.lists(st.sampled_from(allowed), min_size=1, unique=True)
            )
    if draw(_rarely()):
        spec["internalTrafficPolicy"] = "Local"
    if draw(_rarely()):
        spec["externalIPs"] = [at.external_ip(index)]
    if draw(_rarely()):
        spec["sessionAffinity"] = "ClientIP"
        spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": 3600}}
    addresses = [at.cluster_ip(index)]
    if kit.other is not None and draw(st.booleans()):
        addresses.append(kit.other.cluster_ip(index))
    metadata = {}
    if Feature.WEIGHTS in kit.features and draw(_rarely()):
        weights = draw(st.dictionaries(st.sampled_from(PODS), st.integers(0, 3), min_size=1))
        metadata["annotations"] = {
            WEIGHTS: ",".join(f"{at.address(pod)}={weight}" for pod, weight in sorted(weights.items()))
        }
    return service(name, *addresses, ports=ports, type=kind, ingress=ingress, metadata=metadata, **spec)


@st.composite
def slices(draw: st.DrawFn, kit: Kit, name: str) -> Manifest:
    """An EndpointSlice of a Service, in either family."""
    at = kit.scene
    if kit.other is not None and draw(_rarely()):
        at = kit.other
    fewest = 0 if draw(_rarely()) else 2
    pods = draw(st.lists(st.sampled_from(PODS), min_size=fewest, unique=True))
    endpoints = [draw(_endpoints(at, pod)) for pod in pods]
    offers = kit.offers
    if draw(_rarely()):
        offers = draw(st.lists(st.sampled_from(offers), min_size=1, unique=True))
    ports = [target(draw(st.sampled_from(PORTS)), name=one.name, protocol=one.protocol) for one in offers]
    number = 2 if draw(_rarely()) else 1
    own = f"{name}-{str(at.family).lower()}-{number}"
    return endpoint_slice(own, name, str(at.family), endpoints, ports)


@st.composite
def _endpoints(draw: st.DrawFn, at: Scene, pod: str) -> Manifest:
    ready, terminating = not draw(_rarely()), draw(_rarely())
    conditions: Conditions = {}
    if terminating or not ready:
        conditions = {"ready": ready and not terminating, "serving": ready, "terminating": terminating}
    zones = draw(st.sampled_from([[ZONE], [_OTHER_ZONE]])) if draw(_rarely()) else None
    return endpoint(at.address(pod), at.node_of(pod), zones=zones, **conditions)


def nodes() -> st.SearchStrategy[Manifest]:
    """The node, in one zone or another, or in none."""
    return st.sampled_from([ZONE, _OTHER_ZONE, None]).map(node)


class Way(NamedTuple):
    """Who connects to what."""

    client: str
    address: str
    port: int
    protocol: Protocol


@st.composite
def ways(draw: st.DrawFn, kit: Kit, present: Sequence[Manifest]) -> Way:
    """A connection to where one of these Services is reached, or could be if it were another one."""
    places = [place for one in present for place in _served(kit, one)]
    if not places or draw(_rarely()):
        places = [place for name in NAMES for offer in kit.offers for place in _places(kit, name, offer)]
    place = draw(st.sampled_from(places))
    clients = [POD, "pod-a", OUTSIDE, NODE]
    if place[0] == kit.scene.address(NODE):
        clients.append(REMOTE_POD)  # only by way of the node itself do other nodes' pods meet this proxy
    return Way(draw(st.sampled_from(clients)), *place)


Place = tuple[str, int, Protocol]


def _places(kit: Kit, name: str, offer: Offer) -> list[Place]:
    """Where a port of a Service may be reached."""
    at, index = kit.scene, NAMES.index(name)
    virtual = (at.cluster_ip(index), at.load_balancer_ip(index), at.external_ip(index))
    node_port = kit.node_port(name, offer)
    return [
        *((address, offer.number, offer.protocol) for address in virtual),
        (at.address(NODE), node_port, offer.protocol),
    ]


def _served(kit: Kit, service: Manifest) -> list[Place]:
    """Where a Service is reached."""
    spec, name = service["spec"], service["metadata"]["name"]
    offered = {one["name"] for one in spec["ports"]}
    ingress = [one["ip"] for one in service["status"]["loadBalancer"]["ingress"]]
    addresses = {*spec["clusterIPs"], *spec.get("externalIPs", ()), *ingress}
    if spec["type"] != "ClusterIP":
        addresses.add(kit.scene.address(NODE))
    return [
        place
        for offer in kit.offers
        if offer.name in offered
        for place in _places(kit, name, offer)
        if place[0] in addresses
    ]
