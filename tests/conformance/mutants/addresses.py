"""Dataplanes that take one address, port or protocol for another, or let the wrong people in."""

from collections.abc import Iterable
from typing import ClassVar

from msgspec.structs import replace

from pointsman.core.addresses import IPFamily
from pointsman.core.model import (
    Endpoint,
    Frontend,
    FrontendKind,
    Model,
    NodeContext,
    NodePortAddresses,
    Protocol,
    ServiceFrontends,
)
from pointsman.core.packet import Action, Packet, Verdict
from pointsman.core.plan import SyncPlan

from .base import Mutant


class SendsAllPortsToOne(Mutant):
    caught_by = "test_endpoints::test_a_named_port_may_differ_from_slice_to_slice"

    def service(self, state: ServiceFrontends) -> ServiceFrontends:
        return replace(state, cluster=self.one_port(state.cluster), local=self.one_port(state.local))

    def one_port(self, pool: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
        ports = {endpoint.port for endpoint in pool}
        return tuple(replace(endpoint, port=min(ports)) for endpoint in pool)


class TakesUdpForTcp(Mutant):
    caught_by = "test_cluster_ip::test_one_number_is_another_port_for_each_protocol"

    def judge(self, packet: Packet) -> Verdict:
        if packet.protocol is Protocol.UDP:
            packet = replace(packet, protocol=Protocol.TCP)
        return super().judge(packet)


class IgnoresSourceRanges(Mutant):
    caught_by = "test_external_addresses::test_source_ranges_keep_others_out"

    def frontend(self, frontend: Frontend) -> Frontend:
        return replace(frontend, sources=None)


class ChecksRangesOfClusterIpsToo(Mutant):
    caught_by = "test_external_addresses::test_source_ranges_keep_others_out"

    def service(self, state: ServiceFrontends) -> ServiceFrontends:
        ranges = next((one.sources for one in state.frontends if one.sources), None)
        return replace(state, frontends=tuple(replace(one, sources=ranges) for one in state.frontends))


class IgnoresExternalPolicy(Mutant):
    caught_by = "test_matrix::test_with_external_traffic_policy_local"

    def frontend(self, frontend: Frontend) -> Frontend:
        return replace(frontend, far=None)


class TreatsLocalPodsAsOutsiders(Mutant):
    caught_by = "test_matrix::test_with_external_traffic_policy_local"

    def frontend(self, frontend: Frontend) -> Frontend:
        return frontend if frontend.far is None else replace(frontend, near=frontend.far, far=None)


class AnswersNodePortsEverywhere(Mutant):
    caught_by = "test_node_port::test_it_answers_only_on_the_addresses_that_are_configured"

    def node(self, node: NodeContext) -> NodeContext:
        return replace(node, node_ports=NodePortAddresses())


class AnswersNodePortsOnLoopback(Mutant):
    caught_by = "test_node_port::test_loopback_is_left_to_the_nodes_own_programs"

    def node(self, node: NodeContext) -> NodeContext:
        return replace(node, node_ports=replace(node.node_ports, loopback=True))


class AnswersNodePortsOnVirtualAddresses(Mutant):
    caught_by = "test_node_port::test_node_port_and_service_port_are_two_things"

    def answer(self, packet: Packet, verdict: Verdict) -> Verdict:
        if verdict.action is not Action.REJECT:
            return verdict
        return super().judge(replace(packet, to_node=True, interface=None))


class LeaksAnotherFamily(Mutant):
    """What IPv4 has no node port for, IPv6 refuses: one set for both."""

    caught_by = "test_dual_stack::test_a_service_without_an_address_in_a_family_is_not_in_it"

    others: ClassVar[dict[IPFamily, Model]] = {}

    def distorted(self, plan: SyncPlan) -> Model:
        self.others[self.family] = plan.desired
        return plan.desired

    def answer(self, packet: Packet, verdict: Verdict) -> Verdict:
        if verdict.action is not Action.PASS or not packet.to_node:
            return verdict
        known = {
            (frontend.match.protocol, frontend.match.port)
            for model in self.others.values()
            for _, frontend in model.frontends()
            if frontend.kind is FrontendKind.NODE_PORT
        }
        return Verdict(Action.REJECT) if (packet.protocol, packet.port) in known else verdict


class KeepsNobodyFromTheNodeItself(Mutant):
    """Source ranges hold for what is passed on; what would be delivered on the node is."""

    caught_by = "test_external_addresses::test_a_nodes_own_connection_from_a_load_balancers_address_comes_in"

    def answer(self, packet: Packet, verdict: Verdict) -> Verdict:
        delivered = packet.to_node and packet.interface is not None and verdict.action is Action.DROP
        guarded = any(
            one.sources is not None and one.match.address == packet.destination
            for _, one in self.held.frontends()
        )
        return Verdict(Action.PASS) if delivered and guarded else verdict
