"""Random API objects, from pools so small that they collide, contradict and replace each other often."""

from functools import cache
from typing import Any

from hypothesis import strategies as st

from pointsman.core.annotations import WEIGHTS
from pointsman.core.apis import EndpointSlice, Node, Service, ServiceCIDR
from pointsman.core.endpointsmap import HEADLESS, TRIGGER_TIME
from pointsman.core.servicemap import SERVICE_PROXY_NAME

from .objects import NODE, OTHER_NODE, endpoint, endpoint_slice, node, service, service_cidr, service_port

SERVICES = ["web", "dns", "db"]
SLICES = ["s-1", "s-2", "s-3", "s-4"]
CIDRS = ["kubernetes", "extra"]
ZONES = ["zone-1", "zone-2"]
CLUSTER_IPS = {
    "IPv4": ["10.96.0.1", "10.96.0.2", "10.96.0.3"],
    "IPv6": ["fd00:96::1", "fd00:96::2", "fd00:96::3"],
}
EXTERNAL_IPS = ["198.51.100.1", "198.51.100.2", "10.96.0.1", "2001:db8::1", "nonsense"]
PODS = {
    "IPv4": ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.04"],
    "IPv6": ["fd00::1", "fd00::2", "10.0.0.1"],
}
INTERFACES = [bytes((127, 0, 0, 1)), bytes((192, 0, 2, 1)), bytes((203, 0, 113, 1))]


def _slice_port(name: str | None, port: int | None, protocol: str | None = "TCP") -> dict[str, Any]:
    return {"name": name, "port": port, "protocol": protocol}


# What good slices have: every port that services have, at various targets.
GOOD_PORTS = [
    [_slice_port(name, port, protocol) for name in ("", "a") for protocol in ("TCP", "UDP")]
    for port in (8080, 8081)
]
ODD_PORTS = [
    [_slice_port("", 8080), _slice_port("", 8081), _slice_port("", 8080, None)],
    [_slice_port(None, 8080), _slice_port("a", None), _slice_port("a", 1, "ICMP")],
    [_slice_port("a", 8080, "UDP")],
    [],
]


def mostly(usual: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The usual, seven times out of eight."""
    return st.integers(0, 7).flatmap(lambda number: odd if number == 7 else usual)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


# A strategy is checked when it is first drawn from, which takes longer than drawing: they are made once.
FAMILIES = mostly(st.just(["IPv4"]), st.sampled_from([["IPv6"], ["IPv4", "IPv6"], ["IPv6", "IPv4"]]))
PORTS = st.lists(
    st.builds(
        service_port,
        st.sampled_from([53, 80]),
        st.sampled_from(["", "a"]),
        st.sampled_from(["TCP", "TCP", "UDP"]),
        nodePort=st.sampled_from([0, 0, 30001, 30002]),
    ),
    min_size=1,
    max_size=2,
)
POLICIES = st.sampled_from(["Local", "Cluster", None])
CLUSTER_IPS_OF = {family: st.sampled_from(ips) for family, ips in CLUSTER_IPS.items()}
IS_USUAL = mostly(st.just(True), st.just(False))
PROXY_LABELS = mostly(st.just({}), st.just({SERVICE_PROXY_NAME: "other"}))
WEIGHTED = mostly(st.just({}), st.sampled_from([{WEIGHTS: "2,10.0.0.1=0"}, {WEIGHTS: "heavy"}]))
CREATED = maybe(st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]))
INGRESS: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.builds(dict, ip=st.sampled_from(EXTERNAL_IPS)), max_size=2
)
TYPES = mostly(st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer"]), st.just("ExternalName"))
EXTERNAL = st.lists(st.sampled_from(EXTERNAL_IPS), max_size=2)
RANGES = maybe(st.just(["192.0.2.0/24"]))
AFFINITIES = st.sampled_from(["None", "ClientIP"])
HEALTH_PORTS = st.sampled_from([0, 32000])


@cache
@st.composite
def services(draw: st.DrawFn, name: str) -> Service:
    families = draw(FAMILIES)
    ips = [draw(CLUSTER_IPS_OF[family]) for family in families]
    labels = draw(PROXY_LABELS)
    annotations = draw(WEIGHTED)
    created = draw(CREATED)
    return service(
        name,
        ips[0] if draw(IS_USUAL) else "None",
        draw(PORTS),
        ingress=draw(INGRESS),
        metadata={"labels": labels, "annotations": annotations, "creationTimestamp": created},
        clusterIPs=ips,
        ipFamilies=families,
        type=draw(TYPES),
        externalIPs=draw(EXTERNAL),
        loadBalancerSourceRanges=draw(RANGES),
        sessionAffinity=draw(AFFINITIES),
        internalTrafficPolicy=draw(POLICIES),
        externalTrafficPolicy=draw(POLICIES),
        healthCheckNodePort=draw(HEALTH_PORTS),
    )


@cache
def endpoints(family: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        endpoint,
        st.sampled_from(PODS[family]),
        maybe(st.sampled_from([NODE, OTHER_NODE])),
        zones=maybe(st.lists(st.sampled_from(ZONES), max_size=2)),
        nodes=maybe(st.lists(st.sampled_from([NODE, OTHER_NODE]), max_size=1)),
        ready=st.sampled_from([None, True, True, False]),
        serving=st.sampled_from([None, True, False]),
        terminating=st.sampled_from([None, False, True]),
    )


@cache
def several_endpoints(family: str, least: int) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(endpoints(family), min_size=least, max_size=4)


SIZES = mostly(st.sampled_from([1, 2, 3]), st.just(0))
SLICE_FAMILIES = mostly(st.just("IPv4"), st.sampled_from(["IPv6", "IPv6", "FQDN"]))
OWNERS = mostly(st.sampled_from(SERVICES), st.sampled_from(["", None, "nobody"]))
SLICE_PORTS = mostly(st.sampled_from(GOOD_PORTS), st.sampled_from(ODD_PORTS))
HEADLESS_LABELS = mostly(st.just({}), st.just({HEADLESS: ""}))
TRIGGERS = st.sampled_from([{}, {TRIGGER_TIME: "2026-01-01T00:00:01Z"}, {TRIGGER_TIME: "yesterday"}])


@cache
@st.composite
def slices(draw: st.DrawFn, name: str) -> EndpointSlice:
    family = draw(SLICE_FAMILIES)
    return endpoint_slice(
        draw(several_endpoints(family if family in PODS else "IPv4", draw(SIZES))),
        service=draw(OWNERS),
        name=name,
        ports=draw(SLICE_PORTS),
        family=family,
        labels=draw(HEADLESS_LABELS),
        annotations=draw(TRIGGERS),
    )


@cache
def cidrs(name: str) -> st.SearchStrategy[ServiceCIDR]:
    networks = st.lists(st.sampled_from(["10.96.0.0/16", "10.97.0.0/16", "fd00:96::/108", "x"]), max_size=3)
    return networks.map(lambda texts: service_cidr(name, *texts))


@cache
def nodes() -> st.SearchStrategy[Node]:
    return st.builds(
        node,
        st.just(NODE),
        zone=maybe(st.sampled_from(ZONES)),
        pod_cidrs=st.lists(st.sampled_from(["10.0.0.0/24", "10.0.1.0/24"]), max_size=1),
    )
