"""A node that is served by the daemon, as an API server tells it, while anything may go wrong on the way."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from pointsman.conformance.apiserver import ApiServer
from pointsman.conformance.lab import NODE, Lab, Reply, burst
from pointsman.core.addresses import IPFamily
from pointsman.core.model import Protocol
from tests.backends.serving import PODS, serving_lab
from tests.plugins.http.clients import ask

from .clocked import Clocks
from .manifests import endpoint_slice, service
from .processes import Running, running

HEALTH, STATUS = 10256, 10249
CLIENT = "client"
STEADY, MOVING = "10.96.0.10", "10.96.0.20"
SECONDS = 20.0  # a safety net
WAIT = 1.0
NODE_OBJECT = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": NODE},
    "status": {"addresses": [{"type": "InternalIP", "address": "192.168.77.1"}]},
}
CONFIG = """
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
hostnameOverride: {node}
clusterCIDR: 10.244.0.0/16
clientConnection: {{kubeconfig: {kubeconfig}}}
nftables: {{minSyncPeriod: 10ms}}
conntrack: {{maxPerCore: 0, min: 0}}
"""


class Node:
    """The lab's node, the daemon at work on it, and the server that it follows.

    The Service at `STEADY` stays as it is; the one at `MOVING` has one endpoint, which `move` replaces.
    """

    def __init__(self, lab: Lab, server: ApiServer, process: Running, clocks: Clocks, folder: Path) -> None:
        self.server = server
        self.process = process
        self.clocks = clocks
        self._lab = lab
        self._folder = folder
        self._moves = 0

    def kubeconfig(self) -> Path:
        """Write the kubeconfig, with the token that is right now."""
        return self.server.kubeconfig(self._folder / "kubeconfig")

    def move(self) -> str:
        """Have the moving Service's endpoint be another pod, as the API says; its name."""
        self._moves += 1
        pod = PODS[self._moves % len(PODS)]
        self.server.put(endpoint_slice(self._lab.address(pod, IPFamily.IPV4), service="moving"))
        return pod

    def who_answers(self) -> str:
        """The pod that a new connection to the moving Service reaches; empty if none."""
        [outcome] = burst(self._lab[CLIENT], MOVING, 80, Protocol.TCP, count=1, wait=WAIT)
        return outcome.pod if isinstance(outcome, Reply) else ""

    def follows(self) -> None:
        """See that a change that is made now comes to be what packets meet."""
        pod = self.move()
        self.until(lambda: self.who_answers() == pod)

    def all_answered(self) -> AbstractContextManager[None]:
        """As `all_answered`, of this node."""
        return all_answered(self._lab)

    def ask(self, path: str, port: int = STATUS) -> tuple[int, bytes]:
        """What the daemon answers over HTTP."""
        status, _, body = self._lab.node.run(ask, port, path)
        return status, body

    def page(self) -> str:
        """The page for people."""
        return self.ask("/")[1].decode()

    def health(self, path: str = "/healthz") -> tuple[int, Any]:
        """Status and content of a health page."""
        status, body = self.ask(path, HEALTH)
        return status, json.loads(body)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's series that have these labels."""
        families = text_string_to_metric_families(self.ask("/metrics")[1].decode())
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def source(self, name: str, kind: str = "EndpointSlice") -> float:
        """What the metrics say of how a kind is followed."""
        return self.metric(f"pointsman_source_{name}", kind=kind)

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until something is so; the daemon must not have ended."""
        pause, deadline = threading.Event(), time.monotonic() + SECONDS
        while not condition():
            assert not self.process.ended, self.process.text()
            assert time.monotonic() < deadline, f"it is never so:\n{self.process.text()}"
            pause.wait(0.02)

    def is_heard_of(self) -> bool:
        """Whether no kind fails to be followed, given that the server has something to tell of each."""
        self.server.bookmark()
        return not self.metric("pointsman_source_failures")

    def counts(self) -> Mapping[str, float]:
        """How often a slice list and a watch were begun."""
        return {name: self.source(f"{name}_total") for name in ("lists", "watches")}


@contextmanager
def all_answered(lab: Lab) -> Iterator[None]:
    """See that every connection to the steady Service is answered, the last one made after the block."""
    over = threading.Event()

    def connect() -> int:
        answered = 0
        last = False
        while not last:
            last = over.wait(0.01)
            for outcome in burst(lab[CLIENT], STEADY, 80, Protocol.TCP, count=4, wait=SECONDS):
                assert isinstance(outcome, Reply), outcome
                answered += 1
        return answered

    with ThreadPoolExecutor(1, thread_name_prefix="clients") as clients:
        connecting = clients.submit(connect)
        try:
            yield
        finally:
            over.set()
        assert connecting.result() >= 4


@contextmanager
def faulty_node(folder: Path) -> Iterator[Node]:
    """A node whose daemon is ready."""
    with ExitStack() as stack:
        lab = stack.enter_context(serving_lab(Protocol.TCP))
        server = stack.enter_context(ApiServer(run=lab.node.run))
        clocks = Clocks(folder / "clocks")
        config = folder / "config.yaml"
        kubeconfig = server.kubeconfig(folder / "kubeconfig")
        config.write_text(CONFIG.format(node=NODE, kubeconfig=kubeconfig))
        steady = [lab.address(pod, IPFamily.IPV4) for pod in PODS]
        server.replace_all(
            [
                NODE_OBJECT,
                service("steady", STEADY),
                endpoint_slice(*steady, service="steady"),
                service("moving", MOVING),
                endpoint_slice(steady[0], service="moving"),
            ]
        )
        process = stack.enter_context(
            running("run", f"--config={config}", program=clocks.program, popen=lab.node.popen)
        )
        process.wait_for("ready")
        yield Node(lab, server, process, clocks, folder)
