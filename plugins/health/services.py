"""Health check node ports: load balancers ask here whether this node has endpoints of a Service (HC-*)."""

import logging
from collections.abc import Callable
from typing import NamedTuple

from immutables import Map

from pointsman.core.addresses import IPFamily, format_address
from pointsman.core.events import Event
from pointsman.core.hookspecs import hookimpl
from pointsman.core.model import NamespacedName, NodePortAddresses
from pointsman.core.plan import HealthCheck, SyncPlan, SyncReport
from pointsman.plugins.http.messages import Request, Response, json
from pointsman.plugins.http.server import HttpServer, Listener

from .pages import NOT_SNIFFED

WILDCARDS = {IPFamily.IPV4: "0.0.0.0", IPFamily.IPV6: "::"}
WEIGHT = "X-Load-Balancing-Endpoint-Weight"

log = logging.getLogger(__name__)


class _Place(NamedTuple):
    """Where one Service is asked for."""

    family: IPFamily
    service: NamespacedName
    host: str
    port: int


class ServiceHealthChecks:
    """Keeps a listener for each health check node port, on each address that node ports have.

    It follows what the kernel holds: changes come with syncs that succeeded (HC-04). A port that can't be had
    is said on the Service, once for as long as that lasts, and tried again with the next sync.

    Args:
        server: listens.
        healthy: whether this proxy is; called on the server's thread.
        event: tells the API.
        node: this node's name.
    """

    def __init__(
        self, server: HttpServer, healthy: Callable[[], bool], event: Callable[[Event], None], node: str
    ) -> None:
        self._server = server
        self._healthy = healthy
        self._event = event
        self._node = node
        # What each family's listeners were made for.
        self._followed: dict[IPFamily, tuple[Map[NamespacedName, HealthCheck], NodePortAddresses]] = {}
        self._checks: dict[tuple[IPFamily, NamespacedName], HealthCheck] = {}
        self._listeners: dict[_Place, Listener] = {}
        self._failed: dict[_Place, str] = {}

    @hookimpl
    def pointsman_after_sync(self, plan: SyncPlan, report: SyncReport | None) -> None:
        if report is None or not plan.complete:
            return
        checks, node_ports = plan.facts.health_checks, plan.desired.node.node_ports
        if self._follows(plan.family, checks, node_ports):
            return
        self._followed[plan.family] = (checks, node_ports)
        wanted = {
            _Place(plan.family, service, host, check.port)
            for service, check in checks.items()
            for host in _hosts(plan.family, node_ports)
        }
        # Counts first: who asks at a new port is to hear the right one.
        for key in [key for key in self._checks if key[0] is plan.family and key[1] not in checks]:
            del self._checks[key]
        self._checks.update({(plan.family, service): check for service, check in checks.items()})
        for place in [p for p in self._listeners if p.family is plan.family and p not in wanted]:
            self._listeners.pop(place).close()
        for place in [p for p in self._failed if p.family is plan.family and p not in wanted]:
            del self._failed[place]
        for place in sorted(wanted - self._listeners.keys()):
            self._listen(place)

    def _follows(
        self, family: IPFamily, checks: Map[NamespacedName, HealthCheck], node_ports: NodePortAddresses
    ) -> bool:
        """Whether a family's listeners are as they should be; told by identity, as most syncs leave them."""
        known, at = self._followed.get(family, (None, None))
        return known is checks and at == node_ports and not any(p.family is family for p in self._failed)

    def close(self) -> None:
        """Close all listeners."""
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()

    def _listen(self, place: _Place) -> None:
        def answer(_: Request) -> Response:
            return self._answer(place.family, place.service)

        try:
            self._listeners[place] = self._server.listen(place.host, place.port, answer, v6only=True)
        except OSError as error:
            if self._failed.get(place) == str(error):
                return
            self._failed[place] = str(error)
            message = (
                f"node {self._node} can't listen on {place.host} port {place.port} for the health checks of"
                f" {place.service}: {error.strerror}; the next sync tries again"
            )
            log.warning("health_check_failed", extra={"object": str(place.service), "error": message})
            self._event(
                Event("Service", place.service, "Warning", "FailedToStartServiceHealthcheck", message)
            )
        else:
            self._failed.pop(place, None)

    def _answer(self, family: IPFamily, service: NamespacedName) -> Response:
        check = self._checks.get((family, service))
        count = check.local_endpoints if check else 0
        healthy = self._healthy()
        content = {
            "service": {"namespace": service.namespace, "name": service.name},
            "localEndpoints": count,
            "serviceProxyHealthy": healthy,
        }
        response = json(content, 200 if count and healthy else 503)
        headers = (NOT_SNIFFED, (WEIGHT, str(count)))
        return Response(response.status, response.body, response.content_type, headers)


def _hosts(family: IPFamily, node_ports: NodePortAddresses) -> tuple[str, ...]:
    """The wildcard, or the addresses on which node ports answer (HC-01)."""
    if node_ports.addresses is None:
        return (WILDCARDS[family],)
    return tuple(map(format_address, node_ports.addresses))
