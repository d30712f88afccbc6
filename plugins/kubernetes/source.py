"""The Kubernetes source: a reflector, on a thread of its own, for each kind."""

import threading
import time
from collections.abc import Callable, Mapping

from pointsman.core.source import Sink

from .client import ApiClient
from .gate import Gate
from .reflector import Reflector, Timing
from .resources import resources
from .status import Progress, WatchStatus

# A thread that is about to connect can't be woken; being a daemon, it keeps nobody.
STOP_SECONDS = 2.0


class KubernetesSource:
    """Objects from an API server, for one node.

    Args:
        client: the way to the server; see `pointsman.plugins.kubernetes.client.connect`.
        node_name: the one Node that is watched (IN-NODE-01).
        timing: how long what takes.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        client: ApiClient,
        node_name: str,
        timing: Timing = Timing(),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stopping = threading.Event()
        self._gate = Gate()
        self._reflectors = {
            resource.kind.__name__: Reflector(
                resource, client, self._gate, self._stopping, timing, clock=clock
            )
            for resource in resources(node_name)
        }
        self._threads: list[threading.Thread] = []

    def start(self, sink: Sink) -> None:
        """Start to list and watch. The server need not be there yet."""
        self._gate.open(sink)
        for kind, reflector in self._reflectors.items():
            thread = threading.Thread(target=reflector.run, name=f"kubernetes-{kind}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Stop reporting; nothing is reported after this. Idempotent."""
        self._stopping.set()
        self._gate.shut()
        for reflector in self._reflectors.values():
            reflector.stop()
        until = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, until - time.monotonic()))

    def progress(self, kind: str) -> Progress:
        """How it stands with a kind, to be waited for."""
        return self._reflectors[kind].progress

    def status(self) -> Mapping[str, WatchStatus]:
        """How it stands with each kind, by its name. From any thread."""
        return {kind: reflector.progress.status() for kind, reflector in self._reflectors.items()}
