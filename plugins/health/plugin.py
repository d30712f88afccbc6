"""The plugin that brings load balancers' health checks to whoever drives an engine by himself."""

import socket
from collections.abc import Sequence

from pointsman.core.addresses import IPFamily
from pointsman.core.companions import CompanionRegistry, CompanionSpec
from pointsman.core.events import Event
from pointsman.core.hookspecs import hookimpl
from pointsman.core.plan import SyncPlan, SyncReport


class _HealthChecks:
    """Health checks of a proxy that is always well, with a server of their own."""

    def __init__(self) -> None:
        # Late: whoever lists the plugins needs no HTTP.
        from pointsman.plugins.http.server import HttpServer

        from .services import ServiceHealthChecks

        def tell_nobody(_: Event) -> None:
            """There is no API here; what fails is in the log."""

        self._server = HttpServer("http-health")
        self._checks = ServiceHealthChecks(self._server, lambda: True, tell_nobody, socket.gethostname())

    @hookimpl
    def pointsman_after_sync(self, plan: SyncPlan, report: SyncReport | None) -> None:
        self._checks.pointsman_after_sync(plan, report)

    def stop(self) -> None:
        """Listen no more."""
        self._server.stop()


def _start(_: Sequence[IPFamily]) -> _HealthChecks:
    return _HealthChecks()


SPEC = CompanionSpec("health-checks", "answers load balancers on health check node ports", _start)


@hookimpl
def pointsman_register_companions(registry: CompanionRegistry) -> None:
    """Add the health checks."""
    registry.add(SPEC)
