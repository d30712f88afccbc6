"""Dataplanes that rewrite the wrong sources."""

from collections.abc import Callable

from msgspec.structs import replace

from pointsman.core.model import (
    Endpoint,
    Frontend,
    FrontendKind,
    LocalInterface,
    LocalInterfacePrefix,
    Masquerade,
    NodeContext,
)
from pointsman.core.packet import Packet, Verdict

from .base import Mutant


def masquerading(verdict: Verdict, chosen: Callable[[Endpoint], bool]) -> Verdict:
    return replace(verdict, masqueraded=frozenset(filter(chosen, verdict.endpoints)))


class ForgetsHairpins(Mutant):
    caught_by = "test_cluster_ip::test_a_pod_reaches_itself_through_its_own_service"

    def answer(self, packet: Packet, verdict: Verdict) -> Verdict:
        return masquerading(verdict, lambda e: e in verdict.masqueraded and e.address != packet.source)


class MasqueradesAWholeServiceForItsHairpin(Mutant):
    caught_by = "test_cluster_ip::test_a_pod_reaches_itself_through_its_own_service"

    def answer(self, packet: Packet, verdict: Verdict) -> Verdict:
        itself = any(endpoint.address == packet.source for endpoint in verdict.endpoints)
        return masquerading(verdict, lambda e: itself or e in verdict.masqueraded)


class MasqueradesEverybody(Mutant):
    caught_by = "test_cluster_ip::test_every_client_reaches_every_endpoint"

    def answer(self, packet: Packet, verdict: Verdict) -> Verdict:
        return masquerading(verdict, lambda _: True)


class MasqueradesNobody(Mutant):
    caught_by = "test_cluster_ip::test_every_client_reaches_every_endpoint"

    def answer(self, packet: Packet, verdict: Verdict) -> Verdict:
        return masquerading(verdict, lambda e: e.address == packet.source)


class TakesTheNodeForALocalPod(Mutant):
    caught_by = "test_masquerade::test_the_source_becomes_the_address_of_the_interface_it_leaves_by"

    def answer(self, packet: Packet, verdict: Verdict) -> Verdict:
        return verdict if packet.interface else replace(verdict, masqueraded=frozenset())


class IgnoresMasqueradeAll(Mutant):
    caught_by = "test_matrix::test_with_masquerade_all"

    def frontend(self, frontend: Frontend) -> Frontend:
        if frontend.kind is not FrontendKind.CLUSTER_IP:
            return frontend
        return replace(frontend, near=replace(frontend.near, masquerade=Masquerade.UNLESS_LOCAL))


class TakesAnInterfaceForAPrefix(Mutant):
    caught_by = "test_masquerade::test_local_pods_are_told_by_an_interface"

    def node(self, node: NodeContext) -> NodeContext:
        if not isinstance(node.local, LocalInterface):
            return node
        return replace(node, local=LocalInterfacePrefix(node.local.interface))
