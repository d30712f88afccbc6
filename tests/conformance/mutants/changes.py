"""Dataplanes that are wrong when something changes, or say the wrong thing of it."""

from immutables import Map
from msgspec.structs import replace

from pointsman.core.backend import Observed
from pointsman.core.errors import SyncError
from pointsman.core.hookspecs import hookimpl
from pointsman.core.model import Model, ServiceFrontends
from pointsman.core.plan import SyncPlan, SyncReport

from .base import Mutant, Services


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


class HearsOfAddressesWithServicesOnly(Mutant):
    """An address that the node gets is known as soon as a service changes, and no sooner."""

    caught_by = "test_node::test_node_ports_answer_on_an_address_that_comes_later"

    def distorted(self, plan: SyncPlan) -> Model:
        if plan.full or plan.delta.services:
            return super().distorted(plan)
        return self.held


class LosesRulesOnRestart(Mutant):
    """It takes what is there for a stranger's and removes it; later changes bring it back."""

    caught_by = "test_lifetime::test_a_new_proxy_finds_everything_in_place"

    last: Services = Map()

    def distorted(self, plan: SyncPlan) -> Model:
        model = super().distorted(plan)
        again = plan.full and plan.desired.services == self.last
        self.last = plan.desired.services
        return replace(model, services=Map()) if again else model


class PutsNothingBack(Mutant):
    """Where nothing is to be changed it writes nothing, whatever has become of its rules."""

    caught_by = "test_lifetime::test_rules_that_somebody_removed_come_back"

    wiped = False

    @hookimpl
    def dataplane_cleanup(self) -> bool:
        self.wiped = True
        return super().dataplane_cleanup()

    def distorted(self, plan: SyncPlan) -> Model:
        if self.wiped and plan.full and not plan.delta.services:
            return self.held
        self.wiped = False
        return super().distorted(plan)
