"""Broken dataplanes, and others that lack something, as a third party's distribution would bring them.

Each mutant does to packets something else than it says: what it observes, and how much it writes, is told by
a healthy dataplane. Only a case that looks at packets can find it out.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import ClassVar

from immutables import Map
from msgspec.structs import replace

from pointsman.backends.memory.dataplane import MemoryDataplane
from pointsman.backends.nftables.dataplane import NftablesDataplane
from pointsman.conformance.lab import NODE
from pointsman.conformance.scene import scene
from pointsman.core.addresses import IPFamily, parse_address
from pointsman.core.backend import BackendRegistry, BackendSpec, DataplaneSettings, Observed
from pointsman.core.errors import BackendUnavailable, SyncError
from pointsman.core.features import SUPPORTED, Capabilities, Feature, Level, Support
from pointsman.core.hookspecs import hookimpl
from pointsman.core.model import (
    Endpoint,
    Frontend,
    FrontendKind,
    LocalInterface,
    LocalInterfacePrefix,
    Masquerade,
    Model,
    NodeContext,
    NodePortAddresses,
    Protocol,
    Refusal,
    ServiceFrontends,
    ServicePortName,
)
from pointsman.core.packet import Action, Affinity, Packet, Trace, Verdict
from pointsman.core.plan import Delta, SyncPlan, SyncReport
from tests.conformance.besidemutants import CAUGHT_BY as BESIDE
from tests.conformance.kernelmutants import CAUGHT_BY as KERNEL

Services = Map[ServicePortName, ServiceFrontends]


class Mutant:
    """Two dataplanes: a healthy one that is looked at, and a broken one that packets meet."""

    caught_by: ClassVar[str]
    """A case that finds it out, after its module."""

    def __init__(self, settings: DataplaneSettings) -> None:
        self.family = settings.family
        self.healthy = MemoryDataplane(settings)
        self.broken = MemoryDataplane(settings)
        self.held = Model(NodeContext(settings.family))

    @hookimpl
    def dataplane_probe(self) -> Capabilities:
        return self.healthy.dataplane_probe()

    @hookimpl
    def dataplane_sync(self, plan: SyncPlan) -> SyncReport:
        model = self.distorted(plan)
        self.broken.dataplane_sync(SyncPlan(self.family, model, Delta(), full=True))
        self.held = model
        return self.healthy.dataplane_sync(plan)

    @hookimpl
    def dataplane_observe(self) -> Observed:
        return self.healthy.dataplane_observe()

    @hookimpl
    def dataplane_trace(self, packet: Packet) -> Trace:
        affinity = self.broken.dataplane_trace(packet).affinity
        return Trace(
            self.answer(packet, self.judge(packet)),
            (),
            None if affinity is None else self.memory(packet, affinity),
        )

    @hookimpl
    def dataplane_cleanup(self) -> bool:
        self.held = Model(NodeContext(self.family))
        self.broken.dataplane_cleanup()
        return self.healthy.dataplane_cleanup()

    def judge(self, packet: Packet) -> Verdict:
        """What the broken one says."""
        return self.broken.dataplane_trace(packet).verdict

    def distorted(self, plan: SyncPlan) -> Model:
        """What the broken one is told."""
        services = {name: self.service(state) for name, state in plan.desired.services.items()}
        return replace(plan.desired, node=self.node(plan.desired.node), services=Map(services))

    def node(self, node: NodeContext) -> NodeContext:
        return node

    def service(self, state: ServiceFrontends) -> ServiceFrontends:
        return replace(state, frontends=tuple(self.frontend(one) for one in state.frontends))

    def frontend(self, frontend: Frontend) -> Frontend:
        return frontend

    def answer(self, packet: Packet, verdict: Verdict) -> Verdict:
        return verdict

    def memory(self, packet: Packet, affinity: Affinity) -> Affinity | None:
        """Whose memory of clients may narrow the answer, and how long it lasts."""
        return affinity


def masquerading(verdict: Verdict, chosen: Callable[[Endpoint], bool]) -> Verdict:
    return replace(verdict, masqueraded=frozenset(filter(chosen, verdict.endpoints)))


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


class FavoursTheFirst(Mutant):
    caught_by = "test_balancing::test_all_endpoints_have_an_even_share"

    def answer(self, packet: Packet, verdict: Verdict) -> Verdict:
        if not verdict.endpoints:
            return verdict
        first, *others = verdict.endpoints
        return replace(verdict, endpoints=(replace(first, weight=2), *others))


class IgnoresWeights(Mutant):
    caught_by = "test_balancing::test_weights_are_shares"

    def answer(self, packet: Packet, verdict: Verdict) -> Verdict:
        return replace(verdict, endpoints=tuple(replace(e, weight=1) for e in verdict.endpoints))


class NeverPicksTheLast(Mutant):
    caught_by = "test_cluster_ip::test_every_client_reaches_every_endpoint"

    def answer(self, packet: Packet, verdict: Verdict) -> Verdict:
        return replace(verdict, endpoints=verdict.endpoints[:-1] or verdict.endpoints)


class TakesTurns(Mutant):
    caught_by = "test_balancing::test_all_endpoints_have_an_even_share"

    turn = 0

    def answer(self, packet: Packet, verdict: Verdict) -> Verdict:
        if not verdict.endpoints:
            return verdict
        self.turn += 1
        return replace(verdict, endpoints=(verdict.endpoints[self.turn % len(verdict.endpoints)],))


class PicksTheSameAgain(Mutant):
    """One time in three: shares stay even, but a pick tells of the next."""

    caught_by = "test_balancing::test_all_endpoints_have_an_even_share"

    def __init__(self, settings: DataplaneSettings) -> None:
        super().__init__(settings)
        self.random = random.Random(0)
        self.last: Endpoint | None = None

    def answer(self, packet: Packet, verdict: Verdict) -> Verdict:
        if not verdict.endpoints:
            return verdict
        if self.last not in verdict.endpoints or self.random.random() > 1 / 3:
            self.last = self.random.choice(verdict.endpoints)
        return replace(verdict, endpoints=(self.last,))


class IgnoresDeletions(Mutant):
    caught_by = "test_cluster_ip::test_a_service_is_deleted_and_created_again"

    def distorted(self, plan: SyncPlan) -> Model:
        taken = {frontend.match for _, frontend in plan.desired.frontends()}
        kept = {
            name: state
            for name, state in self.held.services.items()
            if name not in plan.desired.services
            and not any(frontend.match in taken for frontend in state.frontends)
        }
        return replace(plan.desired, services=plan.desired.services.update(kept))


class KeepsEndpointsThatLeft(Mutant):
    caught_by = "test_endpoints::test_an_endpoint_comes_and_goes"

    def service(self, state: ServiceFrontends) -> ServiceFrontends:
        before = self.held.services.get(state.name)
        pool = tuple(sorted({*state.cluster, *(before.cluster if before else ())}))
        return replace(state, cluster=pool)


class NeedsAnEndpointAtFirst(Mutant):
    """A service that had none when it came never gets any."""

    caught_by = "test_no_endpoints::test_the_first_endpoint_ends_the_refusal_and_the_last_one_brings_it_back"

    def service(self, state: ServiceFrontends) -> ServiceFrontends:
        before = self.held.services.get(state.name)
        if before is None or before.cluster or before.local:
            return state
        return replace(state, cluster=(), local=())


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


class TakesAnInterfaceForAPrefix(Mutant):
    caught_by = "test_masquerade::test_local_pods_are_told_by_an_interface"

    def node(self, node: NodeContext) -> NodeContext:
        if not isinstance(node.local, LocalInterface):
            return node
        return replace(node, local=LocalInterfacePrefix(node.local.interface))


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


class IgnoresPartialPlans(Mutant):
    caught_by = "test_cluster_ip::test_ports_come_and_go_while_a_service_lives"

    def distorted(self, plan: SyncPlan) -> Model:
        return plan.desired if plan.full else self.held


class WritesAllAgain(Mutant):
    """Traffic is right, but each look at the kernel writes everything once more."""

    caught_by = "test_lifetime::test_a_new_proxy_finds_everything_in_place"

    @hookimpl
    def dataplane_sync(self, plan: SyncPlan) -> SyncReport:
        report = super().dataplane_sync(plan)
        return SyncReport(1, len(plan.desired.services)) if plan.full else report


class SeesLessThanThereIs(Mutant):
    caught_by = "test_cluster_ip::test_every_client_reaches_every_endpoint"

    @hookimpl
    def dataplane_observe(self) -> Observed:
        observed = super().dataplane_observe()
        return replace(observed, frontends=dict(list(observed.frontends.items())[1:]))


class FailsToShrink(Mutant):
    caught_by = "test_endpoints::test_an_endpoint_comes_and_goes"

    @hookimpl
    def dataplane_sync(self, plan: SyncPlan) -> SyncReport:
        for change in plan.delta.services:
            if change.old and change.new and len(change.new.cluster) < len(change.old.cluster):
                raise SyncError("mutant", "can't shrink")
        return super().dataplane_sync(plan)


class ForgetsClients(Mutant):
    caught_by = "test_affinity::test_a_client_meets_its_endpoint_again"

    def memory(self, packet: Packet, affinity: Affinity) -> Affinity | None:
        return None


class RemembersByAddress(Mutant):
    """As a kernel would by itself, or IPVS does."""

    caught_by = "test_affinity::test_all_addresses_of_a_service_port_share_what_they_remember"

    def memory(self, packet: Packet, affinity: Affinity) -> Affinity | None:
        return replace(affinity, service=affinity.service._replace(name=packet.destination.hex()))


class RemembersByService(Mutant):
    caught_by = "test_affinity::test_the_ports_of_a_service_remember_by_themselves"

    def memory(self, packet: Packet, affinity: Affinity) -> Affinity | None:
        return replace(affinity, service=affinity.service._replace(port="", protocol=Protocol.TCP))


class ForgetsTheTimeout(Mutant):
    """Whoever is known is known for ever."""

    caught_by = "test_affinity::test_a_client_is_remembered_until_it_was_away_for_too_long"

    def memory(self, packet: Packet, affinity: Affinity) -> Affinity | None:
        return replace(affinity, seconds=1 << 30)


class KeepsTheFirstTimeout(Mutant):
    caught_by = "test_affinity::test_a_timeout_changes_while_clients_are_remembered"

    def __init__(self, settings: DataplaneSettings) -> None:
        super().__init__(settings)
        self.seconds: dict[ServicePortName, int] = {}

    def memory(self, packet: Packet, affinity: Affinity) -> Affinity | None:
        return replace(affinity, seconds=self.seconds.setdefault(affinity.service, affinity.seconds))


class ForgetsClientsAtEveryChange(Mutant):
    caught_by = "test_affinity::test_changes_that_concern_others_make_nobody_forget"

    changes = 0

    def distorted(self, plan: SyncPlan) -> Model:
        self.changes += 1
        return super().distorted(plan)

    def memory(self, packet: Packet, affinity: Affinity) -> Affinity | None:
        return replace(affinity, service=affinity.service._replace(name=str(self.changes)))


class ForgetsClientsAtTheStart(ForgetsClientsAtEveryChange):
    caught_by = "test_affinity::test_a_new_proxy_knows_its_clients"

    def distorted(self, plan: SyncPlan) -> Model:
        self.changes += plan.full
        return Mutant.distorted(self, plan)


class PutsMemoriesBeforePolicies(Mutant):
    """Where clients are remembered, all endpoints are anybody's."""

    caught_by = "test_affinity::test_policies_come_before_memories"

    def service(self, state: ServiceFrontends) -> ServiceFrontends:
        return replace(state, local=state.cluster) if state.affinity and state.cluster else state


class HearsOfAddressesWithServicesOnly(Mutant):
    """An address that the node gets is known as soon as a service changes, and no sooner."""

    caught_by = "test_node::test_node_ports_answer_on_an_address_that_comes_later"

    def distorted(self, plan: SyncPlan) -> Model:
        if plan.full or plan.delta.services:
            return super().distorted(plan)
        return self.held


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


def _all_kinds(kind: type[Mutant]) -> Iterator[type[Mutant]]:
    for one in kind.__subclasses__():
        yield one
        yield from _all_kinds(one)


def mutants() -> Iterator[type[Mutant]]:
    yield from _all_kinds(Mutant)


class Lacking(MemoryDataplane):
    """Right in all that it does, and doesn't claim to do the rest."""

    def __init__(self, supports: dict[Feature, Support], settings: DataplaneSettings) -> None:
        super().__init__(settings)
        self.supports = supports

    @hookimpl
    def dataplane_probe(self) -> Capabilities:
        return Capabilities(dict.fromkeys(Feature, SUPPORTED) | self.supports)


class Absent(MemoryDataplane):
    """Can't run here for some families."""

    def __init__(self, families: Iterable[IPFamily], settings: DataplaneSettings) -> None:
        super().__init__(settings)
        self.missing = settings.family in families

    @hookimpl
    def dataplane_probe(self) -> Capabilities:
        if self.missing:
            raise BackendUnavailable("absent", "the kernel lacks magic", "load its module magic")
        return super().dataplane_probe()


OTHERS: dict[str, Callable[[DataplaneSettings], object]] = {
    "healthy": MemoryDataplane,
    "absent": partial(Absent, tuple(IPFamily)),
    "absent-ipv6": partial(Absent, (IPFamily.IPV6,)),
    "without-sctp": partial(Lacking, {Feature.SCTP: Support(Level.UNSUPPORTED, "too new for it")}),
    "later-weights": partial(Lacking, {Feature.WEIGHTS: Support(Level.NOT_IMPLEMENTED, "next year")}),
}


@hookimpl
def pointsman_register_backends(registry: BackendRegistry) -> None:
    for mutant in mutants():
        registry.add(BackendSpec(mutant.__name__, mutant.__doc__ or "broken", mutant, simulated=True))
    for name in BESIDE:
        registry.add(
            BackendSpec(name, "healthy; what works beside it isn't", MemoryDataplane, simulated=True)
        )
    for name in KERNEL:
        registry.add(BackendSpec(name, "nftables, and something that spoils it", NftablesDataplane))
    for name, make in OTHERS.items():
        registry.add(BackendSpec(name, "for the suite's own tests", make, simulated=True))
