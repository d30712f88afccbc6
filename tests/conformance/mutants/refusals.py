"""Dataplanes that refuse, drop and let pass otherwise than they should."""

from immutables import Map
from msgspec.structs import replace

from pointsman.conformance.lab import NODE
from pointsman.conformance.scene import scene
from pointsman.core.addresses import parse_address
from pointsman.core.model import Endpoint, FrontendKind, Model, NodeContext, Refusal, ServiceFrontends
from pointsman.core.node import is_loopback
from pointsman.core.packet import Action, Packet, Verdict
from pointsman.core.plan import SyncPlan

from .base import Mutant


class ForgetsReject(Mutant):
    caught_by = "test_no_endpoints::test_a_cluster_ip_without_endpoints_refuses_at_once"

    def answer(self, packet: Packet, verdict: Verdict) -> Verdict:
        return Verdict(Action.PASS) if verdict.action is Action.REJECT else verdict


class DropsInsteadOfRejecting(Mutant):
    caught_by = "test_no_endpoints::test_external_addresses_without_endpoints_refuse"

    def service(self, state: ServiceFrontends) -> ServiceFrontends:
        return replace(state, when_empty=Refusal.DROP)


class RejectsInsteadOfDropping(Mutant):
    caught_by = "test_no_endpoints::test_internal_policy_local_without_local_endpoints_is_silent"

    def service(self, state: ServiceFrontends) -> ServiceFrontends:
        return replace(state, when_empty=Refusal.REJECT)


class TellsOutsidersThatNobodyIsThere(Mutant):
    caught_by = "test_no_endpoints::test_whoever_may_not_come_in_is_not_told_that_nobody_is_there"

    def service(self, state: ServiceFrontends) -> ServiceFrontends:
        if state.cluster or state.local:
            return state
        return replace(state, frontends=tuple(replace(one, sources=None) for one in state.frontends))


class PassesUndefinedPorts(Mutant):
    caught_by = "test_cluster_ip::test_a_port_that_a_service_does_not_have_is_refused"

    def distorted(self, plan: SyncPlan) -> Model:
        return replace(plan.desired, cluster_ips=Map(), node=replace(plan.desired.node, service_cidrs=()))


class PassesUnusedAddresses(Mutant):
    caught_by = "test_lifetime::test_service_addresses_may_lie_in_another_network"

    def node(self, node: NodeContext) -> NodeContext:
        return replace(node, service_cidrs=())


class LetsVirtualAddressesBePinged(Mutant):
    caught_by = "test_cluster_ip::test_a_virtual_address_is_not_to_be_pinged"

    def answer(self, packet: Packet, verdict: Verdict) -> Verdict:
        return Verdict(Action.DROP) if packet.protocol is None else verdict


class ServesTheNodesProgramsAtVirtualAddresses(Mutant):
    """As where virtual addresses are the node's own."""

    caught_by = "test_node::test_the_nodes_programs_are_not_to_be_reached_at_virtual_addresses"

    def answer(self, packet: Packet, verdict: Verdict) -> Verdict:
        ours = {one.match.address for _, one in self.held.frontends()}
        if packet.protocol is None or packet.destination not in ours or verdict.endpoints:
            return verdict
        return Verdict(Action.FORWARD, (Endpoint(self.own_address(), packet.port),))

    def own_address(self) -> bytes:
        return parse_address(scene(self.family).address(NODE))


class PassesUnusedAddressesOfTheNodesOwn(Mutant):
    """What the node itself sends is not looked at."""

    caught_by = "test_lifetime::test_service_addresses_may_lie_in_another_network"

    def answer(self, packet: Packet, verdict: Verdict) -> Verdict:
        unhooked = verdict.action is Action.DROP and packet.interface is None
        served = any(one.match.address == packet.destination for _, one in self.held.frontends())
        return Verdict(Action.PASS) if unhooked and not served and not packet.to_node else verdict


class RefusesOnLoopback(Mutant):
    """A node port without endpoints is refused on all local addresses, and answers on some."""

    caught_by = "test_no_endpoints::test_node_ports_refuse_only_where_they_would_answer"

    def answer(self, packet: Packet, verdict: Verdict) -> Verdict:
        if verdict.action is not Action.PASS or not is_loopback(packet.destination):
            return verdict
        empty = {
            (one.match.protocol, one.match.port)
            for state, one in self.held.frontends()
            if one.kind is FrontendKind.NODE_PORT and not state.cluster and not state.local
        }
        return Verdict(Action.REJECT) if (packet.protocol, packet.port) in empty else verdict
