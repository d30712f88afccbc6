"""Dataplanes that remember clients wrongly, or not at all."""

from msgspec.structs import replace

from pointsman.core.backend import DataplaneSettings
from pointsman.core.model import Model, Protocol, ServiceFrontends, ServicePortName
from pointsman.core.packet import Affinity, Packet
from pointsman.core.plan import SyncPlan

from .base import Mutant


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
