"""Events: what happened to an API object, told where people look who don't read our log.

They are events.k8s.io/v1 Events, as kube-proxy's are. Telling is worth one try: whatever stands in its way is
logged, and nothing waits for it.
"""

import itertools
import logging
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pointsman.core.events import Event
from pointsman.core.hookspecs import hookimpl
from pointsman.core.model import NamespacedName

from .client import ApiClient
from .errors import ApiError
from .source import STOP_SECONDS

# client-go's limits against floods (tools/record/events_cache.go): 25 Events at once about one object, then
# one every five minutes, and no more objects than this are told apart.
BURST = 25
REFILL_SECONDS = 300.0
MAX_OBJECTS = 4096
QUEUE = 1000
MAX_NOTE = 1024  # the API server refuses longer ones
CONTROLLER = "pointsman"
_API_VERSIONS = {"EndpointSlice": "discovery.k8s.io/v1", "ServiceCIDR": "networking.k8s.io/v1"}

log = logging.getLogger(__name__)


class Allowance:
    """A number of Events for each object, which grows again as time goes by.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # What each has left, and since when; the object that has been quiet longest first.
        self._left: OrderedDict[tuple[str, NamespacedName], tuple[float, float]] = OrderedDict()

    def grant(self, event: Event) -> bool:
        """Whether one more may be told of an object."""
        key, now = (event.kind, event.name), self._clock()
        left, since = self._left.pop(key, (float(BURST), now))
        left = min(float(BURST), left + (now - since) / REFILL_SECONDS)
        granted = left >= 1.0
        self._left[key] = (left - granted, now)
        if len(self._left) > MAX_OBJECTS:
            self._left.popitem(last=False)
        return granted


class EventPoster:
    """An observer that posts Events, on a thread of its own.

    Args:
        client: the way to the server.
        instance: who reports: this node's name.
        clock: monotonic seconds, for the limits.
    """

    def __init__(
        self, client: ApiClient, instance: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._instance = instance
        self._allowance = Allowance(clock)
        self._queue: queue.Queue[Event | None] = queue.Queue(QUEUE)
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._numbers = itertools.count(time.time_ns())
        self._failing = False

    def start(self) -> None:
        """Begin to post."""
        self._thread.start()

    def stop(self) -> None:
        """Post what is waiting, unless that takes too long, and end. Idempotent."""
        try:
            self._queue.put_nowait(None)
        except queue.Full:  # what waits is more than there is time for anyhow
            return
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    @hookimpl
    def pointsman_event(self, event: Event) -> None:
        """Have an Event posted; it is dropped if too many wait."""
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            log.debug("event_dropped", extra={"reason": event.reason, "why": "too many are waiting"})

    def _run(self) -> None:
        while (event := self._queue.get()) is not None:
            if not self._allowance.grant(event):
                log.debug("event_dropped", extra={"reason": event.reason, "why": "too many about one object"})
                continue
            try:
                self._client.post(_path(event), self._manifest(event))
                self._failing = False
            except ApiError as error:
                # The next ones are likely to fare no better: it is said once.
                said = log.debug if self._failing else log.warning
                said("event_not_posted", extra={"reason": event.reason, "error": str(error)})
                self._failing = True

    def _manifest(self, event: Event) -> dict[str, Any]:
        namespace = _namespace(event)
        regarding = {
            "kind": event.kind,
            "apiVersion": _API_VERSIONS.get(event.kind, "v1"),
            "name": event.name.name,
            **({"namespace": event.name.namespace} if event.name.namespace else {}),
            # Kubelet and kube-proxy refer to a node in this way, and kubectl describe looks for it.
            **({"uid": event.name.name} if event.kind == "Node" else {}),
        }
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": f"{event.name.name}.{next(self._numbers):x}", "namespace": namespace},
            "eventTime": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "reportingController": CONTROLLER,
            "reportingInstance": f"{CONTROLLER}-{self._instance}"[:128],
            "action": event.reason,
            "reason": event.reason,
            "type": event.type,
            "note": event.message[:MAX_NOTE],
            "regarding": regarding,
        }


def _namespace(event: Event) -> str:
    """Where an Event belongs: beside its object, or in ``default`` if that is in no namespace."""
    return event.name.namespace or "default"


def _path(event: Event) -> str:
    return f"/apis/events.k8s.io/v1/namespaces/{_namespace(event)}/events"
