"""Broken engines: a pytest plugin that breaks the one in its process as ``POINTSMAN_MUTANT`` says.

The oracle is fed by the same engine and sees nothing wrong. Only what a case itself expects can tell.
"""

import os
from collections.abc import Callable, Iterable
from unittest.mock import patch

from msgspec.structs import replace

from pointsman.core import engine, proxy, servicemap
from pointsman.core.addresses import IPFamily, Network
from pointsman.core.config import ProxyConfig
from pointsman.core.endpointsmap import EndpointInfo, EndpointsMap
from pointsman.core.frontends import FrontendRules, service_frontends
from pointsman.core.model import (
    Frontend,
    FrontendKind,
    LocalNetwork,
    Masquerade,
    NodeContext,
    NodePortAddresses,
    Refusal,
    ServiceFrontends,
    ServicePortName,
)
from pointsman.core.node import NodeFacts, node_context
from pointsman.core.servicemap import ServicePort, _Reader
from pointsman.core.topology import Candidates

VARIABLE = "POINTSMAN_MUTANT"
CAUGHT_BY = {
    "ignores_hints": "test_topology::test_connections_stay_in_their_zone",
    "knows_no_last_resort": (
        "test_terminating::test_policy_cluster_falls_back_only_where_nobody_is_ready_anywhere"
    ),
    "takes_everybody_for_ready": "test_endpoints::test_an_endpoint_that_is_not_ready_gets_nothing",
    "knows_no_short_circuit": "test_matrix::test_with_external_traffic_policy_local",
    "masquerades_local_pods": "test_cluster_ip::test_every_client_reaches_every_endpoint",
    "never_drops": "test_no_endpoints::test_internal_policy_local_without_local_endpoints_is_silent",
    "lets_everybody_in": "test_external_addresses::test_source_ranges_keep_others_out",
    "has_one_target_port": "test_cluster_ip::test_each_port_of_a_service_leads_to_its_own_target",
    "serves_headless_services": "test_cluster_ip::test_a_service_that_becomes_an_external_name_is_not_served",
    "needs_families": "test_fields::test_policies_that_are_not_set_are_cluster",
    "answers_nowhere_on_a_node_that_it_does_not_know": (
        "test_node_port::test_primary_stands_for_the_nodes_own_address"
    ),
    "binds_to_nothing": "test_node::test_the_nodes_own_address_is_its_internal_one",
    "answers_on_loopback_unchosen": ("test_node_port::test_loopback_answers_where_that_is_wanted"),
    "knows_its_own_pods_only": ("test_node_port::test_other_nodes_pods_are_outsiders_to_policy_local"),
    "serves_for_others": "test_cluster_ip::test_a_service_of_another_proxy_is_left_alone",
}
"""The mutants, and for each a case that finds it out, after its module."""

_endpoints = EndpointsMap.endpoints
_cluster_ip = _Reader._cluster_ip


def ignores_hints() -> None:
    _see(lambda info: replace(info, on_node=None, zones=None))


def knows_no_last_resort() -> None:
    _see(lambda info: replace(info, serving=False))


def takes_everybody_for_ready() -> None:
    _see(lambda info: replace(info, ready=True))


def knows_no_short_circuit() -> None:
    _answer(lambda one: one if one.far is None else replace(one, near=one.far, far=None))


def masquerades_local_pods() -> None:
    def always(frontend: Frontend) -> Frontend:
        if frontend.kind is not FrontendKind.CLUSTER_IP:
            return frontend
        return replace(frontend, near=replace(frontend.near, masquerade=Masquerade.ALWAYS))

    _answer(always)


def never_drops() -> None:
    def rejecting(port: ServicePort, candidates: Candidates, rules: FrontendRules) -> ServiceFrontends:
        return replace(service_frontends(port, candidates, rules), when_empty=Refusal.REJECT)

    patch.object(proxy, "service_frontends", rejecting).start()


def lets_everybody_in() -> None:
    _answer(lambda frontend: replace(frontend, sources=None))


def has_one_target_port() -> None:
    def endpoints(self: EndpointsMap, name: ServicePortName) -> dict[tuple[bytes, int], EndpointInfo]:
        return _endpoints(self, name._replace(port="http"))

    patch.object(EndpointsMap, "endpoints", endpoints).start()


def serves_headless_services() -> None:
    def cluster_ip(self: _Reader) -> bytes:
        return _cluster_ip(self) or bytes(self._family.address_length)

    patch.object(_Reader, "_cluster_ip", cluster_ip).start()


def needs_families() -> None:
    def cluster_ip(self: _Reader) -> bytes | None:
        return _cluster_ip(self) if self._service.spec.ip_families else None

    patch.object(_Reader, "_cluster_ip", cluster_ip).start()


def answers_nowhere_on_a_node_that_it_does_not_know() -> None:
    def change(context: NodeContext, config: ProxyConfig, facts: NodeFacts) -> NodeContext:
        lost = config.node_port_addresses is None and facts.ip(context.family) is None
        return replace(context, node_ports=NodePortAddresses(())) if lost else context

    _place(change)


def binds_to_nothing() -> None:
    patch.object(engine, "with_bind_address", lambda facts, address: facts).start()


def answers_on_loopback_unchosen() -> None:
    def change(context: NodeContext, config: ProxyConfig, facts: NodeFacts) -> NodeContext:
        return replace(context, node_ports=replace(context.node_ports, loopback=config.localhost_node_ports))

    _place(change)


def knows_its_own_pods_only() -> None:
    def change(context: NodeContext, config: ProxyConfig, facts: NodeFacts) -> NodeContext:
        ours = [one for one in facts.pod_cidrs if len(one.address) == context.family.address_length]
        return replace(context, local=LocalNetwork(ours[0])) if ours else context

    _place(change)


def serves_for_others() -> None:
    patch.object(servicemap, "SERVICE_PROXY_NAME", "nobody.example.com/proxy").start()


def _see(change: Callable[[EndpointInfo], EndpointInfo]) -> None:
    """Have the engine see endpoints otherwise than they are."""

    def endpoints(self: EndpointsMap, name: ServicePortName) -> dict[tuple[bytes, int], EndpointInfo]:
        return {key: change(info) for key, info in _endpoints(self, name).items()}

    patch.object(EndpointsMap, "endpoints", endpoints).start()


def _answer(change: Callable[[Frontend], Frontend]) -> None:
    """Have the engine make other frontends."""

    def changed(port: ServicePort, candidates: Candidates, rules: FrontendRules) -> ServiceFrontends:
        made = service_frontends(port, candidates, rules)
        return replace(made, frontends=tuple(map(change, made.frontends)))

    patch.object(proxy, "service_frontends", changed).start()


def _place(change: Callable[[NodeContext, ProxyConfig, NodeFacts], NodeContext]) -> None:
    """Have the engine see another node."""

    def changed(
        config: ProxyConfig,
        family: IPFamily,
        facts: NodeFacts,
        addresses: Iterable[bytes],
        cidrs: Iterable[Network],
    ) -> NodeContext:
        return change(node_context(config, family, facts, addresses, cidrs), config, facts)

    patch.object(engine, "node_context", changed).start()


if VARIABLE in os.environ:
    globals()[os.environ[VARIABLE]]()
