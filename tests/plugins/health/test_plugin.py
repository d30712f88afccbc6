"""Health checks as a companion of whoever drives an engine by himself, in a network namespace."""

import pytest
from immutables import Map

from pointsman.conformance.lab.netns import Namespace
from pointsman.core.addresses import IPFamily
from pointsman.core.model import Model, NamespacedName, NodeContext
from pointsman.core.plan import Delta, Facts, HealthCheck, SyncPlan, SyncReport
from pointsman.core.plugins import Plugins
from pointsman.plugins.health import plugin
from tests.plugins.http.clients import ask

PORT = 32000


@pytest.mark.netns
@pytest.mark.parametrize("family", IPFamily)
def test_HC_01_the_wildcard_of_one_family_alone(family: IPFamily) -> None:
    """Where node ports answer on all addresses, health checks do; the other family's port stays free."""
    plugins = Plugins([plugin], discover=False)
    (spec,) = plugins.companions
    facts = Facts(health_checks=Map({NamespacedName("shop", "web"): HealthCheck(PORT, 1)}))
    plan = SyncPlan(family, Model(NodeContext(family)), Delta(), full=True, facts=facts)
    hosts = {IPFamily.IPV4: ["127.0.0.1", "127.9.9.9"], IPFamily.IPV6: ["::1"]}
    (other,) = set(IPFamily) - {family}
    with Namespace("node") as node:
        companion = node.run(spec.start, [family])
        try:
            node.run(plugins.register, companion)
            node.run(plugins.after_sync, plan, SyncReport(), None)
            for host in hosts[family]:
                assert node.run(ask, PORT, host=host)[0] == 200
            for host in hosts[other]:
                with pytest.raises(ConnectionRefusedError):
                    node.run(ask, PORT, host=host)
        finally:
            companion.stop()
        with pytest.raises(ConnectionRefusedError):
            node.run(ask, PORT, host=hosts[family][0])
