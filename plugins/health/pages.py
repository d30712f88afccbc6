"""``/healthz`` and ``/livez`` (HZ-01)."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from pointsman.plugins.http.messages import Handler, Request, Response, json
from pointsman.plugins.http.routing import Router

from .proxy import Health

NOT_SNIFFED = ("X-Content-Type-Options", "nosniff")
NEVER = "0001-01-01T00:00:00Z"  # how Go writes a time that was never set


def health_pages(
    health: Callable[[], Health],
    answered: Callable[[str, int], None],
    *,
    now: Callable[[], float] = time.time,
) -> Handler:
    """The handler for the health server.

    ``answered`` is told the path and status of each answer (MET-08).
    """

    def healthz(request: Request) -> Response:
        seen = health()
        return answer(
            request, seen, seen.healthy and seen.node_eligible, {"nodeEligible": seen.node_eligible}
        )

    def livez(request: Request) -> Response:
        seen = health()
        return answer(request, seen, seen.healthy, {})

    def answer(request: Request, seen: Health, well: bool, more: dict[str, object]) -> Response:
        current = now()
        content: dict[str, object] = {
            "lastUpdated": moment(current if well else seen.updated),
            "currentTime": moment(current),
            "healthy": seen.healthy,
            "status": {
                str(family): {"lastUpdated": moment(state.updated), "healthy": state.healthy}
                for family, state in seen.families.items()
            },
        }
        status = 200 if well else 503
        answered(request.path, status)
        response = json(content | more, status)
        return Response(status, response.body, response.content_type, (NOT_SNIFFED,))

    return Router({"/healthz": healthz, "/livez": livez})


def moment(seconds: float | None) -> str:
    """A time as Kubernetes writes it."""
    if seconds is None:
        return NEVER
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
