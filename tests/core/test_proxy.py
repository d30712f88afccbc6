"""One family's half of the engine: plans, their outcomes, and what is pending in between."""

from pointsman.core.addresses import IPFamily
from pointsman.core.config import ProxyConfig
from pointsman.core.model import NodeContext
from pointsman.core.proxy import FamilyProxy

from .objects import NODE, endpoint, endpoint_slice, port_name, service, target


def make_proxy() -> FamilyProxy:
    return FamilyProxy(IPFamily.IPV4, ProxyConfig(NODE), NodeContext(IPFamily.IPV4))


def settled_proxy() -> FamilyProxy:
    """A proxy whose dataplane holds one service with one endpoint."""
    proxy = make_proxy()
    proxy.services.update(service())
    proxy.endpoints.update(endpoint_slice([endpoint("10.0.0.1")]))
    proxy.done(proxy.plan())
    return proxy


def test_a_service_edit_taken_back_after_a_failed_sync_is_taken_back() -> None:
    proxy = settled_proxy()
    before = proxy.applied
    proxy.services.update(service(ip="10.96.0.99"))
    proxy.plan()
    proxy.failed()
    proxy.services.update(service())
    plan = proxy.plan()
    assert plan.desired == before
    assert not plan.delta
    assert plan.full


def test_an_endpoint_edit_taken_back_after_a_failed_sync_is_taken_back() -> None:
    proxy = settled_proxy()
    before = proxy.applied
    proxy.endpoints.update(endpoint_slice([endpoint("10.0.0.2")]))
    proxy.plan()
    proxy.failed()
    proxy.endpoints.update(endpoint_slice([endpoint("10.0.0.1")]))
    assert proxy.plan().desired == before


def test_a_failed_sync_loses_nothing() -> None:
    proxy = settled_proxy()
    proxy.endpoints.update(endpoint_slice([endpoint("10.0.0.2")]))
    first = proxy.plan()
    proxy.failed()
    proxy.services.update(service(ip="10.96.0.99"))
    second = proxy.plan()
    assert first.desired.services[port_name()].cluster == (target("10.0.0.2"),)
    assert second.desired.services[port_name()].cluster == (target("10.0.0.2"),)
    assert second.full
    assert second.delta.services[0].old == proxy.applied.services[port_name()]
