"""What objects ask for and the dataplane doesn't do: said for each object, never dropped in silence."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from .addresses import IPFamily
from .backend import lowest_terms
from .features import Capabilities, Feature, Level, Support
from .hookspecs import hookimpl
from .model import (
    FrontendKind,
    Masquerade,
    NamespacedName,
    NodeContext,
    Pool,
    Protocol,
    ServiceFrontends,
    ServicePortName,
)
from .plan import SyncPlan
from .rejections import Rejections
from .source import Rejection

_OF_KIND = {
    FrontendKind.CLUSTER_IP: Feature.CLUSTER_IP,
    FrontendKind.LOAD_BALANCER: Feature.LOAD_BALANCER,
    FrontendKind.EXTERNAL_IP: Feature.EXTERNAL_IP,
    FrontendKind.NODE_PORT: Feature.NODE_PORT,
}

# The field of a Service that asks for a feature; where it is none of them, it is the whole.
_FIELDS = {
    Feature.CLUSTER_IP: "$.spec.clusterIPs",
    Feature.NODE_PORT: "$.spec.ports[*].nodePort",
    Feature.LOAD_BALANCER: "$.status.loadBalancer.ingress",
    Feature.EXTERNAL_IP: "$.spec.externalIPs",
    Feature.SOURCE_RANGES: "$.spec.loadBalancerSourceRanges",
    Feature.TRAFFIC_POLICY: "$.spec.externalTrafficPolicy, internalTrafficPolicy",
    Feature.SESSION_AFFINITY: "$.spec.sessionAffinity",
    Feature.SCTP: "$.spec.ports[*].protocol",
    Feature.IPV6: "$.spec.clusterIPs",
    Feature.WEIGHTS: "$.metadata.annotations",
    Feature.SCHEDULERS: "$.metadata.annotations",
}

_LEVELS = {
    Level.NOT_IMPLEMENTED: "not supported yet",
    Level.UNSUPPORTED: "not supported by this kind of dataplane",
    Level.NOT_HERE: "not supported on this machine",
}


def features(service: ServiceFrontends, family: IPFamily) -> frozenset[Feature]:
    """What a dataplane must be able to do to serve a service port."""
    return frozenset(_features(service, family))


def _features(service: ServiceFrontends, family: IPFamily) -> Iterator[Feature]:
    if family is IPFamily.IPV6:
        yield Feature.IPV6
    if service.name.protocol is Protocol.SCTP:
        yield Feature.SCTP
    if service.affinity:
        yield Feature.SESSION_AFFINITY
    if any(
        endpoint.weight != 1 for pool in (service.cluster, service.local) for endpoint in lowest_terms(pool)
    ):
        yield Feature.WEIGHTS
    if service.scheduler:
        yield Feature.SCHEDULERS
    for frontend in service.frontends:
        yield _OF_KIND[frontend.kind]
        if frontend.sources is not None:
            yield Feature.SOURCE_RANGES
        if any(answer.pool is Pool.LOCAL for answer in frontend.answers):
            yield Feature.TRAFFIC_POLICY
        if any(answer.masquerade is not Masquerade.NEVER for answer in frontend.answers):
            yield Feature.MASQUERADE
        if not all(service.pool(answer) for answer in frontend.answers):
            yield Feature.REFUSALS


class _Part(NamedTuple):
    """One family's part of one port of a Service."""

    family: IPFamily
    port: ServicePortName


class UnsupportedFeatures:
    """Reports, as rejections, what plans hold and the dataplanes can't carry out.

    A plugin that observes syncs. What an object asks for is reported once, however many of its ports and
    families ask for it, and the work depends on what a plan changes.
    """

    def __init__(self, capabilities: Mapping[IPFamily, Capabilities], rejections: Rejections) -> None:
        self._capabilities = capabilities
        self._rejections = rejections
        self._missing: dict[NamespacedName, dict[_Part, frozenset[Feature]]] = {}

    @hookimpl
    def pointsman_before_sync(self, plan: SyncPlan) -> None:
        """Compare what changes with what the family's dataplane does."""
        names = {change.name for change in plan.delta.services}
        if plan.full and plan.complete:
            # A plan that failed may have been the only one to hold what is gone by now.
            names |= {
                part.port for parts in self._missing.values() for part in parts if part.family is plan.family
            }
        for service in {self._take_in(name, plan) for name in names}:
            self._report(service)
        key = f"settings of {plan.family}"
        self._rejections.report(key, self._settings(plan.desired.node, self._capabilities[plan.family]))

    def _take_in(self, name: ServicePortName, plan: SyncPlan) -> NamespacedName:
        state = plan.desired.services.get(name)
        asked = features(state, plan.family) if state else frozenset()
        can = self._capabilities[plan.family]
        missing = frozenset(feature for feature in asked if can.support(feature).level is not Level.SUPPORTED)
        parts = self._missing.setdefault(name.service, {})
        if missing:
            parts[_Part(plan.family, name)] = missing
        else:
            parts.pop(_Part(plan.family, name), None)
        if not parts:
            del self._missing[name.service]
        return name.service

    def _report(self, service: NamespacedName) -> None:
        asked = {
            (feature, part.family)
            for part, missing in self._missing.get(service, {}).items()
            for feature in missing
        }
        self._rejections.report(
            f"features of {service}",
            [
                _rejection(
                    "Service", str(service), _FIELDS.get(feature, "$"), feature, self._capabilities[family]
                )
                for feature, family in sorted(asked)
            ],
        )

    def _settings(self, node: NodeContext, can: Capabilities) -> Iterator[Rejection]:
        """What no Service asks for."""
        if can.support(Feature.SERVICE_CIDRS).level is not Level.SUPPORTED:
            for network in node.service_cidrs:
                yield _rejection("ServiceCIDR", str(network), "$.spec.cidrs", Feature.SERVICE_CIDRS, can)
        if (
            node.node_ports.loopback
            and can.support(Feature.LOCALHOST_NODE_PORTS).level is not Level.SUPPORTED
        ):
            yield _rejection("configuration", "localhost node ports", "$", Feature.LOCALHOST_NODE_PORTS, can)


def _rejection(kind: str, name: str, field: str, feature: Feature, can: Capabilities) -> Rejection:
    support: Support = can.support(feature)
    reason = f": {support.reason}" if support.reason else ""
    return Rejection(kind, name, field, f"{_LEVELS[support.level]}: {feature}{reason}")
